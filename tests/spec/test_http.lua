-- tunfilter.http against what Python's http.client and http.server write and read, and against bytes of all kinds.
local http = require "tunfilter.http"
local tf = require("tunfilter.init").module

local vectors = python "http_vectors.py"

local function read(what, expected)
   return (expected.method and http.request or http.response)(what)
end

test("requests and answers are what went into them", function()
   for i, v in ipairs(vectors) do
      for _, what in ipairs { v.bytes, tf.packet { tcp = {}, payload = v.bytes }, "\r\n" .. v.bytes } do
         local message = read(what, v.head)
         assert(message, ("%d: %q"):format(i, v.bytes))
         for key, value in pairs(v.head) do
            if key ~= "headers" then equal(message[key], value, key) end
         end
         for key, value in pairs(v.head.headers) do equal(message.headers[key], value, ("%d: %s"):format(i, key)) end
         for key in pairs(message.headers) do equal(message.headers[key], v.head.headers[key], ("%d: %s"):format(i, key)) end
         equal(message.whole, true)
      end
      equal((v.head.method and http.response or http.request)(v.bytes), nil)
   end
end)

test("a head that is cut off is read as far as it goes", function()
   for i = 1, #vectors, 20 do
      local v = vectors[i]
      local line = v.bytes:find("\n", 1, true)
      for length = 0, #v.bytes - #v.head.body - 1 do
         local message = read(v.bytes:sub(1, length), v.head)
         equal(message ~= nil, length >= line)
         if message then
            equal(message.whole, false)
            equal(message.body, nil)
         end
      end
   end
end)

test("odd heads", function()
   local function headers(text) return http.request("GET / HTTP/1.1\r\n" .. text .. "\r\n").headers end
   equal(headers("Host : spaced\r\n").host, "spaced")
   equal(headers(" folded: not yet\r\nHost: x\r\n").host, "x")
   equal(headers("no header\r\n\tgoes on\r\nHost: x\r\n").host, "x")
   equal(headers("a: 1\r\nb: 2\r\nA: 3\r\n").a, "1, 3")
   equal(headers("a:\r\n \r\n  \r\n").a, "")
   equal(headers("a: b\rc\0d\r\n").a, "b\rc\0d")
   equal(http.request "GET  /a   HTTP/1.1 \n\n".target, "/a")
   equal(http.request "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".version, "2.0")
   equal(http.response "HTTP/1.1 404\r\n\r\n".reason, "")
   equal(http.response "HTTP/1.1 404\n\nx".body, "x")
   local many = ("h: x\r\n"):rep(199)
   equal(http.request("GET / HTTP/1.1\r\n" .. many .. "\r\n").whole, true)
   equal(http.request("GET / HTTP/1.1\r\n" .. many .. "h: x\r\n\r\n").whole, false)
end)

test("what is no head", function()
   for _, text in ipairs { "", "\n", "GET /\r\n\r\n", "GET / HTTP/1.1", "GET / HTTP/11\r\n", "GET /a b HTTP/1.1\r\n", " GET / HTTP/1.1\r\n",
                           "HTTP/1.1 20 OK\r\n", "HTTP/1.1\r\n", "\22\3\1\2\0\1\0\n", "G\0T / HTTP/1.1\r\n" } do
      equal(http.request(text), nil, text)
      equal(http.response(text), nil, text)
   end
   equal(http.request(tf.packet { udp = {}, payload = "GET / HTTP/1.1\r\n\r\n" }), nil)
   throws("http.request: expected a packet or a string, got nil", function() local _ = http.request() end)
   throws("http.response: expected a packet or a string", function() local _ = http.response {} end)
end)

test("100,000 mutations are read without an error", function()
   math.randomseed(17)
   local found = 0
   local bytes_of = { "\r", "\n", " ", "\t", ":", "\0" }
   for i = 1, 100000 do
      local v = vectors[i % #vectors + 1]
      local bytes = v.bytes
      for _ = 1, math.random(4) do
         local at = math.random(#bytes)
         bytes = bytes:sub(1, at - 1) .. (bytes_of[math.random(8)] or string.char(math.random(0, 255))) .. bytes:sub(at + 1)
      end
      local message = read(bytes, v.head)
      if message then
         found = found + 1
         for name, value in pairs(message.headers) do
            assert(name ~= "" and not name:find "[%c :]" and not value:find "\n", bytes)
         end
      end
   end
   assert(found > 50000, found)
end)

test("heads of 64 KiB that are made to be slow", function()
   local size = 65000
   local fill = { (" "):rep(size), ("a"):rep(size), ("\r"):rep(size), ("\n"):rep(size), ("a "):rep(size / 2), ("\t"):rep(size),
                  (" \n"):rep(size / 2), ("a:\n"):rep(size / 3), ("a: x\n "):rep(size / 6), (("a"):rep(300) .. " \r\n"):rep(size / 303),
                  ("a:" .. (" "):rep(320) .. "b\r\n"):rep(size / 325), (":"):rep(size), "a:" .. (" "):rep(size) .. "b" }
   for i, text in ipairs(fill) do
      local began = os.clock()
      for _, before in ipairs { "", "GET / HTTP/1.1\r\n", "GET ", "GET /", "GET / HTTP/1.1", "GET / HTTP/1.1\r\na: " } do
         for _, after in ipairs { "", "\n", "x\n\n" } do http.request(before .. text .. after) end
      end
      for _, before in ipairs { "HTTP/1.1 200", "HTTP/1.1 200 OK\r\n", "HTTP/1.1" } do
         for _, after in ipairs { "", "\n", "x\n\n" } do http.response(before .. text .. after) end
      end
      print(("# form %d: 27 texts, %.1f ms in all"):format(i, (os.clock() - began) * 1000))
   end
end)
