--- What an ICMP error quotes: the front of the packet that it is about (RFC 792, 1812, 4443).
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"

local M = {}

local ffi, C = core.ffi, core.C
local band, rshift = bit.band, bit.rshift

local TCP = 6
local errors4 = { [3] = true, [4] = true, [5] = true, [11] = true, [12] = true } -- of ICMP; those of ICMPv6 are below 128

-- What a quote of 8 bytes, which is all that has to be there, lacks of a TCP header: one without options.
local rest_of_tcp = ("\0"):rep(4) .. "\80" .. ("\0"):rep(7)

-- The version of the packet that p quotes; nil if it is no error.
local function version(p)
   if band(p.headers, C.TF_HAS_ICMP + C.TF_HAS_ICMP6) == 0 then return nil end
   local kind = p.data[p.transport]
   if band(p.headers, C.TF_HAS_ICMP) ~= 0 then return errors4[kind] and 4 end
   return kind < 128 and 6
end

-- The bytes that are missing until a TCP header is whole, as zeros.
local function missing(q)
   local have, there = q["end"] - q.transport, q.data + q.transport
   if q.proto ~= TCP or q.fragment == C.TF_FRAGMENT_LATER or band(q.headers, C.TF_HAS_TCP) ~= 0 or have < 8 then return "" end
   if have <= 12 then return (rest_of_tcp:sub(have - 7)) end
   return (("\0"):rep(math.max(20, rshift(there[12], 4) * 4) - have))
end

--- The packet that p quotes, made by make(bytes, link); nil if there is none. resolve: of what make makes.
function M.get(p, make, resolve)
   local expected = version(p)
   if not expected or p.payload == p["end"] then return nil end
   local bytes = ffi.string(live.payload(p), p["end"] - p.payload)
   local quoted = make(bytes, C.TF_LINK_IP)
   local q = resolve(quoted)
   if band(q.headers, expected == 4 and C.TF_HAS_IP4 or C.TF_HAS_IP6) == 0 then return nil end
   local more = missing(q)
   return more == "" and quoted or make(bytes .. more, C.TF_LINK_IP)
end

--- Puts the bytes of a packet in the place of what p quotes.
function M.set(p, bytes)
   local size = version(p) and p["end"] - p.payload or 0
   if size == 0 then fault "pkt.quoted: this packet quotes none" end
   if #bytes < size then fault(("pkt.quoted: the quote has %d bytes, and keeps its length; here are %d"):format(size, #bytes)) end
   C.tf_packet_write(p, p.payload, bytes, size)
end

return M
