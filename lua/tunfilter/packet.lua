--- Packets as scripts see them: handles, their members, and copies.
local arp = require "tunfilter.arp"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local eth = require "tunfilter.eth"
local fault = require "tunfilter.fault"
local icmp = require "tunfilter.icmp"
local ip = require "tunfilter.ip"
local live = require "tunfilter.live"
local quoted = require "tunfilter.quoted"
local sides = require "tunfilter.sides"
local suggest = require "tunfilter.suggest"
local tcp = require "tunfilter.tcp"
local udp = require "tunfilter.udp"
local verdict = require "tunfilter.verdict"
local view = require "tunfilter.view"

local M = {}

local ffi, C = core.ffi, core.C
local band, bor = bit.band, bit.bor
local resolve, put = live.resolve, view.put

local handle_type, copy_prototype, is_copy -- set below

local no_side = 255 -- tf_packet.from of a packet that was read from neither

local malformed = {}
for code = 0, C.TF_MALFORMED_COUNT - 1 do
   local text = C.tf_malformed_text(code)
   if text ~= nil then malformed[code] = ffi.string(text) end
end

--- The struct tf_packet * of what a script passed as a packet.
local function packet_of(x, method)
   if not ffi.istype(handle_type, x) and not is_copy(x) then
      fault(("%s: call it with a colon, as pkt:%s()"):format(method, method))
   end
   return (resolve(x))
end

-- Members -----------------------------------------------------------------------------------------

-- name -> function(handle) that gives its value
local getters = {
   number = live.number,
   len = function(self) return resolve(self).len end,
   time = function(self) return tonumber(resolve(self).stamp) / 1e9 end,
   from = function(self) return sides[resolve(self).from] end,
   to = function(self) return sides[1 - resolve(self).from] end,
   malformed = function(self) return malformed[resolve(self).malformed] end,
   raw = function(self) return band(resolve(self).flags, C.TF_RAW) ~= 0 end,
   payload = function(self)
      local p = resolve(self)
      return (ffi.string(live.payload(p), p["end"] - p.payload))
   end,
   eth = function(self)
      if band(resolve(self).headers, C.TF_HAS_ETH) ~= 0 then return (eth(self)) end
   end,
   arp = function(self)
      if band(resolve(self).headers, C.TF_HAS_ARP) ~= 0 then return (arp(self)) end
   end,
   ip = function(self)
      if band(resolve(self).headers, C.TF_HAS_IP4 + C.TF_HAS_IP6) ~= 0 then return (ip.ip(self)) end
   end,
   ip4 = function(self)
      if band(resolve(self).headers, C.TF_HAS_IP4) ~= 0 then return (ip.ip4(self)) end
   end,
   ip6 = function(self)
      if band(resolve(self).headers, C.TF_HAS_IP6) ~= 0 then return (ip.ip6(self)) end
   end,
   tcp = function(self)
      if band(resolve(self).headers, C.TF_HAS_TCP) ~= 0 then return (tcp(self)) end
   end,
   udp = function(self)
      if band(resolve(self).headers, C.TF_HAS_UDP) ~= 0 then return (udp(self)) end
   end,
   icmp = function(self)
      if band(resolve(self).headers, C.TF_HAS_ICMP) ~= 0 then return (icmp.icmp(self)) end
   end,
   icmp6 = function(self)
      if band(resolve(self).headers, C.TF_HAS_ICMP6) ~= 0 then return (icmp.icmp6(self)) end
   end,
   quoted = function(self) return (quoted.get(resolve(self), M.new, resolve)) end,
}

local edit_errors = {
   [C.TF_EDIT_ROOM] = "the IP datagram would be longer than 65535 bytes",
   [C.TF_EDIT_TOO_LONG] = "the IP datagram would be longer than 65535 bytes",
   [C.TF_EDIT_FRAGMENT] = "a fragment keeps its length",
}

local setters = {}

function setters.raw(self, value)
   local p = resolve(self)
   check.boolean(value, "pkt.raw")
   p.flags = value and bor(p.flags, C.TF_RAW) or band(p.flags, 255 - C.TF_RAW)
end

function setters.payload(self, value)
   local p = resolve(self)
   check.text(value, "pkt.payload")
   local code = C.tf_packet_set_payload(p, value, #value)
   if code == C.TF_EDIT_ROOM then
      live.grow(p, p.payload + #value)
      code = C.tf_packet_set_payload(p, value, #value)
   end
   if code < 0 then fault("pkt.payload: " .. edit_errors[code]) end
end

function setters.quoted(self, value)
   if not M.is(value) then check.wrong("pkt.quoted", "a packet", value) end
   local q = resolve(value)
   live.settle(q, 0, q.len)
   local bytes = ffi.string(q.data, q.len)
   quoted.set(resolve(self), bytes)
end

-- Methods -----------------------------------------------------------------------------------------

local methods = {}

local function outside(p, offset, width, method)
   if type(offset) ~= "number" then check.wrong(method, "an offset", offset) end
   if offset % 1 ~= 0 then fault(("%s: offset %s is not a whole number"):format(method, tostring(offset))) end
   local what = width == 1 and "" or (" (%d bytes from there)"):format(width)
   fault(("%s: offset %.14g%s is outside the packet, which has %d bytes"):format(method, offset, what, p.len))
end

-- Checks that `width` bytes at an offset are in the packet; gives a pointer to them.
local function at(p, offset, width, method)
   if type(offset) ~= "number" or not (offset >= 0 and offset + width <= p.len and offset % 1 == 0) then
      outside(p, offset, width, method)
   end
   live.settle(p, offset, width)
   return p.data + offset
end

function methods.u8(self, offset)
   return at(packet_of(self, "u8"), offset, 1, "u8")[0]
end

function methods.u16(self, offset)
   local d = at(packet_of(self, "u16"), offset, 2, "u16")
   return d[0] * 256 + d[1]
end

function methods.u32(self, offset)
   local d = at(packet_of(self, "u32"), offset, 4, "u32")
   return (d[0] * 256 + d[1]) * 65536 + d[2] * 256 + d[3]
end

function methods.set_u8(self, offset, value)
   local p = packet_of(self, "set_u8")
   at(p, offset, 1, "set_u8")
   put(p, offset, 1, check.integer(value, 0xff, "set_u8"), "set_u8")
end

function methods.set_u16(self, offset, value)
   local p = packet_of(self, "set_u16")
   at(p, offset, 2, "set_u16")
   put(p, offset, 2, check.integer(value, 0xffff, "set_u16"), "set_u16")
end

function methods.set_u32(self, offset, value)
   local p = packet_of(self, "set_u32")
   at(p, offset, 4, "set_u32")
   put(p, offset, 4, check.integer(value, 0xffffffff, "set_u32"), "set_u32")
end

function methods.bytes(self, first, last)
   local p = packet_of(self, "bytes")
   if first == nil then first = 0 end
   if last == nil then last = p.len - 1 end
   local d = at(p, first, 1, "bytes")
   at(p, last, 1, "bytes")
   if last < first then
      fault(("bytes: the last offset, %d, is before the first, %d"):format(last, first))
   end
   live.settle(p, first, last - first + 1)
   return (ffi.string(d, last - first + 1))
end

function methods.replace(self, old, new, max)
   local p = packet_of(self, "replace")
   check.text(old, "replace: old")
   check.text(new, "replace: new")
   if old == "" then fault "replace: there is nothing to look for in an empty string" end
   if max == nil then
      max = 0 -- all
   elseif check.integer(max, 0xffffffff, "replace: max") == 0 then
      return 0
   end
   local count = C.tf_packet_replace(p, old, #old, new, #new, max)
   if count == C.TF_EDIT_ROOM then
      live.grow(p, C.TF_PACKET_MAX)
      count = C.tf_packet_replace(p, old, #old, new, #new, max)
   end
   if count < 0 then fault("replace: " .. edit_errors[count]) end
   return count
end

function methods.copy(self)
   return (live.copy(copy_prototype, packet_of(self, "copy")))
end

local context = core.context
local longest_hold = 3600 -- seconds
local said = verdict.said

-- The packet that a callback sees now; what a verdict is about.
local function seen(self, method, instead)
   local p = packet_of(self, method)
   if p ~= context.packet then fault(("%s: a copy has no verdict: %s"):format(method, instead)) end
   local earlier = said.number
   said.number = p.number
   if earlier ~= 0 and earlier ~= p.number then
      fault(("%s is a verdict, to be returned: return pkt:%s(…); of packet %d nothing was returned"):format(method, method, earlier))
   end
   return p
end

function methods.hold(self, seconds)
   local p = seen(self, "hold", "use tf.after and tf.send")
   if type(seconds) ~= "number" then check.wrong("hold", "a number of seconds", seconds) end
   if not (seconds >= 0 and seconds <= longest_hold) then
      fault(("hold: %.14g seconds are not in 0..%d"):format(seconds, longest_hold))
   end
   p.due = context.now + seconds
   return verdict.hold
end

function methods.reject(self)
   seen(self, "reject", "it can be said only of the packet that a callback sees")
   return verdict.reject
end

local text_size = 4096
local text = ffi.new("char[?]", text_size)

function methods.hexdump(self)
   local p = packet_of(self, "hexdump")
   local n = C.tf_packet_hexdump(p, text, text_size)
   if n < text_size then return (ffi.string(text, n)) end
   local large = ffi.new("char[?]", n + 1)
   return (ffi.string(large, C.tf_packet_hexdump(p, large, n + 1)))
end

-- The type ----------------------------------------------------------------------------------------

local names = {}
for name in pairs(getters) do names[name] = true end
for name in pairs(methods) do names[name] = true end

-- An error that says what was looked for: a verdict, a field of a header, or a member that is written otherwise.
local function absent(key)
   if key == "drop" or key == "forward" or key == "reply" then
      fault(("a packet has no member '%s': return tf.%s"):format(key, key))
   end
   local fields = {}
   for _, header in ipairs { "ip", "tcp", "udp", "eth" } do
      if view.declared[header][key] then fields[#fields + 1] = ("pkt.%s.%s"):format(header, key) end
   end
   if fields[1] then fault(("a packet has no member '%s', its headers have: %s"):format(key, table.concat(fields, ", "))) end
   fault(suggest("a packet", key, names))
end

local meta = {
   __index = function(self, key)
      local get = getters[key]
      if get then return (get(self)) end
      local method = methods[key]
      if not method then absent(key) end
      return method
   end,
   __newindex = function(self, key, value)
      local set = setters[key]
      if not set then
         if names[key] then fault(("pkt.%s cannot be set"):format(key)) end
         absent(key)
      end
      set(self, value)
   end,
   __len = function(self) return resolve(self).len end,
   __tostring = function(self)
      return (ffi.string(text, C.tf_packet_describe(resolve(self), text, text_size)))
   end,
   __concat = function(a, b)
      return (M.is(a) and tostring(a) or a) .. (M.is(b) and tostring(b) or b)
   end,
   __eq = function(a, b)
      return ffi.istype(handle_type, a) and ffi.istype(handle_type, b) and live.number(a) == live.number(b)
   end,
}

-- M.handle makes the handle of a packet's number; what a callback gets.
handle_type, M.handle = live.declare("struct tf_handle", meta)
copy_prototype, is_copy = live.kind(meta)

--- Whether x is a packet.
function M.is(x)
   return ffi.istype(handle_type, x) or is_copy(x)
end

--- The struct tf_packet * of a packet, good until the next edit or look-up; an error if it is gone.
M.resolve = resolve

--- An owned packet of a string of 1 to TF_PACKET_MAX bytes that begin with what `link` carries.
function M.new(bytes, link)
   if #bytes < 1 or #bytes > C.TF_PACKET_MAX then
      fault(("a packet has 1 to %d bytes, not %d"):format(C.TF_PACKET_MAX, #bytes))
   end
   local p = ffi.new "struct tf_packet"
   p.data = ffi.cast("uint8_t *", bytes) -- only read, and copied before `bytes` can go
   p.len, p.room = #bytes, #bytes
   p.link, p.from = link, no_side
   C.tf_parse(p)
   return (live.copy(copy_prototype, p))
end

--- For the check that all members have stubs: the names of members and of those that can be set.
M.members, M.settable = names, setters

return M
