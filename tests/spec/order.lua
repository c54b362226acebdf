-- Rules for order_test.lua: callbacks in their order, verdicts, and what a script sends by itself. What
-- happens to a packet is in its payload.
local tf = require "tunfilter"

local verdicts = { forward = tf.forward, drop = tf.drop, reply = tf.reply, wrong = 42 }

local function note(text)
   return function(pkt) pkt.payload = pkt.payload .. text end
end

tf.on_start(function() tf.send(tf.right, tf.packet{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = {}, payload = "start" }) end)
tf.on_stop(function() tf.send(tf.left, tf.packet{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = {}, payload = "stop" }) end)

tf.on_packet(note " all")
tf.on_packet{ from = tf.left, note " left" }
tf.on_packet{ "udp", from = tf.right, name = "right's UDP", note " right udp" }
tf.on_packet("udp port 53", note " dns")
tf.on_packet("udp", function(pkt)
   if pkt.payload:find "^send" then
      pkt.payload = "sent 1"
      tf.send(pkt.to, pkt)
      tf.send(pkt.from, pkt)
      pkt.payload = "sent 2"
      tf.send(pkt.to, pkt:copy())
   end
   if pkt.payload:find "^later" then
      local copy = pkt:copy()
      tf.after(1, function()
         copy.payload = "after"
         tf.send(tf.right, copy)
      end)
   end
   return verdicts[pkt.payload:match "^%a+"]
end)
tf.on_packet(note " last")

local count = 0
tf.on_packet("icmp", function() return tf.drop end)
local timer
timer = tf.every(10, function()
   count = count + 1
   tf.log("tick", count, "at", tf.now())
   if count == 3 then timer:cancel() end
   if count == 2 then error "the second tick" end
end)
