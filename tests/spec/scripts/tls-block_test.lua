-- What scripts/tls-block.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function unhex(text)
   return (text:gsub("%X", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

-- OpenSSL's hello to www.ads.example.
local hello = unhex [[
   160301009b010000970303e1fdbdaa9c05149df0ae0bee0bd7001c63b645fdd035bffe6de8b8b13301330c000004c02f
   00ff0100006a00000014001200000f7777772e6164732e6578616d706c65000b000403000102000a000c000a001d0017
   001e00190018002300000016000000170000000d002a0028040305030603080708080809080a080b0804080508060401
   05010601030303010302040205020602
]]

local function segment(payload, seq, more)
   local tcp = { sport = 5555, dport = 443, seq = seq or 1000, ack = 1, flags = "PA" }
   for key, value in pairs(more or {}) do tcp[key] = value end
   return tf.packet{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, tcp = tcp, payload = payload }
end

local function expect_refused()
   t.expect(tf.left, { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, tcp = { flags = function(flags) return flags.rst end } })
   t.expect_nothing(tf.right)
end

t.scenario("a connection to a name on the list is reset", function()
   t.send(tf.left, segment(hello))
   expect_refused()
   t.expect_log "10.77.0.1\twanted\twww.ads.example"
end)

t.scenario("a hello in two segments: the second is refused, as often as it comes", function()
   local name_ends = select(2, hello:find("www.ads.example", 1, true))
   for at = 1, name_ends - 1, 7 do
      local port = { sport = 5000 + at }
      t.send(tf.left, segment(hello:sub(1, at), 1000, port))
      t.expect_same(tf.right)
      for _ = 1, 2 do
         t.send(tf.left, segment(hello:sub(at + 1), 1000 + at, port))
         expect_refused()
      end
   end
end)

t.scenario("other names pass, and the rest of the connection", { set = { names = "tracker.example" } }, function()
   t.send(tf.left, segment(hello))
   t.expect_same(tf.right)
   t.send(tf.left, segment("\23\3\3\0\5bytes", 1000 + #hello))
   t.expect_same(tf.right)
   t.send(tf.right, { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, tcp = { sport = 443, dport = 5555 }, payload = hello })
   t.expect_same(tf.left)
end)

t.scenario("other ports pass; the port can be another", { set = { port = 8443 } }, function()
   t.send(tf.left, segment(hello))
   t.expect_same(tf.right)
   t.send(tf.left, segment(hello, 1000, { dport = 8443 }))
   expect_refused()
end)

t.scenario("what is no hello passes", function()
   for number, payload in ipairs{ "", "GET / HTTP/1.1\r\n\r\n", hello:sub(1, 20), ("\22"):rep(50), "\22\3\1\255\255" .. hello:sub(6) } do
      t.send(tf.left, segment(payload, 1000, { sport = 6000 + number }))
      t.expect_same(tf.right)
   end
end)

t.scenario("QUIC is refused, so that clients take TCP", function()
   t.send(tf.left, { ip = { src = "10.77.0.1", dst = "10.77.0.2" }, udp = { sport = 5555, dport = 443 }, payload = "quic" })
   t.expect(tf.left, { icmp = { type = 3, code = 3 } })
end)
