--- tf.nets and tf.names: sets whose look-up does not slow down as they grow (src/nets.c, src/names.c).
local address = require "tunfilter.address"
local check = require "tunfilter.check"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local paths = require "tunfilter.path"
local suggest = require "tunfilter.suggest"

local M = {}

local ffi, C, host = core.ffi, core.C, core.host

local max_sets = 1000 -- at a time

-- A set is an object with a number; what C made for it stands in a table, out of scripts' reach.
ffi.cdef [[
struct tf_nets_set { const int32_t id; };
struct tf_names_set { const int32_t id; };
]]

local made, count, last = {}, 0, 0

local function forget(set, destroy)
   destroy(made[set.id])
   made[set.id] = nil
   count = count - 1
end

local function new(set_type, create, destroy, name)
   if count >= max_sets then
      collectgarbage()
      if count >= max_sets then fault(("%s: there are %d lists already"):format(name, max_sets)) end
   end
   host.make_room()
   local set = create()
   if set == nil then fault(name .. ": there is no memory for it") end
   last, count = last + 1, count + 1
   made[last] = set
   return ffi.gc(set_type(last), function(self) forget(self, destroy) end)
end

-- Where a file named by a script is: beside it, or in a folder there; anywhere with --unsafe.
local function beside(path, name)
   if host.unsafe and paths.is_absolute(path) then return path end
   if not host.unsafe and not paths.is_below(path) or path:find("\0", 1, true) then
      fault(name .. ": a file beside the script or in a folder there, without .. (--unsafe lifts that)")
   end
   return paths.folder(host.script) .. path
end

-- A file's text, and where it is.
local function read(name, path)
   check.text(path, name)
   local where = beside(path, name)
   local kept = core.host.kept(where)
   if kept then return kept, where end
   core.host.note_file(where)
   local file, message = io.open(where, "rb")
   if not file then fault(("%s: %s"):format(name, message)) end
   local text = file:read "*a" -- a number of bytes would be asked of the memory limit at once
   file:close()
   if not text then
      -- An empty file gives nothing, and so does a folder.
      text = ""
   end
   core.host.keep(where, text)
   return text, where
end

local function checked(code, name, where)
   if code == -1 then fault(name .. ": there is no memory for it") end
   if code > 0 then return ("%s: line %d of %s"):format(name, code, where) end
end

-- Both kinds of set: what is shared of their making.
local function kind(name, methods, make, add_text)
   local meta = {
      __index = function(_, key)
         local method = methods[key]
         if not method then fault(suggest("a list", key, methods)) end
         return method
      end,
      __newindex = function() fault "a list has no members to set" end,
   }
   M[name] = setmetatable({}, {
      __call = function(_, list)
         if list == nil then list = {} end
         if type(list) ~= "table" then check.wrong("tf." .. name, "a list { … }", list) end
         local set = make()
         for _, entry in ipairs(list) do methods.add(set, entry) end
         return set
      end,
      __index = function(_, key)
         if key ~= "load" then fault(suggest("tf." .. name, key, { load = true })) end
         return function(path)
            local label = ("tf.%s.load"):format(name)
            local text, where = read(label, path)
            local set = make()
            local problem = checked(add_text(made[set.id], text, #text), label, where)
            if problem then fault(("%s is no %s"):format(problem, name == "nets" and "network" or "domain name")) end
            return set
         end
      end,
      __newindex = function() fault(("tf.%s cannot be changed"):format(name)) end,
      __metatable = "tf." .. name,
   })
   return meta
end

-- Networks ----------------------------------------------------------------------------------------

local nets_type, names_type
local net, found = ffi.new "struct tf_net", ffi.new "struct tf_net"
local words = ffi.cast("int32_t *", net.bytes)
local text = ffi.new("char[?]", C.TF_IP6_TEXT_MAX)

local function nets_of(self, method)
   if not ffi.istype(nets_type, self) then fault(("%s: call it as nets:%s(…)"):format(method, method)) end
   return made[self.id]
end

-- Fills `net` from an address or network value, or a string that spells one.
local function take(value)
   words[0], words[1], words[2], words[3] = value.a, value.b, value.c, value.d
   net.version = value.version
end

local function take_net(x)
   local value = address.net(x)
   take(value)
   net.length = value.prefix
end

local nets_methods = {}

--- Whether the address is in one of the networks.
function nets_methods:contains(x)
   local nets = nets_of(self, "contains")
   take(address.ip(x))
   return C.tf_nets_match(nets, net, nil) ~= 0
end

--- The smallest network in the list that has the address, or nil.
function nets_methods:match(x)
   local nets = nets_of(self, "match")
   take(address.ip(x))
   if C.tf_nets_match(nets, net, found) == 0 then return nil end
   local spelt
   if found.version == 4 then
      spelt = ("%d.%d.%d.%d"):format(found.bytes[0], found.bytes[1], found.bytes[2], found.bytes[3])
   else
      spelt = ffi.string(text, C.tf_ip6_text(found.bytes, text))
   end
   return address.net(("%s/%d"):format(spelt, found.length))
end

--- Adds an address or network; true if it was not there.
function nets_methods:add(x)
   local nets = nets_of(self, "add")
   take_net(x)
   local code = C.tf_nets_add(nets, net)
   if code < 0 then fault "add: there is no memory for it" end
   return code == 1
end

--- Removes an address or network, as it was added; true if it was there.
function nets_methods:remove(x)
   local nets = nets_of(self, "remove")
   take_net(x)
   return C.tf_nets_remove(nets, net) == 1
end

local nets_meta = kind("nets", nets_methods, function()
   return new(nets_type, C.tf_nets_create, C.tf_nets_destroy, "tf.nets")
end, C.tf_nets_read)
nets_meta.__len = function(self) return C.tf_nets_count(made[self.id]) end
nets_meta.__tostring = function(self) return ("%d networks"):format(#self) end
nets_type = ffi.metatype("struct tf_nets_set", nets_meta)

-- Names -------------------------------------------------------------------------------------------

local function names_of(self, name, method)
   if not ffi.istype(names_type, self) then fault(("%s: call it as names:%s(…)"):format(method, method)) end
   check.text(name, method)
   return made[self.id]
end

local names_methods = {}

--- Whether the name, or a domain above it, is in the list.
function names_methods:contains(name)
   return C.tf_names_match(names_of(self, name, "contains"), name, #name) ~= 0
end

--- The entry that covers the name, the longest one, in lower case; or nil.
function names_methods:match(name)
   local size = C.tf_names_match(names_of(self, name, "match"), name, #name)
   if size == 0 then return nil end
   return (name:gsub("%.$", "")):sub(-size):lower()
end

--- Adds a domain; true if it was not there.
function names_methods:add(name)
   local code = C.tf_names_add(names_of(self, name, "add"), name, #name)
   if code == -1 then fault "add: there is no memory for it" end
   if code < 0 then fault(("add: '%s' is no domain name"):format(name:sub(1, 80))) end
   return code == 1
end

--- Removes a domain, as it was added; true if it was there.
function names_methods:remove(name)
   return C.tf_names_remove(names_of(self, name, "remove"), name, #name) == 1
end

local names_meta = kind("names", names_methods, function()
   return new(names_type, C.tf_names_create, C.tf_names_destroy, "tf.names")
end, C.tf_names_read)
names_meta.__len = function(self) return C.tf_names_count(made[self.id]) end
names_meta.__tostring = function(self) return ("%d names"):format(#self) end
names_type = ffi.metatype("struct tf_names_set", names_meta)

return M
