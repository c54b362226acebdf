-- The rules that stream_test.lua runs: words=old,new,… and more.
local tf = require "tunfilter"
local stream = require "tunfilter.stream"

local words = { from = tf.right, http = tf.args.http == "yes", max = tonumber(tf.args.max) }
for word in ((tf.args.words or "a,b") .. ","):gmatch "([^,]*)," do words[#words + 1] = word end

tf.on_packet("tcp port 80", stream.replace(words))

-- Port 81: words in brackets are counted; a bracket that is open is waited for.
tf.on_packet("tcp port 81", stream.rewrite{ from = tf.right, function(text, last, state)
   if text:find("!", 1, true) then error "on purpose" end
   local open = not last and text:find "%[[^%]]*$"
   local whole = open and text:sub(1, open - 1) or text
   state.count = state.count or 0
   local new = whole:gsub("%[.-%]", function(word)
      state.count = state.count + 1
      return ("[%d: %s]"):format(state.count, word:sub(2, -2))
   end)
   return new .. (last and ("%d in all"):format(state.count) or ""), #text - #whole
end })
