-- Every header field, read and written, against packets made by scapy.
local view = require "tunfilter.view"

local vectors = python "header_vectors.py"

local function view_of(pkt, name)
   local first, second = name:match "^(%w+)%.?(%w*)$"
   local v = pkt[first]
   return second ~= "" and v[second] or v
end

local tested = {}

for _, case in ipairs(vectors.cases) do
   test(case.name .. ": fields are what scapy wrote", function()
      local pkt = show(case.bytes, case.link)
      equal(pkt.malformed, nil)
      for _, row in ipairs(case.fields) do
         local name, field, value = unpack(row, 1, 3)
         equal(view_of(pkt, name)[field], value, name .. "." .. field)
      end
      equal(hex(pkt:bytes()), hex(case.bytes))
   end)

   test(case.name .. ": a changed field gives what scapy builds", function()
      for _, row in ipairs(case.fields) do
         local name, field, _, new, after = unpack(row, 1, 5)
         if after then
            for _, owned in ipairs { false, true } do
               local pkt = show(case.bytes, case.link)
               if owned then pkt = pkt:copy() end
               view_of(pkt, name)[field] = new
               equal(view_of(pkt, name)[field], new, name .. "." .. field)
               equal(hex(pkt:bytes()), hex(after), name .. "." .. field)
            end
            tested[name .. "." .. field] = true
         end
      end
   end)
end

-- A number that is written as it is, whatever it makes of the packet. Offset and width are those of the RFC.
local function write_number(case_name, name, field, value, offset, width)
   test(("%s.%s is written as it is"):format(name, field), function()
      for _, case in ipairs(vectors.cases) do
         if case.name == case_name then
            local pkt = show(case.bytes, case.link)
            pkt[name][field] = value
            equal(pkt["u" .. width](pkt, offset), value)
         end
      end
      tested[name .. "." .. field] = true
   end)
end

write_number("IPv4 UDP", "ip4", "checksum", 0xabcd, 10, 16)
write_number("IPv4 UDP", "ip4", "len", 48, 2, 16)
write_number("IPv4 UDP", "ip4", "proto", 99, 9, 8)
write_number("IPv6 UDP", "ip6", "next_header", 59, 6, 8)
write_number("IPv6 TCP", "tcp", "checksum", 0xabcd, 40 + 16, 16)
write_number("IPv6 UDP", "udp", "checksum", 0xabcd, 40 + 6, 16)
write_number("IPv4 UDP", "udp", "len", 8, 20 + 4, 16)
write_number("IPv4 ICMP", "icmp", "checksum", 0xabcd, 20 + 2, 16)
write_number("IPv6 ICMPv6", "icmp6", "checksum", 0xabcd, 40 + 2, 16)

local function first(name)
   for _, case in ipairs(vectors.cases) do
      if case.name == name then return show(case.bytes, case.link) end
   end
end

test("fields that change what the packet is", function()
   local pkt = first "Ethernet IPv4"
   pkt.eth.type = 0x88b5
   equal(pkt.eth.type, 0x88b5)
   equal(pkt.ip, nil)
   pkt = first "Ethernet QinQ"
   pkt.eth.type = 0x86dd
   equal(pkt:u16(20), 0x86dd)
   pkt = first "Ethernet VLAN IPv6"
   pkt.eth.type = 0x1234
   equal(pkt:u16(16), 0x1234)

   pkt = first "IPv4 UDP"
   pkt.ip4.offset = 1480
   equal(pkt:u16(6), 0x4000 + 185)
   equal(pkt.ip4.offset, 1480)
   equal(pkt.ip4.df, true)
   equal(pkt.udp, nil)
   pkt.ip4.offset = 0
   equal(pkt.udp.dport, 53)
   pkt.ip4.mf = true
   equal(pkt:u8(6), 0x60)
   pkt.ip4.mf = false
   equal(pkt:u8(6), 0x40)

   pkt = first "IPv6 UDP"
   pkt.ip.len = 60
   equal(pkt:u16(4), 20)
   pkt = first "IPv6 extension headers"
   equal(pkt.ip.proto, 17)
   pkt.ip.proto = 59
   equal(pkt.ip.proto, 59)
   equal(pkt:u8(6), 0)        -- still the hop-by-hop header
   equal(pkt:u8(48), 59)      -- in the second extension header
   equal(pkt.udp, nil)
   for _, name in ipairs { "eth.type", "ip4.offset", "ip4.mf", "ip.len", "ip.proto" } do
      tested[name] = true
   end
end)

local function same(a, b)
   if type(a) ~= "table" or type(b) ~= "table" then return a == b end
   for k, v in pairs(a) do
      if not same(v, b[k]) then return false end
   end
   for k in pairs(b) do
      if a[k] == nil then return false end
   end
   return true
end

local option_names = { "mss", "wscale", "sack_ok", "timestamp", "sack" }

local function table_of(options)
   local t = {}
   for _, name in ipairs(option_names) do t[name] = options[name] end
   return t
end

-- What scapy reads in these packets.
local function scapy_reads(packets)
   local path = os.tmpname()
   local file = assert(io.open(path, "w"))
   for _, bytes in ipairs(packets) do file:write(hex(bytes), "\n") end
   file:close()
   local ok, rows = pcall(python, "header_check.py " .. path)
   os.remove(path)
   assert(ok, rows)
   return rows
end

test("TCP options are read as scapy wrote them", function()
   for i, case in ipairs(vectors.options) do
      local pkt = show(case.bytes)
      assert(same(table_of(pkt.tcp.options), case.options), i)
   end
end)

test("TCP options replaced by a table, or another packet's, are what scapy reads", function()
   local packets, expected = {}, {}
   for _, from in ipairs(vectors.options) do
      for _, to in ipairs(vectors.options) do
         local pkt = show(from.bytes)
         pkt.tcp.options = to.options
         packets[#packets + 1], expected[#expected + 1] = pkt:bytes(), to.options
         assert(same(table_of(pkt.tcp.options), to.options))
         equal(pkt.payload, "some text of odd len.")

         local other = show(to.bytes):copy()
         for _, owned in ipairs { false, true } do
            pkt = show(from.bytes)
            if owned then pkt = pkt:copy() end
            pkt.tcp.options = other.tcp.options
            packets[#packets + 1], expected[#expected + 1] = pkt:bytes(), to.options
         end
      end
   end
   for i, row in ipairs(scapy_reads(packets)) do
      assert(same(row.options, expected[i]), hex(packets[i]))
      equal(row.good, true, hex(packets[i]))
      equal(row.payload, 21)
   end
   tested["tcp.options"] = true
end)

test("one TCP option changed keeps the others", function()
   local packets, expected = {}, {}
   for _, case in ipairs(vectors.options) do
      local changes = { mss = 1234, wscale = 5, sack_ok = true, timestamp = { val = 9, ecr = 8 }, sack = false }
      for name, value in pairs(changes) do
         local pkt = show(case.bytes)
         local options = table_of(pkt.tcp.options)
         if not options.sack or name == "mss" and #options.sack < 3 or options[name] then
            pkt.tcp.options[name] = value or nil
            options[name] = value or nil
            assert(same(table_of(pkt.tcp.options), options))
            packets[#packets + 1], expected[#expected + 1] = pkt:bytes(), options
         end
         tested["tcp.options." .. name] = true
      end
   end
   -- An option that has no name here stays.
   local case = vectors.options[2]
   local pkt = show(case.bytes)
   pkt.tcp.options = { mss = 1 }
   pkt:set_u32(40, 0x22041234)     -- TCP fast open, in place of the MSS
   pkt.tcp.options.mss = 1300
   packets[#packets + 1], expected[#expected + 1] = pkt:bytes(), { mss = 1300, other = "TFO" }
   for i, row in ipairs(scapy_reads(packets)) do
      assert(same(row.options, expected[i]), hex(packets[i]))
      equal(row.good, true, hex(packets[i]))
   end
end)

test("TCP options that cannot be", function()
   local pkt = show(vectors.options[1].bytes)
   throws("more than the 40 bytes", function()
      pkt.tcp.options = { timestamp = { val = 1, ecr = 2 }, sack = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 8 } } }
   end)
   throws("tcp.options has no member 'ms': did you mean 'mss'?", function() pkt.tcp.options = { ms = 1 } end)
   throws("tcp.options has no member 1", function() pkt.tcp.options = { 1 } end)
   throws("tcp.options: expected a table by name, got string", function() pkt.tcp.options = "mss" end)
   throws("tcp.options.mss: 65536 is not in 0..65535", function() pkt.tcp.options = { mss = 65536 } end)
   throws([[tcp.options.mss: expected a number, got the string "1": tonumber() makes a number of it]], function() pkt.tcp.options.mss = "1" end)
   throws("tcp.options.wscale: 256 is not in 0..255", function() pkt.tcp.options.wscale = 256 end)
   throws("tcp.options.sack_ok: expected true or false, got 1", function() pkt.tcp.options.sack_ok = 1 end)
   throws("tcp.options.timestamp: expected a table { val =, ecr = }, got 5",
      function() pkt.tcp.options.timestamp = 5 end)
   throws("tcp.options.timestamp.val: expected a number, got nil", function() pkt.tcp.options.timestamp = {} end)
   throws("one to four blocks", function() pkt.tcp.options.sack = {} end)
   throws("blocks { left, right }", function() pkt.tcp.options.sack = { 1 } end)
   equal(hex(pkt:bytes()), hex(vectors.options[1].bytes))

   pkt = show(vectors.options[2].bytes)
   pkt.ip4.mf = true
   throws("a fragment keeps its length", function() pkt.tcp.options = {} end)
   pkt.tcp.options = { mss = 5 }
   equal(pkt.tcp.options.mss, 5)
   pkt = show(vectors.options[1].bytes)
   pkt.payload = ("x"):rep(65535 - 40)
   throws("longer than 65535", function() pkt.tcp.options = { mss = 5 } end)
   equal(tostring(show(vectors.options[6].bytes).tcp.options),
      "mss 1460, sack_ok, timestamp val 123456789 ecr 4294967295, wscale 7")
end)

test("TCP options of any bytes are read within bounds", function()
   math.randomseed(5)
   local base = vectors.options[6].bytes
   for _ = 1, 20000 do
      local area = {}
      for i = 1, 20 do
         -- Mostly small numbers: kinds and lengths that look like some.
         area[i] = string.char(math.random() < 0.8 and math.random(0, 12) or math.random(0, 255))
      end
      local pkt = show(base:sub(1, 40) .. table.concat(area) .. base:sub(61))
      local options = table_of(pkt.tcp.options)
      tostring(pkt.tcp.options)
      pkt.tcp.options = options
      assert(same(table_of(pkt.tcp.options), options), hex(table.concat(area)))
      equal(pkt.payload, "some text of odd len.")
   end
end)

test("flags are letters in any order", function()
   local pkt = first "IPv4 TCP"
   local flags = pkt.tcp.flags
   equal(tostring(flags), "PA")
   equal(flags == "PA", true)
   equal(flags == "AP", true)
   equal("PA" == flags, true)
   equal(flags == "P", false)
   equal(flags == "PAx", false)
   equal(flags == nil, false)
   throws("tcp.flags are compared with letters of", function() return flags == 24 and 1 end)
   equal("flags " .. flags, "flags PA")
   local other = first("IPv6 TCP"):copy()
   other.tcp.flags = "CEF"
   equal(tostring(other.tcp.flags), "FEC")
   pkt = first "IPv4 TCP"
   equal(pkt.tcp.flags == other.tcp.flags, false)
   pkt.tcp.flags = other.tcp.flags
   equal(pkt.tcp.flags, "FEC")
   equal(pkt.tcp.flags == other.tcp.flags, true)
   throws('tcp.flags: expected letters of "FSRPAUEC" or flags, got string', function() pkt.tcp.flags = "X" end)
   throws("got 3", function() pkt.tcp.flags = 3 end)
   throws("tcp.flags.syn: expected true or false, got 1", function() pkt.tcp.flags.syn = 1 end)
   throws("tcp.flags has no member 'sin': did you mean 'fin'?", function() pkt.tcp.flags.sin = true end)
   equal(pkt.tcp.flags, "FEC")
end)

test("values out of range or of another type", function()
   local pkt = first "IPv4 TCP"
   local before = pkt:bytes()
   throws("tcp.dport: 70000 is not in 0..65535", function() pkt.tcp.dport = 70000 end)
   throws("tcp.dport: -1 is not in 0..65535", function() pkt.tcp.dport = -1 end)
   throws("tcp.dport: 1.5 is not a whole number", function() pkt.tcp.dport = 1.5 end)
   throws("tcp.dport: nan is not in", function() pkt.tcp.dport = 0 / 0 end)
   throws("tcp.dport: inf is not in", function() pkt.tcp.dport = math.huge end)
   throws([[tcp.dport: expected a number, got the string "80": tonumber() makes a number of it]], function() pkt.tcp.dport = "80" end)
   throws("tcp.dport: expected a number, got nil", function() pkt.tcp.dport = nil end)
   throws("tcp.dport: expected a number, got 80LL", function() pkt.tcp.dport = 80LL end)
   throws("tcp.seq: 4294967296 is not in 0..4294967295", function() pkt.tcp.seq = 4294967296 end)
   throws("ip.ttl: 256 is not in 0..255", function() pkt.ip.ttl = 256 end)
   throws("ip4.ttl: 256 is not in 0..255", function() pkt.ip4.ttl = 256 end)
   throws("ip.dscp: 64 is not in 0..63", function() pkt.ip.dscp = 64 end)
   throws("ip.ecn: 4 is not in 0..3", function() pkt.ip.ecn = 4 end)
   throws("ip4.df: expected true or false, got 1", function() pkt.ip4.df = 1 end)
   throws("ip4.offset: 9 is not a multiple of 8", function() pkt.ip4.offset = 9 end)
   throws("ip4.offset: 65536 is not in 0..65528", function() pkt.ip4.offset = 65536 end)
   throws("ip.version cannot be set", function() pkt.ip.version = 6 end)
   throws("ip.src: fd77::1 is not an IPv4 address", function() pkt.ip.src = "fd77::1" end)
   throws('ip.src: "10.0.0.300" is not an IP address', function() pkt.ip.src = "10.0.0.300" end)
   throws("ip.src: expected an IP address, got 5", function() pkt.ip.src = 5 end)
   throws("ip.src: expected an IP address, got table", function() pkt.ip.src = {} end)
   throws("ip has no member 'id': it is ip4's", function() return pkt.ip.id + 1 end)
   throws("ip has no member 'flow_label': it is ip6's", function() pkt.ip.flow_label = 1 end)
   throws("tcp has no member 'dprt': did you mean 'dport'?", function() return pkt.tcp.dprt + 1 end)
   throws("tcp has no member 'dprt': did you mean 'dport'?", function() pkt.tcp.dprt = 1 end)
   throws("tcp has no member 1", function() return pkt.tcp[1] + 1 end)
   throws("tcp has no member 0", function() pkt.tcp[0] = 1 end)
   throws("tcp has no member nil", function() return pkt.tcp[nil] + 1 end)
   equal(hex(pkt:bytes()), hex(before))

   pkt = first "IPv6 UDP"
   before = pkt:bytes()
   throws("ip6.src: 10.0.0.1 is not an IPv6 address", function() pkt.ip6.src = "10.0.0.1" end)
   throws("ip6.flow_label: 1048576 is not in 0..1048575", function() pkt.ip6.flow_label = 2 ^ 20 end)
   throws("ip.len: 39 is less than the header's 40 bytes", function() pkt.ip.len = 39 end)
   throws("ip.len: 65576 is not in 0..65575", function() pkt.ip.len = 65576 end)
   equal(hex(pkt:bytes()), hex(before))

   pkt = first "ARP"
   before = pkt:bytes()
   throws("eth.vlan: the frame has no VLAN tag", function() pkt.eth.vlan = 5 end)
   equal(pkt.eth.vlan, nil)
   throws('eth.src: "x" is not a MAC address', function() pkt.eth.src = "x" end)
   throws("arp.spa: ::1 is not an IPv4 address", function() pkt.arp.spa = "::1" end)
   equal(hex(pkt:bytes()), hex(before))
   pkt = first "Ethernet QinQ"
   throws("eth.vlan: 4096 is not in 0..4095", function() pkt.eth.vlan = 4096 end)
end)

test("every field that can be set was set here", function()
   for name, fields in pairs(view.declared) do
      for field, f in pairs(fields) do
         local settable = f.set or f.width
         local label = name .. "." .. field
         -- Fields of ip, ip4 and ip6 have one setter.
         local shared = label:gsub("^ip[46]?%.", "ip.")
         if settable and not tested[label] and not tested[shared] and not tested[label:gsub("^ip%.", "ip4.")] then
            error(label .. " was not")
         end
      end
   end
end)

test("with raw set checksums and lengths stay", function()
   local pkt = first "IPv4 TCP"
   local ip_sum, tcp_sum, len = pkt.ip4.checksum, pkt.tcp.checksum, pkt.ip.len
   equal(pkt.raw, false)
   pkt.raw = true
   equal(pkt.raw, true)
   pkt.tcp.dport, pkt.ip.dst, pkt.payload = 1, "1.1.1.1", "short"
   equal(pkt.ip4.checksum, ip_sum)
   equal(pkt.tcp and pkt.tcp.checksum or pkt:u16(36), tcp_sum)
   equal(pkt.ip.len, len)
   equal(pkt:copy().raw, true)
   pkt.raw = false
   equal(pkt.raw, false)
   throws("pkt.raw: expected true or false, got 1", function() pkt.raw = 1 end)
end)
