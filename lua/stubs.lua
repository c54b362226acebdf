--- Reads the stubs: their classes, functions and fields, with what is said of them.
local M = {}

-- In the reference's order; tunfilter/meta*.lua are stubs and no part of the library.
local files = { "meta.lua", "meta_packet.lua", "meta_lists.lua", "meta_netem.lua", "meta_protocols.lua", "meta_stream.lua", "meta_test.lua" }

-- Splits "TYPE rest": a type may have spaces in brackets, behind the colon of a function's results and the commas in them.
local function split_type(text)
   local depth = 0
   for i = 1, #text do
      local c = text:sub(i, i)
      if c:find "[%(%{%[<]" then depth = depth + 1 end
      if c:find "[%)%}%]>]" then depth = depth - 1 end
      if c == " " and depth == 0 and not text:sub(i - 1, i - 1):find "[:,]" then
         return text:sub(1, i - 1), text:sub(i + 1)
      end
   end
   return text, ""
end

local function new_doc()
   return { text = {}, params = {}, returns = {}, overloads = {} }
end

local tags = {}

function tags.field(state, rest)
   local name, optional, after = rest:match "^(%S-)(%??) (.*)$"
   local kind, text = split_type(after)
   state.class.fields[#state.class.fields + 1] =
      { name = name, optional = optional ~= "", kind = kind, text = text }
end

function tags.class(state, rest)
   local name, parent = rest:match "^([%w.]+):? ?(.*)$"
   state.class = { name = name, parent = parent ~= "" and parent or nil, text = state.doc.text,
                   fields = {}, functions = {} }
   state.classes[#state.classes + 1] = state.class
   state.doc = new_doc()
end

function tags.param(state, rest)
   local name, optional, after = rest:match "^(%S-)(%??) (.*)$"
   local kind, text = split_type(after)
   table.insert(state.doc.params, { name = name, optional = optional ~= "", kind = kind, text = text })
end

tags["return"] = function(state, rest)
   local kind, after = split_type(rest)
   local name, text = after:match "^(%S*) ?(.*)$"
   table.insert(state.doc.returns, { kind = kind, name = name, text = text })
end

function tags.overload(state, rest)
   table.insert(state.doc.overloads, rest)
end

function tags.meta() end

local function read_code(state, line)
   local variable = line:match "^local (%w+) = {}"
   if variable then state.variables[variable] = state.class end
   local owner, separator, name, arguments = line:match "^function (%w+)([.:])(%w[%w_]*)(%b()) end"
   if owner then
      local doc = state.doc
      doc.owner, doc.separator, doc.name, doc.arguments = owner, separator, name, arguments
      local list = state.variables[owner].functions
      list[#list + 1] = doc
   end
   state.doc = new_doc()
end

local function read_file(state, path)
   for line in io.lines(path) do
      local tag, rest = line:match "^%-%-%-@(%a+) ?(.*)$"
      local text = line:match "^%-%-%-(.*)$"
      if text and text:find "^```" then state.code = not state.code end
      if text and not state.code then text = text:gsub("^ ", "") end
      if tag then
         assert(tags[tag], line)(state, rest)
      elseif text then
         table.insert(state.doc.text, text)
      else
         read_code(state, line)
      end
   end
end

--- The classes of the stubs in a folder, in order: { name, parent?, text = lines, fields, functions }. A field is
--- { name, optional, kind, text }, a function { owner, separator, name, arguments, text, params, returns, overloads }.
function M.read(folder)
   local state = { classes = {}, variables = {}, doc = new_doc() }
   for _, file in ipairs(files) do read_file(state, folder .. file) end
   return state.classes
end

return M
