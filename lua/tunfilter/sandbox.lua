--- What a script may do: Lua's safe part, files beside the script, and the tunfilter modules.
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local init = require "tunfilter.init"
local paths = require "tunfilter.path"

local M = {}

local globals = _G
local real_require = require

-- Modules of ours that scripts may require, loaded when one does; the rest of the library is out of their reach.
local public = { ["tunfilter.netem"] = true, ["tunfilter.stream"] = true, ["tunfilter.dns"] = true,
                 ["tunfilter.http"] = true, ["tunfilter.tls"] = true }

-- It works where scenarios are, and the library loads it only there.
local function scenarios()
   if not core.host.test then fault "require: tunfilter.test is for files of scenarios, under `tunfilter test`" end
   return real_require "tunfilter.test".module
end

local function copy(from, names)
   local t = {}
   for name in names:gmatch "%S+" do t[name] = from[name] end
   return t
end

-- Globals that a beginner takes for tf's. Read as nil, `return drop` would forward.
local meant = { drop = true, forward = true, reply = true, left = true, right = true }

-- Everything that a script finds as a global, made anew, so that no script changes the library's.
local function safe_globals()
   local env = copy(globals, [[assert error getmetatable ipairs next pairs pcall rawequal rawget rawlen rawset
      select setmetatable tonumber tostring type unpack _VERSION]])
   env.bit = copy(bit, "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex")
   env.coroutine = copy(coroutine, "create isyieldable resume running status wrap yield")
   env.math = copy(math, [[abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10
      max min modf pi pow rad random randomseed sin sinh sqrt tan tanh]])
   env.os = copy(os, "clock date difftime time")
   env.string = copy(string, "byte char find format gmatch gsub len lower match rep reverse sub upper")
   env.table = copy(table, "concat foreach foreachi getn insert maxn move pack remove sort unpack")
   env.debug = copy(debug, "traceback")
   env.io = { write = function(...) if not io.write(...) then core.host.lost_output() end end }
   env.print = init.members.log
   env.collectgarbage = function(what)
      if what == nil or what == "collect" then return collectgarbage "collect" end
      if what == "count" then return collectgarbage "count" end
      error(("collectgarbage: only \"collect\" and \"count\", not %s"):format(tostring(what)), 2)
   end
   -- LuaJIT's frames are not whole where compiled code ran out of stack, and a handler could walk them.
   env.xpcall = function(fn, handler, ...)
      return xpcall(fn, function(value)
         if type(value) == "string" and value:find("stack overflow", 1, true) then return value end
         return handler(value)
      end, ...)
   end
   env._G = env
   return setmetatable(env, {
      __index = function(_, key)
         if meant[key] then fault(("there is no global '%s': tf.%s is meant"):format(key, key)) end
      end,
   })
end

-- `#!/usr/bin/env tunfilter` may be the first line; its newline stays, so that lines count right.
local function without_shebang(text)
   return (text:gsub("^#[^\n]*", ""))
end

-- Text only: bytecode can break the VM. With an environment that is no table, load() gives the real globals.
local function load_text(text, chunk_name, env)
   local chunk, message = load(text, chunk_name, "t", env)
   return chunk and setfenv(chunk, env), message
end

-- What captures begin with: pcapng, and pcap of both byte orders.
local captures = { ["\n\r\r\n"] = true, ["\xa1\xb2\xc3\xd4"] = true, ["\xd4\xc3\xb2\xa1"] = true,
                   ["\xa1\xb2\x3c\x4d"] = true, ["\x4d\x3c\xb2\xa1"] = true }

-- A file of the script's: its chunk, or nil and a message for people.
local function load_file(text, path, env)
   if captures[text:sub(1, 4)] then return nil, path .. ": it is a capture, not a script; the script comes first" end
   local chunk, message = load_text(without_shebang(text), "@" .. path, env)
   if not chunk then return nil, real_require "tunfilter.syntax"(message, text) end
   return chunk
end

local function add_loaders(env)
   function env.load(text, name, _, e)
      if e ~= nil and type(e) ~= "table" then error("load: the environment is a table, not a " .. type(e), 2) end
      return load_text(text, name, e or env)
   end
   env.loadstring = function(text, name) return env.load(text, name) end
end

local function read(path)
   core.host.note_file(path)
   return core.host.read_file(path)
end

-- require for scripts: our modules, then NAME.lua beside the script (dots are folders).
local function make_require(folder, env, fallback)
   local loaded, loading = {}, {}
   return function(name)
      if type(name) ~= "string" then error("require: a name, not a " .. type(name), 2) end
      if name == "tunfilter" then return init.module end
      if public[name] then return real_require(name) end
      if name == "tunfilter.test" then return scenarios() end
      if loaded[name] ~= nil then return loaded[name] end
      local path
      if name:match "^[%w_-]+$" or name:match "^[%w_-][%w_.-]*[%w_-]$" and not name:find("..", 1, true) then
         path = name:gsub("%.", "/") .. ".lua"
         path = paths.is_below(path) and folder .. path
      end
      local text, message
      if path then text, message = read(path) end
      if path and not text and core.host.link_folder then -- beside what the script's name is a link to
         local other = core.host.link_folder .. path:sub(#folder + 1)
         text = read(other)
         if text then path = other end
      end
      if not text then
         if fallback then return fallback(name) end
         if package.loaded[name] or package.preload[name] then
            error(("require: '%s' is not for scripts (--unsafe gives them all of Lua)"):format(name), 2)
         end
         error(("require: there is no module '%s': neither one of tunfilter's nor %s"):format(name:sub(1, 80),
            path and message or "a plain name of a file beside the script"), 2)
      end
      if loading[name] then error(("require: '%s' requires itself"):format(name), 2) end
      local chunk, reason = load_file(text, path, env)
      if not chunk then error(reason, 0) end
      loading[name] = true
      local ok, value = pcall(chunk, name)
      loading[name] = nil
      if not ok then error(value, 0) end
      loaded[name] = value == nil and true or value
      return loaded[name]
   end
end

-- What C calls back takes C's stack, which Lua does not watch: the program would end where it does.
local function watched(fn)
   return function(...)
      core.host.check_stack()
      return fn(...)
   end
end

-- ("x"):upper() finds the real table, so nothing in it may be worth having, nor the table be had.
local function seal_libraries()
   if not string.dump then return end -- it is done
   string.dump = nil
   getmetatable("").__metatable = "string"
   string.gsub = watched(string.gsub)
   coroutine.resume = watched(coroutine.resume)
   local wrap = coroutine.wrap
   coroutine.wrap = function(fn)
      if type(fn) ~= "function" then return wrap(fn) end -- its error
      return watched(wrap(fn))
   end
end

--- Compiles the script at path: its chunk, with its environment set; or nil and a message.
function M.compile(path, unsafe)
   local text, message = read(path)
   if not text then return nil, message end
   local folder = paths.folder(path)
   local env
   if unsafe then
      env = globals
      env.print = init.members.log
      env.require = make_require(folder, env, real_require)
   else
      seal_libraries()
      env = safe_globals()
      add_loaders(env)
      env.require = make_require(folder, env)
   end
   return load_file(text, path, env)
end

return M
