-- What scripts/arp-answer.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local host, broadcast = "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"
local on_tap = { link = "ethernet" }

local function request(spa, tpa, more)
   local arp = { op = 1, sha = host, spa = spa, tpa = tpa }
   for key, value in pairs(more or {}) do arp[key] = value end
   return { eth = { src = host, dst = broadcast }, arp = arp }
end

t.scenario("who has 10.77.0.99? The machine that is not there", on_tap, function()
   t.send(tf.left, request("10.77.0.1", "10.77.0.99"))
   t.expect(tf.left, tf.packet{ eth = { src = "02:00:00:00:00:99", dst = host },
                                arp = { op = 2, sha = "02:00:00:00:00:99", spa = "10.77.0.99", tha = host, tpa = "10.77.0.1" } })
   t.expect_nothing()
end)

t.scenario("it answers on both sides, and behind a VLAN tag", on_tap, function()
   local asked = request("10.77.0.2", "10.77.0.96")
   asked.eth.vlan = 7
   t.send(tf.right, asked)
   t.expect(tf.right, { eth = { vlan = 7, dst = host }, arp = { op = 2, spa = "10.77.0.96" } })
end)

t.scenario("other addresses, and what is no request, pass", on_tap, function()
   for _, packet in ipairs{ request("10.77.0.1", "10.77.0.2"), request("10.77.0.1", "10.77.0.112"),
                            request("10.77.0.1", "10.77.0.99", { op = 2 }), request("10.77.0.99", "10.77.0.99"),
                            request("0.0.0.0", "10.77.0.99"),
                            { eth = {}, ip = { src = "10.77.0.1", dst = "10.77.0.99" }, icmp = {} } } do
      t.send(tf.left, packet)
      t.expect_same(tf.right)
   end
   t.send(tf.left, tf.packet(request("10.77.0.1", "10.77.0.99")):bytes(0, 40)) -- cut off
   t.expect_same(tf.right)
end)

t.scenario("another range and machine", { link = "ethernet", set = { range = "192.0.2.0/24", mac = "02:00:00:00:00:42" } }, function()
   t.send(tf.left, request("192.0.2.200", "192.0.2.9"))
   t.expect(tf.left, { arp = { op = 2, sha = "02:00:00:00:00:42", spa = "192.0.2.9" } })
   t.send(tf.left, request("10.77.0.1", "10.77.0.99"))
   t.expect_same(tf.right)
end)
