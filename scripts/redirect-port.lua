-- Redirects a port both ways: who asks the right host for port 80 is served by its port 8080,
-- and never learns of it.
--
--    tunfilter lab scripts/redirect-port.lua --on-right "python3 -m http.server 8080" -- curl -sI right
local tf = require "tunfilter"

local asked = assert(tonumber(tf.args.asked or 80), "asked: a port")
local served = assert(tonumber(tf.args.served or 8080), "served: a port")

tf.on_packet{ from = tf.left, name = "questions",
   function(pkt)
      local header = pkt.tcp or pkt.udp
      if header and header.dport == asked then header.dport = served end -- the checksum follows
   end }

-- Without this half the answers would come from a port that nobody asked, and be refused.
tf.on_packet{ from = tf.right, name = "answers",
   function(pkt)
      local header = pkt.tcp or pkt.udp
      if header and header.sport == served then header.sport = asked end
   end }
