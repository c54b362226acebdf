-- What scripts/switch.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
local on_tap = { link = "ethernet" }

local function frame(src, dst)
   return tf.packet{ eth = { src = src, dst = dst }, ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = {} }
end

t.scenario("a frame to nobody known goes across", on_tap, function()
   t.send(tf.left, frame(A, B))
   t.expect_same(tf.right)
   t.expect_log("port\tleft\thas\t" .. A)
end)

t.scenario("between two hosts of one side nothing crosses, once both were heard", on_tap, function()
   t.send(tf.left, frame(A, B))
   t.expect_same(tf.right)
   t.send(tf.left, frame(B, A))
   t.expect_nothing()
   t.send(tf.left, frame(A, B))
   t.expect_nothing()
   t.send(tf.right, frame(C, A))
   t.expect_same(tf.left)
   t.send(tf.left, frame(A, C))
   t.expect_same(tf.right)
end)

t.scenario("what is for a group goes across", on_tap, function()
   for _, group in ipairs{ "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01" } do
      t.send(tf.left, frame(group, B)) -- as a sender it is not learned
      t.expect_same(tf.right)
      t.send(tf.left, frame(A, group))
      t.expect_same(tf.right)
   end
end)

t.scenario("a host that moves is found again", on_tap, function()
   t.send(tf.left, frame(A, B))
   t.send(tf.left, frame(B, C))
   t.expect(tf.right, frame(A, B))
   t.expect(tf.right, frame(B, C))
   t.send(tf.right, frame(A, C))
   t.expect_same(tf.left)
   t.expect_log("port\tright\thas\t" .. A .. "\tnow")
   t.send(tf.left, frame(B, A))
   t.expect_same(tf.right)
end)

t.scenario("who was silent for long may be anywhere", { link = "ethernet", set = { age = 10 } }, function()
   t.send(tf.left, frame(A, B))
   t.expect_same(tf.right)
   t.advance(10.5)
   t.send(tf.left, frame(B, A))
   t.expect_same(tf.right)
end)

t.scenario("made-up addresses do not fill the memory", on_tap, function()
   t.ignore()
   t.send(tf.left, frame(A, C))
   for i = 1, 4096 do t.send(tf.left, frame(("02:01:00:00:%02x:%02x"):format(math.floor(i / 256), i % 256), C)) end
   while t.take(tf.right) do end
   t.send(tf.left, frame(B, A)) -- A was forgotten with the rest
   t.expect_same(tf.right)
end)

t.scenario("on TUN everything passes", function()
   t.send(tf.left, { ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = {} })
   t.expect_same(tf.right)
end)
