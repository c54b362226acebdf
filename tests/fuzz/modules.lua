--- Reads everything that a script can read of a packet, and hands it to every module. None of it may throw,
--- whatever the bytes are.
local tf = require "tunfilter"
local dns = require "tunfilter.dns"
local http = require "tunfilter.http"
local netem = require "tunfilter.netem"
local stream = require "tunfilter.stream"
local tls = require "tunfilter.tls"

local fields = {
   eth = { "src", "dst", "type", "vlan" },
   arp = { "op", "sha", "spa", "tha", "tpa" },
   ip = { "version", "src", "dst", "proto", "ttl", "dscp", "ecn", "len" },
   ip4 = { "id", "df", "mf", "offset", "checksum" },
   ip6 = { "flow_label", "next_header" },
   tcp = { "sport", "dport", "seq", "ack", "flags", "window", "checksum", "urgent", "options" },
   udp = { "sport", "dport", "len", "checksum" },
   icmp = { "type", "code", "checksum", "id", "seq" },
   icmp6 = { "type", "code", "checksum" },
}
local options = { "mss", "wscale", "sack_ok", "timestamp", "sack" }
local sum = 0

local function see(value)
   sum = sum + #tostring(value)
end

tf.on_packet(function(pkt)
   see(pkt)
   see(pkt:hexdump())
   see(pkt.payload)
   see(pkt.malformed)
   see(pkt:bytes())
   for header, names in pairs(fields) do
      local view = pkt[header]
      if view then
         for _, name in ipairs(names) do see(view[name]) end
      end
   end
   if pkt.tcp then
      for _, name in ipairs(options) do see(pkt.tcp.options[name]) end
      assert(pkt.tcp.flags == tostring(pkt.tcp.flags))
   end
   assert(#pkt == #pkt:bytes() and pkt:u8(#pkt - 1) == pkt:bytes():byte(-1))
   local flow = tf.flow(pkt)
   if flow then flow.packets = (flow.packets or 0) + 1 end
end)

local function dig(value, depth)
   if type(value) ~= "table" then return see(value) end
   assert(depth < 8)
   for k, v in pairs(value) do
      see(k)
      dig(v, depth + 1)
   end
end

tf.on_packet(function(pkt)
   for _, what in ipairs { pkt, pkt.payload } do
      local message = dns.parse(what)
      dig(message, 0)
      if message then pcall(dns.build, message) end
      dig(tls.client_hello(what), 0)
      see(tls.server_name(what))
      dig(http.request(what), 0)
      dig(http.response(what), 0)
   end
   if pkt.udp and pkt.udp.dport == 53 then pcall(dns.answer, pkt, { { type = "A", data = "10.0.0.1" } }) end
end)

tf.on_packet("tcp port 80", stream.replace { "Hello", "Good day", "hidden", "", from = tf.left })
tf.on_packet("tcp port 81", stream.rewrite {
   from = tf.left, http = true,
   function(text, last)
      if not last and #text > 3 then return text:sub(1, -4):upper() .. "!", 3 end
      return text:reverse()
   end,
})
tf.on_packet("udp port 7", netem { delay = 0.1, jitter = 0.1, loss = 0.3, duplicate = 0.3, corrupt = 0.3, reorder = 0.2 })
tf.on_packet("udp port 8", function(pkt) return pkt:reject() end)
tf.on_packet("udp port 9", function(pkt)
   local copy = pkt:copy()
   pcall(copy.set_u16, copy, 20, 99)
   tf.send(tf.left, copy)
   return pkt:hold(0.5)
end)
