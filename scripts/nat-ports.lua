-- Address translation with ports: many hosts on the left share one address, as behind a router at home.
-- Each conversation gets a port of its own there; by it, an answer finds its way back. (On TAP, somebody
-- has to answer ARP for that address: arp-answer.lua shows how.)
--
--    tunfilter lab scripts/nat-ports.lua -v --on-right "python3 -m http.server 8000" -- curl -sI right:8000
local tf = require "tunfilter"

local public = tf.ip(tf.args.public or "10.99.0.1")
local first, ports = 40000, tonumber(tf.args.ports or 1000)
local owners, port_of, last = {}, {}, 0 -- port → whose it is; whose → port

-- Where a packet has the number that tells conversations apart. Pings have one, too: the id.
local function header(pkt, port)
   if not pkt.icmp then return pkt.tcp or pkt.udp, port end
   return (pkt.icmp.type == 8 or pkt.icmp.type == 0) and pkt.icmp, "id"
end

tf.on_packet{ "ip", from = tf.left, name = "out",
   function(pkt)
      local h, field = header(pkt, "sport")
      if not h then return tf.drop end -- later fragments, too: without ports nobody knows whose
      local key = pkt.ip.proto .. " " .. pkt.ip.src .. " " .. h[field]
      local port = port_of[key]
      if not port then
         last = last % ports + 1 -- round and round: the oldest conversation loses its port
         port = first + last - 1
         if owners[port] then port_of[owners[port].key] = nil end
         owners[port], port_of[key] = { key = key, proto = pkt.ip.proto, address = pkt.ip.src, number = h[field] }, port
      end
      pkt.ip.src, h[field] = public, port
   end }

tf.on_packet{ "ip", from = tf.right, name = "back",
   function(pkt)
      local h, field = header(pkt, "dport")
      local owner = h and pkt.ip.dst == public and owners[h[field]]
      if not owner or owner.proto ~= pkt.ip.proto then return tf.drop end -- nobody asked for it
      pkt.ip.dst, h[field] = owner.address, owner.number
   end }
