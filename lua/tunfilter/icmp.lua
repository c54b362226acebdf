--- pkt.icmp and pkt.icmp6: the same eight bytes.
local core = require "tunfilter.core"
local view = require "tunfilter.view"

local function transport(p)
   return p.transport
end

local function fields()
   return {
      type = { get = function(_, d) return d[0] end, at = 0, width = 1, max = 255 },
      code = { get = function(_, d) return d[1] end, at = 1, width = 1, max = 255 },
      checksum = { get = function(_, d) return d[2] * 256 + d[3] end, at = 2, width = 2, max = 65535 },
      id = { get = function(_, d) return d[4] * 256 + d[5] end, at = 4, width = 2, max = 65535 },
      seq = { get = function(_, d) return d[6] * 256 + d[7] end, at = 6, width = 2, max = 65535 },
   }
end

return {
   icmp = (view.declare("icmp", core.C.TF_HAS_ICMP, transport, fields())),
   icmp6 = (view.declare("icmp6", core.C.TF_HAS_ICMP6, transport, fields())),
}
