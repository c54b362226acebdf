-- Rules for texts_test.lua: packets pass whose payload is the text of their addresses.
local tf = require "tunfilter"

tf.on_packet(function(pkt)
   local text = pkt.ip.src .. " > " .. pkt.ip.dst
   if pkt.eth then text = text .. ", " .. pkt.eth.src .. " > " .. pkt.eth.dst end
   if text ~= pkt.payload then return tf.drop end
end)
