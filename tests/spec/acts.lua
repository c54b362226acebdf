-- Everything that a script can do with a TCP or UDP packet, one at a time: for looks.lua, to packets that
-- pass, and for looks_test.lua, to its own copies. Each gives what the script sees of it.
local M = {}

--- What an act gave, in letters that a log line shows as they are, and errors without their line.
function M.words(...)
   local words = {}
   for i = 1, select("#", ...) do
      words[i] = tostring((select(i, ...))):gsub("^%S+%.lua:%d+: ", ""):gsub("[%c\128-\255]", function(c) return ("%%%02x"):format(c:byte()) end)
   end
   return table.concat(words, "|")
end

local function upper(pkt) return pkt.tcp or pkt.udp end

-- Where the parts of a packet begin: IP addresses, ports, the checksum, the payload, and its end. Only
-- header bytes are looked at.
local function places(pkt)
   local ip = pkt.ip4 and 12 or 8
   local transport = pkt.ip4 and 20 or 40
   local payload = transport + (pkt.tcp and math.floor(pkt:u8(transport + 12) / 16) * 4 or 8)
   return { ip, transport, transport + (pkt.tcp and 16 or 6), payload, #pkt }
end

local function act(fn) M[#M + 1] = fn end

act(function(pkt) return pkt.payload end)
act(function(pkt) return tostring(pkt) end)
act(function(pkt) return pkt:hexdump() end)
act(function(pkt) return pkt:bytes() end)
act(function(pkt) return pkt:copy():bytes() end)
act(function(pkt) return pkt:copy().payload end)
act(function(pkt) return upper(pkt).checksum end)
act(function(pkt) return #pkt end)

-- Reads and writes around each place; where one is outside, the error is what is seen.
for place = 1, 5 do
   for _, width in ipairs { 8, 16, 32 } do
      for before = 0, width / 8 do
         act(function(pkt) return pcall(pkt["u" .. width], pkt, places(pkt)[place] - before) end)
         act(function(pkt)
            return pcall(pkt["set_u" .. width], pkt, places(pkt)[place] - before, 0x11)
         end)
      end
   end
   act(function(pkt)
      local at = places(pkt)[place]
      return pcall(pkt.bytes, pkt, at - 1, at + 2)
   end)
end

act(function(pkt) upper(pkt).sport = 4711 end)
act(function(pkt) upper(pkt).checksum = 0x1234 end)
act(function(pkt) upper(pkt).checksum = 0x1234; upper(pkt).dport = 1 end)
act(function(pkt) upper(pkt).dport = 1; return upper(pkt).checksum end)
act(function(pkt) pkt.ip.ttl = pkt.ip.ttl - 1 end)
act(function(pkt) pkt.ip.src = pkt.ip4 and "192.0.2.9" or "2001:db8::9" end)
act(function(pkt) pkt.ip.src, pkt.ip.dst = pkt.ip.dst, pkt.ip.src; return pkt.payload end)
act(function(pkt) pkt.ip.proto = 99 end)
act(function(pkt) pkt.raw = true; upper(pkt).dport = 1 end)
act(function(pkt) pkt.raw = true; pkt.ip.ttl = 1 end)
act(function(pkt) pkt.raw = true; pkt.payload = "raw" end)
act(function(pkt) upper(pkt).dport = 1; pkt.raw = true; upper(pkt).dport = 2; pkt.raw = false; upper(pkt).dport = 3 end)

for _, text in ipairs { "", "x", "xy", ("0123456789"):rep(10), ("long"):rep(3000) } do
   act(function(pkt) pkt.payload = text end)
end
act(function(pkt) pkt.payload = pkt.payload end)
act(function(pkt) pkt.payload = pkt.payload .. "more" end)
act(function(pkt) pkt.payload = pkt.payload:sub(2) end)

for _, words in ipairs { { "ab", "AB" }, { "ab", "longer than it was" }, { "ab", "" }, { "ab", "x", 2 }, { "no such words", "" } } do
   act(function(pkt) return pkt:replace(unpack(words, 1, 3)) end)
   act(function(pkt) return pkt:replace(unpack(words, 1, 3)), pkt.payload end)
end

act(function(pkt) pkt.raw = true; return pkt:replace("ab", "longer than it was") end)

-- TCP alone.
act(function(pkt) if pkt.tcp then pkt.tcp.options = { mss = 1200, wscale = 7 } end end)
act(function(pkt) if pkt.tcp then pkt.tcp.options = {}; return pkt.payload end end)
act(function(pkt) pkt.raw = true; if pkt.tcp then pkt.tcp.options = { mss = 1200, wscale = 7 } end end)
act(function(pkt) if pkt.tcp then pkt.tcp.flags = "FA" end end)
act(function(pkt) if pkt.tcp then pkt.tcp.seq = 1; pkt.tcp.flags.psh = true; return pkt.tcp.checksum end end)

return M
