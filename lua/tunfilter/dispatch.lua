--- The packet path in Lua: callbacks in the order of their registration, and the loop over a batch.
---
--- The callbacks become upvalues of generated functions, so that the JIT compiles the loop with
--- the callbacks inlined; nothing is allocated a packet. C enters run() once a batch. When a
--- callback throws, C finds the packet at batch.cursor, gives it its verdict, and enters again
--- behind it.
local core = require "tunfilter.core"
local packet = require "tunfilter.packet"
local reject = require "tunfilter.reject"
local verdict = require "tunfilter.verdict"
local opt = require "jit.opt"

local M = {}

local C, context = core.C, core.context

local forward, drop, reply = verdict.forward, verdict.drop, verdict.reply
local FORWARD, DROP, REPLY, HOLD = C.TF_VERDICT_FORWARD, C.TF_VERDICT_DROP, C.TF_VERDICT_REPLY, C.TF_VERDICT_HOLD

-- The code of what a callback returned (never nil); an error for what is no verdict.
local function decide(value)
   if rawequal(value, drop) then return DROP end
   if rawequal(value, forward) then return FORWARD end
   if rawequal(value, reply) then return REPLY end
   if rawequal(value, verdict.hold) then
      verdict.said.number = 0
      if context.packet.due < context.now then error("this packet was not held: the pkt:hold() was of another", 0) end
      return HOLD
   end
   if rawequal(value, verdict.reject) then
      verdict.said.number = 0
      reject(context.packet)
      return DROP
   end
   local shown = type(value) == "string" and ("the string %q"):format(value:sub(1, 40))
      or type(value) == "table" and "a table" or type(value) == "function" and "a function"
      or tostring(value)
   local entry = M.callbacks[context.callback]
   error(("callback %s returned %s; it may return nothing, tf.forward, tf.drop, tf.reply, pkt:hold() or pkt:reject()")
      :format(entry and entry.label or "?", shown), 0)
end

--- What on_packet registered: { fn, expression, match, from, name, where, label }, in order.
M.callbacks = {}

--- Registers a callback; the entry's fields have been checked.
function M.register(entry)
   M.callbacks[#M.callbacks + 1] = entry
end

local ffi = core.ffi
local band, lshift = bit.band, bit.lshift
local source_size = 16384
local source_text = ffi.new("char[?]", source_size)

-- A function of a descriptor that says whether an expression selects it: translated, so that the JIT has it in
-- the loop, or else libpcap's program in C.
local function matcher(expression)
   local function slow(p) return C.tf_context_match(context, expression, p) ~= 0 end
   local n = C.tf_context_translate(context, expression, source_text, source_size)
   if n == 0 then return slow end
   local source = "local band, bor, bxor, lshift, rshift, slow = ...\nreturn function(p)\n"
      .. ffi.string(source_text, n) .. "end"
   return assert(loadstring(source, "=[tunfilter]/expression"))(bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift, slow)
end

-- A function may have 60 upvalues, and each callback takes two, so callbacks are chained in groups.
local group_size = 24

local function generate(first, last, rest)
   local names, values, body = {}, {}, {}
   for i = first, last do
      local entry = M.callbacks[i]
      names[#names + 1], values[#values + 1] = "callback" .. i, entry.fn
      local conditions = {}
      if entry.from then conditions[#conditions + 1] = "from == " .. entry.from end
      if entry.match then
         names[#names + 1], values[#values + 1] = "match" .. i, matcher(entry.match)
         conditions[#conditions + 1] = ("match%d(p)"):format(i)
      end
      body[#body + 1] = ([[
   %s
      context.callback = %d
      v = callback%d(pkt)
      if v ~= nil then return decide(v) end
   end]]):format(#conditions > 0 and "if " .. table.concat(conditions, " and ") .. " then" or "do", i, i)
   end
   local source = ([[
local context, decide, rest%s = ...
return function(p, pkt, from)
   local v
%s
   return %s
end]]):format(#names > 0 and ", " .. table.concat(names, ", ") or "", table.concat(body, "\n"),
      rest and "rest(p, pkt, from)" or "0")
   return assert(loadstring(source, "=[tunfilter]/chain"))(context, decide, rest, unpack(values))
end

-- The whole chain: function(descriptor, handle, from) that gives a verdict, 0 if none decided.
local function build()
   local rest
   local count = #M.callbacks
   local first = count - (count - 1) % group_size
   repeat
      rest = generate(math.max(first, 1), math.min(first + group_size - 1, count), rest)
      first = first - group_size
   until first < 1
   return rest
end

-- From so many expressions on, C looks at all of them together (src/choose.h): where traffic is mixed, a chain of twice as
-- many has more ways through it than the JIT makes side traces (100), and the rest is interpreted.
local many = 12

-- A function that shows the packet to the callbacks whose bits are in the mask (the lowest is the one behind number
-- `before`), until one of them has decided, or changed the packet: then C looks at it anew.
local function make_step(before, mask)
   local names, values, body = {}, {}, {}
   for i = before + 1, before + 32 do
      if band(mask, lshift(1, i - before - 1)) ~= 0 then
         names[#names + 1], values[#values + 1] = "callback" .. i, M.callbacks[i].fn
         body[#body + 1] = ([[
   context.callback = %d
   v = callback%d(pkt)
   if v ~= nil then
      p.verdict = decide(v)
      p.callback = %d
      return
   end]]):format(i, i, i)
      end
   end
   local source = ([[
local context, handle, decide, band, %s = ...
return function()
   local p, pkt, v = context.packet, handle(context.number)
%s
end]]):format(table.concat(names, ", "), table.concat(body, ([[

   if band(p.flags, %d) ~= 0 then return end
]]):format(C.TF_CHANGED)))
   return assert(loadstring(source, "=[tunfilter]/step"))(context, packet.handle, decide, band, unpack(values))
end

-- For a script with many expressions: C chooses, and calls the function for the callbacks that it chose. Each is
-- compiled by itself, when packets first need it: in one loop, a thousand of them would wait behind each other.
local function build_steps()
   for _, entry in ipairs(M.callbacks) do
      if C.tf_context_choose(context, entry.match or -1, entry.from or 2) ~= 0 then
         error("there is no memory for so many callbacks", 0)
      end
   end
   return { [0] = make_step }
end

--- Builds the function that C calls once a batch. No callback is registered after it.
--- Offline, it returns before a packet that comes later than the next timer; C runs the timer and
--- calls again.
function M.seal()
   M.sealed = true
   jit.flush() -- pieces of the library that were compiled while the script loaded would end the loop's
   local expressions = 0
   for _, entry in ipairs(M.callbacks) do expressions = expressions + (entry.match and 1 or 0) end
   if expressions >= many then return build_steps() end
   local whole, handle = build(), packet.handle
   local offline = context.offline ~= 0
   local chain = whole

   local function pass(batch, last)
      local packets = batch.packets
      for i = batch.cursor, last - 1 do
         batch.cursor = i
         local p = packets + i
         local number, from = p.number, p.from
         if offline then
            if context.due <= p.clock then return end
            context.now = p.clock
         end
         context.packet = p
         context.number = number
         local v = chain(p, handle(number), from)
         if v == 0 then
            p.verdict = FORWARD
         else
            p.verdict = v
            p.callback = context.callback
         end
      end
      batch.cursor = last
   end

   -- The loop has to be what the JIT compiles first. A function that the loop calls a few times a packet is found
   -- hot before it: then what runs on from there, into the loop and around it some times, is compiled or given up,
   -- and the loop itself may never be. So the JIT is off for some packets, and on again where the loop turns.
   local turns = 0

   local function before(p, pkt, from)
      local v = whole(p, pkt, from)
      turns = turns - 1
      if turns == 0 then
         chain = whole
         jit.on()
         opt.start "hotloop=1" -- hot the next time
      end
      return v
   end

   local begin -- what is to be done at the next batch

   local function usual()
      begin, chain = nil, whole
      jit.on()
      opt.start "hotloop=56" -- LuaJIT's own
   end

   local function first(batch)
      local ahead = batch.count - batch.cursor
      if ahead < 3 or not jit.status() then return end
      begin = usual -- should a callback throw
      turns, chain = math.min(ahead - 2, 16), before
      jit.flush()
      jit.off()
      pass(batch, batch.cursor + turns + 2) -- one that is recorded, one that is behind it
      usual()
   end

   begin = first
   return function()
      local batch = context.batch
      if begin then begin(batch) end
      pass(batch, batch.count)
   end
end

return M
