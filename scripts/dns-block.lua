-- A list of domains that do not exist: questions for them are answered here, and never get out.
--
--    tunfilter lab scripts/dns-block.lua -v -- dig +tries=1 +time=1 @right www.ads.example
--
-- What does not ask by plain DNS (an address typed in, DNS inside HTTPS) is not stopped by this.
local tf = require "tunfilter"
local dns = require "tunfilter.dns"

-- names=a,b or file=NAME: a file beside this script, one domain a line or the lines of a hosts file.
local blocked = tf.args.file and tf.names.load(tf.args.file) or tf.names{}
for name in (tf.args.names or "ads.example,tracker.example"):gmatch "[^,]+" do blocked:add(name) end

-- Without it the answer is that there is no such name. Some programs take an address that leads
-- nowhere better, and do not ask again at once: address=0.0.0.0.
local address = tf.args.address and tf.ip(tf.args.address)

tf.on_packet(function(pkt)
   local header = pkt.udp or pkt.tcp
   if not header or header.dport ~= 53 then return end
   local query = dns.parse(pkt)
   if not query or query.qr then return end
   for _, question in ipairs(query.questions) do
      if blocked:contains(question.name) then
         tf.log(tostring(pkt.ip.src), "asked for", question.name)
         -- Over TCP an answer has to fit into a connection that is not ours: refuse it.
         if pkt.tcp then return pkt:reject() end
         if not address then return dns.answer(pkt, {}, "NXDOMAIN") or tf.drop end
         -- For A there is an address; for any other type the name exists and has none.
         local records = question.type == "A" and { { data = address } } or {}
         return dns.answer(pkt, records) or tf.drop
      end
   end
end)
