-- Port knocking: a port is closed until a host has knocked at others, in the right order. Who only
-- looks round sees nothing. (It hides a door; the lock is still the service's own.)
--
--    tunfilter lab scripts/port-knock.lua --set port=8000 --set knocks=7000,7001 \
--       --on-right "python3 -m http.server 8000" -- sh -c "for p in 7000 7001 8000; do curl -sI -m 1 right:\$p; done"
local tf = require "tunfilter"

local port = assert(tonumber(tf.args.port or 22), "port: a number")
local seconds = assert(tonumber(tf.args.seconds or 30), "seconds: a number") -- the door stays open for so long
local knocks = {}
for word in (tf.args.knocks or "7000,8000,9000"):gmatch "[^,]+" do
   knocks[#knocks + 1] = assert(tonumber(word), "knocks: a list such as 7000,8000, not " .. word)
end

-- Address -> { next knock, open until }. Everybody can fill it, so it is emptied when it has grown.
local hosts, count = {}, 0

local function host_of(address)
   local host = hosts[address]
   if not host then
      if count >= 10000 then hosts, count = {}, 0 end
      host = { next = 1, open = 0 }
      hosts[address], count = host, count + 1
   end
   return host
end

tf.on_packet{ from = tf.left, name = "door", function(pkt)
   if pkt.ip and pkt.ip.proto == 6 and pkt.malformed then return tf.drop end -- it hides its port
   local tcp = pkt.tcp
   if not tcp or not tcp.flags.syn or tcp.flags.ack then return end -- not the start of a connection
   local host = host_of(pkt.ip.src .. "")
   if tcp.dport == port then return tf.now() < host.open and tf.forward or tf.drop end
   if tcp.dport == knocks[host.next - 1] then return tf.drop end  -- TCP tries again: the same knock
   if tcp.dport ~= knocks[host.next] then host.next = 1 end       -- from the start: no trying all ports
   if tcp.dport ~= knocks[host.next] then return end
   host.next = host.next + 1
   if host.next > #knocks then host.next, host.open = 1, tf.now() + seconds end
   return tf.drop
end }
