-- What scripts/limit-host.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function datagram(source)
   return { ip = { src = source, dst = "10.77.0.2" }, udp = {}, payload = ("x"):rep(972) } -- 1000 bytes
end

local function send(source, n)
   local passed = 0
   for _ = 1, n do
      t.send(tf.left, datagram(source))
      if t.take(tf.right) then passed = passed + 1 end
   end
   return passed
end

local function equal(got, expected)
   if got ~= expected then error(("%d packets passed, expected %d"):format(got, expected), 2) end
end

-- 80 kbit are 10,000 bytes a second; 3,000 may come at once.
t.scenario("a burst, then the rate", { set = { kbit = 80 } }, function()
   equal(send("10.77.0.1", 10), 3)
   t.advance(0.1)
   equal(send("10.77.0.1", 10), 1)
   t.advance(10)
   equal(send("10.77.0.1", 10), 3)
end)

t.scenario("each host has its own", { set = { kbit = 80 } }, function()
   equal(send("10.77.0.1", 4), 3)
   equal(send("10.77.0.9", 4), 3)
   t.send(tf.right, { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, udp = {} })
   t.expect_same(tf.left)
end)

t.scenario("a busy host is remembered for longer than a minute", { set = { kbit = 8 } }, function()
   equal(send("10.77.0.1", 4), 3)
   for _ = 1, 61 do
      t.advance(1)
      equal(send("10.77.0.1", 4), 1)
   end
end)

t.scenario("made-up addresses do not pile up, nor free a busy host", { set = { kbit = 8, hosts = 100 } }, function()
   equal(send("10.77.0.1", 4), 3)
   for i = 1, 99 do equal(send("10.1.0." .. i, 1), 1) end
   equal(send("10.2.0.1", 1), 1) -- one too many
   equal(send("10.77.0.1", 1), 0)
end)

t.scenario("who has been silent is forgotten: after two minutes, or for others", { set = { kbit = 0.008, hosts = 100 } }, function()
   equal(send("10.77.0.1", 4), 3)
   t.advance(121)
   equal(send("10.77.0.1", 4), 3)
   for i = 1, 200 do equal(send("10.1.0." .. i, 1), 1) end
   equal(send("10.77.0.1", 4), 3)
end)

t.scenario("what is not IP passes", { link = "ethernet" }, function()
   t.send(tf.left, { eth = { dst = "ff:ff:ff:ff:ff:ff", type = 0x88b5 }, payload = "?" })
   t.expect_same(tf.right)
end)
