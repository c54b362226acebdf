-- tunfilter.dns against what scapy makes and what scapy and tshark read, and against bytes of all kinds.
local address = require "tunfilter.address"
local dns = require "tunfilter.dns"
local tf = require("tunfilter.init").module

local vectors = python "dns_vectors.py 1000"

local function shown(x)
   if type(x) ~= "table" then return type(x) == "string" and ("%q"):format(x) or tostring(x) end
   local parts = {}
   for k, v in pairs(x) do parts[#parts + 1] = tostring(k) .. "=" .. shown(v) end
   table.sort(parts)
   return "{" .. table.concat(parts, ",") .. "}"
end

-- Everything that was expected is there, and lists have nothing else.
local function same(got, expected, where)
   if type(expected) ~= "table" then return equal(got, expected, where) end
   equal(#got, #expected, where)
   for key, value in pairs(expected) do same(got[key], value, where .. "." .. key) end
end

test("messages that scapy made, with compression and without, are what went into them", function()
   for i, v in ipairs(vectors) do
      for form = 2, 3 do
         local message = dns.parse(v[form])
         same(message, v[1], ("message %d, %s"):format(i, form == 2 and "plain" or "compressed"))
         equal(message.whole, true)
      end
   end
end)

local numbers = { A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33 }
local codes = { NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5 }
local all_sections = { "answers", "authorities", "additionals" }

-- What scapy is to say of a message; a name with escapes as its bytes.
local function in_scapys_words(message)
   local out = { ("%d %d %d"):format(message.id, codes[message.rcode] or message.rcode, message.opcode) }
   for _, q in ipairs(message.questions) do out[#out + 1] = q.name .. " " .. (numbers[q.type] or q.type) end
   for _, section in ipairs(all_sections) do
      for _, record in ipairs(message[section]) do
         local data = record.data
         if record.type == "TXT" or not numbers[record.type] then data = hex(data) end
         out[#out + 1] = ("%s %d %d %s"):format(record.name, numbers[record.type] or record.type, record.ttl, data)
      end
   end
   return table.concat(out, "|")
end

-- And tshark, whose lines are fields with tabs between them.
local function in_tsharks_words(message)
   local fields = { "", ("0x%04x"):format(message.id) }
   local lists = {}
   for i = 3, 14 do lists[i] = {} end
   local function add(i, value) table.insert(lists[i], value == "." and "<Root>" or value) end
   local column = { A = 7, AAAA = 8, MX = 9, SRV = 10, NS = 11, CNAME = 12, PTR = 13, SOA = 14 }
   for _, q in ipairs(message.questions) do add(3, q.name) end
   for _, section in ipairs(all_sections) do
      for _, record in ipairs(message[section]) do
         if record.type ~= "SRV" then add(4, record.name) end -- of these it shows the domain
         add(5, tostring(numbers[record.type] or record.type))
         add(6, tostring(record.ttl))
         if column[record.type] then
            local data = record.data
            if record.type == "MX" or record.type == "SRV" then data = data:match "%S+$" end
            if record.type == "SOA" then data = data:match "^%S+" end
            add(column[record.type], data)
         end
      end
   end
   for i = 3, 14 do fields[i] = table.concat(lists[i], ",") end
   return table.concat(fields, "\t")
end

test("scapy and tshark read in built messages what went into them", function()
   local name = os.tmpname()
   local file = assert(io.open(name, "w"))
   local saved = 0
   for i, v in ipairs(vectors) do
      local bytes = dns.build(v[1])
      same(dns.parse(bytes), v[1], "message " .. i)
      saved = saved + #v[2] - #bytes
      assert(#bytes <= #v[2], "compression made message " .. i .. " longer")
      file:write(hex(bytes), "\n")
   end
   file:close()
   local ok, read = pcall(python, "dns_vectors.py " .. name)
   os.remove(name)
   assert(ok, read)
   assert(saved > 10000, "nothing was compressed")
   equal(#read.scapy, #vectors)
   for i, v in ipairs(vectors) do equal(read.scapy[i], in_scapys_words(v[1])) end
   if #read.tshark == 0 then return print "# no tshark" end
   equal(#read.tshark, #vectors)
   for i, v in ipairs(vectors) do equal(read.tshark[i]:lower(), in_tsharks_words(v[1]):lower(), shown(v[1])) end
end)

test("what is left out is a default, and the root is a dot", function()
   local bytes = dns.build { questions = { { name = "Example.ORG." } }, answers = { { name = ".", type = "MX", data = "0 ." } } }
   local message = dns.parse(bytes)
   same(message, { id = 0, qr = false, opcode = 0, rcode = "NOERROR", tc = false, whole = true,
                   questions = { { name = "example.org", type = "A", class = 1 } },
                   answers = { { name = ".", type = "MX", class = 1, ttl = 60, data = "0 ." } },
                   authorities = {}, additionals = {} }, "message")
   equal(dns.build {}, ("\0"):rep(12))
   same(dns.parse(dns.build { answers = { { name = "a", type = "A", class = 255, data = "" } } }).answers,
      { { name = "a", type = "A", class = 255, data = "" } }, "no data")
end)

test("names with bytes of all kinds come back", function()
   local header = dns.build { questions = { {name = "x" } } }:sub(1, 12)
   local bytes = "\5a.\\\0\255\4\27[1m\0\0\1\0\1"
   local name = dns.parse(header .. bytes).questions[1].name
   equal(name, "a\\046\\092\\000\\255.\\027[1m")
   equal(dns.build { questions = { { name = name } } }, header .. bytes)
   local longest = ("a."):rep(126) .. "b"
   equal(dns.parse(dns.build { questions = { { name = longest } } }).questions[1].name, longest)
end)

test("only a name that comes early enough, and only in data that may have pointers, is pointed to", function()
   local records = {}
   for i = 1, 2200 do records[i] = { name = ("name-%d.test"):format(i % 1200), data = "192.0.2.1" } end
   local bytes = dns.build { answers = records }
   assert(#bytes > 40000)
   same(dns.parse(bytes).answers, records, "records")
   local function size(type, data) return #dns.build { answers = { { name = "long.example", type = type, data = data } } } end
   equal(size("CNAME", "long.example"), size(65300, "12"))
   equal(size("MX", "1 long.example"), size(65300, "1234"))
   for _, type in ipairs { "SRV", "DNAME" } do -- RFC 2782, RFC 6672, 2.5
      local numbers_before = type == "SRV" and "1 2 3 " or ""
      equal(size(type, numbers_before .. "long.example"), size(type, numbers_before .. "else.example"))
   end
end)

test("what does not fit is an error at the script's line", function()
   local function wrong(text, message)
      throws(text, function()
         local _ = dns.build(message)
      end)
   end
   local function record(type, data) return { answers = { { name = "x", type = type, data = data } } } end
   wrong("questions[1].name: a label has 1 to 63 bytes, not 64", { questions = { { name = ("a"):rep(64) } } })
   wrong("a label has 1 to 63 bytes, not 0", { questions = { { name = "a..b" } } })
   wrong("a name has at most 255 bytes", { questions = { { name = ("a."):rep(127) .. "b" } } })
   wrong("questions[1].name: expected a string, got nil", { questions = { {} } })
   wrong("did you mean 'AAAA'?", record("AAA", "::1"))
   wrong("answers[1].data: \"10.0.0.256\" is not an IP address", record("A", "10.0.0.256"))
   wrong("is not an IPv6 address", record("AAAA", "10.0.0.1"))
   wrong("PREFERENCE NAME", record("MX", "mail.example"))
   wrong("answers[1].data: expected a number, got string", record("MX", "x mail.example"))
   wrong("answers[1].data: 65536 is not in 0..65535", record("MX", "65536 mail.example"))
   wrong("at most 65535 bytes", record(99, ("x"):rep(65536)))
   wrong("more than 65535 bytes", { answers = { { name = "x", type = 99, data = ("x"):rep(40000) },
                                                { name = "x", type = 99, data = ("x"):rep(40000) } } })
   wrong("did you mean 'NXDOMAIN'?", { rcode = "NXDOMIAN" })
   wrong("id: 65536", { id = 65536 })
   wrong("dns.build: expected a table", "x")
   throws("dns.parse: expected a packet or a string", function() local _ = dns.parse(7) end)
   throws("did you mean 'parse'?", function() local _ = dns.prase end)
   throws("cannot be changed", function() dns.parse = print end)
end)

local query = dns.build { id = 7, rd = true, questions = { { name = "example.org" } } }
local mixed = query:gsub("example", "eXaMpLe")

local function question(payload, t)
   t = t or { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = { sport = 1234, dport = 53 } }
   t.payload = payload
   return tf.packet(t)
end

test("a packet with a question becomes the answer to it", function()
   local pkt = show(question(mixed):bytes())
   equal(dns.answer(pkt, { { data = "192.0.2.1" }, { type = "TXT", data = "hello", ttl = 5, name = "other.test" } }), tf.reply)
   equal(pkt.ip.src == "10.0.0.2" and pkt.ip.dst == "10.0.0.1" and pkt.ip.ttl == 64, true)
   equal(pkt.udp.sport == 53 and pkt.udp.dport == 1234, true)
   assert(pkt.payload:find("eXaMpLe", 1, true), "the name comes back as it was asked")
   same(dns.parse(pkt), { id = 7, qr = true, rd = true, ra = true, rcode = "NOERROR", whole = true,
                          questions = { { name = "example.org", type = "A", class = 1 } },
                          answers = { { name = "example.org", type = "A", class = 1, ttl = 60, data = "192.0.2.1" },
                                      { name = "other.test", type = "TXT", class = 1, ttl = 5, data = "hello" } } }, "answer")
   local no = question(query)
   equal(dns.answer(no, nil, "NXDOMAIN"), tf.reply)
   equal(dns.parse(no).rcode, "NXDOMAIN")
   local six = question(query, { ip = { src = "fd00::1", dst = "fd00::2" }, udp = { sport = 1, dport = 53 } })
   equal(dns.answer(six), tf.reply)
   equal(six.ip.dst == "fd00::1", true)
   throws("is not an IP address", function() dns.answer(question(query), { { data = "x" } }) end)
   throws("dns.answer: records: expected a list", function() dns.answer(question(query), "x") end)
end)

test("what asks nothing stays as it is", function()
   local two = dns.build { questions = { { name = "a" }, { name = "b" } } }
   local answer = dns.build { qr = true, questions = { { name = "a" } } }
   local fragment = question(query)
   fragment.ip4.mf = true
   local over_tcp = { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, tcp = { dport = 53 } }
   for _, pkt in ipairs { question(two), question(answer), question "", question(query:sub(1, -2)), fragment,
                          question("\0\29" .. query, over_tcp), tf.packet { icmp = { type = 8 }, payload = query } } do
      local before = pkt:bytes()
      equal(dns.answer(pkt, { { data = "192.0.2.1" } }), nil)
      equal(pkt:bytes(), before)
   end
end)

test("over TCP, the first message of a segment", function()
   local function over_tcp(payload)
      return dns.parse(tf.packet { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, tcp = { dport = 53 }, payload = payload })
   end
   local length = string.char(0, #query)
   for _, rest in ipairs { "", "more", length .. query } do
      local message = over_tcp(length .. query .. rest)
      equal(message.questions[1].name, "example.org")
      equal(message.whole, true)
   end
   local long = dns.build { answers = { { name = "a", data = "192.0.2.1" }, { name = "b", type = "TXT", data = ("x"):rep(900) } } }
   local front = over_tcp(string.char(math.floor(#long / 256), #long % 256) .. long:sub(1, 500))
   equal(#front.answers, 1)
   equal(front.whole, false)
   for _, nothing in ipairs { "", "\0", length, length .. query:sub(1, 11), "\0\11" .. query } do equal(over_tcp(nothing), nil) end
end)

-- Hostile bytes -----------------------------------------------------------------------------------

test("pointers that lead on or round, and labels of no kind, end the reading", function()
   local header = query:sub(1, 12)
   for _, name in ipairs { "\192\12", "\192\13", "\1a\192\12", "\192\14\192\12", "\192\255", "\255\255", "\192", "\64a", "\128a",
                           "\1", "\63abc", ("\1a"):rep(128) .. "\0" } do
      equal(dns.parse(header .. name .. "\0\1\0\1"), nil, hex(name))
   end
   equal(dns.parse(header .. "\192\18\0\1\0\1\1a\0"), nil, "a name that comes later")
   -- data that are no such data
   local owner = "\0\0\0\0\0\0\0\1\0\0\0\0\1a\0"
   for type, data in pairs { [1] = "12345", [28] = "1234", [2] = "\1b\0x", [5] = "\1b", [15] = "1\0", [33] = "123456", [16] = "\5abc",
                             [6] = "\0\0" .. ("\0"):rep(19) } do
      local record = owner .. "\0" .. string.char(type) .. "\0\1\0\0\0\0\0" .. string.char(#data) .. data
      local message = dns.parse(record)
      equal(#message.answers, 0, "type " .. type)
      equal(message.whole, false)
   end
   -- 300 pointers in a row, each to the one before: no name is that deep.
   local row = { header, "\1a\0\0\1\0\1" }
   local chain = { "\192\12" }
   for i = 1, 300 do
      local at = 12 + 7 + 2 * (i - 1)
      chain[#chain + 1] = string.char(192 + math.floor(at / 256), at % 256)
   end
   row[1] = "\0\0\0\0\0\1\0\1\0\0\0\0"
   local bytes = table.concat(row) .. table.concat(chain)
   equal(dns.parse(bytes).whole, false)
end)

test("a message cut at any byte is read as far as it goes", function()
   for i = 1, 20 do
      local v = vectors[i]
      for form = 2, 3 do
         for length = 0, #v[form] - 1 do
            local message = dns.parse(v[form]:sub(1, length))
            if message then
               equal(message.whole, false)
               for _, section in ipairs(all_sections) do
                  for j, record in ipairs(message[section]) do same(record, v[1][section][j], "record") end
               end
            end
         end
      end
   end
end)

-- What came out of any bytes can be built and comes out again.
local function survives(bytes)
   local message = dns.parse(bytes)
   if not message then return 0 end
   for _, section in ipairs(all_sections) do
      for _, record in ipairs(message[section]) do
         assert(type(record.name) == "string" and type(record.data) == "string" and not record.name:find "[%c\128-\255]")
      end
   end
   local ok, built = pcall(dns.build, message)
   if not ok then
      assert(built:find "more than 65535 bytes", built)
      return 1
   end
   local again = dns.parse(built)
   message.whole, again.whole = nil, nil
   equal(shown(again), shown(message))
   return 1
end

test("25,000 mutations are read without an error, and what was read can be written", function()
   math.randomseed(11)
   local read = 0
   for i = 1, 25000 do
      local bytes = vectors[i % 500 + 1][i % 2 + 2]
      for _ = 1, math.random(4) do
         local at = math.random(#bytes)
         local byte = string.char(math.random(4) == 1 and 192 or math.random(0, 255))
         bytes = bytes:sub(1, at - 1) .. byte .. bytes:sub(at + 1)
      end
      if i % 20 == 0 then
         read = read + survives(bytes)
      else
         dns.parse(bytes)
      end
   end
   assert(read > 250, read)
end)

test("messages of 64 KiB that are made to be slow", function()
   local function counts(n) return "\0\0\0\0\0\0" .. string.char(math.floor(n / 256), n % 256) .. "\0\0\0\0" end
   local zeros = ("\0"):rep(10)
   local forms = {
      -- the same longest name by a pointer, in every record and its data
      ("\0\0\0\0\0\1") .. "\16\0" .. "\0\0\0\0" .. ("\1a"):rep(126) .. "\0\0\1\0\1" .. ("\192\12\0\2\0\1\0\0\0\0\0\2\192\12"):rep(4096),
      -- a root with no data, as often as there is room
      counts(5957) .. ("\0" .. zeros):rep(5957),
      -- texts without bytes
      counts(1) .. "\0\0\16\0\1\0\0\0\0\255\0" .. ("\0"):rep(65280),
      counts(65535) .. ("\192"):rep(65523), counts(65535) .. ("\1"):rep(65523), counts(65535) .. ("\0"):rep(65523),
   }
   -- pointers into names of 126 labels, each to another place
   local names = (("\1\200"):rep(126) .. "\0"):rep(63)
   local parts = { counts(4000), "\0\0\99\0\1\0\0\0\0", string.char(math.floor(#names / 256), #names % 256), names }
   for i = 1, 3000 do
      local at = 23 + 253 * math.floor(i / 126) + 2 * (i % 126)
      local pointer = string.char(192 + math.floor(at / 256), at % 256)
      parts[#parts + 1] = pointer .. "\0\2\0\1\0\0\0\0\0\2" .. pointer
   end
   forms[#forms + 1] = table.concat(parts)
   for i, bytes in ipairs(forms) do
      collectgarbage()
      local before, began = collectgarbage "count", os.clock()
      collectgarbage "stop"
      local message = dns.parse(bytes:sub(1, 65535))
      print(("# form %d: %d bytes, %d answers, %.1f ms, %d KiB"):format(i, #bytes, message and #message.answers or 0,
         (os.clock() - began) * 1000, collectgarbage "count" - before))
      assert(collectgarbage "count" - before < 20000, "memory")
      collectgarbage "restart"
   end
end)

test("addresses in words and as values", function()
   for _, data in ipairs { "192.0.2.1", address.ip "192.0.2.1" } do
      equal(dns.parse(dns.build { answers = { { name = "x", data = data } } }).answers[1].data, "192.0.2.1")
   end
end)
