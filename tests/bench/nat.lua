-- Translates the address and the port of every packet: left's go out as 10.77.0.9, with a port for
-- each connection, and what comes back is for whoever has that port.
local tf = require "tunfilter"

local public, first, ports = tf.ip("10.77.0.9"), 20000, 40000
local owners, last = {}, 0

tf.on_packet{ "ip and (tcp or udp)", from = tf.left,
   function(pkt)
      local header, flow = pkt.tcp or pkt.udp, tf.flow(pkt)
      if not flow.port then
         last = last % ports + 1
         flow.port = first + last
         owners[flow.port] = { address = pkt.ip.src, port = header.sport }
      end
      pkt.ip.src, header.sport = public, flow.port
   end }

tf.on_packet{ "ip and (tcp or udp)", from = tf.right,
   function(pkt)
      local header = pkt.tcp or pkt.udp
      local owner = owners[header.dport]
      if not owner then return tf.drop end
      pkt.ip.dst, header.dport = owner.address, owner.port
   end }
