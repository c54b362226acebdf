---@meta tunfilter
-- Stubs for lua-language-server; nothing runs these files: this one, and those that lua/stubs.lua lists. lua/README.md
-- is made from them (lua/reference.lua), and tests/spec/test_meta.lua compares them with the library.

--- What a script gets by `require "tunfilter"`.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("icmp", function(pkt)
---   return tf.drop
---end)
---```
---@class tunfilter
---@field forward tunfilter.Verdict Returned by a callback: write the packet to the other device now; no further callback sees it.
---@field drop tunfilter.Verdict Returned by a callback: forget the packet.
---@field reply tunfilter.Verdict Returned by a callback: write the packet back to the device that it came from.
---@field left tunfilter.Side The left device.
---@field right tunfilter.Side The right device.
---@field nets tunfilter.NetsMaker Sets of networks.
---@field names tunfilter.NamesMaker Sets of domain names.
---@field args table<string, string> What `--set KEY=VALUE` gave on the command line.
---@field flow tunfilter.Flows The script's table of a packet's connection: `tf.flow(pkt)`.
---@field worker integer Which worker the script runs in, from 1: with `--workers N` there are N, each with a script of its own that shares nothing with the others', and both directions of a flow come to the same one, also of a flow whose addresses or ports the script changes.
---@field keep table<string, any> A table of plain values that lives through a reload of the script.
local tf = {}

--- One of tf.forward, tf.drop and tf.reply, or what pkt:hold() and pkt:reject() give. A callback that returns nothing lets the next one decide; past the last
--- one the packet is forwarded. Any other value is an error that says what came back.
---@class tunfilter.Verdict

--- Registers a callback for packets. Callbacks run in the order of their registration. An error in one never stops
--- the program: the packet gets the verdict of `--on-error`, and the traceback is printed the first time.
---
--- Errors: an expression that tcpdump does not know (with the place where it breaks), a callback that is no function,
--- a table with other fields, a call after the script has started. The script then does not start.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt) end)
---tf.on_packet("udp port 53", function(pkt) tf.log(pkt) end)
---tf.on_packet{ "tcp", from = tf.left, name = "no telnet", function(pkt)
---   if pkt.tcp and pkt.tcp.dport == 23 then return tf.drop end
---end }
---```
---@param expression string which packets, in tcpdump's expression language; left out: all of them
---@param callback fun(pkt: tunfilter.Packet): tunfilter.Verdict?
---@overload fun(callback: fun(pkt: tunfilter.Packet): tunfilter.Verdict?)
---@overload fun(registration: tunfilter.Registration)
function tf.on_packet(expression, callback) end

--- The third form of tf.on_packet: `{ expression?, from = side?, name = string?, callback }`.
---@class tunfilter.Registration
---@field [1] string|fun(pkt: tunfilter.Packet): tunfilter.Verdict? The expression, or the callback where there is none.
---@field [2]? fun(pkt: tunfilter.Packet): tunfilter.Verdict? The callback behind an expression.
---@field from? tunfilter.Side Only packets that come from this side.
---@field name? string What messages call the callback; left out: its file and line.

--- Calls a function once, in every worker, before the first packet. An error in it is a failed start.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_start(function() tf.log("between", tf.left.name, "and", tf.right.name) end)
---```
---@param fn fun()
function tf.on_start(fn) end

--- Calls a function once, in every worker, after the last packet.
---
---```lua
---local tf = require "tunfilter"
---local seen = 0
---
---tf.on_packet(function() seen = seen + 1 end)
---tf.on_stop(function() tf.log(seen, "packets") end)
---```
---@param fn fun()
function tf.on_stop(fn) end

--- Writes a packet of the script's own to a side, before the packet that a callback sees now. Callbacks do not see it.
---
--- Errors: bytes that are no packet such as the device carries.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("icmp[icmptype] == icmp-echo", function(pkt)   -- every ping twice
---   tf.send(pkt.to, pkt)
---end)
---```
---@param side tunfilter.Side where to
---@param packet tunfilter.Packet|string a packet as it is now, or bytes from the first header that the device carries
---@return boolean? sent true, or nil when 4,096 packets or 16 MiB wait already
---@return string? reason why not
function tf.send(side, packet) end

--- A packet of the script's own. Of a string: 1 to 65,600 bytes, from the first header that the devices carry, taken as
--- they are. Of a table: headers by name, each a table of its fields, and the payload. Its `from` and `to` are nil,
--- its `time` is 0.
---
--- Errors: a header or field that there is not, with the nearest that there is; two headers where one can be; `eth` or
--- `arp` where the devices carry IP; a value out of its field's range.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("udp port 53", function(pkt)
---   tf.send(pkt.from, tf.packet{ ip = { src = pkt.ip.dst, dst = pkt.ip.src }, udp = { sport = 53, dport = pkt.udp.sport } })
---   return tf.drop
---end)
---
---local same = tf.packet(tf.packet{ tcp = { flags = "SA", options = { mss = 1460 } }, payload = "hello" }:bytes())
---assert(same.tcp.flags == "SA" and same.payload == "hello")
---```
---@param what string|tunfilter.PacketTable
---@return tunfilter.Packet packet
function tf.packet(what) end

--- The IP address that a string spells, IPv4 or IPv6, as a value.
---
--- Errors: a string that spells no address. IPv4 has four decimal numbers without leading zeros.
---
---```lua
---local tf = require "tunfilter"
---local server = tf.ip "fd77::2"
---
---assert(server == "FD77:0:0::2" and tostring(server) == "fd77::2" and server.version == 6)
---```
---@param address string|tunfilter.Address
---@return tunfilter.Address address
function tf.ip(address) end

--- The network that a string such as "10.0.0.0/8" stands for; an address alone stands for itself. Bits behind the
--- prefix are cleared: "10.1.2.3/8" is "10.0.0.0/8".
---
--- Errors: a string that spells no network.
---
---```lua
---local tf = require "tunfilter"
---local blocked = tf.net "192.168.0.0/16"
---
---tf.on_packet(function(pkt)
---   if pkt.ip and blocked:contains(pkt.ip.dst) then return tf.drop end
---end)
---```
---@param network string|tunfilter.Net|tunfilter.Address
---@return tunfilter.Net network
function tf.net(network) end

--- The MAC address that a string such as "02:00:00:00:00:01" or "02-00-00-00-00-01" spells, as a value.
---
--- Errors: a string that spells none.
---
---```lua
---local tf = require "tunfilter"
---local router = tf.mac "02:00:00:00:00:01"
---
---tf.on_packet(function(pkt)
---   if pkt.eth and pkt.eth.src == router then return tf.forward end
---end)
---```
---@param address string|tunfilter.Mac
---@return tunfilter.Mac address
function tf.mac(address) end

--- Calls a function once, after a time. An error in it is printed, and the program goes on.
---
---```lua
---local tf = require "tunfilter"
---
---tf.after(0.5, function() tf.log "half a second later" end)
---```
---@param seconds number 0 to 1e9
---@param fn fun()
---@return tunfilter.Timer timer
function tf.after(seconds, fn) end

--- Calls a function again and again. Rounds that were missed are left out.
---
---```lua
---local tf = require "tunfilter"
---local rounds = 0
---local timer
---timer = tf.every(1, function()
---   rounds = rounds + 1
---   if rounds == 10 then timer:cancel() end
---end)
---```
---@param seconds number 0.001 to 1e9
---@param fn fun()
---@return tunfilter.Timer timer
function tf.every(seconds, fn) end

--- Seconds on a clock that only goes forward; the same all through a callback.
---
---```lua
---local tf = require "tunfilter"
---local last = tf.now()
---
---tf.on_packet(function(pkt)
---   local now = tf.now()
---   if now - last > 10 then tf.log("quiet for", now - last, "seconds") end
---   last = now
---end)
---```
---@return number seconds
function tf.now() end

--- A token bucket: it is full at first, fills at a rate, and what is done costs tokens. Rates that packets have to keep to
--- are made of it.
---
--- Errors: another name than these two; a rate below 0, a burst of 0 or less.
---
---```lua
---local tf = require "tunfilter"
---local limit = tf.limiter{ rate = 125000, burst = 15000 }   -- 1 Mbit a second
---
---tf.on_packet(function(pkt)
---   if not limit:allow(#pkt) then return tf.drop end
---end)
---```
---@param settings { rate: number, burst?: number } tokens a second, from 0; the most that it holds, above 0 (left out: a second's worth, at least 1)
---@return tunfilter.Limiter limiter
function tf.limiter(settings) end

--- The counter of that name, 0 at first; asked again, the same one. The counters are shown with the statistics, in the order
--- in which they were made.
---
--- Errors: a name that is empty or longer than 40 bytes, more than 1,000 counters.
---
---```lua
---local tf = require "tunfilter"
---local queries = tf.counter "DNS queries"
---
---tf.on_packet("udp dst port 53", function(pkt) queries:add() end)
---```
---@param name string 1 to 40 bytes
---@return tunfilter.Counter counter
function tf.counter(name) end

--- A random number. Without arguments: from 0 up to, but without, 1. With one: a whole number from 1 to it. With two: a whole number
--- from the first to the second. `--seed N` makes a run's numbers the same each time; `math.random` follows it too.
---
--- Errors: an argument that is no whole number, or nothing between the two.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if tf.random() < 0.01 then return tf.drop end   -- one of a hundred
---end)
---```
---@param m? integer
---@param n? integer
---@return number random
function tf.random(m, n) end

--- Writes a line to standard error, with the time (under `replay` the capture's): what `tostring` gives for each
--- argument, separated by tabs. `print` does the same.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt) tf.log(pkt.from, pkt) end)
---```
---@param ... any
function tf.log(...) end

--- What tf.after and tf.every return.
---@class tunfilter.Timer
local timer = {}

--- Stops the timer; one that has run, or was cancelled before, stays as it is.
---
---```lua
---local tf = require "tunfilter"
---local timer = tf.after(60, function() tf.log "a minute without a packet" end)
---
---tf.on_packet(function() timer:cancel() end)
---```
function timer:cancel() end

--- `tf.flow(pkt)` gives a table of the packet's connection, the same for both directions, for the script to keep what it
--- likes in it. It is empty when the connection is new. A packet that is not IP gives nil.
---
--- A connection is two addresses, a protocol and two ports (for pings: the identifier; for other protocols and the later
--- fragments of a datagram: none). It is gone when no packet came for `timeout` seconds, or for 10 after a TCP RST or a
--- FIN from both ends; and when there are more than `max`, the one unused for longest goes first. A SYN on an ended
--- connection begins a new one. A packet that `tf.packet` has made does none of this. `tf.flow(pkt.quoted)` is the table of
--- what an ICMP error is about.
---
--- Errors: something else than a packet.
---
---```lua
---local tf = require "tunfilter"
---tf.flow.timeout = 60
---
---tf.on_packet{ from = tf.left, function(pkt)
---   local flow = tf.flow(pkt)
---   if flow then flow.asked = true end
---end }
---
---tf.on_packet{ from = tf.right, function(pkt)   -- only answers
---   local flow = tf.flow(pkt)
---   if flow and not flow.asked then return tf.drop end
---end }
---```
---@class tunfilter.Flows
---@field timeout number Seconds without a packet until a connection is forgotten, above 0; 300 unless set.
---@field keep boolean Whether flows live through a reload, with the plain values in their tables; false unless set.
---@field max integer The most connections, 1 to 16,777,216; 65,536 unless set. It is set before the first `tf.flow(pkt)`.
---@field count integer How many there are; idle ones are counted until their place is needed. Read only.
---@overload fun(pkt: tunfilter.Packet): table?

--- What tf.limiter returns.
---@class tunfilter.Limiter
local limiter = {}

--- Whether there are so many tokens; if so they are taken. What costs more than the burst is never allowed.
---
---```lua
---local tf = require "tunfilter"
---local ten = tf.limiter{ rate = 10 }
---
---tf.on_packet("icmp", function(pkt)
---   if not ten:allow() then return tf.drop end
---end)
---```
---@param cost? number from 0; 1 if it is left out
---@return boolean allowed
function limiter:allow(cost) end

--- What tf.counter returns.
---@class tunfilter.Counter
---@field value number What it has come to.
local counter = {}

--- Counts.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("tcp", function(pkt)
---   tf.counter("bytes over TCP"):add(#pkt)
---end)
---```
---@param n? number 1 if it is left out
function counter:add(n) end

--- A device, tf.left or tf.right. `tostring` gives "left" or "right".
---@class tunfilter.Side
---@field name string The interface's name, such as "tun0". Read only.
---@field kind string "tun", "tap", or another kind of device. Read only.
---@field mtu integer Bytes, without the link header; on Linux as it is now, else as it was at the start. Read only.

--- An IP address as a value. Equal to another value, and to a string that spells the same address in any way; IPv4 and
--- IPv6 are never equal. `tostring` gives the usual spelling (RFC 5952 for IPv6), `..` takes it. It cannot be changed, and
--- stays valid when its packet is gone. As a table's key use `tostring(address)`.
---
---```lua
---local tf = require "tunfilter"
---local packets = {}
---
---tf.on_packet(function(pkt)
---   if not pkt.ip then return end
---   local source = tostring(pkt.ip.src)
---   packets[source] = (packets[source] or 0) + 1
---end)
---```
---@class tunfilter.Address
---@field version integer 4 or 6. Read only.

--- A network as a value. Equal to another value, and to a string that spells the same network; `tostring` gives
--- "10.0.0.0/8".
---@class tunfilter.Net
---@field version integer 4 or 6. Read only.
---@field prefix integer Bits, 0 to 32 or 0 to 128. Read only.
local net = {}

--- Whether an address is in the network; one of the other version never is.
---
--- Errors: something else than an address, or a string that spells none.
---
---```lua
---local tf = require "tunfilter"
---
---assert(tf.net("10.0.0.0/8"):contains "10.77.0.1")
---assert(not tf.net("10.0.0.0/8"):contains "fd77::1")
---```
---@param address tunfilter.Address|string
---@return boolean inside
function net:contains(address) end

--- A MAC address as a value. Equal to another value, and to a string that spells the same address; `tostring` gives
--- "02:00:00:00:00:01", `..` takes it. It cannot be changed. As a table's key use `tostring(address)`.
---@class tunfilter.Mac

return tf
