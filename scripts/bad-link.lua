-- A bad link: late, uneven, lossy, slow, in both directions. What it does is said by settings.
--
--    tunfilter lab scripts/bad-link.lua --set delay=0.1 --set loss=0.2 -- ping -c 10 -i 0.2 right
local tf = require "tunfilter"
local netem = require "tunfilter.netem"

-- Any field of netem{…}: delay, jitter, loss, duplicate, reorder, corrupt, rate, limit. Settings are
-- strings: a rate may stay one ("2mbit"), what looks like a number becomes one. netem says what it
-- does not know.
local settings = { delay = 0.05, jitter = 0.01, loss = 0.02 }
for key, value in pairs(tf.args) do settings[key] = tonumber(value) or value end

-- burst=4: losses come four in a row on average, as often in all. A link that is bad stays so with
-- the next packet three times of four; how often it turns bad follows from the losses wanted.
local burst = settings.burst
settings.burst = nil
if burst then
   local r = 1 / burst
   settings.loss = { p = settings.loss * r / (1 - settings.loss), r = r }
end

-- Each direction has a queue and luck of its own, so there are two links.
tf.on_packet{ from = tf.left, name = "there", netem(settings) }
tf.on_packet{ from = tf.right, name = "back", netem(settings) }
