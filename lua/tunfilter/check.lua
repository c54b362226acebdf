--- Checks of what scripts pass in. Each returns the value or raises an error at the script's line;
--- label says what the value is for, as "tcp.dport".
local fault = require "tunfilter.fault"

local M = {}

--- A value in a message; strings in quotes.
function M.shown(value)
   if type(value) == "function" then return "a function" end
   return type(value) == "string" and ("%q"):format(value:sub(1, 80)) or tostring(value)
end

local function wrong(label, expected, value)
   local got = type(value)
   if got == "number" then got = tostring(value) end
   if got == "cdata" then got = tostring(value) end
   fault(("%s: expected %s, got %s"):format(label, expected, got))
end

M.wrong = wrong

local function not_integer(value, max, label)
   if type(value) == "string" and tonumber(value) then
      fault(("%s: expected a number, got the string %q: tonumber() makes a number of it"):format(label, value:sub(1, 40)))
   end
   if type(value) ~= "number" then wrong(label, "a number", value) end
   if value >= 0 and value <= max then
      fault(("%s: %s is not a whole number"):format(label, tostring(value)))
   end
   fault(("%s: %.14g is not in 0..%d"):format(label, value, max))
end

--- A whole number in 0..max.
function M.integer(value, max, label)
   if type(value) ~= "number" or not (value >= 0 and value <= max and value % 1 == 0) then
      not_integer(value, max, label)
   end
   return value
end

function M.boolean(value, label)
   if type(value) ~= "boolean" then wrong(label, "true or false", value) end
   return value
end

function M.text(value, label)
   if type(value) ~= "string" then wrong(label, "a string", value) end
   return value
end

return M
