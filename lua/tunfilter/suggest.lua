--- Messages for names that do not exist, with the nearest one that does.

local max_length = 40

-- Edit distance, at most max_length characters of each.
local function distance(a, b)
   local row = {}
   for j = 0, #b do row[j] = j end
   for i = 1, #a do
      local diagonal, byte = row[0], a:byte(i)
      row[0] = i
      for j = 1, #b do
         local cost = byte == b:byte(j) and 0 or 1
         diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
      end
   end
   return row[#b]
end

--- "a side has no member 'nmae': did you mean 'name'?". what is the object in words, names a
--- table whose keys are the names that exist.
return function(what, name, names)
   local text = type(name) == "string" and ("'%s'"):format(name:sub(1, max_length)) or tostring(name)
   local message = ("%s has no member %s"):format(what, text)
   if type(name) ~= "string" then return message end
   local best, best_distance
   for candidate in pairs(names) do
      if type(candidate) == "string" then
         local d = distance(name:sub(1, max_length), candidate:sub(1, max_length))
         if not best or d < best_distance or (d == best_distance and candidate < best) then
            best, best_distance = candidate, d
         end
      end
   end
   if best and best_distance <= math.max(1, math.floor(#name / 3)) then
      message = ("%s: did you mean '%s'?"):format(message, best)
   end
   return message
end
