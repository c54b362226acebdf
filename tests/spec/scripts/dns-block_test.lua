-- What scripts/dns-block.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"
local dns = require "tunfilter.dns"

-- Made by scapy: who asks for "WWW.Ads.Example", type A, with id 0x1234 and recursion desired.
local asked = "\18\52\1\0\0\1\0\0\0\0\0\0\3WWW\3Ads\7Example\0\0\1\0\1"

local function question(payload, transport)
   return tf.packet{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, payload = payload,
                     [transport or "udp"] = { sport = 5555, dport = 53 } }
end

local function ask(name, kind)
   return question(dns.build{ id = 1, questions = { { name = name, type = kind } } })
end

local back = { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, udp = { sport = 53, dport = 5555 } }

local function expect_answer(rcode, count)
   local message = dns.parse(t.expect(tf.left, back))
   assert(message.whole and message.qr and message.rcode == rcode and #message.answers == count)
   return message
end

t.scenario("a name on the list does not exist, and the answer repeats the question as it was asked", function()
   t.send(tf.left, question(asked))
   -- The same bytes but for "answer", "recursion available" and "no such name".
   back.payload = "\18\52\129\131" .. asked:sub(5)
   t.expect(tf.left, back)
   t.expect_nothing(tf.right)
   t.expect_log "10.77.0.1\tasked for\twww.ads.example"
end)

t.scenario("other names are asked for", function()
   for _, name in ipairs{ "example", "loads.example", "ads.example.org", "." } do
      t.send(tf.left, ask(name))
      t.expect_same(tf.right)
   end
end)

t.scenario("answers pass, and what is no DNS", function()
   local answer = dns.build{ qr = true, questions = { { name = "ads.example" } }, answers = { { name = "ads.example", data = "1.2.3.4" } } }
   t.send(tf.right, { ip = { src = "10.77.0.2", dst = "10.77.0.1" }, udp = { sport = 53, dport = 5555 }, payload = answer })
   t.expect_same(tf.left)
   for _, payload in ipairs{ "", asked:sub(1, 12), asked:sub(1, -6), asked:sub(1, 12) .. "\192\12\0\1\0\1" } do
      t.send(tf.left, question(payload))
      t.expect_same(tf.right)
   end
end)

t.scenario("with an address, that is what the name has", { set = { address = "0.0.0.0" } }, function()
   t.send(tf.left, ask "tracker.example")
   local message = expect_answer("NOERROR", 1)
   assert(message.answers[1].data == "0.0.0.0" and message.answers[1].name == "tracker.example")
   t.send(tf.left, ask("tracker.example", "AAAA"))
   expect_answer("NOERROR", 0)
end)

t.scenario("over TCP the connection is refused", function()
   t.send(tf.left, question("\0\33" .. asked, "tcp"))
   t.expect(tf.left, { tcp = { flags = "RA" } })
   t.ignore(tf.right) -- the server may hear of it
end)

t.scenario("two questions at once get no answer, and do not get out", function()
   t.send(tf.left, question(dns.build{ questions = { { name = "x.test" }, { name = "ads.example" } } }))
   t.expect_nothing()
end)

t.scenario("another list", { set = { names = "x.test,y.test" } }, function()
   t.send(tf.left, ask "ads.example")
   t.expect_same(tf.right)
   t.send(tf.left, ask "a.b.y.test")
   expect_answer("NXDOMAIN", 0)
end)

t.scenario("a list that is not there", { set = { file = "nowhere.txt" }, load_error = "nowhere.txt" })
