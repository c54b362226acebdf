-- What scripts/udp-tunnel.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function unhex(text)
   return (text:gsub("%X", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

-- Made by scapy: a ping from 10.77.0.1, and the same in UDP from 192.0.2.1 to 192.0.2.2; and a packet of IPv6.
local ping = unhex "4500002000010000400166400a4d00010a4d00020800192d0001000170696e67"
local wrapped = unhex "4500003c000100004011f6acc0000201c000020212921292002856764500002000010000400166400a4d00010a4d00020800192d0001000170696e67"
local six = unhex "60000000000b1140fd770000000000000000000000000001fd77000000000000000000000000000200010002000b1979736978"
local six_wrapped = unhex [[
   4500004f000100004011f699c0000201c000020212921292003be52060000000000b1140fd77000000000000000000000000
   0001fd77000000000000000000000000000200010002000b1979736978 ]]

local far_end = { set = { inside = "right", here = "192.0.2.2", there = "192.0.2.1" } }

t.scenario("packets from the inside are wrapped", function()
   t.send(tf.left, ping)
   t.expect(tf.right, wrapped)
   t.send(tf.left, six)
   t.expect(tf.right, six_wrapped)
end)

t.scenario("the other end unwraps them", far_end, function()
   t.send(tf.left, wrapped)
   t.expect(tf.right, ping)
   t.send(tf.left, six_wrapped)
   t.expect(tf.right, six)
end)

t.scenario("what comes back is wrapped there, and unwrapped here", far_end, function()
   t.send(tf.right, ping)
   t.expect(tf.left, { ip = { src = "192.0.2.2", dst = "192.0.2.1" }, udp = { sport = 4754, dport = 4754 }, payload = ping })
end)

t.scenario("here it is unwrapped", function()
   t.send(tf.right, { ip = { src = "192.0.2.2", dst = "192.0.2.1" }, udp = { sport = 4754, dport = 4754 }, payload = ping })
   t.expect(tf.left, ping)
end)

t.scenario("from the outside comes only what the other end sent", function()
   local function from(src, dst, port, payload)
      t.send(tf.right, { ip = { src = src, dst = dst }, udp = { dport = port }, payload = payload })
      t.expect_nothing()
   end
   from("192.0.2.3", "192.0.2.1", 4754, ping)
   from("192.0.2.2", "192.0.2.3", 4754, ping)
   from("192.0.2.2", "192.0.2.1", 4755, ping)
   for _, payload in ipairs{ "", "x", ping:sub(1, 19), ping:sub(1, 25), ("\0"):rep(40) } do from("192.0.2.2", "192.0.2.1", 4754, payload) end
   t.send(tf.right, ping)
   t.expect_nothing()
end)

t.scenario("what does not fit with its new headers is dropped", function()
   t.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = {}, payload = ("x"):rep(1500 - 28 - 28) })
   t.expect(tf.right, { len = 1500 })
   t.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = {}, payload = ("x"):rep(1500 - 28 - 27) })
   t.expect_nothing()
end)

t.scenario("over IPv6", { set = { here = "2001:db8::1", there = "2001:db8::2", port = 99 } }, function()
   t.send(tf.left, ping)
   t.expect(tf.right, { ip6 = { src = "2001:db8::1", dst = "2001:db8::2" }, udp = { dport = 99 }, payload = ping })
end)
