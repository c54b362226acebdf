-- What scripts/drop-icmp.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local v4, v6 = { src = "10.77.0.1", dst = "10.77.0.2" }, { src = "fd77::1", dst = "fd77::2" }

t.scenario("ICMP is dropped, from both sides", function()
   for kind = 0, 18 do
      t.send(tf.left, { ip = v4, icmp = { type = kind } })
      t.send(tf.right, { ip = v4, icmp = { type = kind } })
      t.expect_nothing()
   end
end)

t.scenario("of ICMPv6 only pings", function()
   for kind = 1, 140 do
      t.send(tf.left, { ip = v6, icmp6 = { type = kind } })
      if kind == 128 or kind == 129 then t.expect_nothing() else t.expect_same(tf.right) end
   end
end)

t.scenario("TCP and UDP pass", function()
   for _, ip in ipairs{ v4, v6 } do
      t.send(tf.left, { ip = ip, tcp = {} })
      t.expect_same(tf.right)
      t.send(tf.right, { ip = ip, udp = {} })
      t.expect_same(tf.left)
   end
end)

t.scenario("IPv6 that is cut off is no error", function()
   t.send(tf.left, tf.packet{ ip = v6, icmp6 = {} }:bytes(0, 43))
   t.expect_same(tf.right)
end)
