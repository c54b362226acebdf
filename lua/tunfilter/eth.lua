--- pkt.eth: the Ethernet header; VLAN tags are looked through.
local address = require "tunfilter.address"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local view = require "tunfilter.view"

-- Where the type stands, behind the tags that tf_parse found (two at most).
local function type_at(p, d)
   if p.vlan == 0 then return 12 end
   local inner = d[16] * 256 + d[17]
   if inner == 0x8100 or inner == 0x88a8 then return 20 end
   return 16
end

return (view.declare("eth", core.C.TF_HAS_ETH, function() return 0 end, {
   dst = {
      get = function(_, d) return (address.mac_at(d)) end,
      set = function(p, _, value, label) address.write_mac(p, 0, value, label) end,
   },
   src = {
      get = function(_, d) return (address.mac_at(d + 6)) end,
      set = function(p, _, value, label) address.write_mac(p, 6, value, label) end,
   },
   type = {
      get = function(p, d)
         d = d + type_at(p, d)
         return d[0] * 256 + d[1]
      end,
      set = function(p, _, value, label)
         view.put(p, type_at(p, p.data), 2, check.integer(value, 65535, label), label)
      end,
   },
   vlan = {
      get = function(p)
         if p.vlan == 0 then return nil end
         return p.vlan - 1
      end,
      set = function(p, _, value, label)
         if p.vlan == 0 then fault "eth.vlan: the frame has no VLAN tag" end
         local priority = bit.band(p.data[14], 0xf0)
         view.put(p, 14, 2, priority * 256 + check.integer(value, 4095, label), label)
      end,
   },
}))
