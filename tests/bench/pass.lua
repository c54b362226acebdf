-- Looks at every packet and lets it go.
local tf = require "tunfilter"

tf.on_packet(function(pkt)
end)
