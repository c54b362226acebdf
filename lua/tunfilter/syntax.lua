--- What to do about text that Lua cannot read, where the mistake is one of those that other languages teach.
local hints = {
   { "expected near '='", "'=' assigns; '==' compares" },
   { "near '!'", "Lua writes '~=' for not equal, and 'not' for not" },
   { "near '&'", "Lua writes 'and'" },
   { "near '|'", "Lua writes 'or'" },
   { "'=' expected near '[+-]'", "Lua has no '+=' and '++': n = n + 1" },
   { "near '%)'", "is an 'end' missing above it?" },
}

-- The verdict that a line names without doing anything with it.
local function lost_verdict(line)
   local name = line:gsub("%-%-.*", ""):match "^%s*tf%.(%l+)%s*;?%s*$"
   return (name == "drop" or name == "forward" or name == "reply") and "tf." .. name
end

--- A message of load() with what to do about it, where that is known. text: what was to be read.
return function(message, text)
   local number = tonumber(message:match ":(%d+): ")
   if number and message:find("'=' expected near", 1, true) then
      local at = 0 -- Lua notices at the first word behind it
      local lost, place
      for line in text:gmatch "([^\n]*)\n?" do
         at = at + 1
         if at > number then break end
         if lost_verdict(line) then lost, place = lost_verdict(line), at end
      end
      if lost then return ("%s\n\tin line %d a verdict stands alone: return %s"):format(message, place, lost) end
   end
   for _, hint in ipairs(hints) do
      if message:find(hint[1]) then return message .. "\n\t" .. hint[2] end
   end
   return message
end
