--- IP addresses, networks and MAC addresses as values: tf.ip, tf.net, tf.mac.
---
--- A value is a struct of constant numbers: the address in words as they lie in the packet. Equal
--- to another value or to a string that spells the same. Strings are parsed once and remembered.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local suggest = require "tunfilter.suggest"

local M = {}

local ffi, C = core.ffi, core.C
local band = bit.band
local istype, cast = ffi.istype, ffi.cast

ffi.cdef [[
struct tf_value_ip { const int32_t a, b, c, d; const uint8_t version; };
struct tf_value_net { const int32_t a, b, c, d, mask_a, mask_b, mask_c, mask_d; const uint8_t version, prefix; };
struct tf_value_mac { const int32_t a; const uint16_t b; };
]]

local ip_type, net_type, mac_type -- set below

-- Where a value lies on its way between words and bytes. It is a union, and named wherever it is used: of two pointers to
-- different types the JIT believes that they never meet, and it would take the bytes of the address before.
local raw = ffi.new "union { int32_t words[4]; uint16_t halves[8]; uint8_t bytes[16]; }"
local text = ffi.new("char[?]", C.TF_IP6_TEXT_MAX)

local int32_pointer = ffi.typeof "const int32_t *"
local uint16_pointer = ffi.typeof "const uint16_t *"

--- The IPv4 address in the 4 bytes at d.
function M.ip4_at(d)
   return (ip_type(cast(int32_pointer, d)[0], 0, 0, 0, 4))
end

--- The IPv6 address in the 16 bytes at d.
function M.ip6_at(d)
   local w = cast(int32_pointer, d)
   return (ip_type(w[0], w[1], w[2], w[3], 6))
end

--- The MAC address in the 6 bytes at d.
function M.mac_at(d)
   return (mac_type(cast(int32_pointer, d)[0], cast(uint16_pointer, d + 4)[0]))
end

--- The address in a string of 4 or 16 bytes.
function M.of_bytes(s)
   local d = cast("const uint8_t *", s)
   if #s == 4 then return (M.ip4_at(d)) end
   assert(#s == 16)
   return (M.ip6_at(d))
end

-- Four octets into bytes, from `at` on; true if the text spells them.
local function parse_octets(s, at)
   local octets = { s:match "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$" }
   for i = 1, 4 do
      local octet = octets[i]
      if not octet or #octet > 1 and octet:byte() == 48 or tonumber(octet) > 255 then return false end
      raw.bytes[at + i - 1] = tonumber(octet)
   end
   return true
end

-- Adds the numbers of "1:2:3" to list; nil if it is something else.
local function parse_groups(s, list)
   if s == "" then return list end
   for group in (s .. ":"):gmatch "([^:]*):" do
      if not group:find "^%x%x?%x?%x?$" then return nil end
      list[#list + 1] = tonumber(group, 16)
   end
   return list
end

-- Sixteen bytes; true if the text spells them.
local function parse_groups_all(s)
   local front, dotted = s:match "^(.*:)(%d+%.%d+%.%d+%.%d+)$"
   if dotted then
      if not parse_octets(dotted, 0) then return false end
      s = ("%s%x:%x"):format(front, raw.bytes[0] * 256 + raw.bytes[1], raw.bytes[2] * 256 + raw.bytes[3])
   end
   local left, right = s:match "^(.-)::(.*)$"
   local list = parse_groups(left or s, {})
   local tail = parse_groups(right or "", {})
   if not list or not tail then return false end
   if left then
      if #list + #tail > 7 then return false end
      while #list + #tail < 8 do list[#list + 1] = 0 end
      for i = 1, #tail do list[#list + 1] = tail[i] end
   end
   if #list ~= 8 then return false end
   for i = 1, 8 do
      raw.bytes[2 * i - 2], raw.bytes[2 * i - 1] = math.floor(list[i] / 256), list[i] % 256
   end
   return true
end

local function parse_ip(s)
   if parse_octets(s, 0) then return (ip_type(raw.words[0], 0, 0, 0, 4)) end
   if s:find(":", 1, true) and parse_groups_all(s) then
      return (ip_type(raw.words[0], raw.words[1], raw.words[2], raw.words[3], 6))
   end
   return false
end

local function net(address, prefix)
   for i = 0, 15 do
      local bits = math.min(math.max(prefix - 8 * i, 0), 8)
      raw.bytes[i] = 256 - 2 ^ (8 - bits)
   end
   local a, b, c, d = raw.words[0], raw.words[1], raw.words[2], raw.words[3]
   return net_type(band(address.a, a), band(address.b, b), band(address.c, c), band(address.d, d),
      a, b, c, d, address.version, prefix)
end

local function parse_net(s)
   local front, prefix = s:match "^([^/]+)/(%d%d?%d?)$"
   local address = parse_ip(front or s)
   if not address then return false end
   local widest = address.version == 4 and 32 or 128
   prefix = tonumber(prefix or widest)
   return prefix <= widest and net(address, prefix)
end

local function parse_mac(s)
   local separator = s:match "^%x%x?([:-])"
   if not separator then return false end
   local count = 0
   for octet in (s .. separator):gmatch("(.-)%" .. separator) do
      if count == 6 or not octet:find "^%x%x?$" then return false end
      raw.bytes[count] = tonumber(octet, 16)
      count = count + 1
   end
   if count ~= 6 then return false end
   return (mac_type(raw.words[0], raw.halves[2]))
end

local max_entries, max_length = 4096, 64

-- A function from a string to what parse makes of it (a value or false) that remembers, within
-- bounds. What is remembered is found without a loop or an allocation.
local function remembering(parse)
   local known, count = {}, 0

   local function learn(s)
      if known[s] == false or #s > max_length then return false end
      if count == max_entries then known, count = {}, 0 end
      local value = parse(s)
      known[s], count = value, count + 1
      return value
   end

   return function(s)
      local value = known[s]
      if value then return value end
      return (learn(s))
   end
end

local ip_of, net_of, mac_of = remembering(parse_ip), remembering(parse_net), remembering(parse_mac)

local function ip_equal(a, b)
   if type(a) == "string" then a, b = b, a end
   if type(b) == "string" then
      b = ip_of(b)
      if not b then return false end
   elseif not (istype(ip_type, a) and istype(ip_type, b)) then
      return false
   end
   return a.a == b.a and a.b == b.b and a.c == b.c and a.d == b.d and a.version == b.version
end

local function ip_text(self)
   raw.words[0], raw.words[1], raw.words[2], raw.words[3] = self.a, self.b, self.c, self.d
   if self.version == 4 then
      return raw.bytes[0] .. "." .. raw.bytes[1] .. "." .. raw.bytes[2] .. "." .. raw.bytes[3]
   end
   return (ffi.string(text, C.tf_ip6_text(raw.bytes, text)))
end

local function net_equal(a, b)
   if type(a) == "string" then a, b = b, a end
   if type(b) == "string" then
      b = net_of(b)
      if not b then return false end
   elseif not (istype(net_type, a) and istype(net_type, b)) then
      return false
   end
   return a.a == b.a and a.b == b.b and a.c == b.c and a.d == b.d and a.prefix == b.prefix
      and a.version == b.version
end

local function mac_equal(a, b)
   if type(a) == "string" then a, b = b, a end
   if type(b) == "string" then
      b = mac_of(b)
      if not b then return false end
   elseif not (istype(mac_type, a) and istype(mac_type, b)) then
      return false
   end
   return a.a == b.a and a.b == b.b
end

local function mac_text(self)
   raw.words[0], raw.words[1] = self.a, 0
   raw.halves[2] = self.b
   return ("%02x:%02x:%02x:%02x:%02x:%02x"):format(raw.bytes[0], raw.bytes[1], raw.bytes[2], raw.bytes[3], raw.bytes[4], raw.bytes[5])
end

local function quoted(value)
   return type(value) == "string" and ('"%s"'):format(value:sub(1, max_length)) or tostring(value)
end

-- The value that x, a value or a string, stands for.
local function want(value_type, parse, x, label, what)
   if type(x) == "string" then
      local value = parse(x)
      if value then return value end
      fault(("%s: %s is not %s"):format(label, quoted(x), what))
   end
   if not istype(value_type, x) then check.wrong(label, what, x) end
   return x
end

local net_methods = {}

function net_methods.contains(self, address)
   if not istype(net_type, self) then fault "contains: call it as net:contains(address)" end
   address = want(ip_type, ip_of, address, "contains", "an IP address")
   return address.version == self.version
      and band(address.a, self.mask_a) == self.a and band(address.b, self.mask_b) == self.b
      and band(address.c, self.mask_c) == self.c and band(address.d, self.mask_d) == self.d
end

local function net_text(self)
   return ip_text(ip_type(self.a, self.b, self.c, self.d, self.version)) .. "/" .. self.prefix
end

-- What values of one type have in common.
local function declare(type_name, what, equal, to_text, methods)
   local value_type
   local function shown(x)
      if istype(value_type, x) then return (to_text(x)) end
      return x
   end
   value_type = ffi.metatype(type_name, {
      __eq = equal,
      __tostring = to_text,
      __concat = function(a, b) return shown(a) .. shown(b) end,
      __index = function(_, key)
         local method = methods[key]
         if not method then fault(suggest(what, key, methods)) end
         return method
      end,
      __newindex = function() fault(what .. " cannot be changed") end,
   })
   return value_type
end

ip_type = declare("struct tf_value_ip", "an address", ip_equal, ip_text, {})
net_type = declare("struct tf_value_net", "a network", net_equal, net_text, net_methods)
mac_type = declare("struct tf_value_mac", "a MAC address", mac_equal, mac_text, {})

--- The text of a value; nil for anything else. The JIT compiles it, which tostring(value) is not.
function M.text(x)
   if istype(ip_type, x) then return (ip_text(x)) end
   if istype(mac_type, x) then return (mac_text(x)) end
   if istype(net_type, x) then return (net_text(x)) end
   return nil
end

--- The address that a string spells.
function M.ip(x)
   return (want(ip_type, ip_of, x, "tf.ip", "an IP address"))
end

--- The network that a string ("10.0.0.0/8", or an address alone) or an address stands for.
function M.net(x)
   if istype(ip_type, x) then return (net(x, x.version == 4 and 32 or 128)) end
   return (want(net_type, net_of, x, "tf.net", "a network"))
end

--- The MAC address that a string spells.
function M.mac(x)
   return (want(mac_type, mac_of, x, "tf.mac", "a MAC address"))
end

local function write(p, offset, n, label)
   if C.tf_packet_write(p, offset, raw.bytes, n) ~= 0 then
      fault(("%s: offset %d is outside the packet (%d bytes)"):format(label, offset, p.len))
   end
end

-- Puts x, an address value or string that must be of this version, into bytes; gives how many.
local function lay_ip(x, version, label)
   local value = want(ip_type, ip_of, x, label, "an IP address")
   if value.version ~= version then
      fault(("%s: %s is not an IPv%d address"):format(label, tostring(value), version))
   end
   raw.words[0], raw.words[1], raw.words[2], raw.words[3] = value.a, value.b, value.c, value.d
   return version == 4 and 4 or 16
end

--- Writes x, an address value or string, into the packet; version is the family that it must have.
function M.write_ip(p, offset, x, version, label)
   write(p, offset, lay_ip(x, version, label), label)
end

--- The 4 or 16 bytes of x, likewise.
function M.to_bytes(x, version, label)
   return (ffi.string(raw.bytes, lay_ip(x, version, label)))
end

--- Writes x, a MAC value or string, into the packet.
function M.write_mac(p, offset, x, label)
   local value = want(mac_type, mac_of, x, label, "a MAC address")
   raw.words[0] = value.a
   raw.halves[2] = value.b
   write(p, offset, 6, label)
end

return M
