--- pkt.arp: ARP for Ethernet and IPv4.
local address = require "tunfilter.address"
local core = require "tunfilter.core"
local view = require "tunfilter.view"

return (view.declare("arp", core.C.TF_HAS_ARP, function(p) return p.network end, {
   op = { get = function(_, d) return d[6] * 256 + d[7] end, at = 6, width = 2, max = 65535 },
   sha = {
      get = function(_, d) return (address.mac_at(d + 8)) end,
      set = function(p, at, value, label) address.write_mac(p, at + 8, value, label) end,
   },
   spa = {
      get = function(_, d) return (address.ip4_at(d + 14)) end,
      set = function(p, at, value, label) address.write_ip(p, at + 14, value, 4, label) end,
   },
   tha = {
      get = function(_, d) return (address.mac_at(d + 18)) end,
      set = function(p, at, value, label) address.write_mac(p, at + 18, value, label) end,
   },
   tpa = {
      get = function(_, d) return (address.ip4_at(d + 24)) end,
      set = function(p, at, value, label) address.write_ip(p, at + 24, value, 4, label) end,
   },
}))
