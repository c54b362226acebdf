-- What a script keeps between packets: flows, limiters, counters, chance.
local core = require "tunfilter.core"
local runtime = require "tunfilter.runtime"
local state = require "tunfilter.state"

local function at(seconds) core.context.now = seconds end

-- 10.77.0.1:port > 10.77.0.2:80 over TCP, with these flags, and the way back.
local function there(port, flags)
   return show(unhex(("45000028000000004006ffff0a4d00010a4d0002%04x005000000000000000005%03x000000000000"):format(port, flags or 16)))
end

local function back(port, flags)
   return show(unhex(("45000028000000004006ffff0a4d00020a4d00010050%04x00000000000000005%03x000000000000"):format(port, flags or 16)))
end

at(100)

test("what tf.flow has, and what it refuses", function()
   equal(state.flow.timeout, 300)
   equal(state.flow.max, 65536)
   equal(state.flow.count, 0)
   throws("tf.flow has timeout (seconds), max and count", function() return state.flow.timeot + 1 end)
   throws("tf.flow has timeout (seconds) and max", function() state.flow.count = 1 end)
   throws("tf.flow.timeout is a number of seconds above 0, not 0", function() state.flow.timeout = 0 end)
   throws("tf.flow.timeout is a number of seconds above 0, not nan", function() state.flow.timeout = 0 / 0 end)
   throws("tf.flow.timeout is a number of seconds above 0, not 60", function() state.flow.timeout = "60" end)
   throws("tf.flow.max is at least 1", function() state.flow.max = 0 end)
   throws("tf.flow.max: 16777217 is not in 0..16777216", function() state.flow.max = 2 ^ 24 + 1 end)
   throws("tf.flow.max: 1.5 is not a whole number", function() state.flow.max = 1.5 end)
   throws("tf.flow takes a packet, not nil", function() return #state.flow() end)
   throws("tf.flow takes a packet, not string", function() return #state.flow "x" end)
   equal(getmetatable(state.flow), "tf.flow")
end)

test("a flow's table", function()
   state.flow.max = 3
   local flow = state.flow(there(1))
   flow.x = 1
   equal(state.flow(back(1)), flow)
   equal(state.flow(there(1):copy()), flow)
   equal(state.flow(there(2)) ~= flow, true)
   equal(next(state.flow(back(2))), nil)
   equal(state.flow.count, 2)
   equal(state.flow(show("\5")), nil)
   throws("set before the first tf.flow(pkt)", function() state.flow.max = 5 end)
end)

test("flows are bounded, the oldest goes first", function()
   state.flow(there(1)).mark = 1
   state.flow(there(2)).mark = 2
   state.flow(there(3)).mark = 3
   state.flow(there(1))
   equal(state.flow(there(4)).mark, nil) -- in the place of 2
   equal(state.flow(there(1)).mark, 1)
   equal(state.flow(there(3)).mark, 3)
   equal(state.flow(there(2)).mark, nil)
   equal(state.flow.count, 3)
end)

test("flows end by time, FIN and RST", function()
   state.flow.timeout = 60
   state.flow(there(1)).mark = 1
   at(160)
   equal(state.flow(back(1)).mark, 1)
   at(220.5)
   equal(state.flow(there(1)).mark, nil)
   state.flow(there(1)).mark = 1
   state.flow(there(1, 17))
   at(250)
   equal(state.flow(back(1, 17)).mark, 1)
   at(261)
   equal(state.flow(there(1)).mark, nil)
   state.flow(there(1, 4)).mark = 1
   equal(state.flow(there(1, 18)).mark, 1)
   equal(state.flow(there(1, 2)).mark, nil)
end)

test("a limiter fills at its rate, up to its burst", function()
   at(1000)
   local limiter = state.limiter{ rate = 10, burst = 3 }
   local function allowed(cost)
      local n = 0
      while limiter:allow(cost) do n = n + 1 end
      return n
   end
   equal(allowed(), 3)
   at(1000.25)
   equal(allowed(), 2)
   at(1000.35) -- half a token was left
   equal(allowed(1.5), 1)
   at(2000)
   equal(limiter:allow(3.5), false)
   equal(allowed(0.5), 6)
   equal(limiter:allow(0), true)
   equal(tostring(limiter), "limiter of 10 a second, burst 3")
   limiter = state.limiter{ rate = 5 }
   equal(allowed(), 5)
   limiter = state.limiter{ rate = 0.1 }
   equal(allowed(), 1)
   limiter = state.limiter{ rate = 0, burst = 2 }
   at(1e6)
   equal(allowed(), 2)
end)

test("a limiter's rate over a long time", function()
   at(5000)
   local limiter = state.limiter{ rate = 100, burst = 7 }
   local n = 0
   for i = 1, 100000 do
      at(5000 + i / 1000)
      if limiter:allow() then n = n + 1 end
   end
   assert(n == 10007 or n == 10006, n)
end)

test("what limiters refuse", function()
   throws("tf.limiter takes { rate =, burst = }, not a number", function() return state.limiter(5).x end)
   throws("tf.limiter has no member 'rte': did you mean 'rate'?", function() return state.limiter{ rte = 5 }.x end)
   throws("rate is a number of tokens a second from 0, not nil", function() return state.limiter{}.x end)
   throws("rate is a number of tokens a second from 0, not -1", function() return state.limiter{ rate = -1 }.x end)
   throws("rate is a number of tokens a second from 0, not inf", function() return state.limiter{ rate = 1 / 0 }.x end)
   throws("burst is a number of tokens above 0, not 0", function() return state.limiter{ rate = 1, burst = 0 }.x end)
   throws("burst is a number of tokens above 0, not nan", function() return state.limiter{ rate = 1, burst = 0 / 0 }.x end)
   local limiter = state.limiter{ rate = 1 }
   throws("allow: the cost is a number from 0, not -1", function() return limiter:allow(-1) and 1 end)
   throws("allow: the cost is a number from 0, not nan", function() return limiter:allow(0 / 0) and 1 end)
   throws("allow: call it with a colon", function() return limiter.allow() and 1 end)
   throws("constant", function() limiter.rate = 5 end)
end)

test("counters", function()
   local counter = state.counter "seen"
   equal(counter.value, 0)
   counter:add()
   counter:add(2.5)
   state.counter("seen"):add(-1)
   equal(counter.value, 2.5)
   equal(tostring(counter), "2.5")
   state.counter "a\27[31m\n"
   local list = runtime.counters()
   equal(#list, 2)
   equal(list[1][1], "seen")
   equal(list[1][2], 2.5)
   equal(list[2][1], "a\\x1b[31m\\x0a")
   throws("a name of 1 to 40 bytes, not nil", function() return state.counter().x end)
   throws("a name of 1 to 40 bytes", function() return state.counter "".x end)
   throws("a name of 1 to 40 bytes", function() return state.counter(("x"):rep(41)).x end)
   throws("add: a number, not x", function() counter:add "x" end)
   throws("add: a number, not nan", function() counter:add(0 / 0) end)
   throws("add: call it with a colon", function() counter.add(5) end)
   throws("cannot convert 'string' to 'double'", function() counter.value = "x" end)
   for i = 3, 1000 do state.counter("counter " .. i) end
   throws("there are 1000 counters already", function() return state.counter "one more".x end)
   equal(state.counter("seen"), counter)
end)

test("random numbers are those of the generator that is named", function()
   for seed, numbers in pairs(python "random_vectors.py") do
      state.seed(seed)
      for _, number in ipairs(numbers) do equal(state.random() * 2 ^ 53, number) end
   end
end)

test("whole random numbers", function()
   state.seed(5)
   for _, range in ipairs { { 1, 6 }, { -3, 3 }, { 7, 7 }, { -2 ^ 53, 2 ^ 53 } } do
      local low, high = range[1], range[2]
      local seen = {}
      for _ = 1, 1000 do
         local number = state.random(low, high)
         assert(number >= low and number <= high and number % 1 == 0, number)
         seen[number] = true
      end
      for number = low, math.min(high, low + 10) do assert(seen[number] or high > 100, number) end
   end
   local counts = { 0, 0, 0 }
   for _ = 1, 30000 do
      local number = state.random(3)
      counts[number] = counts[number] + 1
   end
   for _, n in ipairs(counts) do assert(math.abs(n - 10000) < 4 * math.sqrt(30000 * 2 / 9), n) end
   throws("nothing from 1 to 0", function() return state.random(0) + 1 end)
   throws("nothing from 5 to 4", function() return state.random(5, 4) + 1 end)
   throws("the first argument is a whole number, not 1.5", function() return state.random(1.5) + 1 end)
   throws("the second argument is a whole number, not x", function() return state.random(1, "x") + 1 end)
   throws("the first argument is a whole number, not nan", function() return state.random(0 / 0) + 1 end)
   throws("the first argument is a whole number, not inf", function() return state.random(1 / 0) + 1 end)
end)

test("a seed repeats all chance; streams go their own way", function()
   local function run(others)
      state.seed(42)
      local one, two = state.stream(), state.stream()
      local numbers = {}
      for _ = 1, 100 do
         numbers[#numbers + 1] = one()
         for _ = 1, others do
            state.random()
            two()
         end
      end
      return numbers, { state.random(), math.random(), two() }
   end
   local first, first_others = run(1)
   local second, second_others = run(1)
   local third = run(5)
   for i = 1, 100 do
      equal(second[i], first[i])
      equal(third[i], first[i])
   end
   for i = 1, 3 do equal(second_others[i], first_others[i]) end
   local seen = {}
   for _, number in ipairs(first) do
      assert(number >= 0 and number < 1 and not seen[number])
      seen[number] = true
   end
   for _, number in ipairs(first_others) do assert(not seen[number]) end
   state.seed(43)
   assert(state.stream()() ~= first[1])
end)
