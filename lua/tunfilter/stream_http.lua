--- HTTP around text whose length changes: headers that speak of lengths.
---
--- The request becomes one of HTTP/1.0, without what would bring a part of an answer or a compressed
--- one, and with `Connection: close`. So every server answers in one piece and closes, and no
--- client needs to know the length: the answer's Content-Length is taken out. (The other way would be
--- chunks. Then each packet's bytes would be framed anew, clients of HTTP/1.0 were left out, and
--- so were answers that come in chunks: a word may begin in one and end in the next.)
local M = {}

local longest_line = 16384

local dropped = {
   request = { ["accept-encoding"] = true, connection = true, ["if-range"] = true, ["keep-alive"] = true,
               ["proxy-connection"] = true, range = true, te = true, upgrade = true },
   answer = { connection = true, ["content-length"] = true, ["content-md5"] = true, digest = true,
              ["keep-alive"] = true },
}

local close = "Connection: close\r\n"

-- Goes through the complete lines of a header. state: what it has seen up to now. Gives where it ends or
-- has got to, and whether it has ended. edits: place, length, new text of each change.
local function header(state, text, edits, names)
   local at = 1
   while true do
      local behind = text:find("\n", at, true)
      if not behind then return at, false end
      local line = text:sub(at, behind)
      if not state.first then
         state.first = line
      elseif line:find "^\r?\n$" then
         edits[#edits + 1], edits[#edits + 2], edits[#edits + 3] = at - 1, #line, close .. line
         return behind + 1, true
      else
         local name = line:match "^([^%s:]+)[ \t]*:"
         state.drop = name and names[name:lower()] or not name and state.drop -- a folded line belongs to the one before
         if name and name:lower() == "transfer-encoding" or name and name:lower() == "content-encoding" then
            state.encoded = not line:lower():find ":%s*identity%s*$"
         end
         if state.drop then edits[#edits + 1], edits[#edits + 2], edits[#edits + 3] = at - 1, #line, "" end
      end
      at = behind + 1
   end
end

local nothing = {}

-- An editor that has given up: everything stays.
local function plain(text)
   return #text, nothing
end

-- An editor for a header, and for what follows it. start: whether a first line is what it should be (and
-- edits to it); body(state): the editor of what follows, or nil for another header.
local function editor(names, start, body)
   local state, follow = {}, nil
   return function(text, last)
      if follow then return follow(text, last) end
      local edits, at, ended = {}, 1, false
      repeat
         local new = not state.first
         local rest = at > 1 and text:sub(at) or text
         local found = {}
         local behind
         behind, ended = header(state, rest, found, names)
         if new and state.first and not start(state, found) then
            follow = plain
            return #text, edits
         end
         for i = 1, #found, 3 do
            edits[#edits + 1], edits[#edits + 2], edits[#edits + 3] = found[i] + at - 1, found[i + 1], found[i + 2]
         end
         at = at + behind - 1
         if ended then
            follow = body(state)
            state = {}
         end
      until follow or not ended
      local taken = at - 1
      if follow then
         local more, theirs = follow(text:sub(at), last)
         for i = 1, #theirs, 3 do
            edits[#edits + 1], edits[#edits + 2], edits[#edits + 3] = theirs[i] + taken, theirs[i + 1], theirs[i + 2]
         end
         return taken + more, edits
      end
      if last or #text - taken > longest_line then
         follow = plain
         taken = #text
      end
      return taken, edits
   end
end

--- An editor for what a client sends.
function M.request()
   return editor(dropped.request, function(state, edits)
      local version = state.first:match "^[%u]+ %S+ HTTP/1%.()1\r?\n$"
      if version then table.insert(edits, 1, version - 1) table.insert(edits, 2, 1) table.insert(edits, 3, "0") end
      return version or state.first:find "^[%u]+ %S+ HTTP/1%.0\r?\n$"
   end, function() return plain end)
end

--- An editor for what a server answers; inner is the editor of the text.
function M.answer(inner)
   return editor(dropped.answer, function(state)
      state.status = state.first:match "^HTTP/1%.%d (%d%d%d)"
      return state.status
   end, function(state)
      if state.status == "101" or state.encoded then return plain end
      if not state.status:find "^1" then return inner end
   end)
end

return M
