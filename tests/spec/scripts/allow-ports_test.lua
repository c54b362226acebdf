-- What scripts/allow-ports.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function packet(kind, fields, version)
   local ip = version == 6 and { src = "fd77::1", dst = "fd77::2" } or { src = "10.77.0.1", dst = "10.77.0.2" }
   return { ip = ip, [kind] = fields }
end

local function passes(what)
   t.send(tf.left, what)
   t.expect_same(tf.right)
   t.send(tf.right, what)
   t.expect_same(tf.left)
end

local function drops(what)
   t.send(tf.left, what)
   t.send(tf.right, what)
   t.expect_nothing()
end

t.scenario("the ports on the list are reached, others are not", function()
   for _, version in ipairs{ 4, 6 } do
      for _, port in ipairs{ 22, 53, 80, 443 } do
         passes(packet("tcp", { sport = 5000, dport = port, flags = "S" }, version))
         passes(packet("udp", { sport = 5000, dport = port }, version))
      end
      for _, port in ipairs{ 0, 21, 8000, 65535 } do
         drops(packet("tcp", { sport = 5000, dport = port, flags = "S" }, version))
         drops(packet("udp", { sport = 5000, dport = port }, version))
      end
   end
end)

t.scenario("answers come back, but nobody opens a connection from such a port", function()
   passes(packet("tcp", { sport = 80, dport = 5000, flags = "SA" }))
   passes(packet("tcp", { sport = 80, dport = 5000, flags = "A" }))
   passes(packet("udp", { sport = 53, dport = 5000 }))
   drops(packet("tcp", { sport = 80, dport = 5000, flags = "S" }))
end)

t.scenario("another list", { set = { ports = "8000,81" } }, function()
   passes(packet("tcp", { dport = 8000 }))
   passes(packet("tcp", { dport = 81 }))
   drops(packet("tcp", { sport = 5000, dport = 80 }))
end)

t.scenario("a list that is none", { set = { ports = "80,x" }, load_error = "a list such as 22,80, not x" })

t.scenario("what is neither TCP nor UDP passes", function()
   passes(packet("icmp", {}))
   passes(packet("icmp6", {}, 6))
   passes{ ip4 = { proto = 47 }, payload = "GRE" }
end)

t.scenario("a header that is cut off is dropped; later fragments pass", function()
   drops(tf.packet(packet("tcp", { dport = 80 })):bytes(0, 30))
   passes{ ip4 = { proto = 6, offset = 800 }, payload = "the rest of a datagram" }
end)
