-- A list of domains that HTTPS does not reach. The name is read where a client says it in the clear,
-- at the beginning of TLS; nothing is decrypted.
--
--    tunfilter lab scripts/tls-block.lua -v --set names=right -- curl -sk https://right
--
-- A client that does not say the name, or encrypts it, is not stopped by this.
local tf = require "tunfilter"
local tls = require "tunfilter.tls"

-- names=a,b or file=NAME: a file beside this script, one domain a line or the lines of a hosts file.
local blocked = tf.args.file and tf.names.load(tf.args.file) or tf.names{}
for name in (tf.args.names or "ads.example,tracker.example"):gmatch "[^,]+" do blocked:add(name) end

local port = assert(tonumber(tf.args.port or 443), "port: a number")

tf.on_packet(function(pkt)
   -- QUIC is TLS over UDP, and there the name is harder to read: refused, browsers take TCP.
   if pkt.udp and pkt.udp.dport == port then return pkt:reject() end
   if not pkt.tcp or pkt.tcp.dport ~= port then return end

   -- A hello may be longer than one packet. The name is there with the one that completes it, and
   -- again should that packet come again.
   local name = tls.server_name(pkt)
   if name and blocked:contains(name) then
      tf.log(tostring(pkt.ip.src), "wanted", name)
      return pkt:reject()
   end
end)
