-- One end of a tunnel: packets from the inside go on as the payload of UDP packets between two
-- addresses, and what comes in such packets from the outside is unpacked. The other end is the same
-- script with inside=right, and here and there exchanged. That is most of a VPN; what is missing is
-- the secret: everybody on the way can read all of it, and send packets of their own.
--
--    tunfilter lab scripts/udp-tunnel.lua -v -- ping -c 1 -W 1 right
local tf = require "tunfilter"

local inside = tf.args.inside == "right" and tf.right or tf.left
local here, there = tf.ip(tf.args.here or "192.0.2.1"), tf.ip(tf.args.there or "192.0.2.2")
local port = assert(tonumber(tf.args.port or 4754), "port: a number")

local room = 28 -- bytes that the outer headers take
if here.version == 6 then room = 48 end

local function wrap(pkt)
   -- What is too long then does not fit through the outside. Real tunnels have a smaller MTU.
   if not pkt.ip or #pkt + room > pkt.to.mtu then return tf.drop end
   tf.send(pkt.to, tf.packet{ ip = { src = here, dst = there }, udp = { sport = port, dport = port },
                              payload = pkt:bytes() })
   return tf.drop -- the packet itself does not go on
end

local function unwrap(pkt)
   local ours = pkt.udp and pkt.udp.dport == port and pkt.ip.src == there and pkt.ip.dst == here
   if not ours or pkt.payload == "" then return tf.drop end
   local inner = tf.packet(pkt.payload) -- may be anything
   if inner.ip and not inner.malformed then tf.send(pkt.to, inner) end
   return tf.drop
end

tf.on_packet(function(pkt)
   if pkt.from == inside then return wrap(pkt) end
   return unwrap(pkt)
end)
