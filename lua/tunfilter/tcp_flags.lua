--- pkt.tcp.flags: eight bits, as booleans by name and as a string of letters.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local view = require "tunfilter.view"

local M = {}

local band, bor, lshift = bit.band, bit.bor, bit.lshift
local at_flags = 13 -- the byte in the TCP header
local letters = "FSRPAUEC"

-- Byte -> letters and back, for every byte.
local text_of, byte_of = {}, {}
for byte = 0, 255 do
   local text = ""
   for i = 0, 7 do
      if band(byte, lshift(1, i)) ~= 0 then text = text .. letters:sub(i + 1, i + 1) end
   end
   text_of[byte], byte_of[text] = text, byte
end

-- Letters in another order; nil if some are no flags.
local function parse(text)
   local byte = 0
   for letter in text:gmatch "." do
      local i = letters:find(letter, 1, true)
      if not i then return nil end
      byte = bor(byte, lshift(1, i - 1))
   end
   return byte
end

local function transport(p)
   return p.transport
end

local is, make_flags

local function byte_at(flags)
   local p = live.resolve(flags)
   if band(p.headers, core.C.TF_HAS_TCP) == 0 then fault "tcp.flags: the packet no longer has this header" end
   return p.data[p.transport + at_flags]
end

-- The byte that x, flags or a string, stands for; nil if it is neither.
local function value(x)
   if type(x) == "string" then return byte_of[x] or parse(x) end
   if is(x) then return (byte_at(x)) end
   return nil
end

local function set_bit(p, at, mask, on, label)
   check.boolean(on, label)
   local rest = band(p.data[at + at_flags], 255 - mask)
   view.put(p, at + at_flags, 1, on and rest + mask or rest, label)
end

local fields = {
   fin = {
      get = function(_, d) return band(d[13], 1) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 1, on, label) end,
   },
   syn = {
      get = function(_, d) return band(d[13], 2) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 2, on, label) end,
   },
   rst = {
      get = function(_, d) return band(d[13], 4) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 4, on, label) end,
   },
   psh = {
      get = function(_, d) return band(d[13], 8) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 8, on, label) end,
   },
   ack = {
      get = function(_, d) return band(d[13], 16) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 16, on, label) end,
   },
   urg = {
      get = function(_, d) return band(d[13], 32) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 32, on, label) end,
   },
   ece = {
      get = function(_, d) return band(d[13], 64) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 64, on, label) end,
   },
   cwr = {
      get = function(_, d) return band(d[13], 128) ~= 0 end,
      set = function(p, at, on, label) set_bit(p, at, 128, on, label) end,
   },
}

local function shown(x)
   if is(x) then return text_of[byte_at(x)] end
   return x
end

local _
_, is, make_flags = view.declare("tcp.flags", core.C.TF_HAS_TCP, transport, fields, {
   __eq = function(a, b)
      if type(a) == "number" or type(b) == "number" then
         fault(('tcp.flags are compared with letters of "%s", not with a number: pkt.tcp.flags == "S", or pkt.tcp.flags.syn'):format(letters))
      end
      local left, right = value(a), value(b)
      return left ~= nil and left == right
   end,
   __tostring = function(self) return text_of[byte_at(self)] end,
   __concat = function(a, b) return shown(a) .. shown(b) end,
})

--- The flags of a TCP view. cdata for copies too: only cdata can be equal to a string.
function M.make(tcp)
   return (make_flags(live.number(tcp)))
end

--- Sets all eight from x, a string or flags.
function M.assign(p, at, x, label)
   local byte = value(x)
   if not byte then check.wrong(label, ('letters of "%s" or flags'):format(letters), x) end
   view.put(p, at + at_flags, 1, byte, label)
end

return M
