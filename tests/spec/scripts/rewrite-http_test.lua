-- What scripts/rewrite-http.lua promises.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local function request(payload, port)
   return tf.packet{ ip = { src = "10.77.0.1", dst = "10.77.0.2" }, payload = payload,
                     tcp = { sport = 5555, dport = port or 8000, flags = "PA" } }
end

local function answer(payload, port)
   return tf.packet{ ip = { src = "10.77.0.2", dst = "10.77.0.1" }, payload = payload,
                     tcp = { sport = port or 8000, dport = 5555, flags = "PA" } }
end

t.scenario("the word is changed wherever it stands in an answer", function()
   t.send(tf.right, answer "HTTP/1.1 200 OK\r\n\r\nHello, and Hello again.")
   t.expect(tf.left, answer "HTTP/1.1 200 OK\r\n\r\nHowdy, and Howdy again.") -- every byte, so the checksum too
   t.expect_log "changed Hello to Howdy, times 2"
end)

t.scenario("a request keeps its words, and does not ask for compression", function()
   t.send(tf.left, request "GET /Hello HTTP/1.1\r\nAccept-Encoding: gzip\r\naccept-encoding: br\r\n\r\n")
   t.expect(tf.right, request "GET /Hello HTTP/1.1\r\nIgnore-Encoding: gzip\r\nignore-encoding: br\r\n\r\n")
end)

t.scenario("other answers and other ports stay as they are", function()
   t.send(tf.right, answer "HTTP/1.1 200 OK\r\n\r\nGood day.")
   t.expect_same(tf.left)
   t.send(tf.right, answer("Hello", 80))
   t.expect_same(tf.left)
   t.send(tf.left, request("Accept-Encoding: gzip", 80))
   t.expect_same(tf.right)
end)

t.scenario("other words, on another port", { set = { port = 80, old = "day", new = "eve" } }, function()
   t.send(tf.right, answer("day by day", 80))
   t.expect(tf.left, answer("eve by eve", 80))
end)

t.scenario("a word of another length", { set = { new = "Good day" }, load_error = "two words of the same length" })
