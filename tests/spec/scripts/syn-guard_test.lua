-- What scripts/syn-guard.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function syn(port, seq)
   return { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = { sport = port, dport = 80, seq = seq, flags = "S" } }
end

local function passes(what)
   t.send(tf.left, what)
   t.expect_same(tf.right)
end

local function dropped(what)
   t.send(tf.left, what)
   t.expect_nothing()
end

t.scenario("what is in the rate passes at once", { set = { rate = 10 } }, function()
   for port = 1, 10 do passes(syn(port, port)) end
   t.advance(0.1)
   passes(syn(11, 11))
end)

t.scenario("above it, only who tries again", { set = { rate = 1 } }, function()
   passes(syn(1, 1))
   dropped(syn(2, 2))
   dropped(syn(3, 3))
   t.advance(0.5)
   passes(syn(3, 3))
   passes(syn(3, 3)) -- and again: it was believed
   dropped(syn(2, 99)) -- the same ports, another sequence number
   passes(syn(2, 99))
end)

t.scenario("all else passes", { set = { rate = 1 } }, function()
   passes(syn(1, 1))
   dropped(syn(2, 2))
   passes{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = { sport = 2, dport = 80, flags = "A" } }
   passes{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = { sport = 2, dport = 80, flags = "SA" } }
   passes{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = {} }
   t.send(tf.right, { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, tcp = { flags = "S" } })
   t.expect_same(tf.left)
end)

t.scenario("who takes too long has to begin again", { set = { rate = 1 } }, function()
   passes(syn(1, 1))
   dropped(syn(2, 2))
   t.advance(30.1)
   passes(syn(9, 9)) -- takes the token that has come meanwhile
   dropped(syn(2, 2))
end)

t.scenario("made-up addresses", { set = { rate = 5 } }, function()
   local came = 0
   for i = 1, 2000 do
      t.send(tf.left, { ip = { src = ("198.51.%d.%d"):format(i / 256, i % 256), dst = "10.77.0.2" }, tcp = { dport = 80, seq = i, flags = "S" } })
      if t.take(tf.right) then came = came + 1 end
   end
   assert(came == 5, came)
   dropped(syn(1, 1))
   passes(syn(1, 1))
end)
