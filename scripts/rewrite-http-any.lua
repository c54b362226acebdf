-- Changes a word in HTTP answers to one of any length.
--
--    tunfilter lab scripts/rewrite-http-any.lua --set old=Directory --set new="Telephone book" \
--       --on-right "python3 -m http.server 8000" -- curl -s right:8000
--
-- rewrite-http.lua says why that is more than a replacement: behind the new word every byte has
-- another number. tunfilter.stream changes these numbers in both directions, finds words that begin in one
-- packet and end in the next, and takes out of the answer's header how long it was.
local tf = require "tunfilter"
local stream = require "tunfilter.stream"

local port = tf.args.port or "8000"
local old, new = tf.args.old or "Hello", tf.args.new or "Good morning"

tf.on_packet{ "tcp port " .. port, name = "rewrite", -- both directions: the answers, and who acknowledges them
   stream.replace{ old, new, from = tf.right, http = true } }
