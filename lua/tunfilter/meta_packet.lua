---@meta tunfilter.packet
-- Stubs of packets and their headers; see meta.lua.

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

--- A verdict, to be returned: forward the packet, as it is then, after that time. Packets go in the order of their times,
--- equal times in the order in which they came. At most 65,536 packets and 64 MiB are held; what is beyond that is
--- dropped and counted as lost.
---
--- Errors: a time outside 0 to 3600; a copy, which has no verdict (use tf.after and tf.send).
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet{ from = tf.left, function(pkt) return pkt:hold(0.05) end }   -- 50 ms on the way there
---```
---@param seconds number
---@return tunfilter.Verdict verdict
function packet:hold(seconds) end

--- A verdict, to be returned: drop the packet and tell its sender, in the name of the destination. TCP gets a RST, UDP
--- "port unreachable", all else "administratively prohibited" (ICMP, ICMPv6).
---
--- Where no answer may be given (RFC 9293, 1122, 1812 and 4443) it is tf.drop: to a RST, an ICMP error or redirect, a later
--- fragment, a packet that is malformed or has a wrong checksum, from or to other than one single host, or no IP.
--- At most 100 ICMP errors a second are sent, after 50 at once.
---
--- Errors: a copy, which has no verdict.
---
---```lua
---local tf = require "tunfilter"
---
---tf.on_packet("tcp dst port 25 or udp dst port 53", function(pkt) return pkt:reject() end)
---```
---@return tunfilter.Verdict verdict
function packet:reject() end

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

--- What tf.packet makes a packet of. Any field of a header that can be assigned can be given. What is left out has its usual
--- value; lengths, checksums, protocol numbers and Ethernet types are filled in. Where they are given they stay as
--- given, right or wrong.
---
--- | header | what is left out |
--- |---|---|
--- | `eth` | `dst` ff:ff:ff:ff:ff:ff, `src` 00:00:00:00:00:00 (or `arp.sha`), no tag |
--- | `arp` | `op` 1, `sha` that of `eth.src`, all else 0 |
--- | `ip`, `ip4` | `src`, `dst` 127.0.0.1, `ttl` 64, `id` 1, all else 0 |
--- | `ip`, `ip6` | `src`, `dst` ::1, `ttl` 64, all else 0 |
--- | `tcp` | `sport` 20, `dport` 80, `flags` "S", `window` 8192, no options, all else 0 |
--- | `udp` | `sport`, `dport` 53 |
--- | `icmp`, `icmp6` | an echo request, all else 0 |
---
--- Of `arp`, `ip`, `ip4`, `ip6` there is one, of `arp`, `tcp`, `udp`, `icmp`, `icmp6` likewise. `ip` is the version of its
--- addresses, or of `version`; a table without it gets IPv4, with `icmp6` IPv6. Without `tcp` and the like the
--- protocol is 0 (IPv4) or 59 (IPv6) unless given. TAP devices get an `eth` by themselves.
---@class tunfilter.PacketTable
---@field eth table? Fields of [Eth](#eth); `vlan` adds a tag.
---@field arp table? Fields of [Arp](#arp).
---@field ip table? Fields of [Ip](#ip).
---@field ip4 table? Fields of [Ip4](#ip4).
---@field ip6 table? Fields of [Ip6](#ip6).
---@field tcp table? Fields of [Tcp](#tcp); `flags` a string, `options` a table.
---@field udp table? Fields of [Udp](#udp).
---@field icmp table? Fields of [Icmp](#icmp), over IPv4.
---@field icmp6 table? Fields of [Icmp](#icmp), over IPv6.
---@field payload string? What follows the last header.
---@field raw boolean? Sets `raw` of the packet, so that later edits leave lengths and checksums alone.
