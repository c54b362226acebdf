-- What scripts/pass.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function both_ways(packet)
   t.send(tf.left, packet)
   t.expect_same(tf.right)
   t.send(tf.right, packet)
   t.expect_same(tf.left)
end

t.scenario("packets of all kinds pass as they are", function()
   both_ways{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, icmp = {} }
   both_ways{ ip = { src = "10.77.0.1", dst = "10.77.0.2", ttl = 1 }, tcp = {}, payload = "x" }
   both_ways{ ip = { src = "fd77::1", dst = "fd77::2" }, udp = {} }
   both_ways(tf.packet{ udp = { checksum = 1 }, ip4 = { checksum = 2 }, raw = true })
end)

t.scenario("and frames", { link = "ethernet" }, function()
   both_ways{ eth = {}, arp = {} }
   both_ways{ eth = { type = 0x9000 }, payload = "anything" }
end)
