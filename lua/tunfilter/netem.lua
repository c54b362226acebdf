--- A link as it should not be: delay, jitter, loss, duplicates, reordering, corruption, a rate, a bounded
--- queue. Names and meaning are those of tc-netem(8); where the two differ, it is said below.
local core = require "tunfilter.core"
local check = require "tunfilter.check"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local state = require "tunfilter.state"
local suggest = require "tunfilter.suggest"
local verdict = require "tunfilter.verdict"

local ffi, C, context = core.ffi, core.C, core.context
local band, bor, bxor, lshift, rshift = bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift
local cos, floor, log, pi, sqrt = math.cos, math.floor, math.log, math.pi, math.sqrt
local forward, drop, hold = verdict.forward, verdict.drop, verdict.hold

-- What is passed in -------------------------------------------------------------------------------

local longest = 3600 -- seconds
local most_waiting = 65536

-- value, or default if it is nil; a number from low to high, of what `unit` says.
local function number(value, default, low, high, label, unit)
   if value == nil then return default end
   if type(value) ~= "number" then check.wrong(label, unit, value) end
   if not (value >= low and value <= high) then
      fault(("%s: expected %s from %.14g to %.14g, got %.14g"):format(label, unit, low, high, value))
   end
   return value
end

local function seconds(t, name)
   return number(t[name], 0, 0, longest, "netem: " .. name, "seconds")
end

local function chance(t, name, default)
   return number(t[name], default or 0, 0, 1, "netem: " .. name, "a chance")
end

local units = { bit = 1, kbit = 1e3, mbit = 1e6, gbit = 1e9, tbit = 1e12 }

-- Seconds a byte of a rate; nil without one.
local function byte_time(rate)
   if rate == nil then return nil end
   local value = rate
   if type(rate) == "string" then
      local digits, unit = rate:lower():match "^%s*([%d.]+)%s*(%a+)%s*$"
      value = units[unit] and tonumber(digits) and tonumber(digits) * units[unit]
   end
   if type(value) ~= "number" or not (value > 0 and value < math.huge) then
      fault(('netem: rate: expected bits a second above 0, as "10mbit", "500kbit", "1gbit" or a number, got %s')
         :format(type(rate) == "string" and ("%q"):format(rate) or tostring(rate)))
   end
   return 8 / value
end

local burst_names = { p = true, r = true, h = true, k = true }

-- The Gilbert-Elliott model: chances to enter and to leave the bad state, and to come through in it and out of it.
local function burst_chances(t)
   for key in pairs(t) do
      if not burst_names[key] then fault(suggest("netem: loss", key, burst_names)) end
   end
   local function value(name, default) return number(t[name], default, 0, 1, "netem: loss." .. name, "a chance") end
   if t.p == nil then fault "netem: loss: a table has at least p, the chance to enter the bad state" end
   local p = value "p"
   return p, value("r", 1 - p), value("h", 0), value("k", 1)
end

local distributions = { uniform = true, normal = true }

local names = { delay = true, jitter = true, distribution = true, loss = true, duplicate = true, reorder = true,
                corrupt = true, rate = true, limit = true }

-- Packets -----------------------------------------------------------------------------------------

-- One bit of the packet, any of them, becomes the other; checksums stay as they were.
local function damage(p, random)
   local place = floor(random() * p.len * 8)
   local at = rshift(place, 3)
   C.tf_settle_all(p)
   p.flags = bor(p.flags, C.TF_RAW)
   C.tf_packet_put(p, at, 1, bxor(p.data[at], lshift(1, band(place, 7))))
end

-- The functions of one link, with its state: lost() and send(p), which gives a TF_VERDICT_… and sets p.due.
local function link(t)
   local random = state.stream()
   local delay, jitter = seconds(t, "delay"), seconds(t, "jitter")
   local normal = t.distribution == "normal"
   local reorder, corrupt = chance(t, "reorder"), chance(t, "corrupt")
   local second_a_byte = byte_time(t.rate)
   local limit = number(t.limit, 1000, 1, most_waiting, "netem: limit", "a whole number of packets")
   if limit % 1 ~= 0 then fault("netem: limit: expected a whole number of packets, got " .. limit) end
   if reorder > 0 and delay == 0 and jitter == 0 and not second_a_byte then
      fault "netem: reorder: packets that go at once overtake others only where there is a delay, jitter or rate"
   end

   local waiting -- struct tf_waiting *
   if delay > 0 or jitter > 0 or second_a_byte then
      core.host.make_room()
      waiting = C.tf_waiting_create(limit)
      if waiting == nil then fault "netem: there is no memory for the queue" end
      waiting = ffi.gc(waiting, C.tf_waiting_destroy)
   end

   local free = 0 -- with a rate: when the last byte of the last packet has left

   local function lost() return false end
   if type(t.loss) == "table" then
      local p, r, h, k = burst_chances(t.loss)
      local bad = false
      function lost()
         local through = k
         if bad then
            through = h
            if random() < r then bad = false end
         elseif random() < p then
            bad = true
         end
         return random() >= through
      end
   elseif t.loss ~= nil then
      local loss = number(t.loss, 0, 0, 1, "netem: loss", "a table { p, r, h, k } or a chance")
      function lost() return random() < loss end
   end

   -- When a packet of this length leaves; nil if too many wait.
   local function departure(length)
      local now = context.now
      if not waiting or (reorder > 0 and random() < reorder) then return now end
      local due = now + delay
      if normal then
         due = due + jitter * sqrt(-2 * log(1 - random())) * cos(2 * pi * random()) -- Box and Muller
      elseif jitter > 0 then
         due = due + jitter * (2 * random() - 1)
      end
      if second_a_byte then
         if due < free then due = free end
         if due < now then due = now end
         due = due + length * second_a_byte
      end
      if due <= now then return now end
      if C.tf_waiting_add(waiting, now, due) == 0 then return nil end
      if second_a_byte then free = due end
      return due
   end

   return lost, function(p)
      if corrupt > 0 and random() < corrupt then damage(p, random) end
      local due = departure(p.len)
      if not due then return C.TF_VERDICT_DROP end
      p.due = due
      return due > context.now and C.TF_VERDICT_HOLD or C.TF_VERDICT_FORWARD
   end, random
end

-- The module --------------------------------------------------------------------------------------

--- A callback for tf.on_packet that passes packets on as such a link would. It decides about every packet.
---
--- Other than tc-netem(8): chances are numbers from 0 to 1, loss.h and loss.k are the chances to come through;
--- a duplicate is lost, corrupted and delayed by itself, and there are no correlations.
return function(t)
   if type(t) ~= "table" then fault("netem takes a table, as { delay = 0.05 }, not a " .. type(t)) end
   for key in pairs(t) do
      if not names[key] then fault(suggest("netem", key, names)) end
   end
   if t.distribution ~= nil and not distributions[t.distribution] then
      fault(('netem: distribution: expected "uniform" or "normal", got %s'):format(tostring(t.distribution)))
   end
   local duplicate = chance(t, "duplicate")
   local lost, send, random = link(t)

   local function pass(_, pkt)
      local p = live.resolve(pkt)
      if p ~= context.packet then fault "netem: it takes the packet that a callback sees" end
      local twin
      local gone = lost()
      if duplicate > 0 and random() < duplicate and not lost() then twin = C.tf_context_copy(context, p) end
      local decided = gone and C.TF_VERDICT_DROP or send(p)
      if twin ~= nil then
         if send(twin) == C.TF_VERDICT_DROP then twin.verdict = C.TF_VERDICT_DROP end
      end
      if decided == C.TF_VERDICT_HOLD then return hold end
      return decided == C.TF_VERDICT_FORWARD and forward or drop
   end

   return setmetatable({}, {
      __call = pass,
      __newindex = function() fault "netem: make another one for other settings" end,
      __tostring = function() return "netem" end,
      __metatable = "netem",
   })
end
