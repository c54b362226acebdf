--- Makes the reference (lua/README.md) of the stubs: luajit reference.lua > README.md
local folder = arg[0]:match "^(.*/)" or ""
local stubs = dofile(folder .. "stubs.lua")

local out = {}

local function line(format, ...)
   out[#out + 1] = select("#", ...) > 0 and format:format(...) or format
end

-- "tunfilter.Packet" is a "Packet"; the module has its name in scripts.
local function short(class_name)
   return class_name == "tunfilter" and "tf" or (class_name:gsub("^tunfilter%.", ""))
end

local function cell(text)
   return (text:gsub("|", "\\|"))
end

-- A type, with links to the classes in it where it is simple.
local function type_of(kind, optional)
   local class, rest = kind:match "^tunfilter%.(%a+)(%??)$"
   local nothing = (optional or rest == "?") and " or nil" or ""
   if class then return ("[%s](#%s)%s"):format(class, class:lower(), nothing) end
   if optional and kind:sub(-1) ~= "?" then kind = kind .. "?" end
   return ("`%s`"):format(cell((kind:gsub("tunfilter%.", ""))))
end

-- The text and, apart from it, the example in it.
local function split_example(lines)
   local text, example, inside = {}, {}, false
   for _, l in ipairs(lines) do
      if l:find "^```" then
         inside = not inside
         example[#example + 1] = l
      else
         local to = inside and example or text
         to[#to + 1] = l
      end
   end
   while text[#text] == "" do text[#text] = nil end
   return text, example
end

local function write_lines(lines)
   if #lines == 0 then return end
   for _, l in ipairs(lines) do line("%s", l) end
   line ""
end

local function write_function(fn)
   local owner = fn.separator == ":" and fn.owner .. ":" or fn.owner .. "."
   line("### `%s%s%s`", owner, fn.name, fn.arguments)
   line ""
   local text, example = split_example(fn.text)
   write_lines(text)
   for _, overload in ipairs(fn.overloads) do
      local arguments = overload:match "^fun(%b())" or overload
      local names = {}
      arguments = arguments:sub(2, -2):gsub("fun%b():? ?", "")
      for name in arguments:gmatch "([%w_]+):" do names[#names + 1] = name end
      line("Also `%s%s(%s)`.", owner, fn.name, table.concat(names, ", "))
   end
   if #fn.overloads > 0 then line "" end
   if #fn.params > 0 then
      line "| argument | type | |"
      line "|---|---|---|"
      for _, p in ipairs(fn.params) do
         line("| `%s` | %s | %s |", p.name, type_of(p.kind, p.optional), cell(p.text))
      end
      line ""
   end
   if #fn.returns > 0 then
      line "| returns | type | |"
      line "|---|---|---|"
      for _, r in ipairs(fn.returns) do line("| %s | %s | %s |", r.name, type_of(r.kind), cell(r.text)) end
      line ""
   end
   write_lines(example)
end

local function write_class(class)
   line("## %s", short(class.name))
   line ""
   local text, example = split_example(class.text)
   write_lines(text)
   write_lines(example)
   if class.parent then
      local parent = short(class.parent)
      line("All fields of [%s](#%s), and:", parent, parent:lower())
      line ""
   end
   if #class.fields > 0 then
      line "| field | type | |"
      line "|---|---|---|"
      for _, field in ipairs(class.fields) do
         line("| `%s` | %s | %s |", field.name, type_of(field.kind, field.optional), cell(field.text))
      end
      line ""
   end
   for _, fn in ipairs(class.functions) do write_function(fn) end
end

local classes = stubs.read(folder .. "tunfilter/")

line "# The script interface: reference"
line ""
line "Made from `tunfilter/meta*.lua` by `reference.lua`; change those files, not this one. In your editor, point"
line "lua-language-server's `workspace.library` at their folder for completion and these texts."
line ""
for _, class in ipairs(classes) do
   local names = {}
   for _, fn in ipairs(class.functions) do names[#names + 1] = ("`%s`"):format(fn.name) end
   local name = short(class.name)
   line("- [%s](#%s)%s%s", name, name:lower(), #names > 0 and ": " or "", table.concat(names, ", "))
end
line ""
for _, class in ipairs(classes) do
   write_class(class)
end
while out[#out] == "" do out[#out] = nil end
io.write(table.concat(out, "\n"), "\n")
