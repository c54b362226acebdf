--- What a script keeps between packets: flows, rates, counters, chance.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local packet = require "tunfilter.packet"

local M = {}

local ffi, C, context, host = core.ffi, core.C, core.context, core.host
local band, rshift = bit.band, bit.rshift

-- Flows -------------------------------------------------------------------------------------------

local flow_settings = { timeout = 300, max = 65536 }
local flows -- struct tf_flows *, made at the first use
local fresh = ffi.new "uint8_t[1]"

-- Slot -> the script's table, in chunks: one table of a million would stop the world to grow.
local chunks = {}

local function make_flows()
   local made = C.tf_flow_create(flow_settings.max)
   if made == nil then fault "tf.flow: there is no memory for the flows" end
   flows = ffi.gc(made, C.tf_flow_destroy)
end

--- The table of the packet's connection, the same for both directions; nil for a packet that is
--- not IP.
local function flow(_, pkt)
   if not packet.is(pkt) then fault("tf.flow takes a packet, not " .. type(pkt)) end
   if not flows then make_flows() end
   local slot = C.tf_flow_find(flows, live.resolve(pkt), context.now, flow_settings.timeout, fresh)
   if slot == C.TF_FLOW_NONE then return nil end
   local chunk = chunks[rshift(slot, 12)]
   if not chunk then
      chunk = {}
      chunks[rshift(slot, 12)] = chunk
   end
   local i = band(slot, 4095) + 1
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
      if value == nil then fault "tf.flow has timeout (seconds), max and count (flows)" end
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
      else
         fault "tf.flow has timeout (seconds) and max (flows) to set"
      end
      flow_settings[key] = value
   end,
   __metatable = "tf.flow",
})

-- Rates -------------------------------------------------------------------------------------------

local limiter_methods = {}
local limiter_meta = { __index = limiter_methods, __metatable = "limiter" }

--- Whether there are tokens for this cost (1 unless told otherwise); if so they are taken.
function limiter_methods:allow(cost)
   cost = cost or 1
   if type(cost) ~= "number" or not (cost >= 0) then
      fault("allow: the cost is a number from 0, not " .. tostring(cost))
   end
   local now = context.now
   local tokens = self.tokens + (now - self.last) * self.rate
   if tokens > self.burst then tokens = self.burst end
   self.last = now
   if tokens < cost then
      self.tokens = tokens
      return false
   end
   self.tokens = tokens - cost
   return true
end

--- A token bucket that fills at `rate` tokens a second up to `burst` (default: a second's worth,
--- at least 1), and is full at first.
function M.limiter(t)
   if type(t) ~= "table" then fault "tf.limiter takes { rate =, burst = }" end
   for key in pairs(t) do
      if key ~= "rate" and key ~= "burst" then
         fault(("tf.limiter has rate and burst, not %s"):format(tostring(key)))
      end
   end
   local rate, burst = t.rate, t.burst
   if type(rate) ~= "number" or not (rate >= 0 and rate < math.huge) then
      fault("tf.limiter: rate is a number of tokens a second from 0, not " .. tostring(rate))
   end
   if burst == nil then burst = math.max(rate, 1) end
   if type(burst) ~= "number" or not (burst > 0 and burst < math.huge) then
      fault("tf.limiter: burst is a number of tokens above 0, not " .. tostring(burst))
   end
   return setmetatable({ rate = rate, burst = burst, tokens = burst, last = context.now }, limiter_meta)
end

-- Counters ----------------------------------------------------------------------------------------

local max_counters, max_name = 1000, 40

--- name -> counter, and in the order in which they were made.
M.counters = {}

local counter_meta = {
   __index = {
      --- Adds n (1 unless told otherwise).
      add = function(self, n)
         n = n or 1
         if type(n) ~= "number" or n ~= n then fault("add: a number, not " .. tostring(n)) end
         self.value = self.value + n
      end,
   },
   __tostring = function(self) return ("%.14g"):format(self.value) end,
   __metatable = "counter",
}

--- The counter of that name; shown with the statistics. Its value is in .value.
function M.counter(name)
   if type(name) ~= "string" or #name == 0 or #name > max_name then
      fault(("tf.counter takes a name of 1 to %d bytes, not %s"):format(max_name, tostring(name)))
   end
   local counter = M.counters[name]
   if not counter then
      if #M.counters >= max_counters then fault(("tf.counter: there are %d counters already"):format(max_counters)) end
      counter = setmetatable({ value = 0 }, counter_meta)
      M.counters[name] = counter
      M.counters[#M.counters + 1] = name
   end
   return counter
end

-- Chance ------------------------------------------------------------------------------------------

local random_state = ffi.new "uint64_t[1]"

--- Sets what random() gives from here on; seed is a whole number of at most 15 digits.
function M.seed(seed)
   -- splitmix64 of the seed, so that neighbours have nothing in common
   local z = ffi.cast("uint64_t", seed) + 0x9e3779b97f4a7c15ULL
   z = bit.bxor(z, rshift(z, 30)) * 0xbf58476d1ce4e5b9ULL
   z = bit.bxor(z, rshift(z, 27)) * 0x94d049bb133111ebULL
   z = bit.bxor(z, rshift(z, 31))
   if z == 0 then z = 1ULL end
   random_state[0] = z
   math.randomseed(seed)
end

M.seed(host.seed)

-- xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"): 53 bits of it.
local function uniform()
   local x = random_state[0]
   x = bit.bxor(x, rshift(x, 12))
   x = bit.bxor(x, bit.lshift(x, 25))
   x = bit.bxor(x, rshift(x, 27))
   random_state[0] = x
   return tonumber(rshift(x * 0x2545f4914f6cdd1dULL, 11)) * 2 ^ -53
end

local function whole(value, name)
   if type(value) ~= "number" or value % 1 ~= 0 or math.abs(value) > 2 ^ 53 then
      fault(("tf.random: %s is a whole number, not %s"):format(name, tostring(value)))
   end
   return value
end

--- As math.random: a number from 0 up to 1; a whole one from 1 to m; a whole one from m to n.
function M.random(m, n)
   if m == nil then return uniform() end
   local low, high = 1, whole(m, "the first argument")
   if n ~= nil then low, high = m, whole(n, "the second argument") end
   if high < low then fault(("tf.random: there is nothing from %d to %d"):format(low, high)) end
   return low + math.floor(uniform() * (high - low + 1))
end

--- Plain values that live through a reload.
M.keep = {}

return M
