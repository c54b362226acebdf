-- What scripts/echo.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function ping(src, dst, kind, more)
   local packet = { ip = { src = src, dst = dst, ttl = 64 }, payload = "payload",
                    [dst:find ":" and "icmp6" or "icmp"] = { type = kind, id = 7, seq = 9 } }
   for key, value in pairs(more or {}) do packet[key] = value end
   return tf.packet(packet)
end

t.scenario("a ping is answered, whoever is meant, and goes no further", function()
   t.send(tf.left, ping("10.77.0.1", "192.0.2.9", 8))
   t.expect(tf.left, ping("192.0.2.9", "10.77.0.1", 0)) -- every byte, so the checksums too
   t.send(tf.right, ping("fd77::2", "2001:db8::9", 128))
   t.expect(tf.right, ping("2001:db8::9", "fd77::2", 129))
   t.expect_nothing()
end)

t.scenario("the answer starts with a TTL of its own", function()
   local far = ping("10.77.0.1", "192.0.2.9", 8)
   far.ip.ttl = 3
   t.send(tf.left, far)
   t.expect(tf.left, { ip = { ttl = 64 } })
end)

t.scenario("answers, fragments and all else pass", function()
   local fragment = ping("10.77.0.1", "192.0.2.9", 8)
   fragment.ip4.mf = true
   for _, packet in ipairs{ ping("10.77.0.1", "10.77.0.2", 0), ping("fd77::1", "fd77::2", 129), fragment, tf.packet{ udp = {} } } do
      t.send(tf.left, packet)
      t.expect_same(tf.right)
   end
end)

t.scenario("in the name of many nobody answers", function()
   for _, dst in ipairs{ "224.0.0.1", "255.255.255.255", "ff02::1" } do
      t.send(tf.left, ping(dst:find ":" and "fd77::1" or "10.77.0.1", dst, dst:find ":" and 128 or 8))
      t.expect_same(tf.right)
   end
end)

t.scenario("on TAP, the frame is turned round too", { link = "ethernet" }, function()
   local a, b = "02:00:00:00:00:01", "02:00:00:00:00:02"
   t.send(tf.left, ping("10.77.0.1", "10.77.0.2", 8, { eth = { src = a, dst = b } }))
   t.expect(tf.left, ping("10.77.0.2", "10.77.0.1", 0, { eth = { src = b, dst = a } }))
end)
