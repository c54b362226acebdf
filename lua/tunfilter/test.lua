--- Scenarios for a script: what `require "tunfilter.test"` gives in the files of `tunfilter test`.
---
--- A file registers scenarios while it loads. The program then loads it anew for each scenario and
--- runs that one, between two memory devices with the rules between them (src/stage.c). Time
--- passes only by t.advance.
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local difference = require "tunfilter.difference"
local fault = require "tunfilter.fault"
local init = require "tunfilter.init"
local live = require "tunfilter.live"
local packet = require "tunfilter.packet"
local sides = require "tunfilter.sides"
local suggest = require "tunfilter.suggest"

local ffi, host, link = core.ffi, core.host.test, core.host.link

local M = {}

local scenarios = {} -- in order: { title, line, place, fn, and the options }

local now -- of the scenario that runs: what came out and what was said so far; see try()

-- Where ------------------------------------------------------------------------------------------

local prefix = debug.getinfo(1, "S").source:match "^(.*)test%.lua$"

-- "tests.lua:12, called from tests.lua:30", and the first of the lines.
local function place()
   local places, first = {}, nil
   for level = 2, 40 do
      local info = debug.getinfo(level, "Sl")
      if not info then break end
      if info.what ~= "C" and info.source:sub(1, #prefix) ~= prefix then
         first = first or info.currentline
         places[#places + 1] = ("%s:%d"):format(info.short_src, info.currentline)
      end
   end
   return table.concat(places, ", called from ", 1, math.min(#places, 4)), first
end

-- Raised to end a scenario; why is in now.failure, so that no pcall can hide it.
local failed = setmetatable({}, { __tostring = function() return now.failure end })

local function fail(format, ...)
   now.failure = now.failure or ("%s: %s"):format(place(), format:format(...))
   error(failed, 0)
end

-- What came out ----------------------------------------------------------------------------------

-- Takes over what came out and what the script said.
local function gather()
   for i = 0, 1 do
      local bytes, time = host.take(i)
      while bytes do
         table.insert(now.out[i], { bytes = bytes, time = time })
         bytes, time = host.take(i)
      end
   end
   local notes = host.notes()
   for i = 1, #notes, 2 do table.insert(notes[i] and now.errors or now.log, notes[i + 1]) end
end

local function to_packet(entry)
   local pkt = packet.new(entry.bytes, link())
   packet.resolve(pkt).stamp = entry.time * 1e9
   return pkt
end

local function shown(entry)
   return ("at %.6g s: %s"):format(entry.time, tostring(to_packet(entry)))
end

-- " (left has: IP …)" for what waits on a side.
local function waiting(index)
   local entry = now.out[index][1]
   return entry and ("; what came out of %s next, %s"):format(tostring(sides[index]), shown(entry)) or ""
end

local function must_run(name)
   if not now then fault(("t.%s: only while a scenario runs"):format(name)) end
end

local function side_of(name, side)
   must_run(name)
   local index = sides.index(side)
   if not index then
      fault(("t.%s: the side is tf.left or tf.right, not %s"):format(name,
         type(side) == "string" and ("%q"):format(side) or tostring(side)))
   end
   return index
end

local function bytes_of(pkt)
   local p = packet.resolve(pkt)
   live.settle(p, 0, p.len)
   return ffi.string(p.data, p.len)
end

-- The scenario's steps ---------------------------------------------------------------------------

--- A packet arrives on a side: bytes, a packet, or a table for tf.packet. Returns it.
function M.send(side, what)
   local index = side_of("send", side)
   if now.stopped then fault "t.send: the script has stopped" end
   if type(what) == "table" then what = init.members.packet(what) end
   if packet.is(what) then
      what = bytes_of(what)
   elseif type(what) ~= "string" then
      fault(("t.send: bytes, a packet or a table for tf.packet, not a %s"):format(type(what)))
   end
   now.sent = to_packet{ bytes = what, time = init.members.now() }
   host.inject(index, what)
   gather()
   return now.sent
end

local function differs(expected_bytes, got)
   if got.bytes == expected_bytes then return nil end
   local got_packet = to_packet(got)
   if expected_bytes == "" then return "expected no bytes at all" end
   return difference.fields(packet.new(expected_bytes, link()), got_packet) .. "\n"
      .. difference.bytes(expected_bytes, got.bytes)
end

-- A function that says what is wrong with an entry, or nil; and the expectation in words.
local function judge(what)
   if packet.is(what) then what = bytes_of(what) end
   if type(what) == "string" then
      return function(entry) return differs(what, entry) end,
         #what > 0 and tostring(packet.new(what, link())) or "no bytes"
   elseif type(what) == "table" then
      difference.check_names(what)
      return function(entry)
         local text = difference.of_fields(what, to_packet(entry))
         return text and text .. "\n" .. difference.dump(entry.bytes)
      end, difference.shown(what)
   elseif type(what) == "function" then
      return function(entry)
         local ok, why = what(to_packet(entry))
         if ok then return nil end
         return ("  the function said %s%s\n"):format(tostring(ok), why and ": " .. tostring(why) or "")
            .. difference.dump(entry.bytes)
      end, "a packet that a function likes"
   end
   fault(("t.expect: bytes, a packet, a table of fields or a function, not a %s"):format(type(what)))
end

local function expect(index, what)
   local wrong, words = judge(what)
   local entry = table.remove(now.out[index], 1)
   if not entry then
      fail("nothing came out of %s; expected %s%s", tostring(sides[index]), words, waiting(1 - index))
   end
   local text = wrong(entry)
   if text then
      fail("another packet came out of %s than was expected\n  expected %s\n  got %s\n%s",
         tostring(sides[index]), words, shown(entry), text)
   end
   return to_packet(entry)
end

--- The next packet that came out of a side is this one: the same bytes, these fields, or one that a
--- function likes. Returns it; its time is when it came out.
function M.expect(side, what)
   return expect(side_of("expect", side), what)
end

--- The next packet that came out of a side is the one that was sent last, unchanged.
function M.expect_same(side)
   local index = side_of("expect_same", side)
   if not now.sent then fault "t.expect_same: nothing was sent before" end
   return expect(index, now.sent)
end

--- Nothing (more) came out of a side, or of both.
function M.expect_nothing(side)
   must_run "expect_nothing"
   local only = side ~= nil and side_of("expect_nothing", side)
   for i = 0, 1 do
      local entry = now.out[i][1]
      if entry and (not only or only == i) then
         fail("expected nothing from %s, and this came out %s\n%s", tostring(sides[i]), shown(entry),
            difference.dump(entry.bytes))
      end
   end
end

--- The next packet that came out of a side, or nil.
function M.take(side)
   local index = side_of("take", side)
   local entry = table.remove(now.out[index], 1)
   return entry and to_packet(entry)
end

--- What comes out of a side (or of both) and is not expected is no failure in this scenario.
function M.ignore(side)
   must_run "ignore"
   local only = side ~= nil and side_of("ignore", side)
   for i = 0, 1 do now.ignored[i] = now.ignored[i] or not only or only == i end
end

local longest = 1e6

--- Lets so many seconds pass.
function M.advance(seconds)
   must_run "advance"
   if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= longest) then
      fault(("t.advance: a number of seconds from 0 to %d, not %s"):format(longest, tostring(seconds)))
   end
   host.advance(seconds)
   gather()
end

--- The script ends: its tf.on_stop functions run.
function M.stop()
   must_run "stop"
   now.stopped = true
   host.stop()
   gather()
end

--- A callback or timer of the script has failed, with this text in its message. Returns the message.
function M.expect_error(text)
   must_run "expect_error"
   text = check.text(text == nil and "" or text, "t.expect_error")
   local message = table.remove(now.errors, 1)
   if not message then fail("no callback failed; expected an error with %q", text) end
   if not message:find(text, 1, true) then fail("expected an error with %q, and it was\n  %s", text, message) end
   return message
end

--- The script has logged a line with this text, behind the line that was expected last. Returns the line.
function M.expect_log(text)
   must_run "expect_log"
   check.text(text, "t.expect_log")
   while now.logged < #now.log do
      now.logged = now.logged + 1
      if now.log[now.logged]:find(text, 1, true) then return now.log[now.logged] end
   end
   fail("the script did not log %q", text)
end

-- Registration -----------------------------------------------------------------------------------

local option_checks = {
   set = function(value)
      if type(value) ~= "table" then return "a table of settings" end
      for key, v in pairs(value) do
         local kind = type(v)
         if type(key) ~= "string" or key == "" or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
            return "a table of names and plain values"
         end
      end
   end,
   link = function(value) return value ~= "ip" and value ~= "ethernet" and '"ip" or "ethernet"' end,
   seed = function(value)
      return not (type(value) == "number" and value >= 0 and value < 1e15 and value % 1 == 0) and "a whole number"
   end,
   on_error = function(value) return value ~= "drop" and value ~= "forward" and '"drop" or "forward"' end,
   load_error = function(value) return type(value) ~= "string" and "a string" end,
}

local usage = "t.scenario takes (title, function) or (title, { set, link, seed, on_error, load_error }, function)"

--- Registers a scenario.
function M.scenario(title, options, fn)
   if now then fault "t.scenario: not inside a scenario" end
   if type(options) == "function" and fn == nil then options, fn = {}, options end
   if type(title) ~= "string" or title == "" or type(options) ~= "table" then fault(usage) end
   for key, value in pairs(options) do
      if not option_checks[key] then fault(suggest("a scenario", key, option_checks)) end
      local expected = option_checks[key](value)
      if expected then fault(("t.scenario: %s is %s, not %s"):format(key, expected, tostring(value))) end
   end
   if options.load_error and fn ~= nil then fault "t.scenario: a script that does not load runs no function" end
   if not options.load_error and type(fn) ~= "function" then fault(usage) end

   local settings = {}
   for key, value in pairs(options.set or {}) do
      settings[#settings + 1], settings[#settings + 2] = key, tostring(value)
   end
   local where, line = place()
   scenarios[#scenarios + 1] = { title = title:gsub("%z", "\\0"), line = line or 0, place = where, fn = fn,
                                 options = options, settings = settings }
end

-- What a script does, a scenario does not.
for name, instead in pairs { send = "t.send", after = "t.advance", every = "t.advance", on_packet = "t.expect",
                             on_start = "the scenario itself", on_stop = "t.stop" } do
   init.members[name] = function()
      fault(("tf.%s is for the script; what a scenario has is %s"):format(name, instead))
   end
end

-- Running ----------------------------------------------------------------------------------------

-- An error of the scenario's own, with the lines that led there.
local function handler(message)
   if rawequal(message, failed) then return message end
   local lines = {}
   for line in debug.traceback("", 2):gmatch "[^\n]+" do
      if line:find "^\t" and line:sub(2, #prefix) ~= prefix:sub(2) and not line:find "^\t%[C%]" then
         lines[#lines + 1] = line:gsub("^\t", "  ")
      end
   end
   if #lines < 2 then return tostring(message) end -- the message's own line
   return tostring(message) .. "\n" .. table.concat(lines, "\n")
end

local function begin(scenario)
   local options = scenario.options
   local ethernet, forward
   if options.link then ethernet = options.link == "ethernet" end
   if options.on_error then forward = options.on_error == "forward" end
   return host.begin(scenario.settings, ethernet, options.seed, forward)
end

local function try(scenario)
   local options = scenario.options
   local message = begin(scenario)
   if options.load_error then
      if not message then return ("%s: the script loads; expected an error with %q"):format(scenario.place, options.load_error) end
      if message:find(options.load_error, 1, true) then return nil end
      return ("%s: expected an error with %q, and it was\n  %s"):format(scenario.place, options.load_error, message)
   end
   if message then return "the script does not load: " .. message end

   now = { out = { [0] = {}, {} }, ignored = {}, errors = {}, log = {}, logged = 0 }
   gather()
   local ok, problem = xpcall(scenario.fn, handler)
   if now.failure then return now.failure end
   if not ok then return problem end
   for i = 0, 1 do
      local entry = now.out[i][1]
      if entry and not now.ignored[i] then
         return ("%s: %d packet%s came out of %s and nobody expected %s. The first, %s\n%s"):format(scenario.place,
            #now.out[i], #now.out[i] == 1 and "" or "s", tostring(sides[i]), #now.out[i] == 1 and "it" or "them",
            shown(entry), difference.dump(entry.bytes))
      end
   end
   if not now.stopped then M.stop() end
   if #now.errors > 0 then return scenario.place .. ": the script failed, and nobody expected it" end
end

local last_lines = 10

-- What else there is to say when a scenario has failed.
local function circumstances()
   local parts = {}
   for i = 1, math.min(#now.errors, 3) do parts[#parts + 1] = "the script's error: " .. now.errors[i] end
   if #now.errors > 3 then parts[#parts + 1] = ("and %d errors more"):format(#now.errors - 3) end
   local refused = host.refused()
   if refused > 0 then
      parts[#parts + 1] = ("packets that the script let go and no device took (not such as it carries): %d"):format(refused)
   end
   for i = math.max(1, #now.log - last_lines + 1), #now.log do parts[#parts + 1] = "the script logged: " .. now.log[i] end
   return #parts > 0 and "\n" .. table.concat(parts, "\n") or ""
end

return {
   module = setmetatable({}, {
      __index = function(_, key)
         local value = M[key]
         if value == nil then fault(suggest("tunfilter.test", key, M)) end
         return value
      end,
      __newindex = function() fault "tunfilter.test cannot be changed" end,
      __metatable = "tunfilter.test",
   }),
   members = M,

   --- How many scenarios there are.
   count = function() return #scenarios end,

   --- The title of one, and its line.
   title = function(i) return scenarios[i].title, scenarios[i].line end,

   --- Runs one: true, or false and why not, on many lines.
   run = function(i)
      local failure = try(scenarios[i])
      if failure and now then
         gather()
         failure = failure .. circumstances()
      end
      now = nil
      if failure then return false, (failure:gsub("%z", "\\0")) end
      return true
   end,
}
