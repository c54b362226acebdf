--- tf.packet{ … }: packets from tables of fields.
---
--- A packet with every default, lengths and checksums right, is made first; then the fields that
--- were given are assigned as a script would assign them (view.lua: names and ranges are there),
--- those last that decide what else there is in the packet.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local packet = require "tunfilter.packet"
local suggest = require "tunfilter.suggest"
local view = require "tunfilter.view"

local C = core.C
local char = string.char

local function zeros(n)
   return ("\0"):rep(n)
end

-- Headers with their defaults. IPv4's has the checksum that fits these 20 bytes, for updates to it.
local eth_default = ("\255"):rep(6) .. zeros(6)
local arp_default = "\0\1\8\0\6\4\0\1" .. zeros(20)
local ip4_default = "\69\0\0\20\0\1\0\0\64\0\124\231\127\0\0\1\127\0\0\1"
local ip6_default = "\96\0\0\0\0\0\59\64" .. zeros(15) .. "\1" .. zeros(15) .. "\1"
local transports = {
   tcp = { proto = 6, bytes = "\0\20\0\80" .. zeros(8) .. "\80\2\32\0" .. zeros(4) },
   udp = { proto = 17, bytes = "\0\53\0\53\0\8\255\255" }, -- a checksum of 0 would be "none"
   icmp = { proto = 1, bytes = "\8" .. zeros(7), version = 4 },
   icmp6 = { proto = 58, bytes = "\128" .. zeros(7), version = 6 },
}

local headers = { "eth", "arp", "ip", "ip4", "ip6", "tcp", "udp", "icmp", "icmp6" }
local keys = { payload = true, raw = true }
for _, name in ipairs(headers) do keys[name] = true end

-- When a field is assigned: behind these, other headers may not be found any more.
local late = {
   ["udp.len"] = 2, ["ip4.mf"] = 3, ["ip4.offset"] = 4,
   ["ip.proto"] = 5, ["ip4.proto"] = 5, ["ip6.proto"] = 5, ["ip6.next_header"] = 5,
   ["ip.len"] = 6, ["ip4.len"] = 6, ["ip6.len"] = 6,
   ["ip4.checksum"] = 7, ["tcp.checksum"] = 8, ["udp.checksum"] = 8, ["icmp.checksum"] = 8,
   ["icmp6.checksum"] = 8, ["eth.type"] = 9,
}

local function check_table(t)
   for key, value in pairs(t) do
      if not keys[key] then fault(suggest("tf.packet", key, keys)) end
      if type(value) ~= "table" and key ~= "payload" and key ~= "raw" then
         check.wrong("tf.packet: " .. key, "a table of fields", value)
      end
   end
end

-- The one of these headers that is given.
local function one_of(t, ...)
   local found
   for _, name in ipairs { ... } do
      if t[name] and found then fault(("tf.packet: one of %s and %s, not both"):format(found, name)) end
      found = t[name] and name or found
   end
   return found
end

local function version_of(address)
   if type(address) == "string" then return address:find(":", 1, true) and 6 or 4 end
   return type(address) == "cdata" and tostring(address):find(":", 1, true) and 6 or 4
end

-- The IP version that the table asks for; nil: no IP.
local function ip_version(t, name, transport)
   local wanted = transport and transports[transport].version
   if not name then return transport and (wanted or 4) end
   local version = name == "ip4" and 4 or name == "ip6" and 6
   if not version then
      local address = t.ip.src or t.ip.dst
      version = t.ip.version or address and version_of(address) or wanted or 4
      if version ~= 4 and version ~= 6 then fault "ip.version: 4 or 6" end
   end
   if wanted and version ~= wanted then
      fault(("tf.packet: %s goes with IPv%d; %s with IPv%d"):format(transport, wanted,
         wanted == 4 and "icmp6" or "icmp", version))
   end
   return version
end

local function ip_header(version, transport)
   local proto, length = 0, 0
   if transport then proto, length = transports[transport].proto, #transports[transport].bytes end
   if version == 6 then
      if not transport then return ip6_default end
      return ip6_default:sub(1, 4) .. char(0, length, proto) .. ip6_default:sub(8)
   end
   return ip4_default:sub(1, 3) .. char(20 + length) .. ip4_default:sub(5, 9) .. char(proto)
      .. char(0x7c, 0xe7 - proto - length) .. ip4_default:sub(13) -- the checksum's low byte suffices
end

-- The packet with nothing but defaults.
local function skeleton(t, link)
   local transport = one_of(t, "arp", "tcp", "udp", "icmp", "icmp6")
   local ip = one_of(t, "arp", "ip", "ip4", "ip6")
   local parts = {}
   local arp = t.arp ~= nil
   local version = not arp and ip_version(t, ip, transport)
   if link == C.TF_LINK_ETHERNET then
      local tag = t.eth and t.eth.vlan and "\129\0\0\0" or ""
      local kind = arp and "\8\6" or version == 4 and "\8\0" or version == 6 and "\134\221" or "\144\0"
      parts[1] = eth_default .. tag .. kind
      if not (t.eth or arp or version) then fault "tf.packet: it has no header; give eth or ip" end
   elseif link == C.TF_LINK_IP then
      if t.eth or arp then
         fault(("tf.packet: %s: the devices carry IP packets, which have no Ethernet header; use tap devices")
            :format(t.eth and "eth" or "arp"))
      end
      if not version then fault "tf.packet: it has no header; give ip" end
   else
      fault "tf.packet: the capture's link type is not known here; give a string of bytes"
   end
   if version then parts[#parts + 1] = ip_header(version, transport) end
   if transport then parts[#parts + 1] = arp and arp_default or transports[transport].bytes end
   return table.concat(parts)
end

-- The fields in the order in which they are assigned.
local function sorted(t)
   local list = {}
   for _, name in ipairs(headers) do
      for key, value in pairs(t[name] or {}) do
         if not view.declared[name][key] then view.unknown(name, key) end
         if not (name == "ip" and key == "version") then
            local label = name .. "." .. key
            list[#list + 1] = { name = name, key = key, value = value, label = label, rank = late[label] or 1 }
         end
      end
   end
   table.sort(list, function(a, b)
      if a.rank ~= b.rank then return a.rank < b.rank end
      return a.label < b.label
   end)
   return list
end

-- Addresses that are known from another header.
local function link_addresses(t)
   local eth, arp = t.eth or {}, t.arp
   if not arp then return end
   if eth.src and arp.sha == nil then return "arp", "sha", eth.src end
   if arp.sha and eth.src == nil then return "eth", "src", arp.sha end
end

--- An owned packet of the fields in t, for devices of this link type (TF_LINK_…).
return function(t, link)
   check_table(t)
   local list = sorted(t)
   local pkt = packet.new(skeleton(t, link), link)
   pkt.payload = t.payload == nil and "" or t.payload
   local name, key, address = link_addresses(t)
   if name then pkt[name][key] = address end
   local transport = packet.resolve(pkt).transport
   for _, field in ipairs(list) do
      if field.rank == 8 then
         local declared = view.declared[field.name].checksum
         local value = check.integer(field.value, declared.max, field.label)
         view.put(packet.resolve(pkt), transport + declared.at, declared.width, value, field.label)
      else
         pkt[field.name][field.key] = field.value
      end
   end
   if t.raw ~= nil then pkt.raw = t.raw end
   return pkt
end
