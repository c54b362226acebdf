-- What scripts/nat.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function packet(src, dst, kind)
   return tf.packet{ ip = { src = src, dst = dst }, [kind] = {}, payload = "data" }
end

t.scenario("the public address leads to the private one, and answers seem to come from it", function()
   for _, kind in ipairs{ "tcp", "udp", "icmp" } do
      t.send(tf.left, packet("10.77.0.1", "10.99.0.1", kind))
      t.expect(tf.right, packet("10.77.0.1", "10.77.0.2", kind)) -- every byte, so the checksums too
      t.send(tf.right, packet("10.77.0.2", "10.77.0.1", kind))
      t.expect(tf.left, packet("10.99.0.1", "10.77.0.1", kind))
   end
end)

local function story(set)
   return function()
      local function err(src, dst, quoted)
         local icmp = set.icmp == "icmp" and { type = 3, code = 3 } or { type = 1, code = 4 }
         return tf.packet{ ip = { src = src, dst = dst }, [set.icmp] = icmp, payload = quoted:bytes() }
      end
      t.send(tf.right, err(set.private, set.left, packet(set.left, set.private, "udp")))
      t.expect(tf.left, err(set.public, set.left, packet(set.left, set.public, "udp")))
      t.send(tf.right, err(set.router, set.left, packet(set.left, set.private, "tcp"))) -- from somebody on the way
      t.expect(tf.left, err(set.router, set.left, packet(set.left, set.public, "tcp")))
      t.send(tf.left, err(set.left, set.public, packet(set.public, set.left, "udp")))
      t.expect(tf.right, err(set.left, set.private, packet(set.private, set.left, "udp")))
      t.send(tf.right, err(set.router, set.left, packet(set.left, set.router, "udp")))
      t.expect_same(tf.left)
   end
end

t.scenario("errors, and the packets that they quote, tell the same story",
           story{ icmp = "icmp", left = "10.77.0.1", public = "10.99.0.1", private = "10.77.0.2", router = "10.77.0.254" })
t.scenario("and of IPv6", { set = { public = "fd99::1", private = "fd77::2" } },
           story{ icmp = "icmp6", left = "fd77::1", public = "fd99::1", private = "fd77::2", router = "fd77::fe" })

t.scenario("other addresses stay, and each rule is for one direction", function()
   for _, other in ipairs{ packet("10.77.0.1", "10.77.0.2", "udp"), packet("10.99.0.1", "10.77.0.9", "udp") } do
      t.send(tf.left, other)
      t.expect_same(tf.right)
   end
   t.send(tf.right, packet("10.77.0.9", "10.99.0.1", "udp"))
   t.expect_same(tf.left)
end)

t.scenario("of IPv6, if told so", { set = { public = "fd99::1", private = "fd77::2" } }, function()
   t.send(tf.left, packet("fd77::1", "fd99::1", "tcp"))
   t.expect(tf.right, packet("fd77::1", "fd77::2", "tcp"))
   t.send(tf.left, packet("10.77.0.1", "10.99.0.1", "tcp"))
   t.expect_same(tf.right)
end)

t.scenario("on TAP, ARP tells the same story", { link = "ethernet" }, function()
   local a, b = "02:00:00:00:00:01", "02:00:00:00:00:02"
   local function arp(op, sha, spa, tpa)
      return tf.packet{ eth = { src = sha }, arp = { op = op, sha = sha, spa = spa, tpa = tpa } }
   end
   t.send(tf.left, arp(1, a, "10.77.0.1", "10.99.0.1"))
   t.expect(tf.right, arp(1, a, "10.77.0.1", "10.77.0.2"))
   t.send(tf.right, arp(2, b, "10.77.0.2", "10.77.0.1"))
   t.expect(tf.left, arp(2, b, "10.99.0.1", "10.77.0.1"))
end)

t.scenario("an address that is none", { set = { public = "here" }, load_error = "is not an IP address" })
