-- What scripts/bad-link.lua promises; that losses and delays are spread as they should is netem's to prove.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function datagram(n)
   return { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = { sport = 5, dport = n }, payload = ("x"):rep(972) }
end

local function count(side)
   local n = 0
   while t.take(side) do n = n + 1 end
   return n
end

t.scenario("a delay, in both directions", { set = { delay = 0.2, jitter = 0, loss = 0 } }, function()
   t.send(tf.left, datagram(1))
   t.send(tf.right, datagram(2))
   t.expect_nothing()
   t.advance(0.199)
   t.expect_nothing()
   t.advance(0.001)
   t.expect(tf.right, { udp = { dport = 1 } })
   t.expect(tf.left, { udp = { dport = 2 } })
end)

t.scenario("without settings: 40 to 60 ms, a loss now and then", function()
   for i = 1, 1000 do t.send(tf.left, datagram(i)) end
   t.advance(0.039)
   t.expect_nothing()
   t.advance(0.022)
   local passed = count(tf.right)
   assert(passed > 960 and passed < 1000, passed)
   t.advance(1)
end)

t.scenario("a rate in words", { set = { delay = 0, jitter = 0, loss = 0, rate = "8mbit" } }, function()
   for i = 1, 3 do t.send(tf.left, datagram(i)) end -- a thousand bytes each, a millisecond
   for i = 1, 3 do
      t.advance(0.00099)
      t.expect_nothing()
      t.advance(0.00001)
      t.expect(tf.right, { udp = { dport = i } })
   end
end)

t.scenario("losses in bursts, as many in all", { set = { delay = 0, jitter = 0, loss = 0.2, burst = 10 } }, function()
   local lost, bursts, last = 0, 0, true
   for i = 1, 20000 do
      t.send(tf.left, datagram(i))
      local passed = t.take(tf.right) ~= nil
      if not passed then lost = lost + 1 end
      if last and not passed then bursts = bursts + 1 end
      last = passed
   end
   assert(lost > 3000 and lost < 5000, lost)
   assert(lost / bursts > 8 and lost / bursts < 12, lost / bursts)
end)

t.scenario("a setting that there is not", { set = { dealy = 1 }, load_error = "did you mean 'delay'" })
t.scenario("a setting out of range", { set = { loss = 20 }, load_error = "netem: loss" })
