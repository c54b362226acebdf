-- tunfilter.stream, one packet after the other.
local tf = require "tunfilter"
local t = require "tunfilter.test"
local hosts = require "stream_hosts"

local chance, connect, pass = hosts.chance, hosts.connect, hosts.pass
local from_client, from_server = hosts.from_client, hosts.from_server
local two32 = 2 ^ 32

local longer = { set = { words = "needle,pins and needles" } } -- 6 and 16 bytes

t.scenario("numbers are shifted in both directions", longer, function()
   connect()
   pass("right", from_server{ payload = "no such thing" })
   pass("left", from_client{ ack = 1014 })
   pass("right", from_server{ seq = 1014, payload = "a needle " }, { tcp = { seq = 1014, ack = 2001 }, payload = "a pins and needles " })
   pass("right", from_server{ seq = 1023, payload = "more" }, { tcp = { seq = 1033 }, payload = "more" })
   pass("left", from_client{ ack = 1037 }, { tcp = { ack = 1027, seq = 2001 } })
   pass("left", from_client{ ack = 1037, payload = "needle" }, { tcp = { ack = 1027, seq = 2001 }, payload = "needle" })
   pass("right", from_server{ seq = 1027, ack = 2007 }, { tcp = { seq = 1037, ack = 2007 } })
   pass("right", from_server{ seq = 1027, flags = "FA" }, { tcp = { seq = 1037, flags = "FA" } })
   pass("left", from_client{ ack = 1038, flags = "FA", seq = 2007 }, { tcp = { ack = 1028 } })
   pass("right", from_server{ seq = 1028, ack = 2008 }, { tcp = { seq = 1038, ack = 2008 } })
end)

t.scenario("an acknowledgement within a replacement is one of what is before it", longer, function()
   connect()
   pass("right", from_server{ payload = "a needle " }, { payload = "a pins and needles " })
   pass("left", from_client{ ack = 1001 + 5 }, { tcp = { ack = 1003 } })
   pass("right", from_server{ seq = 1003, payload = "needle " }, { tcp = { seq = 1003 }, payload = "pins and needles " })
   pass("right", from_server{ seq = 1006, payload = "dle " }, { tcp = { seq = 1003 }, payload = "pins and needles " })
   pass("left", from_client{ ack = 1001 + 2 + 16 }, { tcp = { ack = 1009 } })
end)

t.scenario("SACK blocks, and those that say what came twice", longer, function()
   connect()
   pass("right", from_server{ payload = "0123456789" })
   pass("right", from_server{ seq = 1011, payload = "needle" }, { tcp = { seq = 1011 }, payload = "pins and needles" })
   pass("right", from_server{ seq = 1017, payload = "0123456789" }, { tcp = { seq = 1027 } })
   local got = pass("left", from_client{ options = { sack = { { 1011, 1027 }, { 1030, 1037 } } } }, { tcp = { ack = 1001 } })
   assert(tostring(got.tcp.options) == "sack 1011-1017, sack 1020-1027", tostring(got.tcp.options))
   got = pass("left", from_client{ options = { sack = { { 1015, 1029 } } } }, {}) -- part of the replacement
   assert(tostring(got.tcp.options) == "sack 1017-1019", tostring(got.tcp.options))
   got = pass("left", from_client{ ack = 1037, options = { sack = { { 1027, 1037 } } } }, { tcp = { ack = 1027 } })
   assert(tostring(got.tcp.options) == "sack 1017-1027", tostring(got.tcp.options))
end)

t.scenario("what comes before its turn waits, and is answered", longer, function()
   connect()
   pass("right", from_server{ payload = "nee" }, { tcp = { ack = 2001 }, payload = "" })
   t.send(tf.right, from_server{ seq = 1007, payload = " and more" })
   local got = t.expect(tf.right, { ip = { src = client, dst = server }, tcp = { seq = 2001, ack = 1004, sport = 5000, dport = 80, flags = "A", window = 500 }, payload = "" })
   assert(tostring(got.tcp.options) == "sack 1007-1016", tostring(got.tcp.options))
   t.send(tf.right, from_server{ seq = 1004, payload = "dle" })
   t.expect(tf.left, { tcp = { seq = 1001 }, payload = "pins and needles and more" })
   pass("left", from_client{ ack = 1026 }, { tcp = { ack = 1016 } })
end)

t.scenario("what may be a needle's beginning waits until it comes again", longer, function()
   connect()
   pass("right", from_server{ payload = "a fine nee", flags = "PA" }, { payload = "a fine ", tcp = { flags = "PA" } })
   pass("left", from_client{ ack = 1008 })
   t.send(tf.right, from_server{ seq = 1008, payload = "nee", flags = "PA" })
   t.expect(tf.right, { tcp = { ack = 1011 }, payload = "" })
   t.advance(0.39)
   t.expect_nothing()
   t.advance(0.02)
   t.expect(tf.left, { tcp = { seq = 1008, ack = 2001 }, payload = "nee" })
   t.advance(0.21) -- lost: once more
   t.expect(tf.left, { tcp = { seq = 1008 }, payload = "nee" })
   pass("left", from_client{ ack = 1011 })
   pass("right", from_server{ seq = 1011, payload = "dle" }) -- too late
   t.advance(60)
   t.expect_nothing()
end)

t.scenario("more has come behind what may be a needle's beginning", longer, function()
   connect()
   pass("right", from_server{ payload = "a fine nee" }, { payload = "a fine " })
   pass("left", from_client{ ack = 1008 })
   t.send(tf.right, from_server{ seq = 1008, payload = "nee" })
   t.expect(tf.right, { tcp = { ack = 1011 } })
   t.send(tf.right, from_server{ seq = 1014, payload = " and an end", flags = "FA" })
   t.expect(tf.right, { tcp = { ack = 1011 } })
   t.advance(10)
   t.expect_nothing()
   t.send(tf.right, from_server{ seq = 1011, payload = "dle" })
   t.expect(tf.left, { tcp = { seq = 1008, flags = "FA" }, payload = "pins and needles and an end" })
   t.send(tf.right, from_server{ seq = 1008, payload = "needle and an end, and more" })
   t.expect_nothing()
   pass("left", from_client{ ack = 1036 }, { tcp = { ack = 1026 } })
end)

t.scenario("bytes from far away do not make others wait", longer, function()
   connect()
   pass("right", from_server{ payload = "a fine nee" }, { payload = "a fine " })
   pass("left", from_client{ ack = 1008 })
   t.send(tf.right, from_server{ seq = 1011 + 2 ^ 22, payload = "what?" })
   t.expect(tf.right, { tcp = { ack = 1008 } })
   t.send(tf.right, from_server{ seq = 1008, payload = "nee" })
   t.expect(tf.right, { tcp = { ack = 1011 } })
   t.advance(0.5)
   t.expect(tf.left, { tcp = { seq = 1008 }, payload = "nee" })
   pass("left", from_client{ ack = 1011 })
end)

t.scenario("the end of the stream decides", longer, function()
   connect()
   pass("right", from_server{ payload = "nee", flags = "FPA" })
   pass("left", from_client{ ack = 1005 })
end)

t.scenario("text that goes is acknowledged", { set = { words = "needle," } }, function()
   connect()
   t.send(tf.right, from_server{ payload = "needle" })
   t.expect(tf.right, { tcp = { seq = 2001, ack = 1007, flags = "A" }, payload = "" })
   t.expect(tf.left, { tcp = { seq = 1001, ack = 2001, flags = "A" }, payload = "" })
   t.expect_nothing()
   pass("right", from_server{ seq = 1007, payload = "x" }, { tcp = { seq = 1001 }, payload = "x" })
   pass("left", from_client{ ack = 1002 }, { tcp = { ack = 1008 } })
end)

t.scenario("keep-alives and RST have the receiver's numbers", longer, function()
   connect()
   pass("right", from_server{ payload = "needle" }, { payload = "pins and needles" })
   pass("left", from_client{ ack = 1017 }, { tcp = { ack = 1007 } })
   pass("right", from_server{ seq = 1006 }, { tcp = { seq = 1016 }, payload = "" })
   pass("right", from_server{ seq = 1006, payload = "\0" }, { tcp = { seq = 1016 }, payload = "\0" })
   pass("right", from_server{ seq = 1007, flags = "RA" }, { tcp = { seq = 1017, flags = "RA" } })
   pass("left", from_client{ seq = 2001, flags = "R", ack = 0 })
end)

t.scenario("numbers stay shifted until the connection has ended", longer, function()
   connect()
   pass("right", from_server{ payload = "needle" }, { payload = "pins and needles" })
   pass("left", from_client{ ack = 1017 }, { tcp = { ack = 1007 } })
   t.advance(5000)
   pass("right", from_server{ seq = 1007, payload = "x" }, { tcp = { seq = 1017 } })
   pass("left", from_client{ seq = 2001, ack = 1018, flags = "RA" }, { tcp = { ack = 1008 } })
   pass("right", from_server{ seq = 1008, payload = "x" }, { tcp = { seq = 1018 } }) -- perhaps it was not for the server
   t.advance(70)
   pass("left", from_client{ seq = 2001, ack = 1019, flags = "RA" }, { tcp = { ack = 1009 } })
   t.advance(70)
   pass("left", from_client{ seq = 2001, ack = 1019 })
   connect()
   pass("right", from_server{ payload = "needle" }, { payload = "pins and needles" })
end)

t.scenario("a window is what may still be sent", longer, function()
   connect()
   pass("right", from_server{ payload = ("needle"):rep(10) }, { payload = ("pins and needles"):rep(10) })
   -- 100 more bytes are on their way than the server knows of, and what it may send will grow as well
   pass("left", from_client{ window = 500 }, { tcp = { ack = 1001, window = 60 + math.floor((500 - 160) * 60 / 160) } })
   pass("left", from_client{ ack = 1161, window = 0 }, { tcp = { ack = 1061, window = 0 } })
   pass("left", from_client{ ack = 1161, window = 1 }, { tcp = { ack = 1061, window = 1 } })
end)

t.scenario("segments stay as short as their receiver wants them", longer, function()
   connect{ mss = 600 }
   t.send(tf.right, from_server{ payload = ("needle"):rep(100), flags = "PA" })
   local whole, seq = "", 1001
   for i = 1, 3 do
      local got = t.expect(tf.left, { tcp = { seq = seq, flags = i == 3 and "PA" or "A" } })
      assert(#got.payload <= 600)
      whole, seq = whole .. got.payload, seq + #got.payload
   end
   assert(whole == ("pins and needles"):rep(100))
end)

t.scenario("a connection whose beginning was not seen passes as it is", longer, function()
   pass("right", from_server{ payload = "needle" })
   pass("left", from_client{ ack = 1007 })
   pass("right", from_server{ flags = "SA", options = { mss = 1000 } })
   pass("right", from_server{ seq = 1002, payload = "needle" })
end)

t.scenario("bytes that were damaged are not taken for text", longer, function()
   connect()
   local damaged = from_server{ payload = "a needle" }
   damaged:set_u8(damaged.len - 1, 0)
   damaged.raw = true
   local checksum = damaged.tcp.checksum
   damaged:set_u16(36, bit.bxor(checksum, 1))
   t.send(tf.right, damaged)
   t.expect_nothing()
end)

t.scenario("only so many are replaced in a connection", { set = { words = "a,b", max = 2 } }, function()
   connect()
   pass("right", from_server{ payload = "aaaa" }, { payload = "bbaa" })
   pass("right", from_server{ seq = 1005, payload = "aaaa" })
end)

t.scenario("anything may come", { set = { words = "ab,abab,b," }, seed = 1 }, function()
   local random = chance(77)
   t.ignore()
   for round = 1, 40 do
      hosts.client_port = 5000 + round
      connect{ mss = random(0, 65535), wscale = random(0, 255), sack_ok = random(2) == 1 or nil }
      for _ = 1, 200 do
         local near = random(3) > 1
         local side = random(2) == 1 and "left" or "right"
         local base, other = side == "left" and 2001 or 1001, side == "left" and 1001 or 2001
         local function number(from) return near and (from + random(-300, 3000)) % two32 or random(0, two32 - 1) end
         local flags = ""
         for flag in ("FSRPAUEC"):gmatch "." do
            local odds = (flag == "S" or flag == "R" or flag == "F") and 30 or flag == "A" and 1 or 3
            if random(odds) == 1 then flags = flags .. flag end
         end
         local options
         if random(3) == 1 then
            options = { sack = {} }
            for i = 1, random(3) do options.sack[i] = { number(other), number(other) } end
         end
         local payload = random(3) == 1 and "" or ("ab ab"):rep(random(200)):sub(random(5), random(1000))
         local make = side == "left" and from_client or from_server
         local pkt = make{ seq = number(base), ack = number(other), flags = flags, options = options, window = random(0, 65535), payload = payload }
         if random(10) == 1 then -- options of any bytes
            local at = 40
            for i = at, math.min(at + random(0, 40), pkt.len - 1) do pkt:set_u8(i, random(0, 255)) end
            pkt:set_u8(32, random(0, 15) * 16)
         end
         t.send(tf[side], pkt)
         if random(20) == 1 then t.advance(random()) end
         for _, out in ipairs { "left", "right" } do
            local got = t.take(tf[out])
            while got do
               if not got.malformed and got.tcp then
                  local right = got:copy()
                  right.payload = got.payload
                  assert(right.tcp.checksum == got.tcp.checksum or tostring(got) == tostring(pkt), "checksum")
               end
               got = t.take(tf[out])
            end
         end
      end
      t.advance(100)
   end
end)

t.scenario("a function is given each byte once, in order", function()
   connect(nil, 81)
   local function server(seq, payload, expected, flags, at)
      pass("right", from_server{ seq = seq, payload = payload, flags = flags, port = 81 }, { payload = expected, tcp = { seq = at } })
   end
   server(1001, "a [word] and [an", "a [1: word] and ", nil, 1001)
   server(1001, "a [word] and [an", "a [1: word] and ", nil, 1001)
   pass("left", from_client{ ack = 1017, port = 81 }, { tcp = { ack = 1014 } })
   server(1017, "other]", "[2: another]", nil, 1017)
   server(1011, "nd [another]", "nd [2: another]", nil, 1014) -- the first three have been acknowledged: anything may be there
   pass("left", from_client{ ack = 1029, port = 81 }, { tcp = { ack = 1023 } })
   server(1023, "the [end", "the [end2 in all", "FPA", 1029)
   server(1023, "the [end", "the [end2 in all", "FPA", 1029)
   pass("left", from_client{ ack = 1046, port = 81 }, { tcp = { ack = 1032 } })
end)

t.scenario("a function that fails", function()
   connect(nil, 81)
   t.send(tf.right, from_server{ payload = "oh!", port = 81 })
   t.expect_error "on purpose"
   t.expect_nothing()
end)

t.scenario("pairs of words", { set = { words = "needle" }, load_error = "pairs of an old and a new text" })
t.scenario("a word to look for", { set = { words = ",x" }, load_error = "1 to 1024 bytes" })
