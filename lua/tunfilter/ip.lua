--- pkt.ip (either version), pkt.ip4 and pkt.ip6.
local address = require "tunfilter.address"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local view = require "tunfilter.view"

local C = core.C
local band, bor, lshift, rshift = bit.band, bit.bor, bit.lshift, bit.rshift
local integer, put = check.integer, view.put

local IP6 = C.TF_HAS_IP6
local ip6_header = 40 -- bytes

local function is6(p)
   return band(p.headers, IP6) ~= 0
end

local function network(p)
   return p.network
end

local function put_bit(p, offset, mask, value, label)
   check.boolean(value, label)
   local byte = band(p.data[offset], 255 - mask)
   put(p, offset, 1, value and byte + mask or byte, label)
end

-- DSCP and ECN in one byte: IPv4's second, IPv6's bits 4 to 11.
local function traffic_class(p, d)
   if is6(p) then return (bor(lshift(band(d[0], 15), 4), rshift(d[1], 4))) end
   return d[1]
end

local function put_traffic_class(p, at, value, label)
   local d = p.data + at
   if is6(p) then
      put(p, at, 2, 0x6000 + value * 16 + band(d[1], 15), label)
   else
      put(p, at + 1, 1, value, label)
   end
end

-- Where the upper layer's protocol number stands: in the last IPv6 extension header, if there are any.
local function proto_at(p, at)
   if not is6(p) then return at + 9 end
   local field, header, next_header = at + 6, at + ip6_header, p.data[at + 6]
   while header < p.transport do
      local n = C.tf_ip6_extension(next_header, p.data + header)
      if n == 0 then break end
      field, next_header = header, p.data[header]
      header = header + n
   end
   return field
end

-- Fields of both versions, made anew for each of the three types, whose labels differ.
local function common()
   return {
      version = { get = function(p) return is6(p) and 6 or 4 end },
      src = {
         get = function(p, d)
            if is6(p) then return (address.ip6_at(d + 8)) end
            return (address.ip4_at(d + 12))
         end,
         set = function(p, at, value, label)
            if is6(p) then
               address.write_ip(p, at + 8, value, 6, label)
            else
               address.write_ip(p, at + 12, value, 4, label)
            end
         end,
      },
      dst = {
         get = function(p, d)
            if is6(p) then return (address.ip6_at(d + 24)) end
            return (address.ip4_at(d + 16))
         end,
         set = function(p, at, value, label)
            if is6(p) then
               address.write_ip(p, at + 24, value, 6, label)
            else
               address.write_ip(p, at + 16, value, 4, label)
            end
         end,
      },
      proto = {
         get = function(p) return p.proto end,
         set = function(p, at, value, label) put(p, proto_at(p, at), 1, integer(value, 255, label), label) end,
      },
      ttl = {
         get = function(p, d) return is6(p) and d[7] or d[8] end,
         set = function(p, at, value, label)
            put(p, at + (is6(p) and 7 or 8), 1, integer(value, 255, label), label)
         end,
      },
      dscp = {
         get = function(p, d) return (rshift(traffic_class(p, d), 2)) end,
         set = function(p, at, value, label)
            local ecn = band(traffic_class(p, p.data + at), 3)
            put_traffic_class(p, at, integer(value, 63, label) * 4 + ecn, label)
         end,
      },
      ecn = {
         get = function(p, d) return (band(traffic_class(p, d), 3)) end,
         set = function(p, at, value, label)
            local dscp = band(traffic_class(p, p.data + at), 252)
            put_traffic_class(p, at, dscp + integer(value, 3, label), label)
         end,
      },
      len = {
         get = function(p, d)
            if is6(p) then return d[4] * 256 + d[5] + ip6_header end
            return d[2] * 256 + d[3]
         end,
         set = function(p, at, value, label)
            if is6(p) then
               integer(value, 65535 + ip6_header, label)
               if value < ip6_header then fault(("%s: %d is less than the header's 40 bytes"):format(label, value)) end
               put(p, at + 4, 2, value - ip6_header, label)
            else
               put(p, at + 2, 2, integer(value, 65535, label), label)
            end
         end,
      },
   }
end

local function common_and(more)
   local fields = common()
   for key, field in pairs(more) do fields[key] = field end
   return fields
end

local ip4_fields = common_and {
   id = { get = function(_, d) return d[4] * 256 + d[5] end, at = 4, width = 2, max = 65535 },
   df = {
      get = function(_, d) return band(d[6], 0x40) ~= 0 end,
      set = function(p, at, value, label) put_bit(p, at + 6, 0x40, value, label) end,
   },
   mf = {
      get = function(_, d) return band(d[6], 0x20) ~= 0 end,
      set = function(p, at, value, label) put_bit(p, at + 6, 0x20, value, label) end,
   },
   offset = {
      get = function(_, d) return band(d[6], 0x1f) * 2048 + d[7] * 8 end,
      set = function(p, at, value, label)
         integer(value, 65528, label)
         if value % 8 ~= 0 then fault(("%s: %d is not a multiple of 8"):format(label, value)) end
         put(p, at + 6, 2, band(p.data[at + 6], 0xe0) * 256 + value / 8, label)
      end,
   },
   checksum = { get = function(_, d) return d[10] * 256 + d[11] end, at = 10, width = 2, max = 65535 },
}

local ip6_fields = common_and {
   flow_label = {
      get = function(_, d) return band(d[1], 15) * 65536 + d[2] * 256 + d[3] end,
      set = function(p, at, value, label)
         local d = p.data + at
         put(p, at, 4, (d[0] * 256 + band(d[1], 0xf0)) * 65536 + integer(value, 0xfffff, label), label)
      end,
   },
   next_header = { get = function(_, d) return d[6] end, at = 6, width = 1, max = 255 },
}

return {
   ip = (view.declare("ip", C.TF_HAS_IP4 + C.TF_HAS_IP6, network, common())),
   ip4 = (view.declare("ip4", C.TF_HAS_IP4, network, ip4_fields)),
   ip6 = (view.declare("ip6", C.TF_HAS_IP6, network, ip6_fields)),
}
