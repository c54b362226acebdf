-- The rules that stream_test.lua runs: words=old,new,… and more.
local tf = require "tunfilter"
local stream = require "tunfilter.stream"

local words = { from = tf.right, http = tf.args.http == "yes", max = tonumber(tf.args.max) }
for word in ((tf.args.words or "a,b") .. ","):gmatch "([^,]*)," do words[#words + 1] = word end

tf.on_packet("tcp port 80", stream.replace(words))
