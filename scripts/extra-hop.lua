-- Acts as a router that traceroute sees: every packet's TTL (IPv6: hop limit) goes down by one, and
-- where it runs out the sender gets an ICMP "time exceeded" from a router that does not exist.
--
--    tunfilter lab scripts/extra-hop.lua -- traceroute -n right
local tf = require "tunfilter"

local router4 = tf.ip(tf.args.router or "10.77.0.254")
local router6 = tf.ip(tf.args.router6 or "fd77::254")

-- "Time exceeded" byte for byte: an IP header with all addresses 0, and 8 bytes of ICMP. Addresses
-- and payload are put in later; lengths and checksums follow by themselves.
local exceeded4 = "\x45\0\0\x1c\0\0\0\0\x40\1\x7a\xe2" .. ("\0"):rep(8) .. "\11" .. ("\0"):rep(7)
local exceeded6 = "\x60\0\0\0\0\8\x3a\x40" .. ("\0"):rep(32) .. "\3" .. ("\0"):rep(7)

local function time_exceeded(pkt)
   local v4 = pkt.ip.version == 4
   local at = pkt.eth and 14 or 0 -- where the IP header is: behind Ethernet's, and VLAN tags of 4 bytes
   while pkt.eth and pkt:u16(at - 2) ~= pkt.eth.type do at = at + 4 end
   local eth = at > 0 and pkt:bytes(6, 11) .. pkt:bytes(0, 5) .. pkt:bytes(12, at - 1) or ""
   local answer = tf.packet(eth .. (v4 and exceeded4 or exceeded6))
   answer.ip.src, answer.ip.dst = v4 and router4 or router6, pkt.ip.src
   answer.payload = pkt:bytes(at, math.min(#pkt, at + 500) - 1) -- says which packet it was
   return answer
end

local groups, groups6 = tf.net "224.0.0.0/3", tf.net "ff00::/8"

tf.on_packet(function(pkt)
   local ip, icmp = pkt.ip, pkt.icmp or pkt.icmp6
   -- What concerns one link only stays as it is: for many hosts, and how IPv6 finds its neighbours.
   if not ip or groups:contains(ip.dst) or groups6:contains(ip.dst) then return end
   if pkt.icmp6 and icmp.type >= 133 and icmp.type <= 137 then return end
   if ip.ttl > 1 then
      ip.ttl = ip.ttl - 1
      return
   end
   -- Never an error about an error, or two routers could go on for ever; nor about a later fragment.
   local ping = icmp and (icmp.type == 8 or icmp.type == 128)
   if pkt.tcp or pkt.udp or ping then tf.send(pkt.from, time_exceeded(pkt)) end
   return tf.drop
end)
