-- tunfilter.tls against hellos that OpenSSL makes and what tshark reads in them, and against bytes of all kinds.
local tf = require("tunfilter.init").module
local tls = require "tunfilter.tls"

local vectors = python "tls_vectors.py"
local list = vectors.list

local LEFT, RIGHT = 0, 1
local ports = 1024

-- A connection of its own: a function that shows a segment, by its sequence number, and gives the server name then.
local function connection(from)
   ports = ports + 1
   local port = ports
   return function(seq, payload, more)
      local t = { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, payload = payload,
                  tcp = { sport = port, dport = 443, seq = seq % 2 ^ 32, flags = "PA" } }
      for key, value in pairs(more or {}) do t.tcp[key] = value end
      return tls.server_name(show(tf.packet(t):bytes(), IP, from or LEFT))
   end
end

test("the name is what went into the hello, and what tshark reads", function()
   for i, case in ipairs(list) do
      equal(tls.server_name(case.bytes), case.name, "hello " .. i)
      if vectors.tshark then equal(tls.server_name(case.bytes), case.tshark, "hello " .. i) end
      local hello = tls.client_hello(case.bytes)
      equal(hello.whole, true)
      equal(hello.version, 0x0303)
      equal(table.concat(hello.alpn, " "), table.concat(case.alpn, " "))
      equal(tls.client_hello(tf.packet { tcp = {}, payload = case.bytes }).server_name, case.name)
   end
end)

test("hellos in segments of any size", function()
   for i, case in ipairs(list) do
      for _, size in ipairs { 1460, 536, 100, 1 } do
         local show_segment = connection(i % 2)
         local seq = 2 ^ 32 - 300 -- it passes 0 on the way
         local found
         for _ = 1, 2 do -- the second time as after a loss: said again, and from the first segment on
            found = nil
            for at = 1, #case.bytes, size do
               found = show_segment(seq + at - 1, case.bytes:sub(at, at + size - 1)) or found
            end
            equal(found, case.name, ("hello %d by %d"):format(i, size))
         end
      end
   end
end)

local last = list[2].bytes -- server_name is its last extension
local middle = math.floor(#last / 2)

test("a name is said again for what is sent again, and for nothing else", function()
   local segment = connection()
   equal(segment(1000, last:sub(1, middle)), nil)
   equal(segment(1000, last:sub(1, middle)), nil)
   equal(segment(1000 + middle, last:sub(middle + 1)), "www.example.org")
   equal(segment(1000 + middle, last:sub(middle + 1)), "www.example.org")
   equal(segment(1000 + middle + 50, last:sub(middle + 51)), "www.example.org")
   equal(segment(1000, last), "www.example.org")
   equal(segment(1000 + #last, "\23\3\3\0\5hello"), nil)
   equal(segment(1000 + #last, ""), nil)
   -- the ports again, for another connection
   local other = list[12].bytes
   equal(segment(1000, other), "www.example.org") -- as if sent again
   equal(segment(999, "", { flags = "S" }), nil)
   equal(segment(1000, other), "old.example")
end)

test("segments that overlap are put together; one that is missing, or the other side's, is not", function()
   local segment = connection()
   equal(segment(0, last:sub(1, middle)), nil)
   equal(segment(middle - 20, last:sub(middle - 19, middle + 20)), nil)
   equal(segment(middle, last:sub(middle + 1)), "www.example.org")

   segment = connection()
   equal(segment(0, last:sub(1, 100)), nil)
   equal(segment(200, last:sub(201)), nil)
   equal(segment(100, last:sub(101)), "www.example.org")

   ports = ports + 1
   local function from(side, seq, payload)
      local ends = { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, tcp = { sport = ports, dport = 443, seq = seq, flags = "A" }, payload = payload }
      if side == RIGHT then
         ends.ip.src, ends.ip.dst, ends.tcp.sport, ends.tcp.dport = "10.0.0.2", "10.0.0.1", 443, ports
      end
      return tls.server_name(show(tf.packet(ends):bytes(), IP, side))
   end
   equal(from(LEFT, 1, last:sub(1, 100)), nil)
   equal(from(RIGHT, 101, "\22"), nil)
   equal(from(RIGHT, 101, last:sub(101)), nil)
   equal(from(LEFT, 101, last:sub(101)), "www.example.org")
end)

-- All orders of 1 to n.
local function orders(n)
   local all = {}
   local function go(order, left)
      if #left == 0 then all[#all + 1] = order end
      for i = 1, #left do
         local next_order, rest = { unpack(order) }, { unpack(left) }
         next_order[#next_order + 1] = table.remove(rest, i)
         go(next_order, rest)
      end
   end
   local numbers = {}
   for i = 1, n do numbers[i] = i end
   go({}, numbers)
   return all
end

test("hellos in two to four segments, in every order", function()
   for i, case in ipairs(list) do
      for n = 2, 4 do
         local size = math.ceil(#case.bytes / n)
         for _, order in ipairs(orders(n)) do
            local segment, seq = connection(i % 2), 2 ^ 32 - 300
            equal(segment(seq - 1, "", { flags = "S" }), nil)
            for _ = 1, 2 do -- each comes twice
               local found
               for _, part in ipairs(order) do
                  found = segment(seq + (part - 1) * size, case.bytes:sub((part - 1) * size + 1, part * size)) or found
               end
               equal(found, case.name, ("hello %d in the order %s"):format(i, table.concat(order)))
            end
            equal(segment(seq + #case.bytes, "\23\3\3\0\5hello"), nil)
         end
      end
   end
end)

test("without the SYN, what comes before a hello's first segment is not known to be of it", function()
   local segment = connection()
   equal(segment(1000 + middle, last:sub(middle + 1)), nil)
   equal(segment(1000, last:sub(1, middle)), nil)
   equal(segment(1000 + middle, last:sub(middle + 1)), "www.example.org")
end)

test("a hello within the SYN, behind other bytes, behind what is far ahead, and after another hello", function()
   local segment = connection()
   equal(segment(999, last:sub(1, middle), { flags = "S" }), nil) -- TCP fast open
   equal(segment(1000 + middle, last:sub(middle + 1)), "www.example.org")
   equal(segment(5000, list[12].bytes), "old.example")

   segment = connection() -- STARTTLS; the SYN says where the stream begins, and that is no hello
   segment(999, "", { flags = "S" })
   equal(segment(1000, "STARTTLS\r\n"), nil)
   equal(segment(1010, last:sub(1, middle)), nil)
   equal(segment(1010 + middle, last:sub(middle + 1)), "www.example.org")

   segment = connection()
   segment(999, "", { flags = "S" })
   equal(segment(1000 + 16384, "\23far"), nil)
   equal(segment(1000 + middle, "\22" .. last:sub(middle + 2)), nil) -- it is not the first, whatever it looks like
   equal(segment(1000, "\22\3\1\0\5\2"), nil) -- nor is the first a client's
   equal(segment(1000, last), "www.example.org")
end)

test("of many hellos that do not end, the oldest are forgotten", function()
   local first = connection()
   first(0, last:sub(1, 100))
   local segments = {}
   for i = 1, 256 do
      segments[i] = connection()
      segments[i](0, last:sub(1, 100))
   end
   equal(first(100, last:sub(101)), nil)
   for i = 1, 256 do equal(segments[i](100, last:sub(101)), "www.example.org") end
end)

test("a hello that never ends is let go at 16 KiB", function()
   local record = "\22\3\1\64\0"
   local segment = connection()
   local first = record .. "\1\255\255\255" .. last:sub(10, 48) .. ("x"):rep(3000)
   equal(tls.client_hello(first).whole, false)
   segment(0, first)
   collectgarbage()
   local before = collectgarbage "count"
   for i = 0, 399 do segment(#first + i * 5000, ("x"):rep(5000)) end
   collectgarbage()
   assert(collectgarbage "count" - before < 500, collectgarbage "count" - before)
end)

test("what comes before its turn takes 48 KiB a connection at most, and is let go with the oldest", function()
   collectgarbage()
   local before = collectgarbage "count"
   for i = 1, 600 do
      local segment = connection()
      segment(999, "", { flags = "S" })
      for at = 16000, 1, -500 do segment(1000 + at, ("%4d %5d"):format(i, at):rep(140)) end
   end
   collectgarbage()
   local used = collectgarbage "count" - before
   assert(used > 1000 and used < 256 * 48, used)
end)

test("what is no hello has no name", function()
   local server = last:sub(1, 5) .. "\2" .. last:sub(7)
   for _, bytes in ipairs { "", "GET / HTTP/1.1\r\n\r\n", "\23" .. last:sub(2), server, "\22\2" .. last:sub(3), "\22\3\1\0\0",
                            "\22\3\1\255\255\1" } do
      equal(tls.client_hello(bytes), nil, hex(bytes:sub(1, 8)))
      equal(tls.server_name(bytes), nil)
      equal(connection()(0, bytes), nil)
   end
   equal(tls.server_name(tf.packet { udp = {}, payload = last }), nil)
   equal(tls.client_hello(tf.packet { udp = {}, payload = last }), nil)
   throws("tls.server_name: expected a packet or a string, got nil", function() local _ = tls.server_name() end)
   throws("tls.client_hello: expected a packet or a string", function() local _ = tls.client_hello {} end)
end)

test("a name's dot at the end is taken off, and a name with other bytes is none", function()
   local at = last:find("www.example.org", 1, true)
   local function with(name) return tls.server_name(last:sub(1, at - 1) .. name .. last:sub(at + 15)) end
   equal(with "WWW.example.or.", "www.example.or")
   equal(with "www.example\0org", nil)
   equal(with "www.example\norg", nil)
   equal(with "www.example\255org", nil)
end)

test("a hello cut at any byte, and 100,000 mutations, are read without an error", function()
   for _, case in ipairs(list) do
      for length = 0, math.min(#case.bytes - 1, 1500) do
         local hello = tls.client_hello(case.bytes:sub(1, length))
         assert(length == 0 and hello == nil or hello.whole == false)
         assert(hello == nil or hello.server_name == nil or hello.server_name == case.name)
      end
   end
   math.randomseed(13)
   local names = 0
   for i = 1, 100000 do
      local bytes = list[i % #list + 1].bytes:sub(1, 700)
      for _ = 1, math.random(4) do
         local at = math.random(#bytes)
         bytes = bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1)
      end
      local name = tls.server_name(bytes)
      if name then
         names = names + 1
         assert(not name:find "[^%w_.-]")
      end
      if i % 20 == 0 then
         local segment, cut = connection(), math.random(#bytes)
         local first = segment(0, bytes:sub(1, cut))
         local second = segment(cut, bytes:sub(cut + 1))
         equal(first or second, name)
      end
   end
   assert(names > 10000, names)
end)

test("hellos of 16 KiB that are made to be slow", function()
   local forms = {
      ("\22\3\1\0\1\1"):rep(2730), -- records of one byte
      "\22\3\1\64\0\1\0\63\252\3\3" .. ("\0"):rep(32) .. "\0\0\2\0\0\1\0\63\200" .. ("\0\0\0\0"):rep(4000), -- names without bytes
      "\22\3\1\64\0\1\0\63\252\3\3" .. ("\0"):rep(32) .. "\0\0\2\0\0\1\0\63\200" .. "\0\16\63\64" .. ("\0"):rep(16300), -- protocols likewise
   }
   for i, bytes in ipairs(forms) do
      local segment, began, slowest = connection(), os.clock(), 0
      for at = 1, #bytes, 16 do
         local before = os.clock()
         segment(at, bytes:sub(at, at + 15))
         slowest = math.max(slowest, os.clock() - before)
      end
      print(("# form %d: %d bytes in segments of 16: %.0f ms in all, at most %.2f ms a segment"):format(i, #bytes,
         (os.clock() - began) * 1000, slowest * 1000))
   end
end)
