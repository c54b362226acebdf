--- DNS messages (RFC 1035): what is asked, what is answered, and answers of one's own.
---
--- Time and memory are linear in a message's length, whatever its bytes: a name is read once for each position,
--- and a compression pointer only leads back.
local address = require "tunfilter.address"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local packet = require "tunfilter.packet"
local suggest = require "tunfilter.suggest"
local verdict = require "tunfilter.verdict"

local C = core.C
local M = {}

local byte, char, sub = string.byte, string.char, string.sub
local band, bor, lshift, rshift = bit.band, bit.bor, bit.lshift, bit.rshift

local max_message = 65535
local max_name = 255  -- bytes of a name as it is sent
local max_depth = 255 -- labels and pointers of a name: more than 127 labels have no room

-- RFC 1035, 1183 to 8659; of the others a script gives and gets the number.
local types = { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, NAPTR = 35,
                DNAME = 39, OPT = 41, DS = 43, RRSIG = 46, NSEC = 47, DNSKEY = 48, TLSA = 52, SVCB = 64, HTTPS = 65,
                AXFR = 252, ANY = 255, CAA = 257 }
local rcodes = { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 }

local function turned(t)
   local names = {}
   for name, number in pairs(t) do names[number] = name end
   return names
end

local type_names, rcode_names = turned(types), turned(rcodes)

-- Reading. Positions count from 1; nil or false where the message has not got what is looked for. -----------------

local function u16(s, at)
   local a, b = byte(s, at, at + 1)
   return b and a * 256 + b
end

local function u32(s, at)
   local low = u16(s, at + 2)
   return low and u16(s, at) * 65536 + low
end

-- A label as zone files write it: \DDD for a dot, a backslash, and what is not printable.
local function label_text(label)
   return (label:lower():gsub("[%z\1-\32.\\\127-\255]", function(c) return ("\\%03d"):format(byte(c)) end))
end

-- The name at a position: { text, size = its bytes without compression, after = where the next field begins }.
-- known has the answers by position, false while one is looked for: what leads back there has no end.
local function read_name(s, at, known, depth)
   local name = known[at]
   if name ~= nil or depth > max_depth then return name or false end
   known[at] = false
   local size = byte(s, at)
   if size == 0 then
      name = { text = "", size = 1, after = at + 1 }
   elseif size and size < 64 then
      local rest = read_name(s, at + size + 1, known, depth + 1)
      if rest and rest.size + size < max_name then
         local text = label_text(sub(s, at + 1, at + size))
         if rest.text ~= "" then text = text .. "." .. rest.text end
         name = { text = text, size = rest.size + size + 1, after = rest.after }
      end
   elseif size and size >= 192 then
      local target = u16(s, at)
      local rest = target and target - 49152 + 1 < at and read_name(s, target - 49152 + 1, known, depth + 1)
      if rest then name = { text = rest.text, size = rest.size, after = at + 2 } end
   end
   known[at] = name or false
   return name
end

local function text_of(name) return name.text == "" and "." or name.text end

-- The text of the name that is all there is between two positions.
local function name_between(s, at, last, known)
   local name = read_name(s, at, known, 0)
   return name and name.after == last + 1 and text_of(name)
end

-- The same behind `count` numbers of two bytes, with spaces between them.
local function read_numbers_and_name(count)
   return function(s, at, last, known)
      local parts = {}
      for i = 1, count do
         if at + 1 > last then return nil end
         parts[i], at = u16(s, at), at + 2
      end
      parts[count + 1] = name_between(s, at, last, known)
      return parts[count + 1] and table.concat(parts, " ")
   end
end

local function read_address(size)
   return function(s, at, last)
      return last - at + 1 == size and tostring(address.of_bytes(sub(s, at, last)))
   end
end

local function read_text(s, at, last)
   local parts = {}
   while at <= last do
      local size = byte(s, at)
      if at + size > last then return nil end
      parts[#parts + 1] = sub(s, at + 1, at + size)
      at = at + size + 1
   end
   return table.concat(parts)
end

local function read_soa(s, at, last, known)
   local first = read_name(s, at, known, 0)
   local second = first and read_name(s, first.after, known, 0)
   if not second or second.after + 19 ~= last then return nil end
   local parts = { text_of(first), text_of(second) }
   for i = 0, 4 do parts[i + 3] = ("%d"):format(u32(s, second.after + 4 * i)) end
   return table.concat(parts, " ")
end

-- Type -> function(message, first, last, known) that gives the data in words, or nil where it is not such data.
local readers = {
   [types.A] = read_address(4), [types.AAAA] = read_address(16),
   [types.NS] = name_between, [types.CNAME] = name_between, [types.PTR] = name_between, [types.DNAME] = name_between,
   [types.MX] = read_numbers_and_name(1), [types.SRV] = read_numbers_and_name(3),
   [types.SOA] = read_soa, [types.TXT] = read_text,
}

local function read_question(s, at, known)
   local name = read_name(s, at, known, 0)
   local class = name and u16(s, name.after + 2)
   if not class then return nil end
   local type = u16(s, name.after)
   return { name = text_of(name), type = type_names[type] or type, class = class }, name.after + 4
end

local function read_record(s, at, known)
   local name = read_name(s, at, known, 0)
   local length = name and u16(s, name.after + 8)
   if not length then return nil end
   local first = name.after + 10
   local last = first + length - 1
   if last > #s then return nil end
   local type = u16(s, name.after)
   local data = sub(s, first, last)
   if readers[type] and data ~= "" then data = readers[type](s, first, last, known) end
   if not data then return nil end
   return { name = text_of(name), type = type_names[type] or type, class = u16(s, name.after + 2),
            ttl = u32(s, name.after + 4), data = data }, last + 1
end

-- `count` entries from a position on, as far as they are sound; where the next begins, or nil.
local function read_section(s, at, count, read, known)
   local list = {}
   for i = 1, count do
      list[i], at = read(s, at, known)
      if not at then break end
   end
   return list, at
end

-- The bytes of a message, as far as they are there, and whether that is far enough.
local function bytes_of(what)
   if type(what) == "string" then return what, true end
   if not packet.is(what) then check.wrong("dns.parse", "a packet or a string", what) end
   local whole = packet.resolve(what).fragment == C.TF_WHOLE
   if what.udp then return what.payload, whole end
   if not what.tcp then return "", false end
   local payload = what.payload -- two bytes with the message's length are before it
   local length = u16(payload, 1) or 0
   return sub(payload, 3, length + 2), whole and #payload >= length + 2
end

--- The message in a packet's payload or a string; nil for what is none. See meta_protocols.lua.
function M.parse(what)
   local s, whole = bytes_of(what)
   if #s < 12 or #s > max_message then return nil end
   local flags = u16(s, 3)
   local rcode = band(flags, 15)
   local message = {
      id = u16(s, 1),
      qr = band(flags, 0x8000) ~= 0,
      opcode = band(rshift(flags, 11), 15),
      aa = band(flags, 0x0400) ~= 0,
      tc = band(flags, 0x0200) ~= 0,
      rd = band(flags, 0x0100) ~= 0,
      ra = band(flags, 0x0080) ~= 0,
      ad = band(flags, 0x0020) ~= 0,
      cd = band(flags, 0x0010) ~= 0,
      rcode = rcode_names[rcode] or rcode,
      answers = {}, authorities = {}, additionals = {},
   }
   local known, count, at = {}, u16(s, 5), nil
   message.questions, at = read_section(s, 13, count, read_question, known)
   if count > 0 and not message.questions[1] then return nil end
   for i, key in ipairs { "answers", "authorities", "additionals" } do
      if at then message[key], at = read_section(s, at, u16(s, 5 + 2 * i), read_record, known) end
   end
   message.whole = whole and at ~= nil
   return message
end

-- Writing ---------------------------------------------------------------------------------------------------------

-- A message under way, `out`: its parts in order, size = bytes so far, places = { text of a name = its offset }.

local function number16(value) return char(rshift(value, 8), band(value, 255)) end

local function number32(value) return number16(math.floor(value / 65536)) .. number16(value % 65536) end

local function write(out, bytes)
   out[#out + 1] = bytes
   out.size = out.size + #bytes
end

local function byte_of_digits(digits)
   return tonumber(digits) < 256 and char(tonumber(digits)) or nil
end

-- A name's labels as they are sent, and what of the text is left before each.
local function labels_of(name, label)
   local rest, size, labels = check.text(name, label):gsub("%.$", ""), 1, {}
   while rest ~= "" do
      local text, after = rest:match "^([^.]*)%.?(.*)$"
      local raw = text:gsub("\\(%d%d%d)", byte_of_digits)
      if #raw < 1 or #raw > 63 then fault(("%s: a label has 1 to 63 bytes, not %d"):format(label, #raw)) end
      size = size + #raw + 1
      if size > max_name then fault(label .. ": a name has at most 255 bytes") end
      labels[#labels + 1] = { rest = rest, bytes = char(#raw) .. raw }
      rest = after
   end
   return labels
end

-- A name; with a pointer for as much of its end as is there already, unless it has to be `plain`.
local function write_name(out, name, label, plain)
   for _, part in ipairs(labels_of(name, label)) do
      local place = out.places[part.rest]
      if place and not plain then return write(out, number16(0xc000 + place)) end
      if out.size < 0x4000 then out.places[part.rest] = out.size end
      write(out, part.bytes)
   end
   write(out, "\0")
end

-- The words of data, of which there have to be so many.
local function words_of(data, count, label, form)
   local words = {}
   for word in check.text(data, label):gmatch "%S+" do words[#words + 1] = word end
   if #words ~= count then fault(('%s: expected "%s", got %q'):format(label, form, data:sub(1, 80))) end
   return words
end

local function integer_of(word, max, label)
   return check.integer(tonumber(word) or word, max, label)
end

local function write_address(version)
   return function(out, data, label) write(out, address.to_bytes(data, version, label)) end
end

local function write_numbers_and_name(count, form, plain)
   return function(out, data, label)
      local words = words_of(data, count + 1, label, form)
      for i = 1, count do write(out, number16(integer_of(words[i], 65535, label))) end
      write_name(out, words[count + 1], label, plain)
   end
end

local function write_plain_name(out, data, label) write_name(out, data, label, true) end

local function write_soa(out, data, label)
   local words = words_of(data, 7, label, "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM")
   write_name(out, words[1], label)
   write_name(out, words[2], label)
   for i = 3, 7 do write(out, number32(integer_of(words[i], 4294967295, label))) end
end

local function write_text(out, data, label)
   check.text(data, label)
   for i = 1, #data, 255 do
      local part = sub(data, i, i + 254)
      write(out, char(#part) .. part)
   end
end

-- As the readers. Only the types of RFC 1035 may have a pointer in their data (RFC 3597, 4).
local writers = {
   [types.A] = write_address(4), [types.AAAA] = write_address(6),
   [types.NS] = write_name, [types.CNAME] = write_name, [types.PTR] = write_name, [types.DNAME] = write_plain_name,
   [types.MX] = write_numbers_and_name(1, "PREFERENCE NAME"),
   [types.SRV] = write_numbers_and_name(3, "PRIORITY WEIGHT PORT NAME", true),
   [types.SOA] = write_soa, [types.TXT] = write_text,
}

-- The number that a name or a number stands for.
local function number_of(value, names, max, label)
   if type(value) == "string" then
      if not names[value] then fault(suggest(label, value, names)) end
      return names[value]
   end
   return check.integer(value, max, label)
end

local function write_head(out, entry, label)
   if type(entry) ~= "table" then check.wrong(label, "a table", entry) end
   write_name(out, entry.name, label .. ".name")
   local type = number_of(entry.type == nil and "A" or entry.type, types, 65535, label .. ".type")
   local class = check.integer(entry.class == nil and 1 or entry.class, 65535, label .. ".class")
   write(out, number16(type) .. number16(class))
   return type
end

local function write_record(out, record, label)
   local type = write_head(out, record, label)
   write(out, number32(check.integer(record.ttl == nil and 60 or record.ttl, 4294967295, label .. ".ttl")))
   write(out, "\0\0")
   local length_at, start = #out, out.size
   label = label .. ".data"
   if record.data ~= "" then
      local writer = writers[type]
      if writer then writer(out, record.data, label) else write(out, check.text(record.data, label)) end
   end
   if out.size - start > 65535 then fault(label .. ": at most 65535 bytes") end
   out[length_at] = number16(out.size - start)
end

local function write_section(out, list, label, write_entry)
   if list == nil then return 0 end
   if type(list) ~= "table" then check.wrong(label, "a list", list) end
   for i, entry in ipairs(list) do
      write_entry(out, entry, ("%s[%d]"):format(label, i))
      if out.size > max_message then fault(("dns: the message has more than %d bytes"):format(max_message)) end
   end
   return #list
end

local function flag(value, bits) return value and bits or 0 end

--- The bytes of a message: a table as M.parse gives it; what is left out is 0, false or empty.
function M.build(message)
   if type(message) ~= "table" then check.wrong("dns.build", "a table", message) end
   local flags = bor(flag(message.qr, 0x8000), lshift(check.integer(message.opcode or 0, 15, "opcode"), 11),
      flag(message.aa, 0x0400), flag(message.tc, 0x0200), flag(message.rd, 0x0100), flag(message.ra, 0x0080),
      flag(message.ad, 0x0020), flag(message.cd, 0x0010), number_of(message.rcode or 0, rcodes, 15, "rcode"))
   local out = { size = 12, places = {}, "" }
   local counts = write_section(out, message.questions, "questions", write_head)
   counts = number16(counts)
   for _, key in ipairs { "answers", "authorities", "additionals" } do
      counts = counts .. number16(write_section(out, message[key], key, write_record))
   end
   out[1] = number16(check.integer(message.id or 0, 65535, "id")) .. number16(flags) .. counts
   return table.concat(out)
end

--- Makes a packet with a question, over UDP, its answer; gives the verdict that sends it back, nil for
--- what asks nothing.
function M.answer(pkt, records, rcode)
   if not packet.is(pkt) then check.wrong("dns.answer", "a packet", pkt) end
   if records ~= nil and type(records) ~= "table" then check.wrong("dns.answer: records", "a list", records) end
   local query = pkt.udp and M.parse(pkt)
   if not query or not query.whole or query.qr or #query.questions ~= 1 then return nil end
   local question = query.questions[1]
   local answers = {}
   for i, record in ipairs(records or {}) do
      if type(record) ~= "table" then check.wrong(("records[%d]"):format(i), "a table", record) end
      answers[i] = { name = record.name or question.name, type = record.type or question.type, class = record.class,
                     ttl = record.ttl, data = record.data }
   end
   local message = M.build { id = query.id, qr = true, opcode = query.opcode, rd = query.rd, ra = true,
                             rcode = rcode, questions = { question }, answers = answers }
   -- Who asks may have mixed capitals into the name, and wants them back.
   local size = #M.build { questions = { question } }
   local head, asked = sub(message, 1, size), sub(message, 1, 12) .. sub(pkt.payload, 13, size)
   if asked:lower() == head:lower() then head = asked end
   pkt.payload = head .. sub(message, size + 1)
   local ip, udp, eth = pkt.ip, pkt.udp, pkt.eth
   ip.src, ip.dst = ip.dst, ip.src
   ip.ttl = 64
   udp.sport, udp.dport = udp.dport, udp.sport
   if eth then eth.src, eth.dst = eth.dst, eth.src end
   return verdict.reply
end

return require "tunfilter.module"("tunfilter.dns", M)
