--- What `require` gives a script of a module: its members, and nothing to change. A name that is none is an
--- error that says which one is meant.
local fault = require "tunfilter.fault"
local suggest = require "tunfilter.suggest"

return function(name, members)
   return setmetatable({}, {
      __index = function(_, key)
         local value = members[key]
         if value == nil then fault(suggest(name, key, members)) end
         return value
      end,
      __newindex = function() fault(name .. " cannot be changed") end,
      __metatable = name,
   })
end
