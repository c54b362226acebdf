-- What scripts/count-protocols.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function send(side, packet)
   t.send(side, packet)
   t.expect_same(side == tf.left and tf.right or tf.left)
end

t.scenario("packets and bytes, by protocol, the busiest first", function()
   for i = 1, 3 do send(tf.left, { udp = {}, payload = ("x"):rep(i) }) end
   for _ = 1, 2 do send(tf.right, { icmp = {} }) end
   send(tf.left, { ip = { src = "fd77::1", dst = "fd77::2" }, icmp6 = {} })
   t.advance(5)
   t.expect_log "UDP                     3 packets         90 bytes"
   t.expect_log "ICMP                    2 packets         56 bytes"
   t.expect_log "ICMPv6                  1 packets         48 bytes"
end)

t.scenario("every so many seconds, and at the end", { set = { seconds = 60 } }, function()
   send(tf.left, { tcp = {} })
   t.advance(60)
   t.expect_log "TCP                     1 packets         40 bytes"
   send(tf.left, { tcp = {} })
   t.stop()
   t.expect_log "TCP                     2 packets         80 bytes"
end)

t.scenario("protocols without a name here", function()
   send(tf.left, { ip4 = { proto = 200 } })
   t.stop()
   t.expect_log "IP protocol 200         1 packets         20 bytes"
end)

t.scenario("ARP, and frames of other kinds", { link = "ethernet" }, function()
   send(tf.left, { eth = {}, arp = {} })
   for _ = 1, 2 do send(tf.left, { eth = { type = 0x9000 }, payload = "x" }) end
   t.stop()
   t.expect_log "other                   2 packets         30 bytes"
   t.expect_log "ARP                     1 packets         42 bytes"
end)
