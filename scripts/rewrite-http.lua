-- Changes a word in HTTP answers on their way.
--
--    tunfilter lab scripts/rewrite-http.lua --set old=Directory --set new=Telephone \
--       --on-right "python3 -m http.server 8000" -- curl -s right:8000
--
-- The new word is as long as the old one. TCP numbers every byte of a connection: were a packet
-- longer than its sender thinks, the receiver would take the beginning of the next one for bytes
-- that it has already, and acknowledge bytes that were never sent. HTTP counts too: Content-Length.
local tf = require "tunfilter"

local port = tf.args.port or "8000"
local old, new = tf.args.old or "Hello", tf.args.new or "Howdy"
assert(#old == #new, "old and new: two words of the same length")

-- A browser says that it takes compressed answers, and in those there is no word to be found. So
-- the server must not hear of it: a header that it does not know, of the same length, is ignored.
tf.on_packet("tcp dst port " .. port, function(pkt)
   pkt:replace("Accept-Encoding:", "Ignore-Encoding:")
   pkt:replace("accept-encoding:", "ignore-encoding:")
end)

-- A word that begins in one packet and ends in the next is not found; we look at one at a time.
tf.on_packet("tcp src port " .. port, function(pkt)
   local count = pkt:replace(old, new)
   if count > 0 then tf.log(("changed %s to %s, times %d"):format(old, new, count)) end
end)
