-- What scripts/firewall.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local inside, outside = "10.77.0.1", "10.77.0.2"

local function tcp(from_inside, flags, port)
   if from_inside then
      return { ip = { src = inside, dst = outside }, tcp = { sport = port or 4000, dport = 80, flags = flags } }
   end
   return { ip = { src = outside, dst = inside }, tcp = { sport = 80, dport = port or 4000, flags = flags } }
end

local function passes(side, what)
   t.send(side, what)
   t.expect_same(side == tf.left and tf.right or tf.left)
end

local function refused(what)
   t.send(tf.right, what)
   t.expect_nothing()
end

t.scenario("a connection from inside, and its answers", function()
   passes(tf.left, tcp(true, "S"))
   passes(tf.right, tcp(false, "SA"))
   passes(tf.left, tcp(true, "A"))
   passes(tf.right, tcp(false, "PA"))
end)

t.scenario("nothing from outside that was not asked for", function()
   refused(tcp(false, "S"))
   refused(tcp(false, "SA"))
   refused(tcp(false, "R"))
   refused{ ip = { src = outside, dst = inside }, udp = { sport = 53, dport = 4000 } }
   refused{ ip = { src = outside, dst = inside }, icmp = { type = 8 } }
   refused{ ip = { src = "fd77::2", dst = "fd77::1" }, tcp = { dport = 22, flags = "S" } }
   passes(tf.left, tcp(true, "S"))
   refused(tcp(false, "SA", 4001)) -- another port
end)

t.scenario("a question over UDP, and pings", function()
   passes(tf.left, { ip = { src = inside, dst = outside }, udp = { sport = 4000, dport = 53 } })
   passes(tf.right, { ip = { src = outside, dst = inside }, udp = { sport = 53, dport = 4000 } })
   passes(tf.left, { ip = { src = inside, dst = outside }, icmp = { type = 8, id = 7 } })
   passes(tf.right, { ip = { src = outside, dst = inside }, icmp = { type = 0, id = 7 } })
   refused{ ip = { src = outside, dst = inside }, icmp = { type = 0, id = 8 } }
end)

t.scenario("an ended connection is over", function()
   passes(tf.left, tcp(true, "S"))
   passes(tf.right, tcp(false, "FA"))
   passes(tf.left, tcp(true, "FA"))
   passes(tf.right, tcp(false, "A"))
   refused(tcp(false, "S")) -- the same ports, begun from outside
end)

t.scenario("silence ends a connection", function()
   passes(tf.left, tcp(true, "S"))
   t.advance(299)
   passes(tf.right, tcp(false, "SA"))
   t.advance(301)
   refused(tcp(false, "A"))
end)

t.scenario("errors come through if they are about what the inside has sent", function()
   local function about(what, kind)
      return { ip = { src = "10.77.0.9", dst = inside }, icmp = { type = kind or 3 }, payload = tf.packet(what):bytes(0, 27) }
   end
   local function too_big(what)
      return { ip = { src = "fd77::9", dst = "fd77::1" }, icmp6 = { type = 2 }, payload = tf.packet(what):bytes() }
   end
   local six = { ip = { src = "fd77::1", dst = "fd77::2" }, udp = { sport = 4000, dport = 53 } }
   refused(about(tcp(true, "S")))
   refused(too_big(six))
   passes(tf.left, tcp(true, "S"))
   passes(tf.left, six)
   passes(tf.right, about(tcp(true, "S")))
   passes(tf.right, about(tcp(true, "A"), 11))
   passes(tf.right, too_big(six))
   refused(about(tcp(true, "S", 4001)))
   refused{ ip = { src = outside, dst = inside }, icmp = { type = 3 } }
   passes(tf.right, about(tcp(true, "R"))) -- that somebody has quoted a RST ends no connection
   t.advance(20)
   passes(tf.right, tcp(false, "SA"))
end)

t.scenario("neighbours and fragments come through, broken packets do not", function()
   passes(tf.right, { ip = { src = "fe80::9", dst = "fd77::1" }, icmp6 = { type = 135 } })
   refused{ ip = { src = "fe80::9", dst = "fd77::1" }, icmp6 = { type = 138 } }
   refused{ ip = { src = outside, dst = inside, proto = 47 }, payload = "tunnelled" }
   local whole = tf.packet{ ip = { src = outside, dst = inside }, udp = { sport = 53, dport = 9 }, payload = ("x"):rep(32) }
   local later = whole:copy()
   later.ip4.offset = 64
   passes(tf.right, later)
   refused(whole:bytes(0, 25)) -- the UDP header is cut off
end)

t.scenario("ARP passes", { link = "ethernet" }, function()
   passes(tf.right, { arp = { op = 1, spa = outside, tpa = inside } })
   t.send(tf.right, { eth = { type = 0x88b5 }, payload = "?" })
   t.expect_nothing()
end)
