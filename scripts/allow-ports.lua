-- An allow-list: TCP and UDP pass to the ports listed, and the answers come back. All other TCP and
-- UDP is dropped. The rest (ping, ARP, errors told by ICMP) passes.
--
--    tunfilter lab scripts/allow-ports.lua --set ports=22,8000 \
--       --on-right "python3 -m http.server 8000" -- curl -sI right:8000
local tf = require "tunfilter"

local allowed = {}
for word in (tf.args.ports or "22,53,80,443"):gmatch "[^,]+" do
   local port = assert(tonumber(word), "ports: a list such as 22,80, not " .. word)
   allowed[port] = true
end

local TCP, UDP = 6, 17

-- No expression: tcpdump's "tcp" does not look behind all IPv6 extension headers; ip.proto does.
tf.on_packet(function(pkt)
   local proto = pkt.ip and pkt.ip.proto
   if proto ~= TCP and proto ~= UDP then return end

   local header = pkt.tcp or pkt.udp
   if not header then
      -- A header that is cut off hides its ports: drop. The later fragments of a datagram have
      -- none, but are of no use without the first: let them pass.
      return pkt.malformed and tf.drop or tf.forward
   end
   if allowed[header.dport] then return tf.forward end

   -- An answer comes from an allowed port. One that opens a TCP connection (SYN without ACK) is
   -- no answer. UDP has no such mark, so here whoever sends from port 53 gets through.
   local opens = pkt.tcp and pkt.tcp.flags.syn and not pkt.tcp.flags.ack
   if allowed[header.sport] and not opens then return tf.forward end
   return tf.drop
end)
