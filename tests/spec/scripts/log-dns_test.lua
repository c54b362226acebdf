-- What scripts/log-dns.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

-- Made by scapy: who asks for www.example.org, type AAAA.
local asked = "\0\0\1\0\0\1\0\0\0\0\0\0\3www\7example\3org\0\0\28\0\1"

local function ask(payload, port)
   t.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = { sport = 5555, dport = port or 53 }, payload = payload })
   t.expect_same(tf.right)
end

local header = asked:sub(1, 12)

t.scenario("who asks for what", function()
   ask(asked)
   t.expect_log "10.77.0.1 asks for www.example.org. (AAAA)"
   ask(header .. "\1x\0\18\52\0\1")
   t.expect_log "10.77.0.1 asks for x. (type 4660)"
   ask(header .. "\0\0\2\0\1")
   t.expect_log "10.77.0.1 asks for . (NS)"
end)

t.scenario("control codes do not get into the log", function()
   ask(header .. "\4\27[1m\0\0\1\0\1")
   t.expect_log "asks for ??1m. (A)"
end)

t.scenario("what is cut off, or made to trip it up, is passed on without a word", function()
   for length = 0, #asked - 1 do ask(asked:sub(1, length)) end
   for _, name in ipairs{ "\192\12", "\1x\192\12", "\64" .. ("x"):rep(64), ("\1x"):rep(128) .. "\0" } do
      ask(header .. name .. "\0\1\0\1")
   end
   ask("\0\0\129" .. asked:sub(4)) -- an answer
   ask(asked, 54)
   ask(header .. "\3end\0\0\1\0\1")
   assert(not t.expect_log "asks for":find "example")
end)
