--- What passes from a script to the one that takes its place: tf.keep, counters, and flows where the script
--- wants that. As text, since it goes from one process to another.
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local state = require "tunfilter.state"

local M = {}

local host = core.host

local deepest = 100

-- A text that is being written. `fault` where there is more than may be, or it takes too long: packets wait.
local function writer(seconds, most)
   return { pieces = {}, bytes = 0, most = most, late = seconds > 0 and host.clock() + seconds or math.huge,
            ids = {}, tables = {} }
end

local function put(out, piece)
   local pieces = out.pieces
   pieces[#pieces + 1] = piece
   out.bytes = out.bytes + #piece + 40
   if out.bytes > out.most then fault "there is too much in it to copy within --memory-limit" end
   if #pieces % 256 == 0 and host.clock() > out.late then fault "it takes too long to copy (--time-limit)" end
end

-- What was written since is taken back.
local function take_back(out, pieces, tables)
   for i = #out.pieces, pieces + 1, -1 do out.pieces[i] = nil end
   for i = #out.tables, tables + 1, -1 do
      out.ids[out.tables[i]], out.tables[i] = nil, nil
   end
end

-- Appends a value; false for one that is not plain. A table that is met again is a number: it may be in itself.
local function pack(out, value, depth)
   local kind = type(value)
   if kind == "number" then
      put(out, value ~= value and "n0/0;" or ("n%.17g;"):format(value))
   elseif kind == "string" then
      put(out, ("s%d:"):format(#value))
      put(out, value)
   elseif kind == "boolean" then
      put(out, value and "t" or "f")
   elseif kind == "table" and out.ids[value] then
      put(out, ("r%d;"):format(out.ids[value]))
   elseif kind == "table" and depth < deepest then
      out.tables[#out.tables + 1] = value
      out.ids[value] = #out.tables
      put(out, "{")
      for k, v in next, value do
         local pieces, tables = #out.pieces, #out.tables
         if not (pack(out, k, depth + 1) and pack(out, v, depth + 1)) then
            take_back(out, pieces, tables)
            M.left_out = M.left_out or tostring(k)
         end
      end
      put(out, "}")
   else
      return false
   end
   return true
end

local numbers = { ["inf"] = math.huge, ["-inf"] = -math.huge, ["0/0"] = 0 / 0 }

-- The value at a place of the text, and the place behind it. tables: those that were met, in their order.
local function unpack_at(text, at, depth, tables)
   local kind = text:sub(at, at)
   if kind == "n" then
      local digits, behind = text:match("^([^;]*);()", at + 1)
      local value = digits and (numbers[digits] or tonumber(digits))
      if not value then error "a number was expected" end
      return value, behind
   elseif kind == "s" then
      local length, first = text:match("^(%d+):()", at + 1)
      if not length then error "a string was expected" end
      return text:sub(first, first + length - 1), first + length
   elseif kind == "r" then
      local id, behind = text:match("^(%d+);()", at + 1)
      local value = id and tables[tonumber(id)]
      if not value then error "a table was expected" end
      return value, behind
   elseif kind == "t" or kind == "f" then
      return kind == "t", at + 1
   elseif kind == "{" and depth < deepest then
      local t = {}
      tables[#tables + 1] = t
      at = at + 1
      while text:sub(at, at) ~= "}" do
         local k, v
         k, at = unpack_at(text, at, depth + 1, tables)
         v, at = unpack_at(text, at, depth + 1, tables)
         t[k] = v
      end
      return t, at + 1
   end
   error "the text is not whole"
end

local function read(text)
   if text == "" then return { keep = {}, counters = {} } end
   return (unpack_at(text, 1, 0, {}))
end

--- All there is to hand over, as text; and a name in tf.keep that is left out, or nil. An error where it takes longer
--- than so many seconds (0: any time), or would be more than so many bytes.
function M.save(seconds, most)
   local out, counters = writer(seconds, most), {}
   for _, name in ipairs(state.counters) do counters[name] = state.counters[name].value end
   M.left_out = nil
   pack(out, { keep = state.keep, counters = counters, flows = state.save_flows() }, -2)
   return table.concat(out.pieces), M.left_out
end

-- What the script found in tf.keep when it was loaded.
local base = {}

--- Before the script's top level: it finds what its predecessor has at that time.
function M.begin(text)
   base = read(text).keep
   for k, v in next, read(text).keep do state.keep[k] = v end
end

-- What the predecessor has changed since goes into the script's own table; what the script set itself stays. merged:
-- which of the script's tables has got what was in one of the predecessor's, as each is met once.
local function merge(mine, before, now, merged)
   merged[now] = mine
   for k, v in next, now do
      local was = before[k]
      if type(v) == "table" and merged[v] then
         mine[k] = merged[v]
      elseif type(v) == "table" and type(mine[k]) == "table" then
         merge(mine[k], type(was) == "table" and was or {}, v, merged)
      elseif type(v) == "table" or v ~= was then
         mine[k] = v
      end
   end
   for k in next, before do
      if now[k] == nil then mine[k] = nil end
   end
end

--- When the predecessor has ended.
function M.take(text)
   local last = read(text)
   merge(state.keep, base, last.keep, {})
   for name, value in next, last.counters do
      if #state.counters < 1000 or state.counters[name] then state.counter(name):add(value) end
   end
   if last.flows then state.take_flows(last.flows) end
   base = {}
end

return M
