-- An expression and a port rule, both of which every packet of the benchmark meets.
local tf = require "tunfilter"

tf.on_packet("ip and (tcp or udp) and dst net 10.0.0.0/8", function(pkt)
   local header = pkt.tcp or pkt.udp
   if header.dport == 53 then return tf.drop end
end)
