--- What a script keeps between packets: flows, rates, counters, chance.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local packet = require "tunfilter.packet"
local suggest = require "tunfilter.suggest"

local M = {}

local ffi, C, context, host = core.ffi, core.C, core.context, core.host
local band, rshift = bit.band, bit.rshift

-- Flows -------------------------------------------------------------------------------------------

local flow_settings = { timeout = 300, max = 65536, keep = false }
local flows -- struct tf_flows *, made at the first use
local fresh = ffi.new "uint8_t[1]"

-- Slot -> the script's table, in chunks that never grow: one table of a million would stop the world for that, and
-- compiled code likes all of them to be arrays.
local new_table = require "table.new"
local chunk_size = 4096
local chunks

local function make_flows()
   local made = C.tf_flow_create(flow_settings.max)
   if made == nil then fault "tf.flow: there is no memory for the flows" end
   flows = ffi.gc(made, C.tf_flow_destroy)
   chunks = new_table(math.ceil(flow_settings.max / chunk_size), 0)
end

--- The table of the packet's connection, the same for both directions; nil for a packet that is
--- not IP.
local function flow(_, pkt)
   if not packet.is(pkt) then fault("tf.flow takes a packet, not " .. type(pkt)) end
   if not flows then make_flows() end
   local slot = C.tf_flow_find(flows, live.resolve(pkt), context.batch, context.now, flow_settings.timeout, fresh)
   if slot == C.TF_FLOW_NONE then return nil end
   local chunk = chunks[rshift(slot, 12)]
   if not chunk then
      chunk = new_table(chunk_size, 0)
      chunks[rshift(slot, 12)] = chunk
   end
   local i = band(slot, chunk_size - 1)
   local values = chunk[i]
   if fresh[0] ~= 0 or not values then
      values = {}
      chunk[i] = values
   end
   return values
end

M.flow = setmetatable({}, {
   __call = flow,
   __index = function(_, key)
      if key == "count" then return flows and C.tf_flow_count(flows) or 0 end
      local value = flow_settings[key]
      if value == nil then fault "tf.flow has timeout (seconds), max and count (flows), and keep" end
      return value
   end,
   __newindex = function(_, key, value)
      if key == "timeout" then
         if type(value) ~= "number" or not (value > 0 and value <= 1e9) then
            fault("tf.flow.timeout is a number of seconds above 0, not " .. tostring(value))
         end
      elseif key == "max" then
         check.integer(value, 16777216, "tf.flow.max")
         if value < 1 then fault "tf.flow.max is at least 1" end
         if flows then fault "tf.flow.max is set before the first tf.flow(pkt)" end
      elseif key == "keep" then
         if type(value) ~= "boolean" then fault("tf.flow.keep is true or false, not " .. tostring(value)) end
      else
         fault "tf.flow has timeout (seconds) and max (flows) to set, and keep"
      end
      flow_settings[key] = value
   end,
   __metatable = "tf.flow",
})

--- The flows for another script, the oldest first: { { key, closing, last, table }, … }; nil if they are not wanted.
function M.save_flows()
   if not flow_settings.keep or not flows then return nil end
   local list, record = {}, ffi.new "struct tf_flow_record"
   local slot = C.tf_flow_after(flows, C.TF_FLOW_NONE, record)
   while slot ~= C.TF_FLOW_NONE do
      local chunk = chunks[rshift(slot, 12)]
      local values = chunk and chunk[band(slot, chunk_size - 1)]
      if values and context.now - record.last <= flow_settings.timeout then
         list[#list + 1] = { ffi.string(record.key, ffi.sizeof(record.key)), record.closing, record.last, values }
      end
      slot = C.tf_flow_after(flows, slot, record)
   end
   return list
end

--- Takes over what save_flows of another script gave, if this one wants flows kept.
function M.take_flows(list)
   if not flow_settings.keep then return end
   if not flows then make_flows() end
   local record = ffi.new "struct tf_flow_record"
   for _, entry in ipairs(list) do
      local key, closing, last, values = entry[1], entry[2], entry[3], entry[4]
      ffi.copy(record.key, key, math.min(#key, ffi.sizeof(record.key)))
      record.closing, record.last = closing, last
      local slot = C.tf_flow_restore(flows, record)
      if slot ~= C.TF_FLOW_NONE then
         local chunk = chunks[rshift(slot, 12)]
         if not chunk then
            chunk = new_table(chunk_size, 0)
            chunks[rshift(slot, 12)] = chunk
         end
         chunk[band(slot, chunk_size - 1)] = values
      end
   end
end

-- Rates -------------------------------------------------------------------------------------------

ffi.cdef "struct tf_limiter { const double rate, burst; double tokens, last; };"
local limiter_type -- set below

--- Whether there are tokens for this cost (1 unless told otherwise); if so they are taken.
local function allow(self, cost)
   if not ffi.istype(limiter_type, self) then fault "allow: call it with a colon, as limiter:allow()" end
   if cost == nil then cost = 1 end
   if type(cost) ~= "number" or not (cost >= 0) then
      fault("allow: the cost is a number from 0, not " .. tostring(cost))
   end
   local now = context.now
   local tokens = self.tokens + (now - self.last) * self.rate
   if tokens > self.burst then tokens = self.burst end
   self.last = now
   local allowed = tokens >= cost
   self.tokens = allowed and tokens - cost or tokens
   return allowed
end

limiter_type = ffi.metatype("struct tf_limiter", {
   __index = { allow = allow },
   __tostring = function(self) return ("limiter of %.14g a second, burst %.14g"):format(self.rate, self.burst) end,
})

local limiter_settings = { rate = true, burst = true }

--- A token bucket that fills at `rate` tokens a second up to `burst` (default: a second's worth,
--- at least 1), and is full at first.
function M.limiter(t)
   if type(t) ~= "table" then fault("tf.limiter takes { rate =, burst = }, not a " .. type(t)) end
   for key in pairs(t) do
      if not limiter_settings[key] then fault(suggest("tf.limiter", key, limiter_settings)) end
   end
   local rate, burst = t.rate, t.burst
   if type(rate) ~= "number" or not (rate >= 0 and rate < math.huge) then
      fault("tf.limiter: rate is a number of tokens a second from 0, not " .. tostring(rate))
   end
   if burst == nil then burst = math.max(rate, 1) end
   if type(burst) ~= "number" or not (burst > 0 and burst < math.huge) then
      fault("tf.limiter: burst is a number of tokens above 0, not " .. tostring(burst))
   end
   return (limiter_type(rate, burst, burst, context.now))
end

-- Counters ----------------------------------------------------------------------------------------

local max_counters, max_name = 1000, 40

--- name -> counter, and in the order in which they were made.
M.counters = {}

ffi.cdef "struct tf_counter { double value; };"
local counter_type -- set below

counter_type = ffi.metatype("struct tf_counter", {
   __index = {
      --- Adds n (1 unless told otherwise).
      add = function(self, n)
         if not ffi.istype(counter_type, self) then fault "add: call it with a colon, as counter:add()" end
         if n == nil then n = 1 end
         if type(n) ~= "number" or n ~= n then fault("add: a number, not " .. tostring(n)) end
         self.value = self.value + n
      end,
   },
   __tostring = function(self) return ("%.14g"):format(self.value) end,
})

--- The counter of that name; shown with the statistics. Its value is in .value.
function M.counter(name)
   if type(name) ~= "string" or #name == 0 or #name > max_name then
      fault(("tf.counter takes a name of 1 to %d bytes, not %s"):format(max_name, tostring(name)))
   end
   local counter = M.counters[name]
   if not counter then
      if #M.counters >= max_counters then fault(("tf.counter: there are %d counters already"):format(max_counters)) end
      counter = counter_type()
      M.counters[name] = counter
      M.counters[#M.counters + 1] = name
   end
   return counter
end

-- Chance ------------------------------------------------------------------------------------------

-- splitmix64 of a seed, so that neighbours have nothing in common; never 0.
local function scatter(seed)
   local z = seed + 0x9e3779b97f4a7c15ULL
   z = bit.bxor(z, rshift(z, 30)) * 0xbf58476d1ce4e5b9ULL
   z = bit.bxor(z, rshift(z, 27)) * 0x94d049bb133111ebULL
   z = bit.bxor(z, rshift(z, 31))
   return z == 0 and 1ULL or z
end

-- xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"): a function that
-- gives numbers from 0 up to 1, of 53 bits each, and a function that sets its seed.
local function generator()
   local state = ffi.new "uint64_t[1]"
   return function()
      local x = state[0]
      x = bit.bxor(x, rshift(x, 12))
      x = bit.bxor(x, bit.lshift(x, 25))
      x = bit.bxor(x, rshift(x, 27))
      state[0] = x
      return tonumber(rshift(x * 0x2545f4914f6cdd1dULL, 11)) * 2 ^ -53
   end, function(seed)
      state[0] = scatter(ffi.cast("uint64_t", seed))
   end
end

local uniform, seed_uniform = generator()

--- Sets what random() and math.random() give from here on, and the streams made after; seed is a whole number below 2^53.
function M.seed(seed)
   seed_uniform(seed)
   math.randomseed(seed)
end

M.seed(host.seed)

--- A function like uniform with numbers of its own, which nobody else's use of chance shifts; they
--- follow from the seed and from how many streams were made before.
function M.stream()
   local random, seed = generator()
   seed(uniform() * 2 ^ 53)
   return random
end

local function whole(value, name)
   if type(value) ~= "number" or value % 1 ~= 0 or math.abs(value) > 2 ^ 53 then
      fault(("tf.random: %s is a whole number, not %s"):format(name, tostring(value)))
   end
   return value
end

--- As math.random: a number from 0 up to 1; a whole one from 1 to m; a whole one from m to n.
function M.random(m, n)
   if m == nil then return (uniform()) end
   local low, high = 1, whole(m, "the first argument")
   if n ~= nil then low, high = m, whole(n, "the second argument") end
   if high < low then fault(("tf.random: there is nothing from %d to %d"):format(low, high)) end
   return low + math.floor(uniform() * (high - low + 1))
end

--- Plain values that live through a reload.
M.keep = {}

return M
