-- The order in which things happen, and what verdicts do.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function udp(payload, port)
   return tf.packet{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = { sport = 1000, dport = port or 2000 },
                     payload = payload }
end

local function started()
   t.expect(tf.right, { payload = "start" })
   t.expect_nothing()
end

t.scenario("callbacks run in the order of their registration, each for its packets", function()
   started()
   t.send(tf.left, udp "x")
   t.expect(tf.right, { payload = "x all left last" })
   t.send(tf.right, udp "x")
   t.expect(tf.left, { payload = "x all right udp last" })
   t.send(tf.right, udp("x", 53))
   t.expect(tf.left, { payload = "x all right udp dns last" })
end)

t.scenario("a verdict ends the chain", function()
   started()
   t.send(tf.left, udp "forward")
   t.expect(tf.right, { payload = "forward all left" })
   t.send(tf.left, udp "reply")
   t.expect(tf.left, { payload = "reply all left" })
   t.send(tf.left, udp "drop")
   t.expect_nothing()
end)

t.scenario("what is no verdict is an error, and the packet is dropped", function()
   started()
   t.send(tf.left, udp "wrong")
   t.expect_error "returned 42"
   t.expect_nothing()
   t.send(tf.left, udp "forward")
   t.expect(tf.right, { payload = "forward all left" })
end)

t.scenario("or forwarded as it is", { on_error = "forward" }, function()
   started()
   t.send(tf.left, udp "wrong")
   t.expect_error "returned 42"
   t.expect(tf.right, { payload = "wrong all left" })
end)

t.scenario("what a callback sends goes before its packet, as it was then", function()
   started()
   t.send(tf.left, udp "send")
   t.expect(tf.right, { payload = "sent 1" })
   t.expect(tf.right, { payload = "sent 2" })
   t.expect(tf.right, { payload = "sent 2 last" })
   t.expect(tf.left, { payload = "sent 1" })
end)

t.scenario("a copy is kept, and sent from a timer", function()
   started()
   t.advance(0.5)
   t.send(tf.left, udp "later")
   t.expect(tf.right, { payload = "later all left last" })
   t.advance(0.9)
   t.expect_nothing()
   t.advance(0.2)
   local time = t.expect(tf.right, { payload = "after" }).time
   assert(math.abs(time - 1.5) < 1e-6, time)
end)

t.scenario("timers run at their times, after an error too, until they are cancelled", function()
   started()
   t.advance(100)
   t.expect_log "tick\t1\tat\t10"
   t.expect_log "tick\t2\tat\t20"
   t.expect_log "tick\t3\tat\t30"
   t.expect_error "the second tick"
   t.expect_nothing()
end)

t.scenario("on_stop comes last", function()
   started()
   t.stop()
   t.expect(tf.left, { payload = "stop" })
end)
