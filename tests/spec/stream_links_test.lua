-- tunfilter.stream between a sender and a receiver that are written here from the RFCs' rules, over
-- links that lose, repeat and reorder.
local tf = require "tunfilter"
local t = require "tunfilter.test"
local hosts = require "stream_hosts"

local chance, packet = hosts.chance, hosts.packet
local two32 = 2 ^ 32

local function signed(x)
   x = x % two32
   return x >= 2 ^ 31 and x - two32 or x
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
