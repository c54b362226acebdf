---@meta tunfilter.test
-- Stubs of scenarios; see meta.lua.

--- Scenarios for a script: what `require "tunfilter.test"` gives in a file that `tunfilter test RULES.lua TESTS.lua` runs.
--- Elsewhere requiring it is an error. A scenario lets packets arrive at the sides of the script and says what has to come
--- out. It stops at the first thing that is not so. Packets that come out and that nobody expects fail it too, as does an
--- error in a callback.
---
--- Every scenario has the file and the script loaded anew, so none sees what another left behind. Time is virtual: it
--- begins at 0 and passes only by `t.advance`. `tf.random` has the seed 0, unless the scenario or `--seed` says another.
---
---```lua
---local tf = require "tunfilter"
---local t = require "tunfilter.test"
---
---local ping = tf.packet{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, icmp = { type = 8 } }
---local query = tf.packet{ ip = { src = "10.77.0.1", dst = "10.77.0.2", ttl = 9 }, udp = { dport = 53 }, payload = "who?" }
---
---t.scenario("pings are dropped", function()
---   t.send(tf.left, ping)
---   t.expect_nothing()
---end)
---
---t.scenario("all else passes, as it is", function()
---   t.send(tf.left, query)
---   t.expect_same(tf.right)
---   t.send(tf.right, query)
---   t.expect(tf.left, { ip = { ttl = 9 }, udp = { dport = 53 }, tcp = false, payload = "who?" })
---end)
---```
---@class tunfilter.Test
local t = {}

--- What scenarios may say of their run.
---@class tunfilter.Scenario
---@field set? table<string, string|number|boolean> Settings, as `--set` gives them; they win over those of the command line.
---@field link? "ip"|"ethernet" What the devices carry; left out: Ethernet with `--left tap`, else IP.
---@field seed? integer Of tf.random; left out: that of `--seed`, else 0.
---@field on_error? "drop"|"forward" What `--on-error` says.
---@field load_error? string The script must not load, with this text in the message. There is no function then.

--- Registers a scenario. Not inside another.
---@param title string what the script does, in a few words; it is printed with pass or fail
---@param options tunfilter.Scenario may be left out
---@param fn fun() the scenario's steps
---@overload fun(title: string, fn: fun())
function t.scenario(title, options, fn) end

--- A packet arrives on a side now, and goes all its way through the script.
---@param side tunfilter.Side where it comes from
---@param packet tunfilter.Packet|string|table a packet, its bytes, or a table for tf.packet
---@return tunfilter.Packet packet as it was sent
function t.send(side, packet) end

--- Takes the next packet that came out of a side, and fails if there is none or it is another than was expected. A table
--- names headers and their fields: `{ ip = { ttl = 63 }, tcp = { flags = "S" } }`; what it leaves out is not looked at. A header
--- is a table of fields, true (it is there) or false (it is not); `payload`, `len` and `malformed` stand beside them. A
--- field may be a function that is asked about its value.
---
--- Errors: a header or field that does not exist.
---@param side tunfilter.Side where it has to come out
---@param what tunfilter.Packet|string|table|fun(pkt: tunfilter.Packet): boolean, string? these bytes, these fields, or a function that says true; its second result says why not
---@return tunfilter.Packet packet what came out; its `time` is when, in seconds from the scenario's start
function t.expect(side, what) end

--- Takes the next packet that came out of a side, and fails unless it is, byte for byte, the one that was sent last.
---@param side tunfilter.Side
---@return tunfilter.Packet packet
function t.expect_same(side) end

--- Fails if anything came out that was not expected before.
---@param side? tunfilter.Side left out: both
function t.expect_nothing(side) end

--- Takes the next packet that came out of a side, whatever it is.
---@param side tunfilter.Side
---@return tunfilter.Packet? packet nil if there is none
function t.take(side) end

--- From now to its end, the scenario does not mind packets that come out and are not expected.
---@param side? tunfilter.Side left out: both
function t.ignore(side) end

--- Lets time pass. Timers run and held packets go on, each at its time.
---@param seconds number from 0 to 1000000
function t.advance(seconds) end

--- The script's run ends: what it gave to tf.on_stop is called. Otherwise this happens behind the scenario.
function t.stop() end

--- A callback or timer of the script has failed: the first error that was not expected yet has this text in it.
---@param text? string left out: any error
---@return string message with the traceback
function t.expect_error(text) end

--- The script has logged a line with this text in it, behind the line that was expected last.
---@param text string
---@return string line
function t.expect_log(text) end
