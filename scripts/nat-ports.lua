-- Address translation with ports: many hosts on the left share one address, as behind a router at home.
-- Each conversation gets a port of its own there; by it, an answer finds its way back. (On TAP, somebody
-- has to answer ARP for that address: arp-answer.lua shows how.)
--
--    tunfilter lab scripts/nat-ports.lua -v --on-right "python3 -m http.server 8000" -- curl -sI right:8000
local tf = require "tunfilter"

local public = tf.ip(tf.args.public or "10.99.0.1")
local first, ports = 40000, assert(tonumber(tf.args.ports or 1000), "ports: a number up to 25000")
local owners, port_of, last = {}, {}, 0 -- port → whose it is; whose → port

-- Where a packet has its conversation's left end: the address, and a port or, of pings, the id. An ICMP
-- error has it in the packet that it is about, and that one went the other way.
local function left_end(pkt, about)
   local source = (pkt.from == tf.left) == (about == pkt)
   local icmp = about.icmp
   if icmp and (icmp.type == 8 or icmp.type == 0) then return source and "src" or "dst", icmp, "id" end
   return source and "src" or "dst", about.tcp or about.udp, source and "sport" or "dport"
end

local function new_port(owner)
   last = last % ports + 1 -- round and round: the oldest conversation loses its port
   local port = first + last - 1
   if owners[port] then port_of[owners[port].key] = nil end
   owners[port], port_of[owner.key] = owner, port
   return port
end

tf.on_packet("ip", function(pkt)
   local about = pkt.quoted or pkt
   local host, header, number = left_end(pkt, about)
   if not header then return tf.drop end -- later fragments, too: without ports nobody knows whose
   local ip = about.ip
   if pkt.from == tf.left then
      local key = ip.proto .. " " .. ip[host] .. " " .. header[number]
      local port = port_of[key] or new_port{ key = key, proto = ip.proto, address = ip[host], number = header[number] }
      pkt.ip.src, ip[host], header[number] = public, public, port
   else
      local owner = ip[host] == public and owners[header[number]]
      if not owner or owner.proto ~= ip.proto then return tf.drop end -- nobody asked for it
      pkt.ip.dst, ip[host], header[number] = owner.address, owner.address, owner.number
   end
   if about ~= pkt then pkt.quoted = about end
end)
