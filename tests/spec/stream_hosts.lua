-- What the tests of tunfilter.stream have in common: the two hosts' packets, and chance.
local tf = require "tunfilter"
local t = require "tunfilter.test"

local M = {}

local client, server = "10.0.0.1", "10.0.0.2"

--- The client's port.
M.client_port = 5000

--- A source of chance of the tests' own: the same on every run.
function M.chance(seed)
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

--- A packet of the "client" or the "server".
function M.packet(from, fields)
   local port = fields.port or 80
   fields.port = nil
   fields.sport, fields.dport = from == "server" and port or M.client_port, from == "server" and M.client_port or port
   local v6 = fields.v6
   local a, b = v6 and "fd77::1" or client, v6 and "fd77::2" or server
   local payload = fields.payload
   fields.v6, fields.payload = nil, nil
   return tf.packet{ ip = from == "server" and { src = b, dst = a } or { src = a, dst = b }, tcp = fields, payload = payload }
end

-- One connection, step by step: the server's bytes begin at 1001, the client's at 2001.

function M.from_server(fields)
   fields.seq, fields.ack = fields.seq or 1001, fields.ack or 2001
   fields.flags, fields.window = fields.flags or "A", fields.window or 1000
   return M.packet("server", fields)
end

function M.from_client(fields)
   fields.seq, fields.ack = fields.seq or 2001, fields.ack or 1001
   fields.flags, fields.window = fields.flags or "A", fields.window or 500
   return M.packet("client", fields)
end

--- Shows a packet to the filter, which is to come out of the other side as it is or as expected.
function M.pass(side, pkt, expected)
   t.send(tf[side], pkt)
   return t.expect(tf[side == "left" and "right" or "left"], expected or pkt)
end

--- Both SYNs, and what follows them.
function M.connect(options, port)
   options = options or { mss = 1000, wscale = 0, sack_ok = true }
   M.pass("left", M.from_client{ seq = 2000, ack = 0, flags = "S", options = options, port = port })
   M.pass("right", M.from_server{ seq = 1000, flags = "SA", options = options, port = port })
   M.pass("left", M.from_client{ port = port })
end

return M
