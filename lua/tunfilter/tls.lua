--- What a TLS ClientHello says in the clear (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301).
---
--- A packet costs at most the reading of 16 KiB, whatever its bytes.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local live = require "tunfilter.live"
local packet = require "tunfilter.packet"
local queue = require "tunfilter.stream_queue"
local state = require "tunfilter.state"

local M = {}

local C = core.C
local byte, sub = string.byte, string.sub
local band = bit.band

local handshake_record, client_hello = 22, 1
local syn = 2 -- the bit in TCP's flags
local max_record = 16384
local max_hello = 16384 -- bytes of a stream that are looked at
local max_waiting = 256 -- connections whose hello is not all there yet

local function u16(s, at)
   local a, b = byte(s, at, at + 1)
   return b and a * 256 + b
end

-- The content of the handshake records that a stream begins with, as far as they are there; nil if it begins otherwise.
local function handshake(s)
   local parts, at = {}, 1
   while at <= #s do
      local kind, major = byte(s, at, at + 1)
      local length = u16(s, at + 3) or 1
      if kind ~= handshake_record or (major or 3) ~= 3 or length < 1 or length > max_record then
         if at == 1 then return nil end
         break
      end
      parts[#parts + 1] = sub(s, at + 5, at + 4 + length)
      at = at + 5 + length
   end
   return table.concat(parts)
end

-- The host name in a server_name extension: its list has one entry, of type 0.
local function host_name(data)
   local length = u16(data, 4)
   local name = byte(data, 3) == 0 and length and sub(data, 6, 5 + length)
   if not name or #name < length or not name:find "^[%w_.-]+$" then return nil end
   return (name:lower():gsub("%.$", ""))
end

local function protocols(data)
   local list, at = {}, 3
   while at <= #data do
      local length = byte(data, at)
      list[#list + 1] = sub(data, at + 1, at + length)
      at = at + length + 1
   end
   return list
end

-- Fills in what the extensions between two positions say.
local function read_extensions(s, at, last, hello)
   while at + 3 <= last do
      local kind, size = u16(s, at), u16(s, at + 2)
      local behind = at + 4 + size
      if behind > last + 1 then return end
      if kind == 0 then
         hello.server_name = hello.server_name or host_name(sub(s, at + 4, behind - 1))
      elseif kind == 16 then
         hello.alpn = protocols(sub(s, at + 4, behind - 1))
      end
      at = behind
   end
end

local function parse(bytes)
   local s = handshake(sub(bytes, 1, max_hello))
   if not s or bytes == "" or (byte(s, 1) or client_hello) ~= client_hello then return nil end
   local hello = { alpn = {}, whole = false }
   local low = u16(s, 3)
   if not low then return hello end
   local last = 4 + byte(s, 2) * 65536 + low
   hello.whole = #s >= last
   last = math.min(last, #s)
   -- version (2 bytes), random (32), then three that begin with their length: session, ciphers, compression
   hello.version = u16(s, 5)
   local session = byte(s, 39)
   local ciphers = session and u16(s, 40 + session)
   local compression = ciphers and byte(s, 42 + session + ciphers)
   if compression then read_extensions(s, 45 + session + ciphers + compression, last, hello) end
   return hello
end

--- The ClientHello at the front of a stream's bytes, a string or a packet's; nil for what is none.
function M.client_hello(what)
   if type(what) == "string" then return parse(what) end
   if not packet.is(what) then check.wrong("tls.client_hello", "a packet or a string", what) end
   return what.tcp and parse(what.payload)
end

-- By connection, for either side that a hello may come from: where its bytes begin (a sequence number), as the SYN says; with
-- the first of them, a hello: { start = that number, size = bytes so far, without a gap, bytes = these while more is
-- needed, ahead = what came before its turn, name = the server name }. They go with the connections.
local hellos = { [C.TF_LEFT] = setmetatable({}, { __mode = "k" }), [C.TF_RIGHT] = setmetatable({}, { __mode = "k" }) }

-- A ring of those that have bytes, so that these stay few: the oldest makes room.
local waiting, last_waiting = {}, 0

local function forget_bytes(hello)
   hello.bytes, hello.ahead = nil, nil
end

local function wait(hello)
   last_waiting = last_waiting % max_waiting + 1
   local oldest = waiting[last_waiting]
   if oldest then forget_bytes(oldest) end
   waiting[last_waiting] = hello
end

-- Adds text that begins so many bytes behind the hello's first, and keeps the bytes only while there is more to come. False
-- if this is no hello.
local function add(hello, before, text)
   if before > hello.size then
      hello.ahead = hello.ahead or queue.new { used = 0, max = 2 * max_hello }
      hello.ahead:add(before, text)
      return true
   end
   local bytes = hello.bytes .. sub(text, hello.size - before + 1)
   if hello.ahead then bytes = bytes .. hello.ahead:take(#bytes) end
   local found = parse(bytes)
   if not found then return false end
   hello.size, hello.bytes, hello.name = #bytes, bytes, found.server_name
   if found.server_name or found.whole or #bytes >= max_hello then forget_bytes(hello) end
   return true
end

-- A hello of its first packet, or of one that came before that; nil if it is none.
local function begin(start, before, text)
   local hello = { start = start, size = 0, bytes = "" }
   if not add(hello, before, text) then return nil end
   if hello.bytes then wait(hello) end
   return hello
end

--- The server name that the packet's connection asks for, where the packet has a part of the hello and the
--- name is known with it; nil otherwise. Of a string, the name in that.
function M.server_name(what)
   if type(what) == "string" then
      local hello = parse(what)
      return hello and hello.server_name
   end
   if not packet.is(what) then check.wrong("tls.server_name", "a packet or a string", what) end
   local p = packet.resolve(what)
   local known, length = hellos[p.from], p["end"] - p.payload
   if band(p.headers, C.TF_HAS_TCP) == 0 or not known then return nil end
   local flow, tcp = state.flow(what), p.data + p.transport
   if not flow then return nil end
   local seq = (tcp[4] * 256 + tcp[5]) * 65536 + tcp[6] * 256 + tcp[7]
   if band(tcp[13], syn) ~= 0 then -- another connection, though its ports may be the same
      seq = (seq + 1) % 2 ^ 32
      known[flow] = seq
   end
   if length == 0 then return nil end
   local hello = known[flow]
   if type(hello) == "number" then
      local before = (seq - hello) % 2 ^ 32
      if before < max_hello then
         hello = begin(hello, before, what.payload)
         known[flow] = hello
         return hello and hello.name
      end
   elseif hello then
      local before = (seq - hello.start) % 2 ^ 32
      if hello.bytes and before < max_hello then
         if before + length > hello.size and not add(hello, before, what.payload) then known[flow] = nil end
         return hello.name
      end
      if before < hello.size then return hello.name end
   end
   -- None is expected here. One may begin all the same: the SYN was not seen, it stands behind STARTTLS, it is a second one.
   if live.payload(p)[0] ~= handshake_record then return nil end
   hello = begin(seq, 0, what.payload)
   if hello then known[flow] = hello end
   return hello and hello.name
end

return require "tunfilter.module"("tunfilter.tls", M)
