-- What scripts/extra-hop.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function probe(ttl, more)
   local packet = { ip = { src = "10.77.0.1", dst = "10.77.0.2", ttl = ttl }, udp = { dport = 33434 }, payload = "probe" }
   for key, value in pairs(more or {}) do packet[key] = value end
   return packet
end

local function probe6(ttl)
   return { ip = { src = "fd77::1", dst = "fd77::2", ttl = ttl }, udp = { dport = 33434 }, payload = "probe" }
end

t.scenario("the TTL goes down by one", function()
   t.send(tf.left, probe(64))
   t.expect(tf.right, tf.packet(probe(63))) -- every byte, so the checksums too
   t.send(tf.right, probe6(2))
   t.expect(tf.left, tf.packet(probe6(1)))
end)

t.scenario("where it runs out, a router that does not exist says so, with the packet", function()
   for ttl = 0, 1 do
      t.send(tf.left, probe(ttl))
      t.expect(tf.left, tf.packet{ ip4 = { src = "10.77.0.254", dst = "10.77.0.1", id = 0 }, icmp = { type = 11 },
                                   payload = tf.packet(probe(ttl)):bytes() })
      t.send(tf.left, probe6(ttl))
      t.expect(tf.left, tf.packet{ ip = { src = "fd77::254", dst = "fd77::1" }, icmp6 = { type = 3 },
                                   payload = tf.packet(probe6(ttl)):bytes() })
      t.expect_nothing()
   end
end)

t.scenario("the routers can have other addresses", { set = { router = "192.0.2.1", router6 = "2001:db8::1" } }, function()
   t.send(tf.right, probe(1))
   t.expect(tf.right, { ip = { src = "192.0.2.1" }, icmp = true })
   t.send(tf.right, probe6(1))
   t.expect(tf.right, { ip = { src = "2001:db8::1" }, icmp6 = true })
end)

t.scenario("of a long packet, 500 bytes are quoted", function()
   t.send(tf.left, probe(1, { payload = ("x"):rep(1000) }))
   t.expect(tf.left, { icmp = { type = 11 }, len = 528 })
end)

t.scenario("a ping's TTL runs out like any other; of an error nobody is told", function()
   local ip = { src = "10.77.0.1", dst = "10.77.0.2", ttl = 1 }
   t.send(tf.left, { ip = ip, icmp = { type = 8 } })
   t.expect(tf.left, { icmp = { type = 11 } })
   for _, kind in ipairs{ 0, 3, 11 } do t.send(tf.left, { ip = ip, icmp = { type = kind } }) end
   t.send(tf.left, { ip = { src = "fd77::1", dst = "fd77::2", ttl = 1 }, icmp6 = { type = 3 } })
   t.send(tf.left, { ip4 = { src = "10.77.0.1", dst = "10.77.0.2", ttl = 1, proto = 17, offset = 800 }, payload = "the rest" })
   t.expect_nothing()
end)

t.scenario("what concerns the link alone stays as it is", function()
   for _, packet in ipairs{ { ip = { dst = "224.0.0.251", ttl = 1 }, udp = {} }, { ip = { dst = "255.255.255.255", ttl = 1 }, udp = {} }, { ip = { dst = "ff02::fb", ttl = 1 }, udp = {} },
                            { ip = { src = "fd77::1", dst = "fd77::2", ttl = 255 }, icmp6 = { type = 135 } } } do
      t.send(tf.left, packet)
      t.expect_same(tf.right)
   end
end)

t.scenario("on TAP, the answer has the addresses of the frame, and its VLAN tag", { link = "ethernet" }, function()
   for _, vlan in ipairs{ false, 7 } do
      local eth = { src = "02:00:00:00:00:01", dst = "02:00:00:00:00:02", vlan = vlan or nil }
      t.send(tf.left, probe(1, { eth = eth }))
      t.expect(tf.left, { eth = { src = eth.dst, dst = eth.src, vlan = eth.vlan }, icmp = { type = 11 } })
   end
   local double = tf.packet(probe(1, { eth = { vlan = 7 } })):bytes()
   local tags = "\129\0\0\9" .. double:sub(13, 16)
   t.send(tf.left, double:sub(1, 12) .. tags .. double:sub(17))
   local answer = t.expect(tf.left, { eth = { vlan = 9 }, icmp = { type = 11 } })
   assert(answer:bytes(12, 19) == tags and answer.payload == double:sub(19))
   t.send(tf.left, { eth = {}, arp = {} })
   t.expect_same(tf.right)
end)
