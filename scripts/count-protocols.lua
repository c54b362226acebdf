-- Counts packets and bytes by protocol, and says so every few seconds and at the end.
--
--    tunfilter lab scripts/count-protocols.lua --set seconds=1 -- ping -c 3 right
local tf = require "tunfilter"

local names = { [1] = "ICMP", [6] = "TCP", [17] = "UDP", [58] = "ICMPv6" }
local packets, bytes = {}, {}

local function protocol(pkt)
   if pkt.ip then return names[pkt.ip.proto] or "IP protocol " .. pkt.ip.proto end
   return pkt.arp and "ARP" or "other"
end

-- There are at most 256 protocols, so these tables stay small whatever comes. A table by address
-- or by port would grow for as long as somebody sends.
tf.on_packet(function(pkt)
   local name = protocol(pkt)
   packets[name] = (packets[name] or 0) + 1
   bytes[name] = (bytes[name] or 0) + #pkt
end)

local function report()
   local sorted = {}
   for name in pairs(packets) do sorted[#sorted + 1] = name end
   table.sort(sorted, function(a, b) return packets[a] > packets[b] end)
   for _, name in ipairs(sorted) do
      tf.log(("%-16s %8d packets %10d bytes"):format(name, packets[name], bytes[name]))
   end
end

tf.every(assert(tonumber(tf.args.seconds or 5), "seconds: a number"), report)
tf.on_stop(report)
