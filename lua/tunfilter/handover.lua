--- What passes from a script to the one that takes its place: tf.keep, counters, and flows where the script
--- wants that. As text, since it goes from one process to another.
local state = require "tunfilter.state"

local M = {}

local deepest = 100

-- Appends a value to the pieces; false for one that is not plain.
local function pack(pieces, value, depth)
   local kind = type(value)
   if kind == "number" then
      pieces[#pieces + 1] = value ~= value and "n0/0;" or ("n%.17g;"):format(value)
   elseif kind == "string" then
      pieces[#pieces + 1] = ("s%d:"):format(#value)
      pieces[#pieces + 1] = value
   elseif kind == "boolean" then
      pieces[#pieces + 1] = value and "t" or "f"
   elseif kind == "table" and depth < deepest then
      pieces[#pieces + 1] = "{"
      for k, v in next, value do
         local before = #pieces
         if not (pack(pieces, k, depth + 1) and pack(pieces, v, depth + 1)) then
            for i = #pieces, before + 1, -1 do pieces[i] = nil end
            M.left_out = M.left_out or tostring(k)
         end
      end
      pieces[#pieces + 1] = "}"
   else
      return false
   end
   return true
end

local numbers = { ["inf"] = math.huge, ["-inf"] = -math.huge, ["0/0"] = 0 / 0 }

-- The value at a place of the text, and the place behind it.
local function unpack_at(text, at, depth)
   local kind = text:sub(at, at)
   if kind == "n" then
      local digits, behind = text:match("^([^;]*);()", at + 1)
      local value = digits and (numbers[digits] or tonumber(digits))
      if not value then error "a number was expected" end
      return value, behind
   elseif kind == "s" then
      local length, first = text:match("^(%d+):()", at + 1)
      if not length then error "a string was expected" end
      return text:sub(first, first + length - 1), first + length
   elseif kind == "t" or kind == "f" then
      return kind == "t", at + 1
   elseif kind == "{" and depth < deepest then
      local t = {}
      at = at + 1
      while text:sub(at, at) ~= "}" do
         local k, v
         k, at = unpack_at(text, at, depth + 1)
         v, at = unpack_at(text, at, depth + 1)
         t[k] = v
      end
      return t, at + 1
   end
   error "the text is not whole"
end

local function read(text)
   if text == "" then return { keep = {}, counters = {} } end
   return (unpack_at(text, 1, 0))
end

--- All there is to hand over, as text; and a name in tf.keep that is left out, or nil.
function M.save()
   local pieces, counters = {}, {}
   for _, name in ipairs(state.counters) do counters[name] = state.counters[name].value end
   M.left_out = nil
   pack(pieces, { keep = state.keep, counters = counters, flows = state.save_flows() }, -2)
   return table.concat(pieces), M.left_out
end

-- What the script found in tf.keep when it was loaded.
local base = {}

--- Before the script's top level: it finds what its predecessor has at that time.
function M.begin(text)
   base = read(text).keep
   for k, v in next, read(text).keep do state.keep[k] = v end
end

-- What the predecessor has changed since goes into the script's own table; what the script set itself stays.
local function merge(mine, before, now)
   for k, v in next, now do
      local was = before[k]
      if type(v) == "table" and type(mine[k]) == "table" then
         merge(mine[k], type(was) == "table" and was or {}, v)
      elseif type(v) == "table" or v ~= was then
         mine[k] = v
      end
   end
   for k in next, before do
      if now[k] == nil then mine[k] = nil end
   end
end

--- When the predecessor has ended.
function M.take(text)
   local last = read(text)
   merge(state.keep, base, last.keep)
   for name, value in next, last.counters do
      if #state.counters < 1000 or state.counters[name] then state.counter(name):add(value) end
   end
   if last.flows then state.take_flows(last.flows) end
   base = {}
end

return M
