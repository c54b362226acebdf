-- Answers pings by itself: the far host never sees them, and need not exist.
--
--    tunfilter lab scripts/echo.lua -v -- ping -c 2 10.77.0.99
local tf = require "tunfilter"

local groups, groups6 = tf.net "224.0.0.0/3", tf.net "ff00::/8"

tf.on_packet(function(pkt)
   -- Nobody answers in the name of a group or of all hosts.
   if not pkt.ip or groups:contains(pkt.ip.dst) or groups6:contains(pkt.ip.dst) then return end

   -- Only pings in one piece: of one in fragments we would answer the first and no other.
   local icmp
   if pkt.ip4 and not pkt.ip4.mf and pkt.icmp and pkt.icmp.type == 8 then
      icmp = pkt.icmp
      icmp.type = 0
   elseif pkt.ip6 and pkt.ip6.next_header == 58 and pkt.icmp6 and pkt.icmp6.type == 128 then
      icmp = pkt.icmp6
      icmp.type = 129
   else
      return
   end

   -- An answer is the question turned round.
   pkt.ip.src, pkt.ip.dst = pkt.ip.dst, pkt.ip.src
   pkt.ip.ttl = 64
   if pkt.eth then pkt.eth.src, pkt.eth.dst = pkt.eth.dst, pkt.eth.src end
   return tf.reply -- back to where it came from
end)
