--- The verdicts as scripts hold them: values that can only be compared and returned. What each does
--- is dispatch.lua's.
local function verdict(text)
   return setmetatable({}, {
      __tostring = function() return text end,
      __call = function() error(text .. " is to be returned, not called: return " .. text, 2) end,
      __newindex = function() error(text .. " cannot be changed", 2) end,
      __metatable = "verdict",
   })
end

return {
   forward = verdict "tf.forward",
   drop = verdict "tf.drop",
   reply = verdict "tf.reply",
   hold = verdict "pkt:hold()",
   reject = verdict "pkt:reject()",

   -- The packet that pkt:hold() or pkt:reject() was called for, by its number, until the callback has returned that; 0: none.
   said = { number = 0 },
}
