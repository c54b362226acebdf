--- tf.after and tf.every: a binary heap of timers, ordered by due time, then by age.
--- C arms one clock for context.due and calls M.step when it is past.
local check = require "tunfilter.check"
local core = require "tunfilter.core"

local M = {}

local context = core.context
local never = 1e300
local max_timers = 100000

local heap, size, serial = {}, 0, 0

local function before(a, b)
   return a.due < b.due or (a.due == b.due and a.serial < b.serial)
end

local function up(i, timer)
   while i > 1 do
      local parent = math.floor(i / 2)
      if not before(timer, heap[parent]) then break end
      heap[i] = heap[parent]
      heap[i].index = i
      i = parent
   end
   heap[i], timer.index = timer, i
end

local function down(i, timer)
   while true do
      local child = i * 2
      if child > size then break end
      if child < size and before(heap[child + 1], heap[child]) then child = child + 1 end
      if not before(heap[child], timer) then break end
      heap[i] = heap[child]
      heap[i].index = i
      i = child
   end
   heap[i], timer.index = timer, i
end

local function push(timer)
   size = size + 1
   if timer.once then context.once = context.once + 1 end
   up(size, timer)
   context.due = heap[1].due
end

local function remove(timer)
   local i = timer.index
   if not i then return end
   local last = heap[size]
   heap[size], size, timer.index = nil, size - 1, nil
   if timer.once then context.once = context.once - 1 end
   if last ~= timer then
      if before(last, timer) then up(i, last) else down(i, last) end
   end
   context.due = size > 0 and heap[1].due or never
end

local timers = setmetatable({}, { __mode = "k" }) -- what a script holds -> its timer

local methods = {
   cancel = function(self)
      local timer = timers[self]
      if not timer then error("cancel: call it as timer:cancel()", 2) end
      remove(timer)
      timer.every = nil
   end,
}
local object = { __index = methods, __metatable = "timer", __tostring = function() return "timer" end }

-- By tail calls only, which leave no level of their own: 2 is the script's.
local function add(name, seconds, fn, every)
   if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= 1e9) then
      error(("tf.%s: the time is a number of seconds from 0 to 1e9, not %s"):format(name, check.shown(seconds)), 2)
   end
   if type(fn) ~= "function" then
      error(("tf.%s: the second argument is a function, not a %s"):format(name, type(fn)), 2)
   end
   if size >= max_timers then
      error(("tf.%s: there are %d timers already"):format(name, max_timers), 2)
   end
   -- Offline the clock stands still between events; a timer that sets itself anew must not stop it.
   if context.offline ~= 0 then seconds = math.max(seconds, 1e-6) end
   serial = serial + 1
   local timer = { due = context.now + seconds, serial = serial, fn = fn, every = every and seconds, once = not every }
   push(timer)
   local self = setmetatable({}, object)
   timers[self] = timer
   return self
end

--- Calls fn once, after that many seconds.
function M.after(seconds, fn)
   return add("after", seconds, fn, false)
end

--- Calls fn every so many seconds, at least 0.001.
function M.every(seconds, fn)
   if type(seconds) == "number" and seconds < 0.001 then
      error("tf.every: at least 0.001 seconds", 2)
   end
   return add("every", seconds, fn, true)
end

--- Runs the one timer that is due first, if it is due. Rounds that were missed are left out.
function M.step()
   local timer = heap[1]
   if not timer or timer.due > context.now then return end
   if context.offline ~= 0 then context.now = timer.due end
   remove(timer)
   if timer.every then
      serial = serial + 1
      timer.serial = serial
      timer.due = math.max(timer.due + timer.every, context.now)
      push(timer)
   end
   timer.fn()
end

return M
