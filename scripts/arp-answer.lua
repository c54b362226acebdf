-- Answers ARP for a range of addresses: whoever asks which host has one of them hears of a machine that
-- does not exist. (For addresses that nobody has; a router does it for hosts behind it: "proxy ARP".)
--
--    tunfilter lab scripts/arp-answer.lua --left tap --right tap -v -- ping -c 1 -W 1 10.77.0.99
local tf = require "tunfilter"

local range = tf.net(tf.args.range or "10.77.0.96/28")
local machine = tf.mac(tf.args.mac or "02:00:00:00:00:99")

local REQUEST, REPLY = 1, 2

tf.on_packet(function(pkt)
   local arp = pkt.arp -- nil for all else, and if it is cut off
   if not arp or arp.op ~= REQUEST or not range:contains(arp.tpa) then return end
   -- Who asks for the address that it has itself only makes it known, or, as 0.0.0.0, wants to hear
   -- whether it is free. It is.
   if arp.spa == arp.tpa or arp.spa == "0.0.0.0" then return end

   -- The answer is the question turned round: s is the sender's, t the target's.
   arp.op = REPLY
   arp.sha, arp.spa, arp.tha, arp.tpa = machine, arp.tpa, arp.sha, arp.spa
   pkt.eth.src, pkt.eth.dst = machine, pkt.eth.src
   return tf.reply
end)
