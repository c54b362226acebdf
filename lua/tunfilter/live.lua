--- From what a script holds to the packet.
---
--- A live packet's handles and views are cdata that hold its number and nothing else: the number of
--- the packet that a callback sees now leads to it, and all others are gone. They are references to a
--- struct without members whose address is the number; nothing lies there and nothing can be read
--- through them. The JIT keeps such a value in a register even across calls to C, where it would
--- have to allocate a struct that holds the number (24 bytes and 20 ns a packet). A copy's are userdata
--- (tcp.flags is not, for the sake of ==), whose environment, out of scripts' reach, is the copy's store. So
--- nothing that a script keeps leads to memory that is not there.
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"

local M = {}

local ffi, C, context = core.ffi, core.C, core.context
local block_type = ffi.typeof "uint8_t[?]"
local descriptor_type = ffi.typeof "struct tf_packet"
local descriptor_size = ffi.sizeof(descriptor_type)
local pointer_type = ffi.typeof "struct tf_packet *"

local headroom, longest = C.TF_HEADROOM, C.TF_PACKET_MAX

-- A store is { number =, packet = pointer to the descriptor, descriptor =, block = its bytes,
-- [type's name] = view }. It is found by its number and by the userdata that keep it. Were its
-- values strong they would be marked before their keys are known to be garbage, and each
-- collection would keep all that was made since the last one.
local stores = setmetatable({}, { __mode = "kv" })

-- The copy that was looked up last: its bytes stay while C works on them.
local last

local copies = 0

local function gone(key)
   fault(("packet %s is gone: a packet is valid until its callback returns; keep pkt:copy()")
      :format(type(key) == "number" and ("%d"):format(key) or "?"))
end

local function find(key)
   local store = stores[key]
   if not store then gone(key) end
   last = store
   return store
end

local cast, address_type, void_type = ffi.cast, ffi.typeof "intptr_t", ffi.typeof "void *"

--- Declares a type of handles, by its struct's name. Gives the ctype, and the function that makes the
--- handle of a number.
function M.declare(name, meta)
   ffi.cdef(name .. " { uint8_t : 8; };")
   local ctype = ffi.metatype(name, meta)
   local origin = cast(ffi.typeof("$ *", ctype), 0)
   return ctype, function(number) return origin[number] end
end

local function number_of(handle)
   return (tonumber(cast(address_type, cast(void_type, handle))))
end

--- The struct tf_packet * of a handle or view; an error if it is gone. Good until the next edit
--- or the next look-up.
function M.resolve(handle)
   if type(handle) ~= "cdata" then return find(handle).packet end
   local number = number_of(handle)
   if number == context.number then return context.packet end
   return find(number).packet
end

--- The number of the packet of a handle or view.
function M.number(handle)
   if type(handle) == "cdata" then return (number_of(handle)) end
   return find(handle).number
end

--- For copies, a userdata with the metamethods of the cdata type that live packets have. Gives the
--- prototype of its kind, and whether something is of that kind.
function M.kind(meta)
   local prototype = newproxy(true)
   local mt = debug.getmetatable(prototype)
   for name, method in pairs(meta) do mt[name] = method end
   mt.__metatable = "ffi"
   return prototype, function(x)
      return type(x) == "userdata" and debug.getmetatable(x) == mt
   end
end

local function attach(prototype, store)
   local handle = newproxy(prototype)
   debug.setfenv(handle, store)
   stores[handle] = store
   return handle
end

--- The view of this name of a copy, by the copy's handle or another view.
function M.part(handle, name, prototype)
   local store = find(handle)
   local view = store[name]
   if not view then
      view = attach(prototype, store)
      store[name] = view
   end
   return view
end

local unsettled = C.TF_CUT + C.TF_PARTIAL

--- Makes good what of a packet's n bytes at an offset is not there yet (src/segment.h): the packet was cut from a
--- large one, or its checksum is still to be computed. Headers but for the checksum are always there.
function M.settle(p, offset, n)
   if bit.band(p.flags, unsettled) ~= 0 then C.tf_settle_range(p, offset, n) end
end

--- Where a packet's payload lies.
function M.payload(p)
   if bit.band(p.flags, C.TF_CUT) ~= 0 then return p.tail end
   return p.data + p.payload
end

local function place(descriptor, room)
   local block = block_type(headroom + room)
   ffi.copy(block + headroom, descriptor.data, descriptor.len)
   descriptor.data = block + headroom
   descriptor.room = room
   return block
end

--- A handle, with this prototype, of a copy of the packet that p points to.
function M.copy(prototype, p)
   copies = copies + 1
   C.tf_settle_all(p)
   local descriptor = descriptor_type()
   ffi.copy(descriptor, p, descriptor_size)
   descriptor.number = -copies
   descriptor.callback = 0
   descriptor.verdict = 0
   descriptor.flags = bit.band(p.flags, C.TF_RAW)
   descriptor.large = nil
   local store = {
      number = -copies,
      block = place(descriptor, p.len),
      descriptor = descriptor,
      packet = ffi.cast(pointer_type, descriptor),
   }
   stores[-copies] = store
   return (attach(prototype, store))
end

--- Gives the packet that was just resolved room for at least `need` bytes from its first on.
function M.grow(p, need)
   if p == context.packet then
      if context.batch == nil or C.tf_batch_grow(context.batch, p) ~= 0 then
         fault "there is no memory for a longer packet"
      end
   else
      assert(last.packet == p)
      last.block = place(p, math.min(math.max(need, p.len), longest))
   end
end

return M
