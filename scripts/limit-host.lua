-- Every host may send so many bits a second and no more: a token bucket for each address.
--
--    tunfilter lab scripts/limit-host.lua --set kbit=2000 \
--       --on-right "python3 -m http.server 8000" -- curl -s -o copy right:8000/big-file
local tf = require "tunfilter"

local rate = assert(tonumber(tf.args.kbit or 1000), "kbit: a number") * 125 -- bytes a second
local burst = math.max(rate / 5, 2 * tf.left.mtu, 2 * tf.right.mtu) -- what may come at once: two packets at least
local too_many = assert(tonumber(tf.args.hosts or 10000), "hosts: a number")

-- Address -> its bucket. Anybody can make up addresses, so the table must not grow for ever: who has
-- been silent for a minute is forgotten (a bucket is full again long before), and when there are too
-- many, the older half is.
local new, old, count = {}, {}, 0

local function forget()
   new, old, count = {}, new, 0
end
tf.every(60, forget)

local function bucket_of(host)
   local bucket = new[host]
   if not bucket then
      if count >= too_many then forget() end
      bucket = old[host] or tf.limiter{ rate = rate, burst = burst }
      new[host], count = bucket, count + 1
   end
   return bucket
end

local dropped = tf.counter "packets over the limit"

-- Dropping is how a network says "slower": TCP listens to it.
tf.on_packet(function(pkt)
   -- A key is text; .. makes it as tostring() would, and LuaJIT compiles it.
   if pkt.ip and not bucket_of(pkt.ip.src .. ""):allow(#pkt) then
      dropped:add()
      return tf.drop
   end
end)
