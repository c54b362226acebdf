--- What pkt:reject() sends to the side that a packet came from.
local core = require "tunfilter.core"

local ffi, C, context = core.ffi, core.C, core.context

-- ICMP errors are limited (RFC 1812, 4.3.2.8; RFC 4443, 2.4 f); a RST is never longer than what it answers.
local rate, burst = 100, 50 -- a second; at once
local tokens, filled = burst, 0

local answer = ffi.new("uint8_t[?]", C.TF_REJECT_MAX)

local function allowed()
   tokens = math.min(burst, tokens + (context.now - filled) * rate)
   filled = context.now
   if tokens < 1 then return false end
   tokens = tokens - 1
   return true
end

--- Answers the packet that p points to, where there is to be an answer.
return function(p)
   local n = C.tf_reject(p, answer)
   if n == 0 or bit.band(p.headers, C.TF_HAS_TCP) == 0 and not allowed() then return end
   C.tf_context_send(context, p.from, answer, n)
end
