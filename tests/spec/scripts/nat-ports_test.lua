-- What scripts/nat-ports.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function packet(kind, src, sport, dst, dport, payload)
   return tf.packet{ ip = { src = src, dst = dst }, [kind] = { sport = sport, dport = dport }, payload = payload or "data" }
end

local inner, second, server, public = "10.77.0.1", "10.77.0.3", "10.77.0.2", "10.99.0.1"

t.scenario("a conversation gets a port of the public address, and its answers come back", function()
   for _, kind in ipairs{ "tcp", "udp" } do
      local port = kind == "tcp" and 40000 or 40001
      for _ = 1, 2 do
         t.send(tf.left, packet(kind, inner, 1234, server, 80))
         t.expect(tf.right, packet(kind, public, port, server, 80)) -- every byte, so the checksums too
         t.send(tf.right, packet(kind, server, 80, public, port))
         t.expect(tf.left, packet(kind, server, 80, inner, 1234))
      end
   end
end)

t.scenario("two hosts with the same port are told apart", function()
   t.send(tf.left, packet("udp", inner, 1234, server, 53))
   t.expect(tf.right, packet("udp", public, 40000, server, 53))
   t.send(tf.left, packet("udp", second, 1234, server, 53))
   t.expect(tf.right, packet("udp", public, 40001, server, 53))
   t.send(tf.right, packet("udp", server, 53, public, 40001))
   t.expect(tf.left, packet("udp", server, 53, second, 1234))
   t.send(tf.right, packet("udp", server, 53, public, 40000))
   t.expect(tf.left, packet("udp", server, 53, inner, 1234))
end)

t.scenario("pings have their id for a port", function()
   local function ping(kind, src, dst, id)
      return tf.packet{ ip = { src = src, dst = dst }, icmp = { type = kind, id = id, seq = 7 }, payload = "ping" }
   end
   t.send(tf.left, ping(8, inner, server, 999))
   t.expect(tf.right, ping(8, public, server, 40000))
   t.send(tf.right, ping(0, server, public, 40000))
   t.expect(tf.left, ping(0, server, inner, 999))
end)

t.scenario("an error is of the conversation that it quotes", function()
   local function err(src, dst, quoted, size)
      return tf.packet{ ip = { src = src, dst = dst }, icmp = { type = 3, code = 3 }, payload = quoted:bytes(0, size and size - 1) }
   end
   local router = "10.77.0.254"
   for number, kind in ipairs{ "udp", "tcp" } do
      local port = 39999 + number
      t.send(tf.left, packet(kind, inner, 1234, server, 80))
      t.expect(tf.right, packet(kind, public, port, server, 80))
      for _, size in ipairs{ 28, 32 } do
         t.send(tf.right, err(router, public, packet(kind, public, port, server, 80), size))
         t.expect(tf.left, err(router, inner, packet(kind, inner, 1234, server, 80), size))
         t.send(tf.left, err(inner, server, packet(kind, server, 80, inner, 1234), size))
         t.expect(tf.right, err(public, server, packet(kind, server, 80, public, port), size))
      end
   end
   local function ping(src, id) return tf.packet{ ip = { src = src, dst = server }, icmp = { id = id } } end
   t.send(tf.left, ping(inner, 999))
   t.expect(tf.right, ping(public, 40002))
   t.send(tf.right, err(router, public, ping(public, 40002)))
   t.expect(tf.left, err(router, inner, ping(inner, 999)))
   t.send(tf.right, err(router, public, packet("udp", public, 40003, server, 80))) -- of none
   t.send(tf.right, err(router, public, packet("udp", inner, 1234, server, 80)))
   t.send(tf.right, err(router, public, packet("tcp", public, 40000, server, 80)))
   t.expect_nothing()
end)

t.scenario("what nobody asked for is dropped", function()
   t.send(tf.right, packet("udp", server, 53, public, 40000))
   t.expect_nothing()
   t.send(tf.left, packet("udp", inner, 1234, server, 53))
   t.expect(tf.right, packet("udp", public, 40000, server, 53))
   t.send(tf.right, packet("tcp", server, 53, public, 40000))
   t.send(tf.right, packet("udp", server, 53, public, 40001))
   t.send(tf.right, packet("udp", server, 53, inner, 1234))
   t.send(tf.right, { ip = { src = server, dst = public }, icmp = { type = 3 }, payload = "?" })
   t.expect_nothing()
end)

t.scenario("with all ports taken, the oldest conversation loses its own", { set = { ports = 2 } }, function()
   for i = 0, 2 do
      t.send(tf.left, packet("udp", inner, 1000 + i, server, 53))
      t.expect(tf.right, packet("udp", public, 40000 + i % 2, server, 53))
   end
   t.send(tf.right, packet("udp", server, 53, public, 40000))
   t.expect(tf.left, packet("udp", server, 53, inner, 1002))
   t.send(tf.left, packet("udp", inner, 1000, server, 53))
   t.expect(tf.right, packet("udp", public, 40001, server, 53))
end)

t.scenario("later fragments are dropped, IPv6 passes, the address can be another", { set = { public = "192.0.2.1" } }, function()
   t.send(tf.left, { ip4 = { src = inner, dst = server, proto = 17, offset = 800 }, payload = "rest" })
   t.expect_nothing()
   t.send(tf.left, { ip = { src = "fd77::1", dst = "fd77::2" }, udp = {} })
   t.expect_same(tf.right)
   t.send(tf.left, packet("tcp", inner, 1, server, 80))
   t.expect(tf.right, packet("tcp", "192.0.2.1", 40000, server, 80))
end)
