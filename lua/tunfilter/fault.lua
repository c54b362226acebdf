--- Errors that point at the line of the script, however deep in the library they are found.
local prefix = debug.getinfo(1, "S").source:match "^(.*)fault%.lua$"

--- Raises message at the innermost caller that is not the library's.
return function(message)
   local level = 2
   while true do
      local info = debug.getinfo(level, "S")
      if not info then return error(message, 0) end
      if info.what ~= "C" and info.source:sub(1, #prefix) ~= prefix then break end
      level = level + 1
   end
   error(message, level)
end
