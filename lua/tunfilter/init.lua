--- The module that a script gets by `require "tunfilter"`.
local address = require "tunfilter.address"
local build = require "tunfilter.build"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local dispatch = require "tunfilter.dispatch"
local lists = require "tunfilter.lists"
local live = require "tunfilter.live"
local packet = require "tunfilter.packet"
local sides = require "tunfilter.sides"
local state = require "tunfilter.state"
local suggest = require "tunfilter.suggest"
local timer = require "tunfilter.timer"
local verdict = require "tunfilter.verdict"

local C, context, host, ffi = core.C, core.context, core.host, core.ffi

local M = {
   forward = verdict.forward,
   drop = verdict.drop,
   reply = verdict.reply,
   left = sides[0],
   right = sides[1],
   ip = address.ip,
   net = address.net,
   mac = address.mac,
   after = timer.after,
   every = timer.every,
   args = host.args,
   log = host.log,
   nets = lists.nets,
   names = lists.names,
   flow = state.flow,
   limiter = state.limiter,
   counter = state.counter,
   random = state.random,
   keep = state.keep,
   worker = host.worker,
}

local function callable(x)
   if type(x) == "function" then return true end
   local meta = type(x) == "table" and debug.getmetatable(x)
   return type(meta) == "table" and type(meta.__call) == "function" and meta.__metatable ~= "verdict"
end

local library = debug.getinfo(1, "S").source:match "^(.*)init%.lua$"

-- "rules.lua:12", where the script has a function, or where it registered what it has not written.
local function where(fn)
   local info = type(fn) == "function" and debug.getinfo(fn, "S")
   if info and info.what ~= "C" and info.source:sub(1, #library) ~= library then
      return info.short_src .. ":" .. info.linedefined
   end
   info = debug.getinfo(3, "Sl")
   return info.short_src .. ":" .. info.currentline
end

local usage = "tf.on_packet takes (callback), (expression, callback) or "
   .. "{ expression?, from = side?, name = string?, callback }"

local wireshark = { arp = true, dns = true, eth = true, frame = true, http = true, icmp = true, icmpv6 = true, ip = true, ipv6 = true,
                    tcp = true, tls = true, udp = true }
local not_wireshark = "expressions are tcpdump's, not Wireshark's display filters: tcp port 80, src host 10.0.0.1; see pcap-filter(7)"

local option_names = { from = true, name = true }

-- The three forms as one: a table { expression?, callback, from =, name = }.
local function arguments(a, b)
   if type(a) == "table" and not callable(a) and b == nil then
      for key in pairs(a) do
         if type(key) ~= "number" and not option_names[key] then
            error(suggest("tf.on_packet", key, option_names) .. "; " .. usage, 3)
         end
      end
      return a
   end
   return b == nil and { a } or { a, b }
end

--- Registers a callback for packets; see the three forms in usage.
function M.on_packet(a, b)
   if dispatch.sealed then
      error("tf.on_packet: callbacks are registered while the script loads or in tf.on_start", 2)
   end
   local t = arguments(a, b)
   local expression, fn = t[1], t[2]
   if t[2] == nil then expression, fn = nil, t[1] end
   if not callable(fn) or t[3] ~= nil or (expression ~= nil and type(expression) ~= "string") then
      local given = t == a and "" or (", not (%s%s)"):format(check.shown(a), b ~= nil and ", " .. check.shown(b) or "")
      error(usage .. given, 2)
   end
   local from
   if t.from ~= nil then
      from = sides.index(t.from)
      if not from then error("tf.on_packet: from is tf.left or tf.right, not " .. check.shown(t.from), 2) end
   end
   if t.name ~= nil and type(t.name) ~= "string" then
      error("tf.on_packet: name is a string, not a " .. type(t.name), 2)
   end
   local match
   if expression then
      local message
      match, message = host.expression(expression)
      if not match then
         local theirs = wireshark[expression:match "%f[%w](%a%w*)%.%a"] or expression:find("==", 1, true)
         error(theirs and message .. "\n\t" .. not_wireshark or message, 2)
      end
   end
   local place = where(fn)
   dispatch.register{ fn = fn, expression = expression, match = match, from = from, name = t.name,
                      where = place, label = t.name and ("'%s' (%s)"):format(t.name, place) or place }
end

local function hook(list, name)
   return function(fn)
      if type(fn) ~= "function" then
         error(("tf.%s takes a function, not a %s"):format(name, type(fn)), 2)
      end
      list[#list + 1] = fn
   end
end

local starts, stops = {}, {}

--- fn is called once, before the first packet.
M.on_start = hook(starts, "on_start")

--- fn is called once, after the last packet.
M.on_stop = hook(stops, "on_stop")

local refused = {
   [C.TF_SEND_FULL] = "full",
   [C.TF_SEND_NOMEM] = "out of memory",
}

--- Writes a packet of the script's own to a side: a packet (the bytes that it has now) or a string.
--- True, or nil and a reason when too many packets wait already.
function M.send(side, what)
   local index = sides.index(side)
   if not index then error("tf.send: the side is tf.left or tf.right, not " .. check.shown(side), 2) end
   local bytes, length
   if type(what) == "string" then
      bytes, length = ffi.cast("const uint8_t *", what), #what
   elseif packet.is(what) then
      local p = packet.resolve(what)
      live.settle(p, 0, p.len)
      bytes, length = p.data, p.len
   else
      error("tf.send: a packet or a string of bytes, not a " .. type(what), 2)
   end
   local code = C.tf_context_send(context, index, bytes, length)
   if code == 0 then return true end
   if code == C.TF_SEND_INVALID then
      local reason = C.tf_context_refuses(context, index, bytes, length)
      error(("tf.send: %d bytes that %s does not take: %s"):format(length, tostring(side),
         reason ~= nil and ffi.string(reason) or "not a packet"), 2)
   end
   return nil, refused[code]
end

--- Seconds on a clock that only goes forward; the same all through a callback.
function M.now()
   return context.now
end

--- An owned packet: of a string of bytes, from the first header that the devices carry, or of a table
--- of headers (build.lua).
function M.packet(what)
   if type(what) == "table" then return build(what, host.link()) end
   if type(what) ~= "string" then
      error("tf.packet takes a string of bytes or a table of headers, not a " .. type(what), 2)
   end
   return packet.new(what, host.link())
end

local module = setmetatable({}, {
   __index = function(_, key)
      local value = M[key]
      if value == nil then error(suggest("tf", key, M), 2) end
      return value
   end,
   __newindex = function(_, key)
      error(("tf.%s: scripts cannot change the module"):format(tostring(key)), 2)
   end,
   __metatable = "tunfilter",
})

return { module = module, members = M, starts = starts, stops = stops }
