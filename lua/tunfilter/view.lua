--- Header views: `pkt.tcp` and the like.
---
--- A view is declared from a table of its fields. Each field has
---    get(p, d, view)      the value; p is the packet, d points at the header
---    at, width, max       a number's place in the header, in bytes; it can be set to 0..max
---    set(p, at, value, label, view)   or how it is set; at is the header's offset in the packet
--- and without the last two it cannot be set. Getters are written out, each a function of its own,
--- so that the JIT sees constants in them.
---
--- return (f(x)), here and in all that a packet meets: in parentheses it is no tail call, of which
--- LuaJIT takes 15 in one piece of machine code. Five fields of a packet would be too many.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local suggest = require "tunfilter.suggest"

local M = {}

local ffi, C = core.ffi, core.C
local band = bit.band
local resolve = live.resolve

--- What was declared: name -> fields.
M.declared = {}

-- Raises the error for a field that a header of this name does not have.
local function unknown(name, key)
   for other, theirs in pairs(M.declared) do
      if theirs[key] and name == "ip" and other:find "^ip" then
         fault(("ip has no member '%s': it is %s's"):format(key, other))
      end
   end
   fault(suggest(name, key, M.declared[name]))
end
M.unknown = unknown

local function absent(name)
   fault(("%s: the packet no longer has this header"):format(name))
end

--- Writes a number's low `width` bytes at an offset of the packet.
local function put(p, offset, width, value, label)
   if C.tf_packet_put(p, offset, width, value) ~= 0 then
      fault(("%s: offset %d is outside the packet (%d bytes)"):format(label, offset, p.len))
   end
end
M.put = put

--- Declares a view type. headers: the TF_HAS_ bits of which one must be there; base(p): the
--- header's offset; extra: more metamethods. Returns a function that makes a view of a handle or
--- another view, one that tells whether something is such a view, and one that makes it of a number.
function M.declare(name, headers, base, fields, extra)
   M.declared[name] = fields

   local getters = {}
   for key, field in pairs(fields) do
      getters[key] = field.get
      field.label = name .. "." .. key
   end

   local meta = extra or {}

   function meta.__index(self, key)
      local get = getters[key]
      if not get then unknown(name, key) end
      local p = resolve(self)
      if band(p.headers, headers) == 0 then absent(name) end
      return (get(p, p.data + base(p), self))
   end

   function meta.__newindex(self, key, value)
      local field = fields[key]
      if not field then unknown(name, key) end
      local p = resolve(self)
      if band(p.headers, headers) == 0 then absent(name) end
      local set = field.set
      if set then
         set(p, base(p), value, field.label, self)
      elseif field.width then
         value = check.integer(value, field.max, field.label)
         put(p, base(p) + field.at, field.width, value, field.label)
      else
         fault(field.label .. " cannot be set")
      end
   end

   local view_type, make
   meta.__eq = meta.__eq or function(a, b)
      return ffi.istype(view_type, a) and ffi.istype(view_type, b) and live.number(a) == live.number(b)
   end
   meta.__tostring = meta.__tostring or function(self)
      return ("%s of packet %d"):format(name, live.number(self))
   end
   view_type, make = live.declare("struct tf_view_" .. name:gsub("%.", "_"), meta)
   local prototype, is_kind = live.kind(meta)

   return function(handle)
      if type(handle) == "cdata" then return (make(live.number(handle))) end
      return (live.part(handle, name, prototype))
   end, function(x)
      return ffi.istype(view_type, x) or is_kind(x)
   end, make
end

return M
