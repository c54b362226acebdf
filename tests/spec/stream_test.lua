-- tunfilter.stream between a sender and a receiver that are written here from the RFCs' rules, over
-- links that lose, repeat and reorder.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local two32 = 2 ^ 32
local client, server = "10.0.0.1", "10.0.0.2"

local function signed(x)
   x = x % two32
   return x >= 2 ^ 31 and x - two32 or x
end

-- A source of chance of this file's own: the same on every run.
local function chance(seed)
   local x = seed * 7919 + 1
   local function uniform()
      x = (x * 16807) % 2147483647
      return x / 2147483647
   end
   for _ = 1, 5 do uniform() end
   return function(a, b)
      if not a then return uniform() end
      if not b then a, b = 1, a end
      return a + math.floor(uniform() * (b - a + 1))
   end
end

-- What sed would make of text: the leftmost of the words, of two at one place the first.
local function replaced(text, words)
   local out, at = {}, 1
   while at <= #text do
      local best, new, old
      for i = 1, #words, 2 do
         local found = text:find(words[i], at, true)
         if found and (not best or found < best) then best, old, new = found, words[i], words[i + 1] end
      end
      if not best then break end
      out[#out + 1] = text:sub(at, best - 1) .. new
      at = best + #old
   end
   out[#out + 1] = text:sub(at)
   return table.concat(out)
end

local client_port = 5000

local function packet(from, fields)
   local port = fields.port or 80
   fields.port = nil
   fields.sport, fields.dport = from == "server" and port or client_port, from == "server" and client_port or port
   local v6 = fields.v6
   local a, b = v6 and "fd77::1" or client, v6 and "fd77::2" or server
   local payload = fields.payload
   fields.v6, fields.payload = nil, nil
   return tf.packet{ ip = from == "server" and { src = b, dst = a } or { src = a, dst = b }, tcp = fields, payload = payload }
end

local function fail(format, ...)
   error(format:format(...), 0)
end

-- One download from the right to the left over four links: p is what goes wrong on them.
local function download(seed, p, text, expected)
   local random = chance(seed)
   local v6, timestamps = random(2) == 1, random(2) == 1
   local isn = { server = random(2) == 1 and two32 - random(20000) or random(0, two32 - 1), client = random(0, two32 - 1) }
   local mss = random(40, 400)
   local sack = random(4) > 1
   local links = { to_filter = {}, to_client = {}, acks = {}, to_server = {} }
   local names = { "acks", "to_client", "to_filter", "to_server" }
   local now = 1000
   local function options(more)
      more = more or {}
      if timestamps then
         now = now + 1
         more.timestamp = { val = now, ecr = now - 1 }
      end
      return more
   end

   -- What goes wrong on the way to the filter and behind it.
   local function put(link, bytes)
      local wrong = p[link] or p.all or {}
      if random() < (wrong.loss or 0) then return end
      table.insert(links[link], bytes)
      if random() < (wrong.duplicate or 0) then table.insert(links[link], random(1, #links[link]), bytes) end
   end
   local function get(link)
      local wrong = p[link] or p.all or {}
      local i = random() < (wrong.reorder or 0) and random(#links[link]) or 1
      return table.remove(links[link], i)
   end
   local function collect()
      for _, way in ipairs { { "left", "to_client" }, { "right", "to_server" } } do
         local pkt = t.take(tf[way[1]])
         while pkt do
            put(way[2], pkt)
            pkt = t.take(tf[way[1]])
         end
      end
   end

   -- Handshake.
   local opening = { mss = mss, wscale = 7, sack_ok = sack }
   t.send(tf.left, packet("client", { v6 = v6, seq = isn.client, flags = "S", options = options(opening) }))
   t.take(tf.right)
   t.send(tf.right, packet("server", { v6 = v6, seq = isn.server, ack = (isn.client + 1) % two32, flags = "SA", options = options(opening) }))
   t.take(tf.left)
   t.send(tf.left, packet("client", { v6 = v6, seq = isn.client + 1, ack = (isn.server + 1) % two32, flags = "A", window = 500, options = options() }))
   t.take(tf.right)

   -- The sender: offsets of its bytes; #text is the FIN's.
   local una, next_, seen_by_filter, sacked = 0, 0, {}, {}
   local window, quiet, recover = 64000, 0, 0
   local function segment(from, to)
      local fin = to > #text
      local bytes = packet("server", { v6 = v6, seq = (isn.server + 1 + from) % two32, ack = (isn.client + 1) % two32,
                                       flags = fin and "FPA" or random(3) == 1 and "PA" or "A", window = 1000,
                                       options = options(), payload = text:sub(from + 1, math.min(to, #text)) })
      put("to_filter", { bytes, from, to })
   end
   local in_flight = random(2, 12)
   local function send_new()
      if next_ > #text or next_ - una > in_flight * mss or next_ - una >= window then return false end
      local size = random(5) == 1 and random(1, 20) or random(1, mss)
      local to = math.min(next_ + size, #text)
      if to == #text and random(2) == 1 then to = to + 1 end
      if next_ == #text then to = #text + 1 end
      segment(next_, to)
      next_ = to
      return true
   end
   local function timeout()
      quiet = quiet + 1
      if quiet > 200 then fail("it does not go on: %d of %d are acknowledged", una, #text) end
      if quiet % 2 == 1 and next_ - una > 5 then -- a tail loss probe
         segment(math.max(una, next_ - random(1, mss)), next_)
      else
         segment(una, math.min(una + random(1, mss), next_))
         recover = next_
      end
   end
   local function sender_gets(pkt)
      local tcp = pkt.tcp
      local acked = signed(tcp.ack - isn.server - 1 - una) + una
      if acked > next_ then fail("acknowledged %d of %d sent", acked, next_) end
      if acked > una then
         una, quiet = acked, 0
         window = math.max(tcp.window * 128, 1)
         if una < recover then segment(una, math.min(una + random(1, mss), next_)) end -- slow start after a timeout
      end
      if tcp.seq ~= (isn.client + 1) % two32 then fail "the client's sequence number has changed" end
      for _, block in ipairs(tcp.options.sack or {}) do
         local l, r = signed(block[1] - isn.server - 1 - una) + una, signed(block[2] - isn.server - 1 - una) + una
         if l >= r or r > next_ then fail("SACK of %d to %d, sent were %d", l, r, next_) end
         for i = l, r - 1 do
            if i >= una and not seen_by_filter[i] then fail("SACK of %d to %d, and %d was lost", l, r, i) end
         end
      end
   end

   -- The receiver.
   local got, top, out_of_order, received, ended = 0, 0, {}, {}, nil
   local function acknowledge()
      local ranges = {}
      for at = got, top do
         local range = ranges[#ranges]
         if not out_of_order[at] then
            -- a gap
         elseif range and range[2] == at then
            range[2] = at + 1
         else
            ranges[#ranges + 1] = { at, at + 1 }
         end
      end
      local blocks = {}
      for k = 1, math.min(#ranges, 3) do
         blocks[k] = { (isn.server + 1 + ranges[k][1]) % two32, (isn.server + 1 + ranges[k][2]) % two32 }
      end
      put("acks", packet("client", { v6 = v6, seq = (isn.client + 1) % two32, ack = (isn.server + 1 + got) % two32, flags = "A",
                                     window = 500, options = options{ sack = sack and blocks[1] and blocks or nil } }))
   end
   local function receiver_gets(pkt)
      local tcp, data = pkt.tcp, pkt.payload
      local at = signed(tcp.seq - isn.server - 1 - got) + got
      if #data > math.max(mss, 48) then fail("a segment of %d bytes, and the largest has %d", #data, mss) end
      if #data == 0 and not tcp.flags.fin then return end
      if at + #data > #expected + 1000 then fail "bytes behind the end" end
      for i = math.max(at, got), at + #data - 1 do
         local byte = data:byte(i - at + 1)
         local before = received[i]
         if before and before ~= byte then fail("byte %d was %d, is now %d", i, before, byte) end
         received[i], out_of_order[i] = byte, true
      end
      top = math.max(top, at + #data)
      if tcp.flags.fin then
         local place = at + #data
         if ended and ended ~= place then fail("the end is at %d and at %d", ended, place) end
         ended = place
         if place >= got then out_of_order[place] = true end
      end
      while out_of_order[got] do
         out_of_order[got] = nil
         got = got + 1
      end
      acknowledge()
   end

   local steps = 0
   while una <= #text do
      steps = steps + 1
      if steps > 100000 then fail "it takes for ever" end
      local busy = {}
      for _, name in ipairs(names) do if #links[name] > 0 then busy[#busy + 1] = name end end
      if random(3) == 1 and send_new() then
         -- sent
      elseif random(40) == 1 and p.again and next_ > una + 2 then
         local from = math.max(0, random(una - 100, next_ - 2))
         segment(from, random(from + 1, math.min(next_ - 1, from + 2 * mss, #text)))
      elseif #busy == 0 then
         if not send_new() then
            t.advance(0.12)
            collect()
            if #links.to_client == 0 then timeout() end
         end
      else
         local name = busy[random(#busy)]
         local item = get(name)
         if name == "to_filter" then
            for i = item[2], item[3] - 1 do seen_by_filter[i] = true end
            t.send(tf.right, item[1])
         elseif name == "acks" then t.send(tf.left, item)
         elseif name == "to_client" then receiver_gets(item)
         else sender_gets(item) end
         collect()
      end
   end
   if ended ~= #expected then fail("it ended at %s, not %d", tostring(ended), #expected) end
   local bytes = {}
   for i = 0, ended - 1 do bytes[#bytes + 1] = string.char(received[i]) end
   local whole = table.concat(bytes)
   if whole ~= expected then
      for i = 1, #expected do
         if whole:byte(i) ~= expected:byte(i) then
            fail("byte %d differs: %q, expected %q", i - 1, whole:sub(i - 20, i + 20), expected:sub(i - 20, i + 20))
         end
      end
   end
end

local function random_text(random, length, words)
   local parts, n = {}, 0
   while n < length do
      local word = words[random(#words / 2) * 2 - 1]
      local part = random(3) == 1 and word or random(3) == 1 and word:sub(1, random(#word)) or ("abn e"):sub(random(5)):sub(1, 1)
      parts[#parts + 1] = part
      n = n + #part
   end
   return table.concat(parts)
end

local some = { loss = 0.05, reorder = 0.2, duplicate = 0.05 }
local much = { loss = 0.25, reorder = 0.5, duplicate = 0.2 }

local lots = {
   { "needle", "a longer replacement" }, { "needle", "" }, { "ab", "b" }, { "a", "aaaaa" }, { "aab", "baabaa" },
   { "needle", "needle" }, { "abn", "x", "bn", "yyyyy", "n", "" }, { "nene", "ne", "en", "nenene" },
}

local function lab(title, seeds, length, p)
   for seed, words in ipairs(lots) do
      t.scenario(("%s: %s"):format(title, table.concat(words, " ")), { set = { words = table.concat(words, ",") } }, function()
         for round = 1, seeds do
            local random = chance(seed * 1000 + round)
            local text = random_text(random, random(length), words)
            local ok, message = pcall(download, seed * 1000 + round, p, text, replaced(text, words))
            if not ok then error(("seed %d: %s"):format(seed * 1000 + round, tostring(message)), 0) end
            t.ignore()
         end
      end)
   end
end

lab("nothing goes wrong", 5, 6000, {})
lab("bytes are sent again, over others", 5, 6000, { again = true })
lab("loss behind the filter", 5, 6000, { to_client = some, acks = some, to_server = some })
lab("loss before the filter", 5, 6000, { to_filter = some })
lab("some loss, reordering and duplicates everywhere", 8, 8000, { all = some, again = true })
lab("much of it", 5, 3000, { all = much, again = true })

-- One connection, step by step: the server's bytes begin at 1001, the client's at 2001.

local function from_server(fields)
   fields.seq, fields.ack = fields.seq or 1001, fields.ack or 2001
   fields.flags, fields.window = fields.flags or "A", fields.window or 1000
   return packet("server", fields)
end

local function from_client(fields)
   fields.seq, fields.ack = fields.seq or 2001, fields.ack or 1001
   fields.flags, fields.window = fields.flags or "A", fields.window or 500
   return packet("client", fields)
end

local function pass(side, pkt, expected)
   t.send(tf[side], pkt)
   return t.expect(tf[side == "left" and "right" or "left"], expected or pkt)
end

local function connect(options, port)
   options = options or { mss = 1000, wscale = 0, sack_ok = true }
   pass("left", from_client{ seq = 2000, ack = 0, flags = "S", options = options, port = port })
   pass("right", from_server{ seq = 1000, flags = "SA", options = options, port = port })
   pass("left", from_client{ port = port })
end

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
      client_port = 5000 + round
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

-- HTTP --------------------------------------------------------------------------------------------

local web = { set = { words = "needle,pins and needles", http = "yes" } }

local function in_pieces(side, size, text, from)
   local make, base = side == "left" and from_client or from_server, side == "left" and 2001 or 1001
   local out, seq = {}, nil
   for at = 1, #text, size do
      local piece = text:sub(at, at + size - 1)
      t.send(tf[side], make{ seq = base + at - 1, payload = piece, flags = "PA", ack = from })
      local got = t.take(tf[side == "left" and "right" or "left"])
      while got do
         if #got.payload > 0 then
            assert(not seq or seq == got.tcp.seq)
            out[#out + 1] = got.payload
            seq = got.tcp.seq + #got.payload
         end
         got = t.take(tf[side == "left" and "right" or "left"])
      end
   end
   t.ignore(tf[side])
   return table.concat(out)
end

local function same(got, expected)
   if got ~= expected then error(("got %q, expected %q"):format(got, expected), 2) end
end

for _, size in ipairs { 1, 7, 1000 } do
   t.scenario(("HTTP in pieces of %d bytes"):format(size), web, function()
      connect()
      same(in_pieces("left", size, "GET /needle HTTP/1.1\r\nHost: needle\r\nAccept-Encoding: gzip,\r\n br\r\nRange: bytes=0-5\r\n"
         .. "Connection: keep-alive\r\nX: y\r\n\r\nneedle"),
         "GET /needle HTTP/1.0\r\nHost: needle\r\nX: y\r\nConnection: close\r\n\r\nneedle")
      same(in_pieces("right", size, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Type: text/needle\r\n"
         .. "connection: Keep-Alive\r\n\r\na needle and more, Content-Length: 5\r\n."),
         "HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/needle\r\nConnection: close\r\n\r\n"
         .. "a pins and needles and more, Content-Length: 5\r\n.")
   end)

   t.scenario(("what is not HTTP, or encoded, in pieces of %d bytes"):format(size), web, function()
      connect()
      local other = "SSH-2.0 needle\r\nContent-Length: 5\r\n\r\nneedle."
      same(in_pieces("right", size, other), other)
   end)

   t.scenario(("an encoded answer in pieces of %d bytes"):format(size), web, function()
      connect()
      local head = "HTTP/1.1 200 OK\r\nContent-Encoding: x-odd\r\n"
      same(in_pieces("right", size, head .. "\r\nneedle."), head .. "Connection: close\r\n\r\nneedle.")
   end)
end

t.scenario("pairs of words", { set = { words = "needle" }, load_error = "pairs of an old and a new text" })
t.scenario("a word to look for", { set = { words = ",x" }, load_error = "1 to 1024 bytes" })
