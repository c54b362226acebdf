-- Network address translation, one address to another: the left side knows the right host as
-- 10.99.0.1, and its own address, 10.77.0.2, does not show.
--
--    tunfilter lab scripts/nat.lua -v -- ping -c 2 10.99.0.1
local tf = require "tunfilter"

local public = tf.ip(tf.args.public or "10.99.0.1")
local private = tf.ip(tf.args.private or "10.77.0.2")

-- The address is part of the checksums of IP, TCP and UDP; all of them follow. An ICMP error quotes the
-- packet that it is about, which went the other way: who sent it knows it by the other address.
-- On TAP, ARP has to tell the same story. (So would IPv6's neighbour discovery, which stays as it is.)
tf.on_packet{ from = tf.left, name = "to the private address",
   function(pkt)
      if pkt.ip and pkt.ip.dst == public then pkt.ip.dst = private end
      if pkt.arp and pkt.arp.tpa == public then pkt.arp.tpa = private end
      local quoted = pkt.quoted
      if quoted and quoted.ip.src == public then
         quoted.ip.src = private
         pkt.quoted = quoted
      end
   end }

tf.on_packet{ from = tf.right, name = "from the public address",
   function(pkt)
      if pkt.ip and pkt.ip.src == private then pkt.ip.src = public end
      if pkt.arp and pkt.arp.spa == private then pkt.arp.spa = public end
      local quoted = pkt.quoted
      if quoted and quoted.ip.dst == private then
         quoted.ip.dst = public
         pkt.quoted = quoted
      end
   end }
