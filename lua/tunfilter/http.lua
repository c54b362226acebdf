--- The head of an HTTP/1 message at the front of a segment (RFC 9112): request or status line, headers.
---
--- Time is linear in the text's length, whatever its bytes: at most 200 lines, and patterns that cannot go back.
local check = require "tunfilter.check"
local packet = require "tunfilter.packet"

local M = {}

local max_lines = 200

local token = "[%w!#$%%&'*+.^_`|~-]+"
local request_pattern = ("^(%s) +(%%S+) +HTTP/(%%d%%.%%d) *$"):format(token)
local header_pattern = ("^(%s)[ \t]*:(.*)$"):format(token)

local function text_of(what, label)
   if type(what) == "string" then return what end
   if not packet.is(what) then check.wrong(label, "a packet or a string", what) end
   return what.tcp and what.payload or ""
end

-- The line at a position, without its end, and where the next begins; nil if it is not all there.
local function line_at(text, at)
   local stop = text:find("\n", at, true)
   if not stop then return nil end
   local last = text:byte(stop - 1) == 13 and stop - 2 or stop - 1
   return text:sub(at, last), stop + 1
end

-- The first line of a message; before it there may be empty ones (RFC 9112, 2.2).
local function first_line(text)
   return line_at(text, text:match "^[\r\n]*()")
end

local function trimmed(text)
   return text:match "^[ \t]*(.*)$":match "^.*[^ \t]" or ""
end

-- Adds the headers from a position on to a message: name in lower case -> value.
local function read_headers(message, text, at)
   local headers, last = {}, nil
   message.headers, message.whole = headers, false
   for _ = 1, max_lines do
      local line
      line, at = line_at(text, at)
      if not line then return message end
      if line == "" then
         message.whole, message.body = true, text:sub(at)
         return message
      end
      local name, value = line:match(header_pattern)
      if name then
         last = name:lower()
         headers[last] = (headers[last] and headers[last] .. ", " or "") .. trimmed(value)
      elseif last and line:find "^[ \t]" then
         headers[last] = trimmed(headers[last] .. " " .. trimmed(line)) -- the value goes on
      else
         last = nil
      end
   end
   return message
end

--- The request that a packet's payload or a string begins with; nil for what begins otherwise.
function M.request(what)
   local text = text_of(what, "http.request")
   local line, at = first_line(text)
   local method, target, version = (line or ""):match(request_pattern)
   if not method then return nil end
   return read_headers({ method = method, target = target, version = version }, text, at)
end

--- The answer that a packet's payload or a string begins with, likewise.
function M.response(what)
   local text = text_of(what, "http.response")
   local line, at = first_line(text)
   local version, status, reason = (line or ""):match "^HTTP/(%d%.%d) +(%d%d%d)(.*)$"
   if not version then return nil end
   return read_headers({ version = version, status = tonumber(status), reason = trimmed(reason) }, text, at)
end

return require "tunfilter.module"("tunfilter.http", M)
