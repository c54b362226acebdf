-- Whatever a script does to a packet that passes comes to the same as with a copy of its own. (Run with packets
-- that come as parts of large ones, this is about bytes and checksums that are not there yet.)
local tf = require "tunfilter"
local t = require "tunfilter.test"
local acts = require "acts"

local function payload(length)
   return ("abcdefg" .. ("%c"):rep(6):format(0, 255, 254, 10, 13, 128)):rep(math.ceil(length / 13)):sub(1, length)
end

-- One of each kind, with a number for the rules.
local function each(number, fn)
   for _, version in ipairs { 4, 6 } do
      for _, upper in ipairs { "tcp", "udp" } do
         for _, length in ipairs { 0, 1, 2, 57, 1400 } do
            local layers = { payload = payload(length) }
            if version == 4 then
               layers.ip4 = { src = "10.0.0.1", dst = "10.0.0.2", id = number }
            else
               layers.ip6 = { src = "fd00::1", dst = "fd00::2", flow_label = number }
            end
            if upper == "tcp" then
               layers.tcp = { sport = 1, dport = 2, seq = 7, ack = 9, flags = length % 2 == 0 and "A" or "PA",
                              options = length > 50 and { timestamp = { val = 1, ecr = 2 } } or nil }
            else
               layers.udp = { sport = 1, dport = 2 }
            end
            fn(tf.packet(layers), ("IPv%d, %s, %d bytes, number %d"):format(version, upper, length, number))
         end
      end
   end
end

t.scenario("what a script sees and what goes out", function()
   for number, act in ipairs(acts) do
      each(number, function(pkt, what)
         t.send(tf.left, pkt)
         local own = pkt:copy()
         t.expect_log(acts.words(number, act(own)))
         local came = t.take(tf.right)
         assert(came, what)
         assert(came:bytes() == own:bytes(), what .. "\n" .. own:hexdump() .. came:hexdump())
      end)
   end
end)

-- Another packet takes the place of those that are still to come.
local function another()
   t.send(tf.right, tf.packet{ ip4 = { src = "10.0.0.2", dst = "10.0.0.1", id = 65535 }, udp = {}, payload = ("other"):rep(300) })
   t.take(tf.left)
end

t.scenario("what leaves by another way", function()
   each(#acts + 1, function(pkt)
      t.send(tf.left, pkt)
      t.expect(tf.left, pkt)
   end)
   for number = #acts + 2, #acts + 4, 2 do
      each(number, function(pkt)
         t.send(tf.left, pkt)
         t.expect_nothing()
         another()
         t.advance(1)
         t.expect(tf.right, pkt)
      end)
   end
   each(#acts + 3, function(pkt)
      t.send(tf.left, pkt)
      t.expect(tf.right, pkt)
      pkt.payload = "changed since"
      t.expect(tf.right, pkt)
   end)
   each(#acts + 5, function(pkt)
      t.send(tf.left, pkt)
      t.expect(tf.left, pkt)
   end)
   each(#acts + 6, function(pkt)
      t.send(tf.left, pkt)
      local answer = t.take(tf.left)
      -- TCP has a reset; an error of ICMP has the packet in it, as far as it goes.
      if pkt.udp then assert(answer.payload == pkt:bytes():sub(1, #answer.payload) and #answer.payload > 27) end
      assert(answer, "rejected")
   end)
   each(#acts + 7, function(pkt)
      t.send(tf.left, pkt)
      local came = t.take(tf.right)
      if not came then return end -- it was the IP version's
      local was, is, bits = pkt:bytes(), came:bytes(), 0
      for i = 1, #was do
         local change = bit.bxor(was:byte(i), is:byte(i))
         if change ~= 0 then bits = bits + (bit.band(change, change - 1) == 0 and 1 or 2) end
      end
      assert(bits == 1 and #is == #was, "one bit is another")
   end)
end)

local asked = tf.packet{ ip = { src = "10.0.0.1", dst = "10.0.0.2" }, udp = { sport = 1, dport = 2 }, payload = payload(22) }

for _, text in ipairs {
   "udp[8:4] = 0x61626364", "udp[29] = 255", "udp[6:2] = " .. asked.udp.checksum, "udp[5:2] = " .. 30 * 256 + math.floor(asked.udp.checksum / 256),
   "ip protochain 17 and ip[28] = 0x61", "ip[20:2] = 1 and ip[(ip[0] & 15) * 4 + 8] = 0x61", "ip[49] = 255 and not ip[48] = 255",
} do
   -- Translated, or asked of C; from twelve callbacks on C looks at all of their expressions together.
   for _, others in ipairs { 0, 12 } do
      t.scenario(("expression %s, and %d others"):format(text, others), { set = { expression = text, others = others } }, function()
         for _ = 1, 2 do
            t.send(tf.left, asked)
            t.expect_log "matches"
            t.expect(tf.right, asked)
         end
      end)
   end
end
