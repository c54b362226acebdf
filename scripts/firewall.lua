-- A stateful firewall: left is inside and may ask whatever it likes; from outside comes only what
-- belongs to something that the inside began.
--
--    tunfilter lab scripts/firewall.lua -- ping -c 2 right
local tf = require "tunfilter"

local from_inside = tf.counter "packets from inside"
local refused = tf.counter "packets refused"

-- tf.flow gives a table for the connection, the same one for both directions: what the inside writes
-- into it, the answer finds there.
tf.on_packet{ from = tf.left, name = "inside", function(pkt)
   local flow = tf.flow(pkt)
   if flow then flow.asked = true end
   from_inside:add()
end }

local with_ports = { [1] = true, [6] = true, [17] = true, [58] = true } -- ICMP, TCP, UDP, ICMPv6

local function welcome(pkt)
   if not pkt.ip then return pkt.arp ~= nil end -- ARP, on TAP: nobody is found without it
   if pkt.malformed then return false end
   if tf.flow(pkt).asked then return true end

   -- An error (unreachable, too big, time exceeded) quotes the packet that it is about: one of the
   -- inside's? Neighbour discovery is IPv6's ARP.
   if pkt.quoted then return tf.flow(pkt.quoted).asked end
   if pkt.icmp6 then return pkt.icmp6.type >= 133 and pkt.icmp6.type <= 137 end

   -- The later fragments of a datagram have no ports; without the first they are of no use.
   return with_ports[pkt.ip.proto] and not (pkt.tcp or pkt.udp or pkt.icmp)
end

tf.on_packet{ from = tf.right, name = "outside", function(pkt)
   if welcome(pkt) then return end
   refused:add()
   return tf.drop
end }
