-- A switch that learns: from the addresses that frames come from it knows who is on which side, and a
-- frame goes across only if it has to. A real one has more ports, and this is all that it does with
-- each of them; with two, what is left to see is what a switch keeps back.
--
--    tunfilter lab scripts/switch.lua --left tap --right tap -v -- ping -c 2 right
local tf = require "tunfilter"

local max_age = assert(tonumber(tf.args.age or 300), "age: a number") -- seconds; a host may move to another port
local max_hosts = 4096     -- a table that anybody can fill needs an end
local hosts, count = {}, 0 -- address → { side, when it was last heard }

-- The lowest bit of the first byte says: a group of hosts, or all of them.
local function is_group(mac) return tonumber(mac:sub(2, 2), 16) % 2 == 1 end

local function learn(mac, side)
   local host = hosts[mac]
   if not host then
      if count == max_hosts then hosts, count = {}, 0 end -- forget all, learn again
      host, count = {}, count + 1
      hosts[mac] = host
      tf.log("port", side, "has", mac)
   elseif host.side ~= side then
      tf.log("port", side, "has", mac, "now")
   end
   host.side, host.time = side, tf.now()
end

tf.on_packet(function(pkt)
   if not pkt.eth then return end -- a TUN device has no Ethernet and needs no switch
   local src, dst = pkt.eth.src .. "", pkt.eth.dst .. "" -- text, for keys
   if not is_group(src) then learn(src, pkt.from) end

   -- To nobody known, or to a group: it goes to all ports but its own. That is one here.
   local host = not is_group(dst) and hosts[dst]
   if not host or tf.now() - host.time > max_age then return tf.forward end
   if host.side == pkt.from then return tf.drop end -- the receiver has it already
   return tf.forward
end)
