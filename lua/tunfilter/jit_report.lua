--- `tunfilter check --jit`: which callbacks run compiled, and why not the others.
---
--- C shows the same packets again and again, in four steps: count how often each callback is called,
--- with the JIT off; warm up, and listen to what the JIT says of the pieces that it gives up; watch what
--- the interpreter still runs (debug hooks see nothing of compiled code); and see what garbage is made.
local build = require "tunfilter.build"
local core = require "tunfilter.core"
local dispatch = require "tunfilter.dispatch"
local packet = require "tunfilter.packet"

local M = {}

local C, context, host = core.C, core.context, core.host
local util = require "jit.util"

local library = debug.getinfo(1, "S").source:match "^(.*)jit_report%.lua$"

local function is_users(source)
   return source:sub(1, 1) == "@" and source:sub(1, #library) ~= library
end

-- What the JIT says, by its number in LuaJIT 2.1 as Debian has it; where jit.vmdef is installed, it knows better.
local messages = {
   [0] = "error thrown", "trace too short", "trace too long", "trace too deep", "too many snapshots", "blacklisted",
   "retry recording", "NYI: bytecode", "leaving loop in root trace", "inner loop in root trace",
   "loop unroll limit reached", "bad argument type", "JIT compilation disabled for function",
   "call unroll limit reached", "down-recursion, restarting", "NYI: unsupported variant of FastFunc",
   "NYI: return to lower frame", "store with nil or NaN key", "missing metamethod", "looping index lookup",
   "NYI: mixed sparse/dense table", "symbol not in cache", "NYI: unsupported C type conversion",
   "NYI: unsupported C function type", "guard would always fail", "too many PHIs", "persistent type instability",
   "failed to allocate mcode memory", "machine code too long", "hit mcode limit", "too many spill slots",
   "inconsistent register allocation", "NYI: cannot assemble IR", "NYI: PHI shuffling", "NYI: register coalescing",
}
do
   local found, vmdef = pcall(require, "jit.vmdef")
   if found and type(vmdef.traceerr) == "table" then messages = vmdef.traceerr end
end

local loop = "a loop inside of a callback is compiled by itself, and what is around it is not"
local large = "it is too much for one piece of machine code"
-- The same for a person; the first whose text is in the message. false: says nothing of the script.
local words = {
   { "blacklisted", false }, { "retry", false }, { "guard would", false }, { "mcode limit", false },
   { "too short", false }, { "lower frame", false },
   { "leaving loop", loop }, { "inner loop", loop }, { "loop unroll", loop },
   { "call unroll", "a function calls itself, or too many call each other" },
   { "down%-recursion", "a function calls itself" },
   { "error thrown", false }, { "bad argument", "an argument has the wrong type there" },
   { "nil or NaN key", "an error is thrown there" }, { "missing metamethod", "an error is thrown there" },
   { "too long", large }, { "too deep", large }, { "snapshots", large }, { "spill", large }, { "PHI", large },
   { "coalescing", large }, { "register", large }, { "mcode memory", "there is no memory for machine code" },
   { "type instability", "a variable has another type from one time to the next" },
   { "sparse", "a table has both a list and other keys there" },
   { "C type", "a conversion of C data is not compiled" }, { "C function", "a C function of that type is not compiled" },
   { "symbol", "a C function is looked up there" },
}

-- Functions by name, for messages.
local names = {}
for name, value in pairs(_G) do
   if type(value) == "function" then names[value] = name end
   if type(value) == "table" and value ~= _G then
      for key, fn in pairs(value) do
         if type(fn) == "function" and type(key) == "string" then names[fn] = name .. "." .. key end
      end
   end
end

-- Bytecode numbers differ between versions, so they are looked up in code that has them.
local function opcode(source, at)
   local ins = util.funcbc(assert(loadstring(source)), at)
   return ins and bit.band(ins, 0xff)
end
local opcodes = {}
local function name_opcode(op, text)
   if op then opcodes[op] = text end
end
name_opcode(opcode("return function() end", 1), "a function is made there each time")
name_opcode(opcode("return ...", 1), "'...' is not compiled there")

local made = "a function is made there each time"
local next_called = "%f[%w_.]next%s*[,%(]" -- not a field of that name
local loops, with_this = "pairs() and next() are not compiled", " with this LuaJIT"

local function of_bytecode(info, line)
   local text = opcodes[info]
   if text then return text end
   if line:find "function" then return made end
   if line:find "pairs" or line:find(next_called) then return loops end
   if line:find "{.*%(.*}" then return "a table is made of all that a function returns" end
   if line:find "%.%.%." then return "'...' is not compiled there" end
   return "LuaJIT does not compile what is there"
end

-- Methods and functions that are never compiled, as they stand in a script.
local slow = { "gsub", "gmatch", "match", "find", "format", "rep", "concat", "sort", "print", "log", "tostring", "unpack",
               "select", "setmetatable", "getmetatable", "pcall", "xpcall", "error", "load", "require",
               "date", "clock", "time", "byte", "char", "write", "remove", "resume", "wrap", "yield", "create",
               "collectgarbage", "randomseed", "traceback", "hexdump", "copy", "reject", "hold", "packet", "send" }

local texts = {}
local function line_text(where)
   local path, number = where:match "^(.*):(%d+)$"
   if not texts[path] then
      texts[path] = {}
      local file = io.open(path)
      if file then
         for line in file:lines() do table.insert(texts[path], line) end
         file:close()
      end
   end
   return texts[path][tonumber(number)] or ""
end

-- What may be the reason, by a line's text; nil: there is nothing to see in it.
local function of_line(line)
   if line:find "%f[%w_]pairs%s*%(" or line:find(next_called) then
      return loops .. with_this
   end
   for _, name in ipairs(slow) do
      if line:find("%f[%w_]" .. name .. "%s*[%(\"'{%[]") then return name .. "() is not compiled" end
   end
end

local function of_call(where)
   return of_line(line_text(where)) or "a function that is not compiled is called there"
end

-- library: it is not the script's own line that was given up.
local function of_abort(code, info, where, library)
   local message = type(code) == "number" and messages[code] or tostring(code)
   if library and (message:find "bytecode" or message:find "FastFunc") then
      return "what it calls there does work that is not compiled"
   end
   if message:find "bytecode" then return of_bytecode(info, line_text(where)) end
   if message:find "FastFunc" or message:find "C function" then
      local name = names[info]
      return name and name .. "() is not compiled for these arguments" or of_call(where)
   end
   if message:find "disabled for function" then
      return of_call(where)
   end
   for _, pair in ipairs(words) do
      if message:find(pair[1]) then return pair[2] end
   end
   return message
end

-- What is known of each callback: how often it is called in a pass, for how many packets the interpreter ran
-- some of it (last: the newest of them), which lines it ran, and reasons: "where\0text" -> how often.
local known = {}

local function of_callback()
   local i = context.callback
   if i == 0 then return nil end
   if not known[i] then known[i] = { calls = 0, interpreted = 0, reasons = {}, lines = {} } end
   return known[i]
end

-- The script's line that was recorded last, and that where the recording began, if it began in the script.
local place, beginning

local function place_of(func, pc)
   local info = util.funcinfo(func, pc)
   return info.source and is_users(info.source) and info.source:sub(2) .. ":" .. info.currentline or nil
end

local function on_record(_, func, pc)
   place = place_of(func, pc) or place
end

local function add_reason(where, text)
   local callback = of_callback()
   if not callback or not text then return end
   local key = where .. "\0" .. text
   callback.reasons[key] = (callback.reasons[key] or 0) + 1
end

local function on_trace(what, number, func, pc, code, info)
   if what == "start" then
      place, beginning = nil, place_of(func, pc)
   elseif what == "abort" and place then
      local reason = of_abort(code, info, place, not place_of(func, pc))
      if reason ~= loop then
         add_reason(place, reason)
      elseif beginning or place_of(func, pc) then -- the library's loops are left at the end of each batch
         local where = beginning or place
         local text = of_line(line_text(where))
         add_reason(where, text == loops .. with_this and text or loop)
      end
   elseif what == "stop" and place then
      local trace, callback = util.traceinfo(number), of_callback()
      if callback and trace and trace.linktype == "stitch" then
         callback.stitched = true
         add_reason(place, of_call(place))
      end
   end
end

local function on_call()
   local callback, entry = of_callback(), dispatch.callbacks[context.callback]
   if callback and context.number ~= callback.last and entry then
      callback.last = context.number
      callback.calls = callback.calls + 1
   end
end

local function on_line()
   local callback = of_callback()
   if not callback then return end
   for level = 2, 30 do
      local info = debug.getinfo(level, "Sl")
      if not info then return end
      if is_users(info.source) then
         local where = info.source:sub(2) .. ":" .. info.currentline
         callback.lines[where] = (callback.lines[where] or 0) + 1
         -- One event may be no more than the end of a compiled function that the interpreter called.
         if context.number ~= callback.last then
            callback.last, callback.events = context.number, 0
         end
         callback.events = callback.events + 1
         if callback.events == 2 then callback.interpreted = callback.interpreted + 1 end
         return
      end
   end
end

for _, fn in ipairs{ on_record, on_trace, on_call, on_line, of_callback, place_of, add_reason, of_abort, of_call, of_line } do
   jit.off(fn, true)
end

--- Whether the JIT is on: "" or nothing.
function M.enabled()
   return { jit.status() and "on" or nil }
end

--- Packets of each usual kind, for where there is no capture: an array of bytes.
function M.packets()
   local dns = "\18\52\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1"
   local http = "GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\n\r\n"
   local hello = "\22\3\1\0\49\1\0\0\45\3\3" .. ("r"):rep(32) .. "\0\0\2\19\1\1\0\0\2\0\0"
   local list = {}
   for version = 4, 6, 2 do
      local ip = version == 4 and { src = "10.77.0.1", dst = "10.77.0.2" } or { src = "fd77::1", dst = "fd77::2" }
      local function add(name, header, payload)
         list[#list + 1] = { [version == 4 and "ip4" or "ip6"] = ip, [name] = header, payload = payload }
      end
      for _, port in ipairs{ 80, 443, 22, 5001, 8080 } do
         add("tcp", { sport = 40000, dport = port, flags = "S" })
         add("tcp", { sport = port, dport = 40000, flags = "SA" })
         add("tcp", { sport = 40000, dport = port, flags = "PA" },
            port == 80 and http or port == 443 and hello or ("x"):rep(1000))
         add("tcp", { sport = port, dport = 40000, flags = "A" }, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
         add("tcp", { sport = 40000, dport = port, flags = "FA" })
      end
      for _, port in ipairs{ 53, 123, 443, 5001 } do
         add("udp", { sport = 40000, dport = port }, port == 53 and dns or ("u"):rep(200))
         add("udp", { sport = port, dport = 40000 }, port == 53 and dns or ("u"):rep(48))
      end
      add(version == 4 and "icmp" or "icmp6", { type = version == 4 and 8 or 128, id = 7, seq = 1 }, "ping")
      add(version == 4 and "icmp" or "icmp6", { type = version == 4 and 0 or 129, id = 7, seq = 1 }, "ping")
   end
   if host.link() == C.TF_LINK_ETHERNET then list[#list + 1] = { arp = { op = 1 } } end
   for i, fields in ipairs(list) do
      local p = packet.resolve(build(fields, host.link()))
      list[i] = core.ffi.string(p.data, p.len)
   end
   return list
end

--- Step 1: how often each callback is called.
function M.count()
   jit.off()
   debug.sethook(on_call, "c")
end

--- Step 2: the JIT works.
function M.warm()
   debug.sethook()
   jit.flush() -- of what was compiled until now
   jit.on()
   jit.attach(on_trace, "trace")
   jit.attach(on_record, "record")
end

--- Step 3: what the interpreter runs still.
function M.watch()
   jit.attach(on_trace)
   jit.attach(on_record)
   for _, callback in pairs(known) do callback.last = nil end
   -- Compiled code is left for some of the collector's steps, and the hook makes much for it to collect.
   collectgarbage()
   collectgarbage "stop"
   debug.sethook(on_line, "l")
end

local before

--- Step 4: what garbage is made.
function M.measure()
   debug.sethook()
   collectgarbage()
   collectgarbage "stop"
   before = collectgarbage "count"
end

-- Where a callback's function is not compiled, and why; the lines that the interpreter ran, if nobody says why.
local function reasons_of(callback)
   local list = {}
   for key, count in pairs(callback.reasons) do
      local where, text = key:match "^(.*)%z(.*)$"
      -- What was given up at first and is compiled since is no reason any more.
      if callback.lines[where] then list[#list + 1] = { where = where, text = text, count = count } end
   end
   if #list == 0 then
      for key, count in pairs(callback.reasons) do
         local where, text = key:match "^(.*)%z(.*)$"
         list[#list + 1] = { where = where, text = text, count = count }
      end
   end
   if #list == 0 then
      local guessed = {}
      for where, count in pairs(callback.lines) do
         local text = of_line(line_text(where))
         list[#list + 1] = { where = where, text = text or "the interpreter runs this", count = count }
         if text then guessed[#guessed + 1] = list[#list] end
      end
      if #guessed > 0 then list = guessed end
   end
   local function before_in_file(a, b)
      local la, lb = tonumber(a.where:match "%d+$"), tonumber(b.where:match "%d+$")
      if la ~= lb then return la < lb end
      return a.text < b.text
   end
   table.sort(list, function(a, b) return a.count > b.count or a.count == b.count and before_in_file(a, b) end)
   for i = #list, 5, -1 do list[i] = nil end -- the rest follows from these
   table.sort(list, before_in_file)
   return list
end

--- The end: the lines for the person. passes: how often the interpreter was watched; packets: shown in step 4.
function M.report(passes, packets)
   local garbage = (collectgarbage "count" - before) * 1024 / packets
   collectgarbage "restart"
   local list, compiled, reached = {}, 0, 0
   for i, entry in ipairs(dispatch.callbacks) do
      local callback = known[i]
      local label = ("callback  %s: %s"):format(entry.label, entry.expression or "every packet")
      local calls = callback and callback.calls * passes or 0
      local share = calls > 0 and math.min(callback.interpreted / calls, 1) or 0
      if calls > 0 then reached = reached + 1 end
      if calls == 0 then
         list[#list + 1] = label .. ": none of the packets came to it"
      elseif share < 0.02 and not callback.stitched then
         compiled = compiled + 1
         list[#list + 1] = label .. ": compiled"
      else
         list[#list + 1] = ("%s: %s compiled"):format(label, share < 0.5 and "partly" or "not")
         for _, reason in ipairs(reasons_of(callback)) do
            list[#list + 1] = ("          %s: %s"):format(reason.where, reason.text)
         end
      end
   end
   list[#list + 1] = garbage < 3 and "garbage   none" -- a batch makes some
      or ("garbage   %.0f bytes a packet: tables, strings or functions are made"):format(garbage)
   list[#list + 1] = ("summary   %d of %d callbacks that packets came to run compiled, with %s"):format(compiled, reached,
      jit.version)
   return list
end

return M
