--- What specs have, and how they are run; prints TAP. Run by runner, with the names of the specs.
local core = require "tunfilter.core"
local packet = require "tunfilter.packet"

-- What the program would give the library.
core.host.args = {}
core.host.seed = 1
core.host.worker = 1
core.host.log = print
core.host.link = function() return core.C.TF_LINK_IP end
core.host.expression = function() return 0 end
core.host.make_room = function() end

IP, ETHERNET = core.C.TF_LINK_IP, core.C.TF_LINK_ETHERNET

local count, failures = 0, 0

local function shown(x)
   return type(x) == "string" and ("%q"):format(x) or tostring(x)
end

--- A packet of these bytes, as a callback gets it.
function show(bytes, link, from, time)
   return packet.handle(live(bytes, link, from, time))
end

function hex(bytes)
   return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

function unhex(text)
   return (text:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

--- What a Python script beside the specs prints, as Lua; arguments are separated by spaces.
function python(script_and_arguments)
   local folder = debug.getinfo(1, "S").source:match "^@(.*/)" or ""
   local command = ("%s %s%s"):format(os.getenv "TF_PYTHON" or "python3", folder, script_and_arguments)
   local pipe = assert(io.popen(command))
   local text = pipe:read "*a"
   assert(pipe:close(), command)
   return assert(loadstring(text, "=" .. script_and_arguments))()
end

function equal(got, expected, what)
   -- The order matters: a value may be equal to a string.
   if got == expected then return end
   error(("%sexpected %s, got %s"):format(what and what .. ": " or "", shown(expected), shown(got)), 2)
end

--- fn must raise an error that contains text and names a line of the spec itself.
function throws(text, fn)
   local ok, message = pcall(fn)
   if ok then error("expected an error", 2) end
   message = tostring(message)
   local here = debug.getinfo(fn, "S").short_src
   if message:sub(1, #here + 1) ~= here .. ":" then
      error(("the error names another place: %s"):format(message), 2)
   end
   if not message:find(text, 1, true) then
      error(("expected %s, got %s"):format(shown(text), shown(message)), 2)
   end
end

function test(name, fn)
   count = count + 1
   local ok, trace = xpcall(fn, debug.traceback)
   finish()
   if ok then
      print(("ok %d - %s"):format(count, name))
   else
      failures = failures + 1
      print(("not ok %d - %s\n# %s"):format(count, name, trace:gsub("\n", "\n# ")))
   end
end

for _, spec in ipairs { ... } do
   local ok, trace = xpcall(assert(loadfile(spec)), debug.traceback)
   if not ok then
      test(spec, function() error(trace, 0) end)
   end
end
print(("1..%d"):format(count))
return failures
