-- The script rewrite-http-any.lua: a short answer, packet by packet. Its numbers are stream_test.lua's business.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local client, server = { src = "10.77.0.1", dst = "10.77.0.2" }, { src = "10.77.0.2", dst = "10.77.0.1" }

local function asks(fields, payload)
   fields.sport, fields.dport = 40000, fields.dport or 8000
   return tf.packet{ ip = client, tcp = fields, payload = payload }
end

local function answers(fields, payload)
   fields.sport, fields.dport = fields.sport or 8000, 40000
   return tf.packet{ ip = server, tcp = fields, payload = payload }
end

local function pass(side, pkt, fields)
   t.send(tf[side], pkt)
   t.expect(tf[side == "left" and "right" or "left"], fields or pkt)
end

local function connect(port)
   pass("left", asks{ seq = 100, flags = "S", dport = port })
   pass("right", answers{ seq = 200, ack = 101, flags = "SA", sport = port })
   pass("left", asks{ seq = 101, ack = 201, flags = "A", dport = port })
end

t.scenario("the word is another, its length too", { set = { old = "Hello", new = "Good morning" } }, function()
   connect()
   pass("left", asks({ seq = 101, ack = 201, flags = "PA" }, "GET / HTTP/1.0\r\n\r\n"),
      { payload = "GET / HTTP/1.0\r\nConnection: close\r\n\r\n" })
   pass("right", answers({ seq = 201, ack = 138, flags = "PA" }, "HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\nHello you!\n"),
      { tcp = { seq = 201, ack = 119 }, payload = "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nGood morning you!\n" })
   pass("left", asks{ seq = 119, ack = 257, flags = "A" }, { tcp = { seq = 138, ack = 251 } })
end)

t.scenario("other ports are left alone", function()
   connect(8001)
   pass("right", answers({ seq = 201, ack = 101, flags = "PA", sport = 8001 }, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nHello"))
end)
