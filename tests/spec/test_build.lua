-- tf.packet{…} against packets that scapy makes of the same values.
local core = require "tunfilter.core"
local tf = require("tunfilter.init").module
local view = require "tunfilter.view"

local vectors = python "build_vectors.py"

-- What the devices carry, while fn runs.
local function on(link, fn)
   local was = core.host.link
   core.host.link = function() return link end
   local ok, message = pcall(fn)
   core.host.link = was
   if not ok then error(message, 0) end
end

local function shown(t)
   if type(t) ~= "table" then return tostring(t) end
   local parts = {}
   for k, v in pairs(t) do parts[#parts + 1] = tostring(k) .. " = " .. shown(v) end
   return "{ " .. table.concat(parts, ", ") .. " }"
end

local function compare(case)
   on(case.link, function()
      local pkt = tf.packet(case.table)
      equal(hex(pkt:bytes()), hex(case.bytes), shown(case.table))
      return pkt
   end)
end

test("what scapy makes of the same values, and its defaults", function()
   local seen = {}
   for _, case in ipairs(vectors.right) do
      compare(case)
      for name, fields in pairs(case.table) do
         if type(fields) == "table" then
            for key in pairs(fields) do seen[name .. "." .. key] = true end
         end
      end
   end
   -- Every field that can be assigned was among them, but for those that are given on purpose.
   for _, case in ipairs(vectors.given) do
      for name, fields in pairs(case.table) do
         if type(fields) == "table" then
            for key in pairs(fields) do seen[name .. "." .. key] = true end
         end
      end
   end
   local not_here = { ["ip.ecn"] = false, ["ip4.len"] = true, ["ip.next_header"] = true }
   for name, fields in pairs(view.declared) do
      for key, field in pairs(fields) do
         local label = name .. "." .. key
         if (field.set or field.width) and not name:find(".", 1, true) and not not_here[label] then
            assert(seen[label], label .. " is in no vector")
         end
      end
   end
end)

test("lengths, checksums and types that are given stay as they are", function()
   for _, case in ipairs(vectors.given) do compare(case) end
end)

test("tshark finds no bad checksum", function()
   local name = os.tmpname()
   local file = assert(io.open(name, "w"))
   for _, case in ipairs(vectors.right) do
      on(case.link, function()
         file:write(case.link == IP and "IP " or "ETHERNET ", hex(tf.packet(case.table):bytes()), "\n")
      end)
   end
   file:close()
   local result = python("build_check.py " .. name)
   os.remove(name)
   if not result.tshark then return print "# no tshark" end
   equal(result.packets, #vectors.right)
   equal(result.bad, "")
end)

test("addresses are strings or values; flags and options may be another packet's", function()
   local pkt = tf.packet{ ip = { src = tf.ip "fd77::1", dst = "fd77::2" }, tcp = { flags = "SA", options = { mss = 1000, sack = { { 1, 2 } } } } }
   equal(pkt.ip.src, "fd77::1")
   equal(pkt.ip.version, 6)
   equal(pkt.tcp.flags, "SA")
   local other = tf.packet{ ip = { dst = pkt.ip.src }, tcp = { flags = pkt.tcp.flags, options = pkt.tcp.options }, payload = "x" }
   equal(other.ip.dst, "fd77::1")
   equal(other.tcp.flags, "SA")
   equal(other.tcp.options.mss, 1000)
   equal(other.tcp.options.sack[1][2], 2)
   equal(other.payload, "x")
end)

test("the packet is the script's own", function()
   local pkt = tf.packet{ udp = {}, payload = "abc" }
   equal(pkt.from, nil)
   equal(pkt.malformed, nil)
   assert(pkt.number < 0)
   pkt.payload = ("y"):rep(2000)
   pkt.udp.dport = 99
   equal(pkt.udp.len, 2008)
end)

test("raw: later edits leave lengths and checksums as they are", function()
   local pkt = tf.packet{ udp = { checksum = 0xbeef }, payload = "abc", raw = true }
   equal(pkt.raw, true)
   equal(pkt.ip.len, 31)
   pkt.udp.dport = 99
   pkt.payload = "longer than it was"
   equal(pkt.udp.checksum, 0xbeef)
   equal(pkt.ip.len, 31)
   equal(tf.packet{ udp = {} }.raw, false)
end)

test("errors name what is wrong, and what is meant", function()
   throws("tf.packet has no member 'tpc': did you mean 'tcp'?", function() tf.packet{ tpc = {} } end)
   throws("tcp has no member 'dprot': did you mean 'dport'?", function() tf.packet{ tcp = { dprot = 1 } } end)
   throws("ip has no member 'id': it is ip4's", function() tf.packet{ ip = { id = 1 } } end)
   throws("tf.packet has no member 1", function() tf.packet{ "bytes" } end)
   throws("tf.packet: tcp: expected a table of fields, got 80", function() tf.packet{ tcp = 80 } end)
   throws("pkt.payload: expected a string, got 4", function() tf.packet{ udp = {}, payload = 4 } end)
   throws("pkt.raw: expected true or false, got 1", function() tf.packet{ udp = {}, raw = 1 } end)
   throws("tcp.dport: 70000 is not in 0..65535", function() tf.packet{ tcp = { dport = 70000 } } end)
   throws("udp.checksum: 65536 is not in 0..65535", function() tf.packet{ udp = { checksum = 65536 } } end)
   throws("tcp.flags", function() tf.packet{ tcp = { flags = "Z" } } end)
   throws("tcp.options has no member 'msss': did you mean 'mss'?", function() tf.packet{ tcp = { options = { msss = 1 } } } end)
   throws("ip.dst: ::1 is not an IPv4 address", function() tf.packet{ ip = { src = "1.1.1.1", dst = "::1" } } end)
   throws("ip4.src: ::1 is not an IPv4 address", function() tf.packet{ ip4 = { src = "::1" } } end)
   throws("ip.src: \"x\" is not an IP address", function() tf.packet{ ip = { src = "x" } } end)
   throws("ip.version: 4 or 6", function() tf.packet{ ip = { version = 5 } } end)
   throws("ip4.version cannot be set", function() tf.packet{ ip4 = { version = 4 } } end)
   throws("one of ip and ip4, not both", function() tf.packet{ ip = {}, ip4 = {} } end)
   throws("one of tcp and udp, not both", function() tf.packet{ tcp = {}, udp = {} } end)
   throws("icmp goes with IPv4; icmp6 with IPv6", function() tf.packet{ icmp = {}, ip6 = {} } end)
   throws("icmp6 goes with IPv6; icmp with IPv4", function() tf.packet{ icmp6 = {}, ip = { src = "1.1.1.1" } } end)
   throws("it has no header", function() tf.packet{ payload = "x" } end)
   throws("which have no Ethernet header", function() tf.packet{ eth = {}, udp = {} } end)
   throws("which have no Ethernet header", function() tf.packet{ arp = {} } end)
   throws("longer than 65535 bytes", function() tf.packet{ udp = {}, payload = ("x"):rep(65508) } end)
   throws("a string of bytes or a table of headers, not a number", function() tf.packet(5) end)
   on(ETHERNET, function()
      throws("one of arp and ip, not both", function() tf.packet{ arp = {}, ip = {} } end)
      throws("it has no header", function() tf.packet{ payload = "x" } end)
      throws("eth.vlan: 4096 is not in 0..4095", function() tf.packet{ eth = { vlan = 4096 }, udp = {} } end)
      throws("eth.src", function() tf.packet{ eth = { src = "1.1.1.1" }, udp = {} } end)
   end)
   on(core.C.TF_LINK_OTHER, function()
      throws("link type is not known", function() tf.packet{ udp = {} } end)
   end)
end)
