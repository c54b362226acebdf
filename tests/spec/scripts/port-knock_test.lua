-- What scripts/port-knock.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function syn(port, source)
   return { ip = { src = source or "10.77.0.1", dst = "10.77.0.2" }, tcp = { sport = 4000, dport = port, flags = "S" } }
end

local function knock(...)
   for _, port in ipairs { ... } do
      t.send(tf.left, syn(port))
      t.expect_nothing()
   end
end

local function open(source)
   t.send(tf.left, syn(22, source))
   t.expect_same(tf.right)
end

local function closed(source)
   t.send(tf.left, syn(22, source))
   t.expect_nothing()
end

t.scenario("closed, until somebody knocks; for others still", function()
   closed()
   knock(7000, 8000)
   closed()
   knock(9000)
   open()
   open()
   closed "10.77.0.9"
   t.send(tf.left, { ip = { src = "fd77::1", dst = "fd77::2" }, tcp = { dport = 22, flags = "S" } })
   t.expect_nothing()
end)

t.scenario("it closes again", { set = { seconds = 5 } }, function()
   knock(7000, 8000, 9000)
   t.advance(4.9)
   open()
   t.advance(0.2)
   closed()
   t.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = { sport = 4000, dport = 22, flags = "PA" } })
   t.expect_same(tf.right) -- a connection that was let in lives on
end)

t.scenario("a wrong knock begins anew, a repeated one is nothing", { set = { knocks = "1,2,3", port = 4 } }, function()
   local function result(...)
      for _, port in ipairs { ... } do
         t.send(tf.left, syn(port))
         t.take(tf.right)
      end
      t.send(tf.left, syn(4))
      local opened = t.take(tf.right) ~= nil
      t.advance(31)
      return opened
   end
   assert(result(1, 2, 3))
   assert(result(1, 1, 2, 2, 3))
   assert(not result(2, 1, 3))
   assert(not result(1, 2, 9, 3))
   assert(not result(1, 3, 2, 3))
   assert(result(1, 2, 1, 2, 3))
end)

t.scenario("ten thousand hosts are known at a time", function()
   knock(7000, 8000)
   for i = 1, 10000 do
      t.send(tf.left, syn(7000, ("198.51.%d.%d"):format(i / 256, i % 256)))
      t.take(tf.right)
   end
   t.send(tf.left, syn(9000))
   t.expect_same(tf.right) -- the first two knocks are forgotten
   closed()
end)

t.scenario("other ports, answers and other protocols pass", function()
   for _, packet in ipairs { syn(80), { ip = { dst = "10.77.0.2" }, udp = { dport = 22 } } } do
      t.send(tf.left, packet)
      t.expect_same(tf.right)
   end
   t.send(tf.left, { ip = { dst = "10.77.0.2" }, tcp = { sport = 22, dport = 22, flags = "SA" } })
   t.expect_same(tf.right)
   t.send(tf.right, syn(22))
   t.expect_same(tf.left)
end)

t.scenario("a header that hides its port", function()
   t.send(tf.left, tf.packet(syn(22)):bytes(0, 27))
   t.expect_nothing()
end)

t.scenario("settings that are no list", { set = { knocks = "1,x" }, load_error = "not x" })
