--- pkt.udp
local core = require "tunfilter.core"
local live = require "tunfilter.live"
local view = require "tunfilter.view"

return (view.declare("udp", core.C.TF_HAS_UDP, function(p) return p.transport end, {
   sport = { get = function(_, d) return d[0] * 256 + d[1] end, at = 0, width = 2, max = 65535 },
   dport = { get = function(_, d) return d[2] * 256 + d[3] end, at = 2, width = 2, max = 65535 },
   len = { get = function(_, d) return d[4] * 256 + d[5] end, at = 4, width = 2, max = 65535 },
   checksum = {
      get = function(p, d)
         live.settle(p, p.transport + 6, 2)
         return d[6] * 256 + d[7]
      end,
      at = 6, width = 2, max = 65535,
   },
}))
