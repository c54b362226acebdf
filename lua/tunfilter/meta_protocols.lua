---@meta tunfilter.protocols
-- Stubs of the modules that read protocols above TCP and UDP; see meta.lua.

--- DNS messages: `require "tunfilter.dns"`.
---
---```lua
---local tf = require "tunfilter"
---local dns = require "tunfilter.dns"
---
---tf.on_packet("udp dst port 53", function(pkt)
---   local query = dns.parse(pkt)
---   if query and query.questions[1].name == "printer.test" then
---      return dns.answer(pkt, { { type = "A", data = "10.77.0.9" } })
---   end
---end)
---```
---@class tunfilter.Dns
local dns = {}

--- Reads a message. Of a packet: its payload over UDP, or the first message in its payload over TCP; what goes on in
--- later segments or fragments is not there. A string is a message without TCP's two bytes of length.
---
--- Errors: something else than a packet or a string.
---
---```lua
---local tf = require "tunfilter"
---local dns = require "tunfilter.dns"
---
---tf.on_packet("port 53", function(pkt)
---   local message = dns.parse(pkt)
---   for _, record in ipairs(message and message.answers or {}) do
---      tf.log(record.name, record.type, record.data, "for", record.ttl, "seconds")
---   end
---end)
---```
---@param what tunfilter.Packet|string
---@return tunfilter.DnsMessage? message nil for what is no DNS message
function dns.parse(what) end

--- The bytes of a message. What the table leaves out is 0, false or empty; a record's class is then 1, its ttl 60. Names
--- that come again are compressed.
---
--- Errors: names, addresses and numbers that do not fit; more than 65535 bytes.
---
---```lua
---local dns = require "tunfilter.dns"
---
---local bytes = dns.build{ id = 7, rd = true, questions = { { name = "example.org", type = "MX" } } }
---assert(dns.parse(bytes).questions[1].type == "MX")
---```
---@param message tunfilter.DnsMessage
---@return string bytes
function dns.build(message) end

--- Makes of a packet with a question (one, over UDP, in one piece) the answer to it: addresses and ports change places.
--- `return` what it gives, to send the answer back.
---
--- Errors: as dns.build.
---
---```lua
---local tf = require "tunfilter"
---local dns = require "tunfilter.dns"
---
---tf.on_packet("udp dst port 53", function(pkt)
---   return dns.answer(pkt, {}, "NXDOMAIN") -- there are no names
---end)
---```
---@param pkt tunfilter.Packet
---@param records? tunfilter.DnsRecord[] the answers; name and type are the question's where they are left out
---@param rcode? string|integer such as "NXDOMAIN" or 3; left out: "NOERROR"
---@return tunfilter.Verdict? verdict tf.reply; nil, and the packet is as it was, if it asks nothing
function dns.answer(pkt, records, rcode) end

--- A DNS message. A type or response code is its name where it has one here, else its number: A, NS, CNAME, SOA, PTR,
--- MX, TXT, AAAA, SRV, NAPTR, DNAME, OPT, DS, RRSIG, NSEC, DNSKEY, TLSA, SVCB, HTTPS, AXFR, ANY, CAA; NOERROR, FORMERR,
--- SERVFAIL, NXDOMAIN, NOTIMP, REFUSED. Names are in lower case, without the dot at their end (the root is "."), and
--- what is not printable is `\DDD`.
---@class tunfilter.DnsMessage
---@field id? integer 0 to 65535.
---@field qr? boolean It is an answer.
---@field opcode? integer 0 to 15; 0 is a query.
---@field rcode? string|integer The response code.
---@field aa? boolean From an authority for the name.
---@field tc? boolean It was cut short; ask again over TCP.
---@field rd? boolean Recursion is desired.
---@field ra? boolean Recursion is available.
---@field ad? boolean The data are authentic (DNSSEC).
---@field cd? boolean Checking is disabled.
---@field questions? tunfilter.DnsQuestion[] What is asked; nearly always one.
---@field answers? tunfilter.DnsRecord[] None behind the first entry that is damaged or cut off; so it is with all sections.
---@field authorities? tunfilter.DnsRecord[] Who knows more.
---@field additionals? tunfilter.DnsRecord[] What is of use beside the answers; OPT, too.
---@field whole? boolean Nothing was damaged or cut off. dns.build does not look at it.

--- A question of a DNS message.
---@class tunfilter.DnsQuestion
---@field name string What it is about.
---@field type? string|integer Left out for dns.build: "A".
---@field class? integer 1 is the internet.

--- A record of a DNS message.
---@class tunfilter.DnsRecord
---@field name? string Whose record it is.
---@field type? string|integer Left out for dns.build: "A".
---@field class? integer 1 is the internet.
---@field ttl? integer Seconds.
---@field data string As zone files have it for A, AAAA, NS, CNAME, PTR, DNAME, MX ("10 mail.example.org"), SRV and SOA; TXT without quotes; of other types the bytes. Empty where there is none.

--- What a TLS client says before encryption begins: `require "tunfilter.tls"`.
---
---```lua
---local tf = require "tunfilter"
---local tls = require "tunfilter.tls"
---
---tf.on_packet("tcp dst port 443", function(pkt)
---   if tls.server_name(pkt) == "example.org" then return pkt:reject() end
---end)
---```
---@class tunfilter.Tls
local tls = {}

--- The host name that a client asks for (SNI). A hello in several segments is put together, in whatever order these come,
--- up to 16 KiB and for 256 connections at a time; show it every packet of the connection, those without payload too: the
--- SYN says where the hello begins, and without it what comes before the first segment is not known to be of it. The name is
--- there from the segment on that completes it, and again when that, or another part of the hello, is sent anew, so that a
--- drop holds. A client that wants to hide the name can.
---
--- Errors: something else than a packet or a string.
---@param what tunfilter.Packet|string a packet; or the first bytes of a stream
---@return string? name in lower case; nil if the packet has no part of a hello, or the name is not there or not yet
function tls.server_name(what) end

--- Reads a ClientHello, as far as it is in one packet or string.
---
--- Errors: something else than a packet or a string.
---
---```lua
---local tf = require "tunfilter"
---local tls = require "tunfilter.tls"
---
---tf.on_packet("tcp dst port 443", function(pkt)
---   local hello = tls.client_hello(pkt)
---   if hello then tf.log(pkt.ip.src, "speaks", table.concat(hello.alpn, " or ")) end
---end)
---```
---@param what tunfilter.Packet|string a packet; or the first bytes of a stream
---@return tunfilter.TlsHello? hello nil for what is none
function tls.client_hello(what) end

--- A ClientHello.
---@class tunfilter.TlsHello
---@field version? integer What the client says here: 0x0303 from TLS 1.2 on; nil if the hello ends before it.
---@field server_name? string In lower case, without a dot at its end.
---@field alpn string[] The protocols offered, such as "h2".
---@field whole boolean It ends within the packet or string.

--- The head of an HTTP/1 message: `require "tunfilter.http"`. What goes on in the next segment is not there.
---
---```lua
---local tf = require "tunfilter"
---local http = require "tunfilter.http"
---
---tf.on_packet("tcp dst port 80", function(pkt)
---   local request = http.request(pkt)
---   if request then tf.log(request.method, request.headers.host, request.target) end
---end)
---```
---@class tunfilter.Http
local http = {}

--- Reads a request.
---
--- Errors: something else than a packet or a string.
---@param what tunfilter.Packet|string a packet with the beginning of a request; or its bytes
---@return tunfilter.HttpMessage? request with method and target; nil for what does not begin with a whole request line
function http.request(what) end

--- Reads an answer.
---
--- Errors: something else than a packet or a string.
---
---```lua
---local tf = require "tunfilter"
---local http = require "tunfilter.http"
---local failures = tf.counter "server errors"
---
---tf.on_packet("tcp src port 80", function(pkt)
---   local answer = http.response(pkt)
---   if answer and answer.status >= 500 then failures:add() end
---end)
---```
---@param what tunfilter.Packet|string a packet with the beginning of an answer; or its bytes
---@return tunfilter.HttpMessage? answer with status and reason; nil for what does not begin with a whole status line
function http.response(what) end

--- The head of a request or an answer.
---@class tunfilter.HttpMessage
---@field method? string Of a request: "GET".
---@field target? string Of a request: "/index.html".
---@field status? integer Of an answer: 100 to 999 as they come.
---@field reason? string Of an answer: what stands behind the status; often empty.
---@field version string "1.1".
---@field headers table<string, string> By name in lower case. Several of one name are joined by ", ", lines that go on by a space; lines that are no header are passed over.
---@field whole boolean The head ends within the text, and has at most 200 lines.
---@field body? string What follows a whole head.
