-- Redirects a port both ways: who asks the right host for port 80 is served by its port 8080,
-- and never learns of it.
--
--    tunfilter lab scripts/redirect-port.lua --on-right "python3 -m http.server 8080" -- curl -sI right
local tf = require "tunfilter"

local asked = assert(tonumber(tf.args.asked or 80), "asked: a port")
local served = assert(tonumber(tf.args.served or 8080), "served: a port")

local function change(pkt, field, old, new)
   local header = pkt.tcp or pkt.udp
   if header and header[field] == old then header[field] = new end -- the checksum follows
end

-- An ICMP error quotes the packet that it is about, which went the other way.
local function change_quoted(pkt, field, old, new)
   local quoted = pkt.quoted
   if not quoted then return end
   change(quoted, field, old, new)
   pkt.quoted = quoted
end

tf.on_packet{ from = tf.left, name = "questions",
   function(pkt)
      change(pkt, "dport", asked, served)
      change_quoted(pkt, "sport", asked, served)
   end }

-- Without this half the answers would come from a port that nobody asked, and be refused.
tf.on_packet{ from = tf.right, name = "answers",
   function(pkt)
      change(pkt, "sport", served, asked)
      change_quoted(pkt, "dport", served, asked)
   end }
