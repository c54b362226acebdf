--- pkt.tcp.options: options by name. Writing one keeps the others, those without a name here too.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local suggest = require "tunfilter.suggest"
local view = require "tunfilter.view"

local M = {}

local ffi, C = core.ffi, core.C
local band, bor, bnot = bit.band, bit.bor, bit.bnot
local uint32_max = 4294967295

local read = ffi.new "struct tf_tcp_options"    -- what the packet has
local written = ffi.new "struct tf_tcp_options" -- what it is to have

local function write(p, keep)
   local code = C.tf_tcp_options_write(p, written, keep)
   if code == C.TF_EDIT_ROOM then
      live.grow(p, p.len + 40)
      code = C.tf_tcp_options_write(p, written, keep)
   end
   if code == 0 then return end
   if code == C.TF_OPTIONS_TOO_LONG then fault "tcp.options: they take more than the 40 bytes that TCP has for them" end
   if code == C.TF_EDIT_FRAGMENT then fault "tcp.options: a fragment keeps its length" end
   fault "tcp.options: the IP datagram would be longer than 65535 bytes"
end

-- Says in `written` what each option is to be; nil and false take it away. Tables are read by
-- rawget: no code of the script may run between a look-up of the packet and its edit.
local put = {}

function put.mss(value)
   written.mss = check.integer(value, 65535, "tcp.options.mss")
end

function put.wscale(value)
   written.wscale = check.integer(value, 255, "tcp.options.wscale")
end

function put.sack_ok(value)
   check.boolean(value, "tcp.options.sack_ok")
end

function put.timestamp(value)
   if type(value) ~= "table" then check.wrong("tcp.options.timestamp", "a table { val =, ecr = }", value) end
   written.val = check.integer(rawget(value, "val"), uint32_max, "tcp.options.timestamp.val")
   written.ecr = check.integer(rawget(value, "ecr") or 0, uint32_max, "tcp.options.timestamp.ecr")
end

function put.sack(value)
   local count = 0
   while type(value) == "table" and count <= 4 and rawget(value, count + 1) ~= nil do count = count + 1 end
   if count < 1 or count > 4 then
      check.wrong("tcp.options.sack", "one to four blocks { left, right }", value)
   end
   for i = 1, count do
      local block = rawget(value, i)
      if type(block) ~= "table" then check.wrong("tcp.options.sack", "blocks { left, right }", block) end
      written.left[i - 1] = check.integer(rawget(block, 1), uint32_max, "tcp.options.sack: left")
      written.right[i - 1] = check.integer(rawget(block, 2), uint32_max, "tcp.options.sack: right")
   end
   written.blocks = count
end

local function set(bit_of_it, key, value)
   if value == nil or value == false then
      written.present = band(written.present, bnot(bit_of_it))
   else
      put[key](value)
      written.present = bor(written.present, bit_of_it)
   end
end

local function change(p, bit_of_it, key, value)
   C.tf_tcp_options_read(p, written)
   set(bit_of_it, key, value)
   write(p, 1)
end

-- Whether the packet has an option; it is then in `read`.
local function has(p, bit_of_it)
   C.tf_tcp_options_read(p, read)
   return band(read.present, bit_of_it) ~= 0
end

local MSS, WSCALE, SACK_OK = C.TF_OPTION_MSS, C.TF_OPTION_WSCALE, C.TF_OPTION_SACK_OK
local TIMESTAMP, SACK = C.TF_OPTION_TIMESTAMP, C.TF_OPTION_SACK

local function block(i)
   if i >= read.blocks then return nil end
   return { read.left[i], read.right[i] }
end

local fields = {
   mss = {
      get = function(p) if has(p, MSS) then return read.mss end end,
      set = function(p, _, value) change(p, MSS, "mss", value) end,
   },
   wscale = {
      get = function(p) if has(p, WSCALE) then return read.wscale end end,
      set = function(p, _, value) change(p, WSCALE, "wscale", value) end,
   },
   sack_ok = {
      get = function(p) if has(p, SACK_OK) then return true end end,
      set = function(p, _, value) change(p, SACK_OK, "sack_ok", value) end,
   },
   timestamp = {
      get = function(p) if has(p, TIMESTAMP) then return { val = read.val, ecr = read.ecr } end end,
      set = function(p, _, value) change(p, TIMESTAMP, "timestamp", value) end,
   },
   sack = {
      get = function(p) if has(p, SACK) then return { block(0), block(1), block(2), block(3) } end end,
      set = function(p, _, value) change(p, SACK, "sack", value) end,
   },
}

local bits = { mss = MSS, wscale = WSCALE, sack_ok = SACK_OK, timestamp = TIMESTAMP, sack = SACK }

local function has_tcp(p)
   return band(p.headers, C.TF_HAS_TCP) ~= 0
end

local function to_text(self)
   local p = live.resolve(self)
   if not has_tcp(p) then fault "tcp.options: the packet no longer has this header" end
   C.tf_tcp_options_read(p, read)
   local parts = {}
   local function add(bit_of_it, text, ...)
      if band(read.present, bit_of_it) ~= 0 then parts[#parts + 1] = text:format(...) end
   end
   add(MSS, "mss %d", read.mss)
   add(SACK_OK, "sack_ok")
   add(TIMESTAMP, "timestamp val %d ecr %d", read.val, read.ecr)
   add(WSCALE, "wscale %d", read.wscale)
   for i = 0, read.blocks - 1 do add(SACK, "sack %d-%d", read.left[i], read.right[i]) end
   return (table.concat(parts, ", "))
end

local is
M.make, is = view.declare("tcp.options", C.TF_HAS_TCP, function(p) return p.transport end, fields,
   { __tostring = to_text })

--- Replaces all options of a TCP view's packet by those of x: a table by name, or another packet's options.
function M.assign(x, tcp)
   if is(x) then
      local other = live.resolve(x)
      if not has_tcp(other) then fault "tcp.options: that packet no longer has this header" end
      C.tf_tcp_options_read(other, written)
   elseif type(x) == "table" then
      written.present, written.blocks = 0, 0
      for key, value in pairs(x) do
         if not bits[key] then fault(suggest("tcp.options", key, bits)) end
         set(bits[key], key, value)
      end
   else
      check.wrong("tcp.options", "a table by name", x)
   end
   write(live.resolve(tcp), 0) -- the last look-up, as live.grow wants
end

return M
