-- Forwards every packet as it is: the smallest script, and a good first line of defence when
-- something does not work: is it the script, or the link?
--
--    tunfilter lab scripts/pass.lua -v -- ping -c 2 right
local tf = require "tunfilter"

tf.on_packet(function(pkt)
   return tf.forward -- returning nothing would do the same
end)
