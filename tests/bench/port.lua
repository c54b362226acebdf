-- An expression and a port rule, both of which every packet of the benchmark meets.
local tf = require "tunfilter"

tf.on_packet("udp and dst net 10.0.0.0/8", function(pkt)
   if pkt.udp.dport == 53 then
      return tf.drop
   end
end)
