--- What C calls: one function a step of a run. Everything else is reached from here.
local dispatch = require "tunfilter.dispatch"
local handover = require "tunfilter.handover"
local init = require "tunfilter.init"
local sandbox = require "tunfilter.sandbox"
local sides = require "tunfilter.sides"
local state = require "tunfilter.state"
local timer = require "tunfilter.timer"

local M = {}

M.describe_side = sides.describe
M.follow_mtu = sides.follow_mtu
M.step = timer.step

--- Compiles the script's text; its chunk, or nil and the message.
M.compile = sandbox.compile

--- The callbacks for the start lines: an array of { label, expression, from }.
function M.callbacks()
   local list = {}
   for i, entry in ipairs(dispatch.callbacks) do
      list[i] = { entry.name or entry.where, entry.expression, entry.from and tostring(sides[entry.from]),
                  entry.name and entry.where }
   end
   return list
end

--- The counters for the statistics: an array of { name, value }.
function M.counters()
   local list = {}
   for i, name in ipairs(state.counters) do
      -- A name may come from a packet; a terminal is to see no control characters in it.
      local shown = name:gsub("%c", function(c) return ("\\x%02x"):format(c:byte()) end)
      list[i] = { shown, state.counters[name].value }
   end
   return list
end

-- Runs the first function of a list and takes it off; false when there is none left.
local function run_first(list)
   local fn = table.remove(list, 1)
   if not fn then return false end
   fn()
   return true
end

--- Runs the next function of on_start.
function M.on_start() return run_first(init.starts) end

--- Runs the next function of on_stop.
function M.on_stop() return run_first(init.stops) end

--- A step of `tunfilter check --jit`; an array of strings.
function M.jit(step, ...)
   return require "tunfilter.jit_report"[step](...) or {}
end

--- What passes on to the script that takes this one's place; handover.lua.
M.save, M.begin, M.take = handover.save, handover.begin, handover.take

--- The function that C calls once a batch.
M.seal = dispatch.seal

return M
