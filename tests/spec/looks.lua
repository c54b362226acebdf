-- Rules for looks_test.lua: what acts.lua does to a packet, by its number in the IPv4 identification or
-- the IPv6 flow label; and expressions that read where a large packet's parts have nothing yet.
local tf = require "tunfilter"
local acts = require "acts"

local damage = require "tunfilter.netem" { corrupt = 1 }

local function number(pkt) return pkt.ip4 and pkt.ip4.id or pkt.ip6.flow_label end

if tf.args.expression then
   tf.on_packet(tf.args.expression, function() tf.log "matches" end)
   for i = 1, tf.args.others do tf.on_packet("udp[9] = " .. i, function() tf.log "matches another" end) end
else
   tf.on_packet("tcp or udp", function(pkt)
      local n = number(pkt)
      if acts[n] then return tf.log(acts.words(n, acts[n](pkt))) end
      -- What leaves by another way.
      local way = n - #acts
      if way == 1 then return tf.reply end
      if way == 2 then return pkt:hold(1) end
      if way == 3 then tf.send(pkt.to, pkt); pkt.payload = "changed since"; return end
      if way == 4 then
         local copy = pkt:copy()
         tf.after(1, function() tf.send(tf.right, copy) end)
         return tf.drop
      end
      if way == 5 then tf.send(pkt.from, pkt); return tf.drop end
      if way == 6 then return pkt:reject() end
      if way == 7 then return damage(pkt) end
   end)
end
