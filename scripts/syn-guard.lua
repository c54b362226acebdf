-- Guards against SYN floods: somebody sends TCP SYNs from made-up addresses, and the server keeps room
-- for connections that never come. Who does not exist does not try again; a real client does, a
-- second later. So while too many SYNs come, the first of each connection is dropped, the second passes.
--
--    tunfilter lab scripts/syn-guard.lua --set rate=1 --on-right "python3 -m http.server 8000" \
--       -- sh -c "curl -sI right:8000; curl -sI right:8000; curl -sI right:8000"
local tf = require "tunfilter"

local rate = assert(tonumber(tf.args.rate or 100), "rate: a number") -- SYNs a second that pass without a second try
local calm = tf.limiter{ rate = rate }
local doubted = tf.counter "SYNs doubted"
local believed = tf.counter "SYNs believed"

-- One SYN is all that a flood spends on a connection, so these are many and short. There are
-- tf.flow.max at most: the oldest goes first, and the guard itself does not run out of memory.
tf.flow.timeout = 30

tf.on_packet{ from = tf.left, name = "SYN guard", function(pkt)
   local tcp = pkt.tcp
   if not tcp or not tcp.flags.syn or tcp.flags.ack then return end

   -- The second try has the same ports, and the same sequence number.
   local flow = tf.flow(pkt)
   if flow.seq == tcp.seq then
      if not flow.known then believed:add() end
      flow.known = true
      return
   end
   flow.seq = tcp.seq
   flow.known = calm:allow()
   if flow.known then return end
   doubted:add()
   return tf.drop
end }
