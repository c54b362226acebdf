-- Counts the packets of each connection.
local tf = require "tunfilter"

tf.flow.max = 2097152
tf.on_packet(function(pkt)
   local flow = tf.flow(pkt)
   flow.packets = (flow.packets or 0) + 1
end)
