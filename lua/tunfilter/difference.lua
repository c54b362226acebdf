--- Two packets side by side, for a person: their fields, and their bytes.
local suggest = require "tunfilter.suggest"
local fault = require "tunfilter.fault"
local view = require "tunfilter.view"

local M = {}

local headers = { "eth", "arp", "ip", "ip4", "ip6", "tcp", "udp", "icmp", "icmp6" }

-- Members that can be expected besides headers.
local plain = { "len", "payload", "malformed" }

local members = {}
for _, name in ipairs(headers) do members[name] = true end
for _, name in ipairs(plain) do members[name] = true end

local function sorted(t)
   local keys = {}
   for key in pairs(t) do keys[#keys + 1] = key end
   table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
   return keys
end

local longest = 48

--- A value in words, on one line.
local function shown(value)
   if value == nil then return "none" end
   if type(value) == "string" then
      local text = ("%q"):format(value:sub(1, longest)):gsub("\\\n", "\\n")
         :gsub("[^\32-\126]", function(c) return ("\\x%02x"):format(c:byte()) end)
      return #value > longest and ("%s… (%d bytes)"):format(text, #value) or text
   end
   if type(value) == "function" then return "(a function says so)" end
   if type(value) == "table" then
      local parts = {}
      for _, key in ipairs(sorted(value)) do
         parts[#parts + 1] = type(key) == "number" and shown(value[key]) or ("%s = %s"):format(key, shown(value[key]))
      end
      return "{ " .. table.concat(parts, ", ") .. " }"
   end
   return tostring(value)
end
M.shown = shown

-- Rows { name, expected, got, wrong } as lines, the wrong ones marked.
local function table_of(rows)
   local name_width, width, lines = 5, 8, {}
   for _, row in ipairs(rows) do
      name_width, width = math.max(name_width, #row[1]), math.max(width, math.min(#row[2], 40))
   end
   local layout = ("  %%s %%-%ds  %%-%ds  %%s"):format(name_width, width)
   lines[1] = layout:format(" ", "field", "expected", "got")
   for _, row in ipairs(rows) do lines[#lines + 1] = layout:format(row[4] and "*" or " ", row[1], row[2], row[3]) end
   return table.concat(lines, "\n")
end

-- The names of all fields of a packet in order, and name -> value in words.
local function all_fields(pkt)
   local names, values = {}, {}
   local function add(name, value)
      names[#names + 1], values[name] = name, shown(value)
   end
   add("len", pkt.len)
   if pkt.malformed then add("malformed", pkt.malformed) end
   for _, name in ipairs(headers) do
      local header = name ~= "ip" and pkt[name] -- ip4 and ip6 have its fields
      if header then
         for _, key in ipairs(sorted(view.declared[name])) do add(name .. "." .. key, header[key]) end
      end
   end
   add("payload", pkt.payload)
   return names, values
end

--- All fields of both packets.
function M.fields(expected, got)
   local rows = {}
   local names, ours = all_fields(expected)
   local their_names, theirs = all_fields(got)
   for _, name in ipairs(their_names) do
      if not ours[name] then names[#names + 1] = name end
   end
   for i, name in ipairs(names) do
      rows[i] = { name, ours[name] or "none", theirs[name] or "none", ours[name] ~= theirs[name] }
   end
   return table_of(rows)
end

-- Row `at` of the dump: "0010  45 00 …  E..".
local function dump_row(bytes, at)
   local row = bytes:sub(at + 1, at + 16)
   local hex = row:gsub(".", function(c) return ("%02x "):format(c:byte()) end)
   return ("%04x  %-48s %s"):format(at, hex, (row:gsub("[^\32-\126]", ".")))
end

local most_rows = 64

--- A packet's bytes, 16 a line.
function M.dump(bytes)
   local lines = {}
   for at = 0, #bytes - 1, 16 do
      if #lines == most_rows then
         lines[#lines + 1] = ("      … %d bytes in all"):format(#bytes)
         break
      end
      lines[#lines + 1] = "      " .. dump_row(bytes, at)
   end
   return table.concat(lines, "\n")
end

-- Carets under the bytes of row `at` that differ; "" if none does.
local function marks(expected, got, at)
   local parts, differ = {}, false
   for i = at + 1, math.min(at + 16, math.max(#expected, #got)) do
      local wrong = expected:byte(i) ~= got:byte(i)
      parts[#parts + 1] = wrong and "^^ " or "   "
      differ = differ or wrong
   end
   return differ and table.concat(parts):gsub(" +$", "") or ""
end

--- Both packets' bytes, those that differ marked; rows without a difference are left out where they are many.
function M.bytes(expected, got)
   local lines, same = {}, {}
   local function put_same()
      for i, at in ipairs(same) do
         if #same <= 3 or i == 1 or i == #same then
            lines[#lines + 1] = "            " .. dump_row(got, at)
         elseif i == 2 then
            lines[#lines + 1] = "            …"
         end
      end
      same = {}
   end
   for at = 0, math.max(#expected, #got) - 1, 16 do
      local under = marks(expected, got, at)
      if under == "" then
         same[#same + 1] = at
      elseif #lines > most_rows then
         lines[#lines + 1] = "            …"
         return table.concat(lines, "\n")
      else
         put_same()
         lines[#lines + 1] = "  expected  " .. dump_row(expected, at)
         lines[#lines + 1] = "  got       " .. dump_row(got, at)
         lines[#lines + 1] = "                  " .. under
      end
   end
   put_same()
   return table.concat(lines, "\n")
end

-- Adds a row for what a field should be (a value, a function of it, a table of parts) and is.
local function compare(name, want, have, rows)
   local kind = type(have) -- a header or its flags or options have parts
   if type(want) == "table" and kind ~= "nil" and kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      for _, key in ipairs(sorted(want)) do compare(name .. "." .. tostring(key), want[key], have[key], rows) end
      return
   end
   local right
   if type(want) == "function" then
      right = want(have)
   else
      right = have == want or want == false and have == nil
   end
   rows[#rows + 1] = { name, shown(want), shown(have), not right }
end

--- Checks that a table of expected fields names none that does not exist.
function M.check_names(fields)
   for name, want in pairs(fields) do
      if not members[name] then fault(suggest("an expected packet", name, members)) end
      local declared = view.declared[name]
      if declared and type(want) == "table" then
         for key in pairs(want) do
            if not declared[key] then
               local also = name == "ip" and (view.declared.ip4[key] and "ip4" or view.declared.ip6[key] and "ip6")
               fault(also and ("ip has no member '%s': it is %s's"):format(key, also) or suggest(name, key, declared))
            end
         end
      elseif declared and type(want) ~= "boolean" then
         fault(("%s: expected a table of fields, true or false, got %s"):format(name, type(want)))
      end
   end
end

--- nil if the packet has these fields: { ip = { ttl = 63 }, tcp = false, payload = "x" }; else all of
--- them, those marked that differ.
function M.of_fields(fields, pkt)
   local rows = {}
   local function one(name)
      local want, have = fields[name], pkt[name]
      if want == nil then return end
      if not view.declared[name] then return compare(name, want, have, rows) end
      if type(want) == "table" and have then
         return compare(name, want, have, rows)
      end
      rows[#rows + 1] = { name, want and "a header" or "none", have and "a header" or "none",
                          (want and true) ~= (have and true or false) }
   end
   for _, name in ipairs(headers) do one(name) end
   for _, name in ipairs(plain) do one(name) end
   for _, row in ipairs(rows) do
      if row[4] then return table_of(rows) end
   end
end

return M
