-- What scripts/redirect-port.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function hex(text)
   return (text:gsub("%X", ""):gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

-- Made by scapy: 10.77.0.1:1234 > 10.77.0.2:80, SYN.
local to_80 = hex "4500002800010000400666330a4d00010a4d000204d2005000000000000000005002200076240000"
-- 10.77.0.2:8080 > 10.77.0.1:1234, SYN and ACK.
local from_8080 = hex "4500002800010000400666330a4d00020a4d00011f9004d200000000000000005012200056d40000"
-- The same with the ports that the other side knows.
local to_8080 = hex "4500002800010000400666330a4d00010a4d000204d21f9000000000000000005002200056e40000"
local from_80 = hex "4500002800010000400666330a4d00020a4d0001005004d200000000000000005012200076140000"

t.scenario("a request goes to the other port, with its checksum", function()
   t.send(tf.left, to_80)
   t.expect(tf.right, to_8080)
end)

t.scenario("an answer seems to come from the port that was asked", function()
   t.send(tf.right, from_8080)
   t.expect(tf.left, from_80)
end)

t.scenario("other ports stay", { set = { asked = 81 } }, function()
   t.send(tf.left, to_80)
   t.expect_same(tf.right)
end)

t.scenario("what an error quotes has the port that its receiver knows", function()
   local function err(src, dst, quoted) return tf.packet{ ip = { src = src, dst = dst }, icmp = { type = 3, code = 3 }, payload = quoted } end
   t.send(tf.right, err("10.77.0.2", "10.77.0.1", to_8080))
   t.expect(tf.left, err("10.77.0.2", "10.77.0.1", to_80))
   t.send(tf.right, err("10.77.0.2", "10.77.0.1", to_8080:sub(1, 28))) -- as much as has to be there
   t.expect(tf.left, err("10.77.0.2", "10.77.0.1", to_80:sub(1, 28)))
   t.send(tf.left, err("10.77.0.1", "10.77.0.2", from_80))
   t.expect(tf.right, err("10.77.0.1", "10.77.0.2", from_8080))
   t.send(tf.left, err("10.77.0.1", "10.77.0.2", from_8080))
   t.expect_same(tf.right)
end)
