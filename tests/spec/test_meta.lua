-- Editor stubs: everything that a script can call or read has one, and nothing else has; the reference
-- is what the generator makes of them.
local address = require "tunfilter.address"
local packet = require "tunfilter.packet"
local state = require "tunfilter.state"
local view = require "tunfilter.view"

local root = debug.getinfo(1, "S").source:match "^@(.*)tests/spec/" or ""
local stubs = dofile(root .. "lua/stubs.lua")
local classes = {}
for _, class in ipairs(stubs.read(root .. "lua/tunfilter/")) do classes[class.name] = class end

-- What a class says there is: name -> "field", "read only" or "function".
local function documented(class)
   local names = class.parent and documented(classes[class.parent]) or {}
   for _, field in ipairs(class.fields) do
      local read_only = field.text:find("Read only", 1, true)
      names[field.name] = read_only and "read only" or "field"
   end
   for _, fn in ipairs(class.functions) do names[fn.name] = "function" end
   return names
end

local function compare(class_name, real)
   local names = documented(classes[class_name])
   for name, kind in pairs(real) do equal(names[name], kind, class_name .. "." .. name) end
   for name, kind in pairs(names) do equal(kind, real[name], class_name .. "." .. name) end
end

local function of_view(name)
   local real = {}
   for field, f in pairs(view.declared[name]) do
      real[field] = (f.set or f.width) and "field" or "read only"
   end
   return real
end

test("every header field has a stub", function()
   local class_of = { eth = "Eth", arp = "Arp", ip = "Ip", ip4 = "Ip4", ip6 = "Ip6", tcp = "Tcp",
                      ["tcp.flags"] = "TcpFlags", ["tcp.options"] = "TcpOptions", udp = "Udp", icmp = "Icmp",
                      icmp6 = "Icmp" }
   for name in pairs(view.declared) do
      assert(class_of[name], name)
      compare("tunfilter." .. class_of[name], of_view(name))
   end
end)

test("every member of a packet has a stub", function()
   local pkt = packet.new("x", 0)
   local real = {}
   for name in pairs(packet.members) do
      real[name] = type(pkt[name]) == "function" and "function" or packet.settable[name] and "field" or "read only"
   end
   compare("tunfilter.Packet", real)
end)

test("everything in the module has a stub", function()
   local real = {}
   for name, value in pairs(require("tunfilter.init").members) do
      real[name] = type(value) == "function" and "function" or "field"
   end
   compare("tunfilter", real)
end)

test("the protocols' modules have stubs", function()
   for _, name in ipairs { "Dns", "Tls", "Http", "Stream" } do
      local _, members = debug.getupvalue(debug.getmetatable(require("tunfilter." .. name:lower())).__index, 1)
      local real = {}
      for key in pairs(members) do real[key] = "function" end
      compare("tunfilter." .. name, real)
   end
end)

test("what a scenario can call has a stub", function()
   local real = {}
   for name in pairs(require("tunfilter.test").members) do real[name] = "function" end
   compare("tunfilter.Test", real)
end)

test("netem takes what its stub says", function()
   local netem = require "tunfilter.netem"
   local function compare_settings(class_name, make, base)
      for name in pairs(documented(classes[class_name])) do
         local settings = { [name] = print }
         for key, value in pairs(base) do
            if key ~= name then settings[key] = value end
         end
         local ok, message = pcall(make, settings)
         -- A value of the wrong kind is refused under the field's name; an unknown field as unknown.
         assert(not ok and message:find("[ .]" .. name .. ":"), message)
      end
   end
   compare_settings("tunfilter.Netem", netem, {})
   compare_settings("tunfilter.Bursts", function(loss) return netem{ loss = loss } end, { p = 0.1 })
end)

test("values, sides and timers are what their stubs say", function()
   local function works(class_name, value)
      for name, kind in pairs(documented(classes[class_name])) do
         equal(type(value[name]) == "function", kind == "function", class_name .. "." .. name)
         if kind == "read only" then equal(pcall(function() value[name] = value[name] end), false, name) end
      end
   end
   works("tunfilter.Address", address.ip "1.2.3.4")
   works("tunfilter.Net", address.net "1.2.3.4/8")
   works("tunfilter.Mac", address.mac "1:2:3:4:5:6")
   works("tunfilter.Side", require("tunfilter.sides")[0])
   works("tunfilter.Timer", require("tunfilter.timer").after(1, print))
   works("tunfilter.Flows", state.flow)
   works("tunfilter.Limiter", state.limiter{ rate = 1 })
   works("tunfilter.Counter", state.counter "x")
end)

test("every stub says what it is", function()
   for _, class in pairs(classes) do
      assert(#class.text > 0, class.name .. " has no text")
      for _, field in ipairs(class.fields) do
         assert(#field.text > 0, class.name .. "." .. field.name .. " has no text")
      end
      for _, fn in ipairs(class.functions) do
         assert(#fn.text > 0, class.name .. "." .. fn.name .. " has no text")
         local names = {}
         for name in fn.arguments:gmatch "[%w_.]+" do names[#names + 1] = name end
         equal(#names, #fn.params, class.name .. "." .. fn.name)
         for i, name in ipairs(names) do equal(fn.params[i].name, name, class.name .. "." .. fn.name) end
      end
   end
end)

test("README.md is what reference.lua makes", function()
   local saved_arg, saved_write = arg, io.write
   local made = {}
   arg = { [0] = root .. "lua/reference.lua" }
   io.write = function(...)
      for _, s in ipairs { ... } do made[#made + 1] = s end
   end
   local ok, message = pcall(dofile, arg[0])
   arg, io.write = saved_arg, saved_write
   assert(ok, message)
   local file = assert(io.open(root .. "lua/README.md", "rb"))
   local text = file:read "*a"
   file:close()
   assert(text == table.concat(made), "run: luajit lua/reference.lua > lua/README.md")
end)
