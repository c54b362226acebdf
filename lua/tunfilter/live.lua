--- From the handle that a script holds to the packet.
---
--- A handle or a header view holds a packet's number and nothing else. The number of the packet
--- that a callback sees now leads to it; a copy of the script's own is found by the identity of
--- the handle; all others are gone. So nothing that a script keeps leads to memory that is not there.
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"

local M = {}

local ffi, C, context = core.ffi, core.C, core.context
local block_type = ffi.typeof "uint8_t[?]"
local descriptor_type = ffi.typeof "struct tf_packet"
local descriptor_size = ffi.sizeof(descriptor_type)
local pointer_type = ffi.typeof "struct tf_packet *"

local headroom, longest = C.TF_HEADROOM, C.TF_PACKET_MAX

-- A copy's handle or view -> where the copy lies: { packet = pointer, descriptor =, block = }.
-- The entry goes when the last of them is collected, and the copy with it.
local stores = setmetatable({}, { __mode = "k" })

-- The copy that was looked up last: its bytes stay while C works on them.
local last

local copies = 0

local function gone(number)
   fault(("packet %d is gone: a packet is valid until its callback returns; keep pkt:copy()")
      :format(number))
end

local function find(handle)
   local store = stores[handle]
   if not store then gone(handle.number) end
   last = store
   return store.packet
end

--- The struct tf_packet * of a handle or view; an error if it is gone. Good until the next edit
--- or the next look-up.
function M.resolve(handle)
   if handle.number == context.number then return context.packet end
   return find(handle)
end

--- Lets a view of a copy keep the copy.
function M.adopt(view, handle)
   stores[view] = stores[handle]
end

-- The number of a new copy.
function M.next_copy()
   copies = copies + 1
   return -copies
end

local function place(descriptor, room)
   local block = block_type(headroom + room)
   ffi.copy(block + headroom, descriptor.data, descriptor.len)
   descriptor.data = block + headroom
   descriptor.room = room
   return block
end

--- Makes handle, new and with a number of next_copy, own a copy of the packet that p points to.
function M.own(handle, p)
   local descriptor = descriptor_type()
   ffi.copy(descriptor, p, descriptor_size)
   descriptor.number = handle.number
   descriptor.callback = 0
   descriptor.verdict = 0
   descriptor.flags = bit.band(p.flags, C.TF_RAW)
   stores[handle] = {
      block = place(descriptor, p.len),
      descriptor = descriptor,
      packet = ffi.cast(pointer_type, descriptor),
   }
   return handle
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
