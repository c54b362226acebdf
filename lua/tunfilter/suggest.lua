--- Messages for names that do not exist, with the nearest one that does.

local max_length = 40

-- Edit distance with neighbours exchanged as one edit, at most max_length characters of each.
local function distance(a, b)
   local rows = {}
   for i = 0, #a do
      rows[i] = { [0] = i }
      for j = 1, #b do
         if i == 0 then
            rows[0][j] = j
         else
            local cost = a:byte(i) == b:byte(j) and 0 or 1
            local d = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
            if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
               d = math.min(d, rows[i - 2][j - 2] + 1)
            end
            rows[i][j] = d
         end
      end
   end
   return rows[#a][#b]
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
