-- What netem takes and refuses; what it does is measured in e2e/test_netem.py.
local netem = require "tunfilter.netem"
local verdict = require "tunfilter.verdict"

local ping = unhex "4500001c00000000400100000a4d00010a4d00020800000000000000"

local function refuses(text, settings)
   throws(text, function() return #tostring(netem(settings)) end)
end

test("errors name the parameter and its range, and the script's line", function()
   refuses("netem takes a table, as { delay = 0.05 }, not a number", 5)
   refuses("netem takes a table, as { delay = 0.05 }, not a nil", nil)
   refuses("netem has no member 'dealy': did you mean 'delay'?", { dealy = 1 })
   refuses("netem has no member 1", { 5 })
   refuses("netem: delay: expected seconds from 0 to 3600, got -1", { delay = -1 })
   refuses("netem: delay: expected seconds from 0 to 3600, got 3601", { delay = 3601 })
   refuses("netem: delay: expected seconds from 0 to 3600, got nan", { delay = 0 / 0 })
   refuses("netem: delay: expected seconds, got string", { delay = "50ms" })
   refuses("netem: jitter: expected seconds from 0 to 3600, got 4000", { jitter = 4000 })
   for _, name in ipairs { "loss", "duplicate", "reorder", "corrupt" } do
      refuses(("netem: %s: expected a"):format(name), { delay = 1, [name] = "1%" })
      refuses(("a chance from 0 to 1, got 5"):format(name), { delay = 1, [name] = 5 })
      refuses(("a chance from 0 to 1, got -0.1"):format(name), { delay = 1, [name] = -0.1 })
   end
   refuses("netem: reorder: packets that go at once overtake others only where there is", { reorder = 0.1 })
   refuses('netem: distribution: expected "uniform" or "normal", got pareto', { distribution = "pareto" })
   refuses("netem: limit: expected a whole number of packets from 1 to 65536, got 0", { limit = 0 })
   refuses("netem: limit: expected a whole number of packets from 1 to 65536, got 65537", { limit = 65537 })
   refuses("netem: limit: expected a whole number of packets, got 1.5", { limit = 1.5 })
   for _, rate in ipairs { "10", "10mbps", "mbit", "-1mbit", "1e3mbit", "..mbit", "0kbit", "", 0, -1, 0 / 0, 1 / 0, true } do
      refuses('netem: rate: expected bits a second above 0, as "10mbit"', { rate = rate })
   end
end)

test("errors in the chances of bursts", function()
   refuses("netem: loss: a table has at least p", { loss = {} })
   refuses("netem: loss has no member 'q'", { loss = { p = 0.1, q = 0.1 } })
   refuses("netem: loss.p: expected a chance from 0 to 1, got 2", { loss = { p = 2 } })
   refuses("netem: loss.r: expected a chance, got string", { loss = { p = 0.1, r = "1" } })
   refuses("netem: loss.h: expected a chance from 0 to 1, got -1", { loss = { p = 0.1, h = -1 } })
   refuses("netem: loss.k: expected a chance from 0 to 1, got nan", { loss = { p = 0.1, k = 0 / 0 } })
end)

test("what it takes", function()
   for _, rate in ipairs { "10mbit", "1gbit", "500kbit", "8bit", "0.5tbit", " 2.5 MBit ", 1000, 0.5 } do netem{ rate = rate } end
   netem{ delay = 3600, jitter = 3600, loss = 1, duplicate = 1, reorder = 1, corrupt = 1, limit = 65536 }
   netem{ delay = 0, jitter = 0, loss = 0, duplicate = 0, reorder = 0, corrupt = 0, limit = 1 }
   netem{ loss = { p = 0 } }
   netem{ loss = { p = 1, r = 1, h = 1, k = 1 } }
   netem{}
end)

test("the object is closed, and each packet has to be the one that a callback sees", function()
   local link = netem{ loss = 1 }
   equal(tostring(link), "netem")
   equal(getmetatable(link), "netem")
   throws("netem: make another one for other settings", function() link.loss = 0 end)
   equal(link(show(ping)), verdict.drop)
   equal(netem{}(show(ping)), verdict.forward)
   equal(netem{ delay = 1 }(show(ping)), verdict.hold)
   throws("netem: it takes the packet that a callback sees", function() return link(show(ping):copy()) and 1 end)
   local kept = show(ping)
   show(ping)
   throws("is gone", function() return link(kept) and 1 end)
end)
