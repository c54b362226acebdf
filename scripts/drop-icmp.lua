-- Drops ICMP: pings go unanswered, while TCP and UDP still pass.
--
--    tunfilter lab scripts/drop-icmp.lua -v -- ping -c 2 -W 1 right
local tf = require "tunfilter"

-- The text is an expression as tcpdump takes it. Only packets that it selects come here. (On TAP it
-- does not look behind a VLAN's tag: that would be "icmp or (vlan and icmp)".)
tf.on_packet("icmp", function(pkt)
   return tf.drop
end)

-- IPv6 cannot live without ICMPv6: it finds neighbours and packet sizes with it. So only echo
-- requests (128) and answers (129) go. A cut-off packet has no header: pkt.icmp6 is nil then.
tf.on_packet("ip6", function(pkt)
   local icmp6 = pkt.icmp6
   if icmp6 and (icmp6.type == 128 or icmp6.type == 129) then return tf.drop end
end)
