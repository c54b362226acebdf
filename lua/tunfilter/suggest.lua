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

-- What others call it.
local known_as = {
   accept = "forward", allow = "forward", pass = "forward", block = "drop", deny = "drop",
   data = "payload", body = "payload", source = "src", destination = "dst", hlim = "ttl", hop_limit = "ttl", port = "dport",
   ipv4 = "ip4", ipv6 = "ip6", icmpv6 = "icmp6", ether = "eth", ethernet = "eth", size = "len",
}

-- A name as it is compared: "dst_port", "dstPort" and "set_dst_port" are alike.
local function plain(name)
   return (name:sub(1, max_length):gsub("^[sg]et_", ""):gsub("[_-]", ""):lower())
end

local function nearest(name, names)
   if names[known_as[name:lower()]] ~= nil then return known_as[name:lower()] end
   local own, best, best_distance = plain(name), nil, nil
   for candidate in pairs(names) do
      if type(candidate) == "string" then
         local theirs = plain(candidate)
         local d = distance(own, theirs)
         -- "length" is as good as "len"
         if #theirs >= 3 and own:sub(1, #theirs) == theirs then d = math.min(d, 1) end
         if not best or d < best_distance or (d == best_distance and candidate < best) then
            best, best_distance = candidate, d
         end
      end
   end
   return best and best_distance <= math.max(1, math.floor(#own / 3)) and best
end

local max_listed = 20

--- "a side has no member 'nmae': did you mean 'name'?". what is the object in words, names a
--- table whose keys are the names that exist; where none is near and they are few, all of them are said.
return function(what, name, names)
   local text = type(name) == "string" and ("'%s'"):format(name:sub(1, max_length)) or tostring(name)
   local message = ("%s has no member %s"):format(what, text)
   if type(name) ~= "string" then return message end
   local guess = nearest(name, names)
   if guess then return ("%s: did you mean '%s'?"):format(message, guess) end
   if string[name] and what:find("address", 1, true) then return message .. ": tostring() makes a string of it" end
   local list = {}
   for candidate in pairs(names) do
      if type(candidate) == "string" then list[#list + 1] = candidate end
   end
   table.sort(list)
   return #list > 0 and #list <= max_listed and ("%s; it has %s"):format(message, table.concat(list, ", ")) or message
end
