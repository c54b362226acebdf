-- Prints the names that are asked for in DNS (over UDP), and who asks.
--
--    tunfilter lab scripts/log-dns.lua -- dig +tries=1 +time=1 @right www.example.org
local tf = require "tunfilter"

local types = { [1] = "A", [2] = "NS", [5] = "CNAME", [12] = "PTR", [15] = "MX", [16] = "TXT",
                [28] = "AAAA", [33] = "SRV", [65] = "HTTPS" }

-- The name at position i (from 1), and the position behind it; nil if it is none. A name is a row
-- of labels, each a byte with its length and then its letters, up to a length of 0. Packets may be
-- made to trip us up: byte() gives nil past the end, a length over 63 is a jump to another place in
-- the packet (a loop, if somebody likes), and 255 bytes are the most that a name may have.
local function read_name(message, i)
   local labels, first = {}, i
   while true do
      local length = message:byte(i)
      if length == 0 then return table.concat(labels, ".") .. ".", i + 1 end
      if not length or length > 63 or i + length - first > 253 then return nil end
      local label = message:sub(i + 1, i + length)
      labels[#labels + 1] = label:gsub("[^%w_-]", "?") -- no control codes in our log
      i = i + 1 + length
   end
end

tf.on_packet("udp dst port 53", function(pkt)
   local message = pkt.udp and pkt.payload
   -- Twelve bytes of header: the top bit of the third is 0 in a question, the sixth counts them.
   if not message or #message < 12 or message:byte(3) >= 128 or message:byte(6) == 0 then return end
   local name, i = read_name(message, 13)
   if not name or i + 3 > #message then return end
   local kind = message:byte(i) * 256 + message:byte(i + 1)
   tf.log(("%s asks for %s (%s)"):format(tostring(pkt.ip.src), name, types[kind] or "type " .. kind))
end)
