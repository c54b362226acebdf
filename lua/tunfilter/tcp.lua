--- pkt.tcp
local core = require "tunfilter.core"
local live = require "tunfilter.live"
local flags = require "tunfilter.tcp_flags"
local options = require "tunfilter.tcp_options"
local view = require "tunfilter.view"

local u32_max = 4294967295

return (view.declare("tcp", core.C.TF_HAS_TCP, function(p) return p.transport end, {
   sport = { get = function(_, d) return d[0] * 256 + d[1] end, at = 0, width = 2, max = 65535 },
   dport = { get = function(_, d) return d[2] * 256 + d[3] end, at = 2, width = 2, max = 65535 },
   seq = {
      get = function(_, d) return (d[4] * 256 + d[5]) * 65536 + d[6] * 256 + d[7] end,
      at = 4, width = 4, max = u32_max,
   },
   ack = {
      get = function(_, d) return (d[8] * 256 + d[9]) * 65536 + d[10] * 256 + d[11] end,
      at = 8, width = 4, max = u32_max,
   },
   flags = {
      get = function(_, _, self) return (flags.make(self)) end,
      set = function(p, at, value, label) flags.assign(p, at, value, label) end,
   },
   window = { get = function(_, d) return d[14] * 256 + d[15] end, at = 14, width = 2, max = 65535 },
   checksum = {
      get = function(p, d)
         live.settle(p, p.transport + 16, 2)
         return d[16] * 256 + d[17]
      end,
      at = 16, width = 2, max = 65535,
   },
   urgent = { get = function(_, d) return d[18] * 256 + d[19] end, at = 18, width = 2, max = 65535 },
   options = {
      get = function(_, _, self) return (options.make(self)) end,
      set = function(_, _, value, _, self) options.assign(value, self) end,
   },
}))
