---@meta tunfilter
-- Stubs for lua-language-server; nothing runs this file. lua/README.md is made from it
-- (lua/reference.lua), and tests/spec/test_meta.lua compares it with the library.

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
---@field args table<string, string> What `--set KEY=VALUE` gave on the command line.
local tf = {}

--- One of tf.forward, tf.drop and tf.reply. A callback that returns nothing lets the next one decide; past the last
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

--- Calls a function once, before the first packet. An error in it is a failed start.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_start(function() tf.log("between", tf.left.name, "and", tf.right.name) end)
---```
---@param fn fun()
function tf.on_start(fn) end

--- Calls a function once, after the last packet.
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

--- A packet of the script's own, made of bytes: 1 to 65,600 of them, from the first header that the devices carry. They are
--- taken as they are. Its `from` and `to` are nil, its `time` is 0.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   local same = tf.packet(pkt:bytes())
---   assert(same.len == pkt.len)
---end)
---```
---@param bytes string
---@return tunfilter.Packet packet
function tf.packet(bytes) end

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

--- Writes a line to standard error, with the time: what `tostring` gives for each argument, separated by tabs.
--- `print` does the same.
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

--- A device, tf.left or tf.right. `tostring` gives "left" or "right".
---@class tunfilter.Side
---@field name string The interface's name, such as "tun0". Read only.
---@field kind string "tun", "tap", or another kind of device. Read only.
---@field mtu integer Bytes, without the link header. Read only.

--- A packet. One that a callback gets is valid until the callback returns; `pkt:copy()` gives one to keep. Afterwards
--- every use of it is an error. Offsets count bytes from 0, from the first header that the device carries (IP
--- on TUN, Ethernet on TAP); one outside the packet is an error that names the offset and the length.
---
--- Changes need no verdict: whatever the callbacks left in it is what is forwarded. Length fields and checksums follow,
--- unless `raw` is set; a checksum that was wrong before stays wrong. A name that is no member is an error.
---
--- `#pkt` is `pkt.len`; `tostring(pkt)` is one line, as tcpdump prints it.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if pkt.malformed then
---      tf.log(pkt, pkt.malformed)
---      return tf.drop
---   end
---end)
---```
---@class tunfilter.Packet
---@field len integer Bytes. Read only.
---@field time number When it was read: seconds since 1970. Read only.
---@field number integer Counts the packets of a run from 1; copies count from -1 down. Read only.
---@field from tunfilter.Side The side that it was read from; nil for a packet of the script's own. Read only.
---@field to tunfilter.Side The other side. Read only.
---@field malformed string? What is wrong with it, where something is. Read only.
---@field raw boolean Leave checksums and lengths as the script writes them from now on.
---@field payload string What follows the last header known here. Assign to it to replace it; a new length moves into every length field. Errors: a fragment would change its length; an IP datagram of more than 65,535 bytes.
---@field eth tunfilter.Eth? The Ethernet header, on devices that carry it. Read only.
---@field arp tunfilter.Arp? ARP for Ethernet and IPv4. Read only.
---@field ip tunfilter.Ip? The IP header of either version. Read only.
---@field ip4 tunfilter.Ip4? The IPv4 header. Read only.
---@field ip6 tunfilter.Ip6? The IPv6 header. Read only.
---@field tcp tunfilter.Tcp? The TCP header; not in later fragments. Read only.
---@field udp tunfilter.Udp? The UDP header; not in later fragments. Read only.
---@field icmp tunfilter.Icmp? The ICMP header; not in later fragments. Read only.
---@field icmp6 tunfilter.Icmp? The ICMPv6 header; not in later fragments. Read only.
local packet = {}

--- The byte at an offset.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("ip", function(pkt)
---   if pkt.ip4 and not pkt.eth then assert(pkt:u8(8) == pkt.ip4.ttl) end
---end)
---```
---@param offset integer
---@return integer value 0 to 255
function packet:u8(offset) end

--- Two bytes at an offset, in network order.
---@param offset integer of the first
---@return integer value 0 to 65535
function packet:u16(offset) end

--- Four bytes at an offset, in network order.
---@param offset integer of the first
---@return integer value 0 to 4294967295
function packet:u32(offset) end

--- Writes a byte. Checksums over it follow; where headers lie is found anew.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("udp", function(pkt)
---   if pkt.udp and pkt.payload ~= "" then
---      pkt:set_u8(pkt.len - 1, 0)        -- the last byte; the UDP checksum follows
---   end
---end)
---```
---@param offset integer
---@param value integer 0 to 255
function packet:set_u8(offset, value) end

--- Writes two bytes in network order.
---@param offset integer of the first
---@param value integer 0 to 65535
function packet:set_u16(offset, value) end

--- Writes four bytes in network order.
---@param offset integer of the first
---@param value integer 0 to 4294967295
function packet:set_u32(offset, value) end

--- Bytes as a string, both ends included.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   local first_four = pkt:bytes(0, 3)
---   assert(#first_four == 4 and #pkt:bytes() == pkt.len)
---end)
---```
---@param first? integer offset; left out: 0
---@param last? integer offset; left out: that of the last byte
---@return string bytes
function packet:bytes(first, last) end

--- Replaces text in the payload, from the front, as plain text. Lengths and checksums follow. TCP's sequence numbers do
--- not: where a new text has another length than the old one, the two ends of a connection lose step.
---
--- Errors: an empty `old`; those of `payload`.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("tcp src port 80", function(pkt)
---   pkt:replace("cloud", "clown")
---end)
---```
---@param old string
---@param new string
---@param max? integer replace at most so many; left out: all
---@return integer count how often
function packet:replace(old, new, max) end

--- A copy that the script owns and may keep and change. It goes when nothing refers to it any more.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("icmp", function(pkt)          -- a second later, once more
---   local copy, to = pkt:copy(), pkt.to
---   tf.after(1, function() tf.send(to, copy) end)
---end)
---```
---@return tunfilter.Packet copy
function packet:copy() end

--- Offsets, hex and text, sixteen bytes a line, as `tcpdump -XX` prints them.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt) tf.log("\n" .. pkt:hexdump()) end)
---```
---@return string text
function packet:hexdump() end

--- The Ethernet header. A VLAN tag is looked through.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if pkt.eth and pkt.eth.type == 0x86dd then return tf.drop end   -- no IPv6
---end)
---```
---@class tunfilter.Eth
---@field src tunfilter.Mac Source; takes a string too.
---@field dst tunfilter.Mac Destination; takes a string too.
---@field type integer What follows the header and its VLAN tags, 0 to 65535: 0x0800 is IPv4.
---@field vlan integer? The outermost VLAN's id, 0 to 4095; nil without a tag, and then setting it is an error.

--- An ARP packet for Ethernet and IPv4.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if pkt.arp then tf.log("who has", pkt.arp.tpa, "tell", pkt.arp.spa) end
---end)
---```
---@class tunfilter.Arp
---@field op integer 1 is a request, 2 a reply; 0 to 65535.
---@field sha tunfilter.Mac The sender's hardware address; takes a string too.
---@field spa tunfilter.Address The sender's IPv4 address; takes a string too.
---@field tha tunfilter.Mac The target's hardware address; takes a string too.
---@field tpa tunfilter.Address The target's IPv4 address; takes a string too.

--- What IPv4 and IPv6 have in common.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if pkt.ip and pkt.ip.ttl > 1 then pkt.ip.ttl = pkt.ip.ttl - 1 end
---end)
---```
---@class tunfilter.Ip
---@field version integer 4 or 6. Read only.
---@field src tunfilter.Address Source; takes a string too. Errors: an address of the other version.
---@field dst tunfilter.Address Destination; takes a string too. Errors: an address of the other version.
---@field proto integer The upper layer's protocol, 0 to 255: 6 is TCP, 17 is UDP. IPv6 extension headers are looked through.
---@field ttl integer Time to live; in IPv6 the hop limit. 0 to 255.
---@field dscp integer Differentiated services code point, 0 to 63.
---@field ecn integer Explicit congestion notification, 0 to 3.
---@field len integer The datagram's bytes, its header's included: the total length of IPv4, 0 to 65535; in IPv6 the payload length and 40, 40 to 65575. It follows by itself when the payload changes.

--- IPv4's own fields, and those of `pkt.ip`.
---@class tunfilter.Ip4: tunfilter.Ip
---@field id integer Identification, 0 to 65535.
---@field df boolean Don't fragment.
---@field mf boolean More fragments.
---@field offset integer Where the fragment belongs in the datagram: bytes, a multiple of 8, 0 to 65528.
---@field checksum integer Of the header, 0 to 65535. What is written to it stays until the next change.

--- IPv6's own fields, and those of `pkt.ip`.
---@class tunfilter.Ip6: tunfilter.Ip
---@field flow_label integer 0 to 1048575.
---@field next_header integer What follows the fixed header, 0 to 255: an extension header's number or the upper layer's.

--- The TCP header.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet(function(pkt)
---   if pkt.tcp and pkt.tcp.dport == 80 then
---      pkt.tcp.dport = 8080
---   elseif pkt.tcp and pkt.tcp.sport == 8080 then
---      pkt.tcp.sport = 80
---   end
---end)
---```
---@class tunfilter.Tcp
---@field sport integer Source port, 0 to 65535.
---@field dport integer Destination port, 0 to 65535.
---@field seq integer Sequence number, 0 to 4294967295.
---@field ack integer Acknowledgement number, 0 to 4294967295.
---@field flags tunfilter.TcpFlags Takes letters ("SA") and another packet's flags too.
---@field window integer Window as it is in the header, before scaling, 0 to 65535.
---@field checksum integer 0 to 65535. What is written to it stays until the next change.
---@field urgent integer Urgent pointer, 0 to 65535.
---@field options tunfilter.TcpOptions Takes a table by name and another packet's options too, which replace all that were there.

--- TCP flags. `tostring` gives their letters in the order FSRPAUEC; they are equal to a string of the same letters
--- in any order.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("tcp", function(pkt)
---   if pkt.tcp and pkt.tcp.flags == "S" then tf.log("a new connection to", pkt.ip.dst) end
---end)
---```
---@class tunfilter.TcpFlags
---@field fin boolean F
---@field syn boolean S
---@field rst boolean R
---@field psh boolean P
---@field ack boolean A
---@field urg boolean U
---@field ece boolean E
---@field cwr boolean C

--- TCP options by name; nil where the header has none of that name. Assigning one changes it in the packet and keeps the
--- others, nil takes it away. Errors: more than the 40 bytes that TCP has for options; a fragment would change its length.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("tcp[tcpflags] & tcp-syn != 0", function(pkt)
---   local options = pkt.tcp and pkt.tcp.options
---   if options and options.mss and options.mss > 1200 then options.mss = 1200 end
---end)
---```
---@class tunfilter.TcpOptions
---@field mss integer? Largest segment: bytes, 0 to 65535.
---@field wscale integer? Window scale: a shift, 0 to 255.
---@field sack_ok boolean? Selective acknowledgements are permitted: true or nil.
---@field timestamp { val: integer, ecr: integer }? Two numbers, 0 to 4294967295. The table is a copy: assign it to change the packet.
---@field sack integer[][]? One to four blocks `{ left, right }` of sequence numbers. The table is a copy: assign it to change the packet.

--- The UDP header.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("ip and udp dst port 53", function(pkt)   -- another name server
---   if pkt.udp then pkt.ip.dst = "10.77.0.53" end
---end)
---```
---@class tunfilter.Udp
---@field sport integer Source port, 0 to 65535.
---@field dport integer Destination port, 0 to 65535.
---@field len integer Bytes of header and payload, 0 to 65535. It follows by itself when the payload changes.
---@field checksum integer 0 to 65535; 0 over IPv4 says that there is none. What is written to it stays until the next change.

--- The ICMP or ICMPv6 header, eight bytes.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("icmp", function(pkt)
---   if pkt.icmp and pkt.icmp.type == 8 then tf.log("ping", pkt.icmp.id, pkt.icmp.seq) end
---end)
---```
---@class tunfilter.Icmp
---@field type integer 0 to 255: 8 is an echo request of ICMP, 128 one of ICMPv6.
---@field code integer 0 to 255.
---@field checksum integer 0 to 65535. What is written to it stays until the next change.
---@field id integer Of echo requests and replies; in other types whatever bytes 4 and 5 are. 0 to 65535.
---@field seq integer Of echo requests and replies; in other types whatever bytes 6 and 7 are. 0 to 65535.

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
