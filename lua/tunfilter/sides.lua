--- The two devices as a script sees them: tf.left and tf.right.
--- Indexed by TF_LEFT (0) and TF_RIGHT (1).
local M = {}

local ffi = require "ffi"
local suggest = require "tunfilter.suggest"

local mtu_now = {} -- by index: where an MTU that is followed stands

local function side(index, word)
   local values = { name = word, kind = "tun", mtu = 1500 }
   local proxy = setmetatable({}, {
      __index = function(_, key)
         if key == "mtu" and mtu_now[index] then
            return mtu_now[index][0]
         end
         local value = values[key]
         if value == nil then
            error(suggest("a side", key, values), 2)
         end
         return value
      end,
      __newindex = function()
         error("tf." .. word .. " cannot be changed", 2)
      end,
      __tostring = function() return word end,
      __concat = function(a, b) return tostring(a) .. tostring(b) end,
      __metatable = "side",
   })
   return proxy, values
end

local left, left_values = side(0, "left")
local right, right_values = side(1, "right")
local values = { [0] = left_values, [1] = right_values }

M[0], M[1] = left, right

--- The index (0 or 1) of tf.left or tf.right; nil for anything else.
function M.index(x)
   if rawequal(x, left) then return 0 end
   if rawequal(x, right) then return 1 end
end

--- Says what a device is, once it is open: its name, kind, and MTU in bytes.
function M.describe(index, name, kind, mtu)
   local v = values[index]
   v.name, v.kind, v.mtu = name, kind, mtu
end

--- From now on its MTU is what stands at a place in memory, a uint32_t.
function M.follow_mtu(index, place)
   mtu_now[index] = ffi.cast("const uint32_t *", place)
end

return M
