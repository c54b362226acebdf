-- Rules for looks_test.lua: what acts.lua does to a packet, by its number in the IPv4 identification or
-- the IPv6 flow label; and expressions that read where a large packet's parts have nothing yet.
local tf = require "tunfilter"
local acts = require "acts"

local function number(pkt) return pkt.ip4 and pkt.ip4.id or pkt.ip6.flow_label end

local expressions = {
   "udp[8:4] = 0x61626364", "udp[8] = 0x7a", "udp[6:2] = " .. (tf.args.sum or 0), "udp[6:2] = 0",
   "ip protochain 17 and ip[28] = 0x61", "ip[20:2] = 1 and ip[(ip[0] & 15) * 4 + 8] = 0x61", "udp and len = 50",
}

if tf.args.expressions then
   -- From twelve on, C looks at all of them together.
   for i = 1, tf.args.expressions == "many" and 12 or 0 do expressions[#expressions + 1] = "udp[9] = " .. i end
   for _, text in ipairs(expressions) do tf.on_packet(text, function() tf.log("matches " .. text) end) end
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
   end)
end
