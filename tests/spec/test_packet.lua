-- Packets' own members: bytes, payloads, copies, and what is left of a packet that is gone.
local core = require "tunfilter.core"
local packet = require "tunfilter.packet"
local sides = require "tunfilter.sides"

-- 10.77.0.1:8080 > 10.77.0.2:80, and 20 bytes; made by scapy.
local tcp = unhex("4500003c1c464000400609da0a4d00010a4d0002"
   .. "1f90005000000064000000005002200032bc0000") .. "abcdefghijklmnopqrst"
-- fd77::1:5353 > fd77::2:53, and 5 bytes; likewise.
local udp6 = unhex("60000000000d1140fd770000000000000000000000000001fd770000000000000000000000000002"
   .. "14e90035000d9fdb") .. "query"

test("members of a packet", function()
   local pkt = show(tcp, IP, 1, 12.5)
   equal(pkt.len, 60)
   equal(#pkt, 60)
   equal(pkt.time, 12.5)
   equal(pkt.from, sides[1])
   equal(pkt.to, sides[0])
   equal(pkt.malformed, nil)
   equal(pkt.payload, "abcdefghijklmnopqrst")
   equal(pkt.eth, nil)
   equal(pkt.arp, nil)
   equal(pkt.ip6, nil)
   equal(pkt.udp, nil)
   equal(pkt.icmp, nil)
   equal(pkt.icmp6, nil)
   equal(pkt.ip.version, 4)
   equal(pkt.ip4.version, 4)
   local number = pkt.number
   equal(show(tcp).number, number + 1)
   pkt = show(tcp, IP, 0)
   equal(pkt.from, sides[0])
   equal(pkt.to, sides[1])
   pkt = show(udp6)
   equal(pkt.ip4, nil)
   equal(pkt.ip6.version, 6)
   equal(pkt.payload, "query")
   equal(packet.is(pkt), true)
   for _, x in ipairs { 5, "x", {}, pkt.ip } do equal(packet.is(x), false) end
   equal(packet.is(nil), false)
end)

test("what is malformed says why", function()
   local pkt = show(tcp:sub(1, 30))
   equal(pkt.malformed, "the IP length is below the header's or past the packet's end")
   equal(pkt.tcp, nil)
   equal(show("\5").malformed, "the IP version is not 4 or 6, or not what the Ethernet type says")
   equal(show("\5").payload, "\5")
   equal(show("\5").ip, nil)
end)

test("members that there are not, and that cannot be set", function()
   local pkt = show(tcp)
   throws("a packet has no member 'tpc'", function() return pkt.tpc.dport end)
   throws("a packet has no member 'payloda'", function() return #pkt.payloda end)
   throws("a packet has no member 'Payload': did you mean 'payload'?", function() pkt.Payload = "" end)
   throws("a packet has no member 'lenght': did you mean 'len'?", function() return #pkt.lenght end)
   throws("a packet has no member 'set_payload': did you mean 'payload'?", function() pkt:set_payload "" end)
   throws("a packet has no member 'data': did you mean 'payload'?", function() return #pkt.data end)
   throws("a packet has no member 'drop': return tf.drop", function() return #pkt:drop() end)
   throws("a packet has no member 'dport', its headers have: pkt.tcp.dport, pkt.udp.dport", function() return #pkt.dport end)
   throws("a packet has no member 'ttl', its headers have: pkt.ip.ttl", function() pkt.ttl = 5 end)
   throws("an address has no member 'find': tostring() makes a string of it", function() return pkt.ip.src:find "10" and 1 end)
   throws("tcp has no member 'dst_port': did you mean 'dport'?", function() return #pkt.tcp.dst_port end)
   throws("tcp has no member 'len'; it has ack, checksum, dport, flags, options, seq, sport, urgent, window", function() return #pkt.tcp.len end)
   throws("a packet has no member 1", function() return #pkt[1] end)
   throws("a packet has no member nil", function() return #pkt[nil] end)
   throws("a packet has no member true", function() pkt[true] = 1 end)
   throws("pkt.len cannot be set", function() pkt.len = 5 end)
   throws("pkt.tcp cannot be set", function() pkt.tcp = nil end)
   throws("pkt.from cannot be set", function() pkt.from = sides[0] end)
   throws("pkt.u8 cannot be set", function() pkt.u8 = print end)
   throws("cannot be set", function() pkt.number = 5 end)
   throws("tcp has no member", function() pkt.tcp.number = 5 end)
   throws("u8: call it with a colon", function() return pkt.u8(1) + 1 end)
   throws("copy: call it with a colon", function() return #pkt.copy() end)
   throws("bytes: call it with a colon", function() return #pkt.bytes(pkt.tcp) end)
   throws("is not callable", function() pkt() end)
   throws("attempt to perform arithmetic", function() return pkt + 1 + 1 end)
   equal(getmetatable(pkt), "ffi")
   equal(getmetatable(pkt.tcp), "ffi")
   equal(getmetatable(pkt.ip.src), "ffi")
end)

test("bytes by offset", function()
   local pkt = show(tcp)
   for i = 0, 59 do equal(pkt:u8(i), tcp:byte(i + 1)) end
   for i = 0, 58 do equal(pkt:u16(i), tcp:byte(i + 1) * 256 + tcp:byte(i + 2)) end
   for i = 0, 56 do
      equal(("%08x"):format(pkt:u32(i)), hex(tcp:sub(i + 1, i + 4)))
   end
   for first = 0, 59, 7 do
      equal(pkt:bytes(first), tcp:sub(first + 1))
      for last = first, 59 do equal(pkt:bytes(first, last), tcp:sub(first + 1, last + 1)) end
   end
   equal(pkt:bytes(), tcp)
   equal(pkt:bytes(nil, 3), tcp:sub(1, 4))
end)

test("offsets outside the packet", function()
   local pkt = show(tcp)
   throws("u8: offset 60 is outside the packet, which has 60 bytes", function() return pkt:u8(60) + 1 end)
   throws("u8: offset -1 is outside the packet, which has 60 bytes", function() return pkt:u8(-1) + 1 end)
   throws("u16: offset 59 (2 bytes from there) is outside the packet, which has 60 bytes",
      function() return pkt:u16(59) + 1 end)
   throws("u32: offset 57 (4 bytes from there) is outside", function() return pkt:u32(57) + 1 end)
   throws("u8: offset 4294967296 is outside", function() return pkt:u8(2 ^ 32) + 1 end)
   throws("u8: offset -4294967295 is outside", function() return pkt:u8(-2 ^ 32 + 1) + 1 end)
   throws("u8: offset 1e+300 is outside", function() return pkt:u8(1e300) + 1 end)
   throws("u8: offset 1.5 is not a whole number", function() return pkt:u8(1.5) + 1 end)
   throws("u8: offset nan is not a whole number", function() return pkt:u8(0 / 0) + 1 end)
   throws("u8: expected an offset, got string", function() return pkt:u8 "1" + 1 end)
   throws("u8: expected an offset, got nil", function() return pkt:u8() + 1 end)
   throws("u8: expected an offset, got 1LL", function() return pkt:u8(1LL) + 1 end)
   throws("bytes: offset 60 is outside", function() return #pkt:bytes(60) end)
   throws("bytes: offset 60 is outside", function() return #pkt:bytes(0, 60) end)
   throws("bytes: the last offset, 4, is before the first, 5", function() return #pkt:bytes(5, 4) end)
   for name, width in pairs { set_u8 = 1, set_u16 = 2, set_u32 = 4 } do
      throws(name .. ": offset " .. 61 - width, function() pkt[name](pkt, 61 - width, 0) end)
      throws(name .. ": offset -1", function() pkt[name](pkt, -1, 0) end)
      throws(name .. ": expected a number, got nil", function() pkt[name](pkt, 0) end)
      throws(name .. ": -1 is not in 0..", function() pkt[name](pkt, 0, -1) end)
      throws(("%s: %d is not in 0..%d"):format(name, 256 ^ width, 256 ^ width - 1),
         function() pkt[name](pkt, 0, 256 ^ width) end)
   end
   equal(pkt:bytes(), tcp)
end)

test("bytes written, with checksums that follow", function()
   local pkt = show(tcp)
   pkt:set_u8(59, 0x21)
   pkt:set_u16(22, 8080)
   pkt:set_u32(24, 0xfffffffe)
   pkt = pkt:copy()
   local other = show(tcp)
   other.payload = "abcdefghijklmnopqrs!"
   other.tcp.dport = 8080
   other.tcp.seq = 0xfffffffe
   local expected = other:bytes()
   equal(hex(pkt:bytes()), hex(expected))
end)

test("payloads shrink, grow, and grow past the packet's room", function()
   for _, base in ipairs { tcp, udp6 } do
      local header = base == tcp and 40 or 48
      for _, n in ipairs { 0, 1, 19, 20, 21, 100, 1460, 5000, 60000, 65535 - header, 7 } do
         for _, owned in ipairs { false, true } do
            local pkt = show(base)
            if owned then pkt = pkt:copy() end
            local text = ("0123456789"):rep(n / 10 + 1):sub(1, n)
            pkt.payload = text
            equal(pkt.payload, text)
            equal(pkt.len, header + n)
            equal(pkt.ip.len, header + n)
            equal(pkt.malformed, nil)
            pkt.payload = text:sub(2)
            equal(pkt.payload, text:sub(2))
         end
      end
   end
   local pkt = show(tcp)
   throws("longer than 65535 bytes", function() pkt.payload = ("x"):rep(65536 - 40) end)
   throws("longer than 65535 bytes", function() pkt.payload = ("x"):rep(1000000) end)
   throws("pkt.payload: expected a string, got 5", function() pkt.payload = 5 end)
   throws("pkt.payload: expected a string, got nil", function() pkt.payload = nil end)
   equal(pkt:bytes(), tcp)
   pkt.ip4.mf = true
   throws("a fragment keeps its length", function() pkt.payload = "x" end)
   pkt.payload = "ABCDEFGHIJKLMNOPQRST"
   equal(pkt.payload, "ABCDEFGHIJKLMNOPQRST")
end)

test("replacing text in the payload is what gsub does", function()
   local function check(text, old, new, max)
      local expected, count = text:gsub(old:gsub("%p", "%%%0"), (new:gsub("%%", "%%%%")), max)
      for _, owned in ipairs { false, true } do
         local pkt = show(tcp)
         pkt.payload = text
         if owned then pkt = pkt:copy() end
         equal(pkt:replace(old, new, max), count)
         equal(pkt.payload, expected)
         equal(pkt.ip.len, 40 + #expected)
      end
   end
   check("hello world", "o", "0")
   check("hello world", "o", "0", 1)
   check("hello world", "o", "0", 0)
   check("hello world", "o", "")
   check("hello world", "x", "y")
   check("aaaa", "aa", "b")
   check("aaaaa", "aa", "aaa")
   check("aaaaa", "aa", "aaa", 2)
   check("a.c%d", ".c%", "%1")
   check(("ab"):rep(1000), "a", ("c"):rep(60))
   check("", "a", "b")
   local pkt = show(tcp)
   pkt.payload = "x\0y\0"
   equal(pkt:replace("\0", "zero"), 2)
   equal(pkt.payload, "xzeroyzero")
   pkt = show(tcp)
   throws("replace: there is nothing to look for", function() pkt:replace("", "x") end)
   throws("replace: old: expected a string, got nil", function() pkt:replace() end)
   throws("replace: new: expected a string, got nil", function() pkt:replace "a" end)
   throws("replace: max: -1 is not in", function() pkt:replace("a", "b", -1) end)
   throws("replace: max: 1.5 is not a whole number", function() pkt:replace("a", "b", 1.5) end)
   throws("longer than 65535", function() pkt:replace("a", ("x"):rep(70000)) end)
   equal(pkt:bytes(), tcp)
end)

test("text of a packet", function()
   local pkt = show(tcp)
   assert(tostring(pkt):find("IP 10.77.0.1.8080 > 10.77.0.2.80: Flags [S]", 1, true), tostring(pkt))
   local dump = pkt:hexdump()
   assert(dump:find("0x0000:  4500 003c 1c46 4000", 1, true), dump)
   equal(select(2, dump:gsub("\n", "")), 4)
   pkt.payload = ("x"):rep(20000)
   equal(select(2, pkt:hexdump():gsub("\n", "")), math.ceil(20040 / 16))
end)

test("a packet is gone when its callback has returned", function()
   local pkt = show(tcp)
   local parts = { pkt.ip, pkt.ip4, pkt.tcp, pkt.tcp.flags, pkt.tcp.options }
   local number, source = pkt.number, pkt.ip.src
   local message = ("packet %d is gone: a packet is valid until its callback returns; keep pkt:copy()"):format(number)
   local function all_gone()
      for name in pairs(packet.members) do
         if name ~= "number" then
            throws(message, function()
               local value = pkt[name]
               if type(value) == "function" then value(pkt, 0, 0) end
            end)
         end
      end
      throws(message, function() pkt.payload = "x" end)
      throws(message, function() pkt.raw = true end)
      throws(message, function() return #pkt + 1 end)
      throws(message, function() return #tostring(pkt) end)
      throws(message, function() return parts[1].src == source or 1 end)
      throws(message, function() return parts[2].id + 1 end)
      throws(message, function() return parts[3].dport + 1 end)
      throws(message, function() parts[3].dport = 1 end)
      throws(message, function() return #tostring(parts[4]) end)
      throws(message, function() return parts[4] == "S" or 1 end)
      throws(message, function() parts[4].syn = true end)
      throws(message, function() return parts[5].mss or 1 end)
      throws(message, function() parts[5].mss = 5 end)
      throws(message, function() return #tostring(parts[5]) end)
      equal(pkt.number, number)
      equal(tostring(source), "10.77.0.1")
   end
   finish()
   all_gone()
   show(udp6)
   all_gone()
end)

test("a view of a header that the packet lost", function()
   local pkt = show(tcp)
   local view, flags, options = pkt.tcp, pkt.tcp.flags, pkt.tcp.options
   pkt:set_u8(0, 0x4f)                 -- the IP header now takes all 60 bytes
   equal(pkt.tcp, nil)
   throws("tcp: the packet no longer has this header", function() return view.dport + 1 end)
   throws("tcp: the packet no longer has this header", function() view.dport = 1 end)
   throws("tcp.flags: the packet no longer has this header", function() return flags.syn or 1 end)
   throws("tcp.flags: the packet no longer has this header", function() flags.syn = true end)
   throws("tcp.flags: the packet no longer has this header", function() return #tostring(flags) end)
   throws("tcp.options: the packet no longer has this header", function() return options.mss or 1 end)
   throws("tcp.options: the packet no longer has this header", function() options.mss = 1 end)
   throws("tcp.options: the packet no longer has this header", function() return #tostring(options) end)
   local ip = pkt.ip
   pkt:set_u8(0, 0x10)
   throws("ip: the packet no longer has this header", function() return ip.ttl + 1 end)
   throws("ip: the packet no longer has this header", function() ip.src = "1.2.3.4" end)
end)

test("a copy is the script's own", function()
   local pkt = show(tcp, IP, 1, 7.5)
   local copy = pkt:copy()
   equal(copy:bytes(), tcp)
   equal(copy.from, sides[1])
   equal(copy.time, 7.5)
   assert(copy.number < 0)
   assert(copy:copy().number < copy.number)
   equal(copy == pkt, false)
   equal(copy == copy, true)
   copy.tcp.dport = 9
   equal(pkt:bytes(), tcp)
   pkt.payload = ""
   equal(#copy, 60)
   finish()
   equal(copy.tcp.dport, 9)
   equal(copy:copy().tcp.dport, 9)
   equal(packet.resolve(copy).len, 60)

   local frame = ("\2\0\0\0\0\1"):rep(2) .. "\8\0" .. tcp
   copy = show(frame, ETHERNET):copy()
   equal(copy.eth.type, 0x800)
   equal(copy.tcp.dport, 80)
end)

test("packets of a script's bytes", function()
   local pkt = packet.new(tcp, core.C.TF_LINK_IP)
   equal(pkt:bytes(), tcp)
   equal(pkt.tcp.dport, 80)
   equal(pkt.from, nil)
   equal(pkt.to, nil)
   equal(pkt.time, 0)
   pkt.tcp.dport = 81
   equal(tcp:byte(24), 80)
   equal(packet.new(("\2\0\0\0\0\1"):rep(2) .. "\8\0" .. tcp, core.C.TF_LINK_ETHERNET).ip.src, "10.77.0.1")
   equal(packet.new("x", core.C.TF_LINK_IP).malformed ~= nil, true)
   throws("a packet has 1 to 65600 bytes, not 0", function() local _ = packet.new("", 0) end)
   throws("a packet has 1 to 65600 bytes, not 65601", function() local _ = packet.new(("x"):rep(65601), 0) end)
   equal(#packet.new(("x"):rep(65600), 0), 65600)
end)

test("views keep their copy, and nothing else does", function()
   local views = {}
   for i = 1, 200 do
      local copy = show(tcp):copy()
      copy.tcp.sport = i
      copy.payload = ("x"):rep(i * 10)
      views[i] = i % 2 == 0 and copy.tcp.options or copy.tcp
   end
   for _ = 1, 3 do
      collectgarbage()
      local fill = {}
      for i = 1, 200 do fill[i] = ("y"):rep(i * 10) .. i end
   end
   for i = 1, 199, 2 do
      equal(views[i].sport, i)
      equal(views[i + 1].mss, nil)
   end
   views = nil
   collectgarbage()
   local most = collectgarbage "count" + 4096 -- KiB
   for i = 1, 200000 do
      local copy = show(tcp):copy()
      if i % 10 == 0 then copy.payload = ("x"):rep(1000) end
      if copy.tcp.dport ~= 80 or copy.tcp.flags ~= "S" then error "?" end
      if i % 100 == 0 then assert(collectgarbage "count" < most, i) end
   end
end)

test("code of the script's that runs in the middle of an edit", function()
   -- Tables with metamethods, coroutines: whatever happens, an edit is of the packet that it names.
   local pkt = show(tcp)
   local trap = setmetatable({}, { __index = function() pkt.payload = ("x"):rep(30000) end })
   pcall(function() pkt.tcp.options = { timestamp = trap } end)
   pcall(function() pkt.tcp.options.sack = { trap } end)
   pcall(function() pkt.tcp.options = trap end)
   equal(pkt.malformed, nil)
   local resume = coroutine.wrap(function()
      local mine = show(tcp)
      coroutine.yield()
      return mine.len
   end)
   resume()
   finish()
   show(udp6)
   equal(pcall(resume), false)
end)

test("the library survives a script that does everything to every value", function()
   math.randomseed(11)
   local words = {}
   for name in pairs(packet.members) do words[#words + 1] = name end
   for _, fields in pairs(require("tunfilter.view").declared) do
      for name in pairs(fields) do words[#words + 1] = name end
   end
   local values = { 0, 1, -1, 6, 17, 40, 65535, 65536, 2 ^ 32, 0.5, 0 / 0, "", "x", "10.0.0.1", "fd77::1", "SA",
                    ("z"):rep(3000), true, false, {}, { mss = 5 }, { timestamp = { val = 1, ecr = 2 } }, print }
   local frame = ("\2\0\0\0\0\1"):rep(2) .. "\8\0" .. tcp
   local held = {}
   for _ = 1, 300 do
      local pkt = math.random() < 0.3 and show(frame, ETHERNET) or show(math.random() < 0.5 and tcp or udp6)
      if math.random() < 0.3 then pkt = pkt:copy() end
      held[math.random(20)] = pkt
      for _ = 1, 60 do
         local target = held[math.random(20)] or pkt
         pcall(function()
            for _ = 1, math.random(0, 2) do
               local key = words[math.random(#words)]
               local inner = target[key]
               if type(inner) == "function" then
                  inner = inner(target, values[math.random(#values)], values[math.random(#values)])
               end
               if type(inner) ~= "cdata" and type(inner) ~= "userdata" then inner = nil end
               target = inner or target
               held[math.random(20)] = inner
            end
            target[words[math.random(#words)]] = values[math.random(#values)]
         end)
         pcall(tostring, target)
      end
   end
   local p = core.context.packet
   assert(p["end"] <= p.len and p.len <= p.room and p.payload <= p["end"])
end)
