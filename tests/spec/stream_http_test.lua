-- tunfilter.stream with http = true: what HTTP says of lengths, in pieces of any size.
local tf = require "tunfilter"
local t = require "tunfilter.test"
local hosts = require "stream_hosts"

local connect, from_client, from_server = hosts.connect, hosts.from_client, hosts.from_server

local web = { set = { words = "needle,pins and needles", http = "yes" } }

local function in_pieces(side, size, text, from)
   local make, base = side == "left" and from_client or from_server, side == "left" and 2001 or 1001
   local out, seq = {}, nil
   for at = 1, #text, size do
      local piece = text:sub(at, at + size - 1)
      t.send(tf[side], make{ seq = base + at - 1, payload = piece, flags = "PA", ack = from })
      local got = t.take(tf[side == "left" and "right" or "left"])
      while got do
         if #got.payload > 0 then
            assert(not seq or seq == got.tcp.seq)
            out[#out + 1] = got.payload
            seq = got.tcp.seq + #got.payload
         end
         got = t.take(tf[side == "left" and "right" or "left"])
      end
   end
   t.ignore(tf[side])
   return table.concat(out)
end

local function same(got, expected)
   if got ~= expected then error(("got %q, expected %q"):format(got, expected), 2) end
end

for _, size in ipairs { 1, 7, 1000 } do
   t.scenario(("HTTP in pieces of %d bytes"):format(size), web, function()
      connect()
      same(in_pieces("left", size, "GET /needle HTTP/1.1\r\nHost: needle\r\nAccept-Encoding: gzip,\r\n br\r\nRange: bytes=0-5\r\n"
         .. "Connection: keep-alive\r\nX: y\r\n\r\nneedle"),
         "GET /needle HTTP/1.0\r\nHost: needle\r\nX: y\r\nConnection: close\r\n\r\nneedle")
      same(in_pieces("right", size, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Type: text/needle\r\n"
         .. "connection: Keep-Alive\r\n\r\na needle and more, Content-Length: 5\r\n."),
         "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/needle\r\nConnection: close\r\n\r\n"
         .. "a pins and needles and more, Content-Length: 5\r\n.")
   end)

   t.scenario(("what is not HTTP, or encoded, in pieces of %d bytes"):format(size), web, function()
      connect()
      local other = "SSH-2.0 needle\r\nContent-Length: 5\r\n\r\nneedle."
      same(in_pieces("right", size, other), other)
   end)

   t.scenario(("an encoded answer in pieces of %d bytes"):format(size), web, function()
      connect()
      local head = "HTTP/1.1 200 OK\r\nContent-Encoding: x-odd\r\n"
      same(in_pieces("right", size, head .. "\r\nneedle."), head .. "Connection: close\r\n\r\nneedle.")
   end)
end
