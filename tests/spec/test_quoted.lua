-- pkt.quoted against errors that scapy makes.
local tf = require("tunfilter.init").module

local list = python "quoted_vectors.py"

local left4, left6 = tf.packet { icmp = { type = 3 } }, tf.packet { icmp6 = { type = 1 } } -- without a quote

test("what an error quotes is a packet; with other addresses and ports it is what scapy makes of it", function()
   assert(#list > 80, #list)
   for _, case in ipairs(list) do
      local what = ("%s in IPv%d, %d bytes"):format(case.kind, case.version, case.size)
      for _, ethernet in ipairs { "", "\2\0\0\0\0\1\2\0\0\0\0\2" .. (case.version == 4 and "\8\0" or "\134\221") } do
         local pkt = show(ethernet .. unhex(case.before), ethernet == "" and IP or ETHERNET)
         local quoted = pkt.quoted
         local four = case.version == 4
         equal(quoted.ip.src, four and "10.99.0.1" or "fd99::1", what)
         equal(quoted.ip.dst, four and "10.77.0.2" or "fd77::2", what)
         equal(quoted.eth, nil)
         equal(quoted.from, nil)
         quoted.ip.src, quoted.ip.dst = four and "192.0.2.7" or "2001:db8::7", four and "198.51.100.9" or "2001:db8:1::9"
         local ports = quoted.tcp or quoted.udp
         if ports then
            equal(ports.sport, 1234, what)
            ports.sport, ports.dport = 40000, 8080
         else
            local icmp = quoted.icmp or quoted.icmp6
            equal(icmp.id, 1234, what)
            icmp.id = 40000
         end
         equal(hex(pkt:bytes()), hex(ethernet .. unhex(case.before)), what .. ": a copy")
         pkt.quoted = quoted
         equal(hex(pkt:bytes()), hex(ethernet) .. case.after, what)
      end
   end
end)

test("of TCP's header there may be less than all of it", function()
   for _, case in ipairs(list) do
      local header = case.version == 4 and 20 or 40
      if case.kind == "options" and case.size == header + 8 then
         local quoted = show(unhex(case.before), IP).quoted
         equal(quoted.tcp.seq, 7)
         equal(quoted.tcp.ack, 0)
         equal(quoted.tcp.options.mss, nil)
      elseif case.kind == "options" and case.size == header + 24 then
         equal(show(unhex(case.before), IP).quoted.tcp.options.mss, 1460)
      end
   end
end)

test("what quotes nothing", function()
   local ping = tf.packet { ip = { src = "10.0.0.1" }, udp = {} }:bytes()
   for _, pkt in ipairs { left4, left6, tf.packet { tcp = {}, payload = ping }, tf.packet { icmp = { type = 8 }, payload = ping },
                          tf.packet { icmp = { type = 13 }, payload = ping }, tf.packet { icmp6 = { type = 1 }, payload = ping },
                          tf.packet { icmp = { type = 3 }, payload = ping:sub(1, 19) }, tf.packet { icmp6 = { type = 128 }, payload = ping },
                          tf.packet { icmp = { type = 3 }, payload = "\96" .. ("\0"):rep(60) } } do
      equal(pkt.quoted, nil, tostring(pkt))
   end
   local quoted = tf.packet { icmp = { type = 3 }, payload = ping:sub(1, 27) }.quoted
   equal(quoted.udp, nil)
   equal(quoted.ip.src, "10.0.0.1")
end)

test("what cannot be assigned", function()
   local pkt = tf.packet { icmp = { type = 3 }, payload = tf.packet { udp = {} }:bytes() }
   throws("pkt.quoted: expected a packet, got nil", function() pkt.quoted = nil end)
   throws("pkt.quoted: expected a packet, got string", function() pkt.quoted = "bytes" end)
   throws("pkt.quoted: this packet quotes none", function() left4.quoted = pkt end)
   throws("pkt.quoted: the quote has 28 bytes, and keeps its length; here are 20", function() pkt.quoted = tf.packet { ip = {} } end)
end)

test("a wrong checksum stays wrong, as with other edits", function()
   local pkt = tf.packet { icmp = { type = 3 }, payload = tf.packet { udp = {} }:bytes() }
   local right = pkt.icmp.checksum
   pkt.icmp.checksum = (right + 1) % 65536
   local quoted = pkt.quoted
   quoted.ip.src = "10.1.2.3"
   pkt.quoted = quoted
   local fresh = tf.packet { icmp = { type = 3 }, payload = quoted:bytes() }
   equal(pkt.payload, fresh.payload)
   assert(pkt.icmp.checksum ~= fresh.icmp.checksum)
end)

test("a quoted packet is of its own flow, and neither ends it nor begins another", function()
   local function side(t) return show(tf.packet(t):bytes(), IP, 0) end
   local there = { ip = { src = "10.8.0.1", dst = "10.8.0.2" }, tcp = { sport = 5, dport = 6, flags = "S" } }
   local flow = tf.flow(side(there))
   flow.mine = true
   for _, flags in ipairs { "R", "FA", "S" } do
      there.tcp.flags = flags
      local pkt = side { ip = { src = "10.8.0.9", dst = "10.8.0.1" }, icmp = { type = 3 }, payload = tf.packet(there):bytes() }
      equal(tf.flow(pkt).mine, nil)
      equal(tf.flow(pkt.quoted).mine, true, flags)
   end
   there.tcp.flags = "R"
   tf.flow(side(there))
   there.tcp.flags = "S"
   tf.flow(tf.packet(there))
   equal(tf.flow(side { ip = there.ip, tcp = { sport = 5, dport = 6, flags = "A" } }).mine, true)
   equal(tf.flow(side(there)).mine, nil)
end)

test("any bytes in the place of a quote, of any length", function()
   math.randomseed(5)
   for i = 1, 20000 do
      local case = list[i % #list + 1]
      local bytes = unhex(case.before)
      local at = math.random(20, #bytes)
      bytes = bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1, math.random(at, #bytes))
      local pkt = show(bytes, IP)
      local quoted = pkt.quoted
      if quoted then
         if quoted.tcp then quoted.tcp.sport = 1 end
         local length = #pkt
         pkt.quoted = quoted
         equal(#pkt, length)
      end
   end
end)
