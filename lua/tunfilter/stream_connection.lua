--- One TCP connection of which one direction or both are being changed.
---
--- A half is a direction of it, with the side that sends it for a key. Its bytes are looked at once,
--- in order: what an editor has decided stays, in the half's map, until the receiver has
--- acknowledged it, so that what is sent again is changed again in the same way. Offsets:
---
---    done    old bytes before it are decided, and have been given to the receiver at least once
---    edge    old bytes before it have come; those from done on are `held`: the editor wants more
---    top     there are bytes, or a FIN, up to here; those behind a gap wait in the queue
---    told    what the sender has been told to have arrived
---    has     what the receiver has said that it has: a new offset
---
--- A FIN counts as a byte, as in TCP. What comes behind a gap is answered as the receiver would, with
--- SACK blocks. Held bytes count as arrived only if more has come behind them. Until then their
--- sender has to keep them, and sends them again when it has heard nothing for a while. Perhaps what
--- came behind them was lost, and it sends that only when it has been told that they arrived: so it
--- is told. If then still nothing comes, they go on as they are, and are sent until they arrive.
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local live = require "tunfilter.live"
local map = require "tunfilter.stream_map"
local packet = require "tunfilter.packet"
local queue = require "tunfilter.stream_queue"
local timer = require "tunfilter.timer"
local send = require "tunfilter.init".members.send
local verdict = require "tunfilter.verdict"

local M = {}

local ffi, C, context = core.ffi, core.C, core.context
local band, tobit = bit.band, bit.tobit

local FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
local SACK, TIMESTAMP = C.TF_OPTION_SACK, C.TF_OPTION_TIMESTAMP

-- Edits of a half that are not acknowledged: at most so many; and all maps and queues together, in bytes.
local max_edits, few_edits = 32768, 256
local budget = { used = 0, max = 2 ^ 26 }

-- What comes further behind the edge than this is not waited for: it hardly is the sender's.
local furthest = 2 ^ 21

-- Edits with fewer bytes than this between them are made one, up to so many old bytes: it takes less.
local close, joined = 64, 512

-- Seconds that more bytes may take when held ones have come again (a sender tries again after 0.2 at the
-- least), and how often these are sent then.
local patience, tries = 0.4, 8

local options = ffi.new "struct tf_tcp_options"

-- Packets -----------------------------------------------------------------------------------------

local function get32(p, at)
   local d = p.data + p.transport + at
   return (d[0] * 256 + d[1]) * 65536 + d[2] * 256 + d[3]
end

local function put(p, at, width, value)
   C.tf_packet_put(p, p.transport + at, width, value)
end

local function text_of(p)
   return ffi.string(live.payload(p), p["end"] - p.payload)
end

-- The offset of a sequence number that is near a known one.
local function offset(half, seq, near)
   return near + tobit(seq - (half.base + near) % 2 ^ 32)
end

local function number(half, at)
   return (half.base + at) % 2 ^ 32
end

local function set_flags(p, set, clear)
   local flags = p.data[p.transport + 13]
   put(p, 13, 1, bit.bor(band(flags, bit.bnot(clear)), set))
end

-- Halves ------------------------------------------------------------------------------------------

-- What is known of the side that sends this half, from the options of its SYN.
local function new_half(syn, editor)
   return {
      base = (syn.seq + 1) % 2 ^ 32,
      largest = syn.mss,            -- payload that the side takes, with the options
      scale = syn.scale,            -- of its windows
      next = (syn.seq + 1) % 2 ^ 32, -- sequence number behind the last that it sent, as the other side sees it
      ack = nil, window = nil,      -- that the last packet which was let through had
      clock = nil,                  -- its last timestamp
      edit = editor,                -- nil: its bytes stay as they are
      map = map.new(budget), queue = queue.new(budget),
      done = 0, edge = 0, top = 0, told = 0, has = 0,
      held = "",
      fin = nil,                    -- offset of its FIN, when all before it has come
      last = nil, until_then = nil, -- a copy of the packet that brought held bytes again; when to give up
   }
end

local function out(half)
   return half.done + half.map.total
end

-- How far the sender may be told that its bytes have arrived.
local function arrived(half)
   if half.has < out(half) then return half.map:to_old(half.has) end
   return (half.top > half.edge or half.last) and half.edge or half.done
end

-- Where old offsets are for the receiver, for packets without bytes.
local function place(half, at)
   if at <= half.done then return half.map:to_new(at) end
   return out(half) + math.max(0, at - half.edge)
end

local function tell(half)
   half.told = math.max(half.told, arrived(half))
end

-- Acknowledgements --------------------------------------------------------------------------------

-- The window that the sender of a half may have: as many old bytes as will fill the receiver's if they
-- grow as those before them did.
local function window_of(half, window, scale)
   local unit = 2 ^ scale
   local growth = math.max(1, out(half) / math.max(half.edge, 1))
   local flying = out(half) - half.has
   local room = half.done - half.told + math.max(0, window * unit - flying) / growth
   local value = math.floor(room / unit)
   if value < 1 and window > 0 and flying == 0 then return 1 end
   return math.min(math.max(value, 0), 65535)
end

local function set_block(half)
   return function(i, from, to)
      options.left[i], options.right[i] = number(half, from), number(half, to)
   end
end

-- Writes `options`; without SACK blocks if there is no room for them.
local function write_options(p, keep)
   local code = C.tf_tcp_options_write(p, options, keep)
   if code == C.TF_EDIT_ROOM then
      live.grow(p, p.len + 40)
      code = C.tf_tcp_options_write(p, options, keep)
   end
   if code == C.TF_OPTIONS_TOO_LONG then
      options.present = band(options.present, bit.bnot(SACK))
      C.tf_tcp_options_write(p, options, keep)
   end
end

-- SACK blocks of new bytes become those of old ones; what waits in the queue is added.
local function translate_blocks(half, p)
   local had, n = band(options.present, SACK) ~= 0 and options.blocks or 0, 0
   for i = 0, had - 1 do
      local l, r = offset(half, options.left[i], out(half)), offset(half, options.right[i], out(half))
      local left, right = half.map:to_old_range(l, r)
      if right > half.edge then right = half.edge end
      if left < right then
         options.left[n], options.right[n] = number(half, left), number(half, right)
         n = n + 1
      end
   end
   local most = band(options.present, TIMESTAMP) ~= 0 and 3 or 4
   if half.sack then n = half.queue:blocks(nil, n, most, set_block(half)) end
   if n == 0 and had == 0 then return end
   options.blocks = n
   options.present = n > 0 and bit.bor(options.present, SACK) or band(options.present, bit.bnot(SACK))
   write_options(p, 1)
end

-- The receiver of a half acknowledges: the packet is changed to what the half's sender understands.
local function acknowledge(half, receiver, p)
   local behind = out(half)
   local acked = offset(half, get32(p, 8), behind)
   local told
   if acked > behind then
      told = half.edge + acked - behind -- of bytes that were never sent: the sender will say so
   else
      local fresh = acked >= half.has
      if fresh then
         half.has = acked
         half.map:forget(acked)
         tell(half)
      end
      told = fresh and half.told or math.min(half.map:to_old(acked), half.told)
   end
   if half.map:is_plain() and half.held == "" and not half.queue[1] and told == acked then return end
   put(p, 8, 4, number(half, told))
   local d = p.data + p.transport
   local window = d[14] * 256 + d[15]
   put(p, 14, 2, window_of(half, window, receiver.scale))
   translate_blocks(half, p)
end

-- Tells the sender of a half, whose packet this is, what has arrived, as the receiver would.
local function answer(half, receiver, pkt, p, recent)
   if not receiver.window then return end
   tell(half)
   C.tf_tcp_options_read(p, options)
   local copy = pkt:copy()
   copy.payload = ""
   copy.ip.src, copy.ip.dst = pkt.ip.dst, pkt.ip.src
   copy.ip.ecn = 0
   if copy.eth then copy.eth.src, copy.eth.dst = pkt.eth.dst, pkt.eth.src end
   local q = packet.resolve(copy)
   local d = q.data + q.transport
   local sport, dport = d[0] * 256 + d[1], d[2] * 256 + d[3]
   put(q, 0, 2, dport)
   put(q, 2, 2, sport)
   put(q, 4, 4, receiver.next)
   put(q, 8, 4, number(half, half.told))
   put(q, 13, 1, ACK)
   put(q, 14, 2, receiver.window)
   put(q, 18, 2, 0)
   options.ecr = options.val
   options.val = receiver.clock or 0
   options.present = receiver.clock and band(options.present, TIMESTAMP) or 0
   if half.sack then
      options.blocks = half.queue:blocks(recent, 0, options.present ~= 0 and 3 or 4, set_block(half))
      if options.blocks > 0 then options.present = bit.bor(options.present, SACK) end
   end
   write_options(q, 0)
   send(pkt.from, copy)
end

-- Bytes -------------------------------------------------------------------------------------------

-- A packet whose bytes go no further now: what else it says may still be news.
local function absorb(half, pkt, p)
   local d = p.data + p.transport
   if get32(p, 8) == half.ack and d[14] * 256 + d[15] == half.window then return verdict.drop end
   put(p, 4, 4, number(half, out(half)))
   set_flags(p, 0, FIN + PSH + URG)
   pkt.payload = ""
end

-- Gives text to the receiver, from a new offset on, in the packet, and in others before it if that
-- would grow longer than its sender makes them.
local function emit(half, receiver, pkt, p, text, start, fin, longest)
   local limit = math.max(longest, p["end"] - p.payload, band(p.headers, C.TF_HAS_IP6) ~= 0 and 1200 or 516)
   limit = math.max(48, math.min(limit, receiver.largest - (p.payload - p.transport - 20)))
   set_flags(p, fin and FIN or 0, (fin and 0 or FIN) + URG)
   local at = 1
   while #text - at + 1 > limit do
      local copy = pkt:copy()
      local q = packet.resolve(copy)
      put(q, 4, 4, number(half, start + at - 1))
      set_flags(q, 0, FIN + PSH)
      copy.payload = text:sub(at, at + limit - 1)
      send(pkt.to, copy) -- if there is no room it is lost, as packets are
      at = at + limit
   end
   p = packet.resolve(pkt)
   put(p, 4, 4, number(half, start + at - 1))
   pkt.payload = text:sub(at)
end

-- Bytes that their sender was told of and that stay as they are: it will not send them again.
local function keep(half, from, to, text, base)
   to = math.min(to, half.told)
   if from < to then half.map:add(from, to - from, text:sub(from - base + 1, to - base)) end
end

-- The editor looks at what has not been decided, which begins at half.done.
local function decide(half, text, last)
   local base = half.done
   local taken, edits = half.edit(text, last)
   local from, i = base, 1
   while edits[i] do
      local at, behind, new = base + edits[i], base + edits[i] + edits[i + 1], edits[i + 2]
      i = i + 3
      local parts
      while edits[i] and base + edits[i] - behind < close and base + edits[i] - at < joined do
         parts = parts or { new }
         parts[#parts + 1] = text:sub(behind - base + 1, edits[i])
         parts[#parts + 1] = edits[i + 2]
         behind = base + edits[i] + edits[i + 1]
         i = i + 3
      end
      keep(half, from, at, text, base)
      half.map:add(at, behind - at, parts and table.concat(parts) or new)
      from = behind
   end
   keep(half, from, base + taken, text, base)
   half.done = base + taken
   half.held = text:sub(taken + 1)
end

-- Bytes of which some are new: text begins at old offset from, at most half.edge.
local function advance(half, text, from, fin)
   local base = from
   half.last = nil
   if half.held ~= "" then -- those that were looked at count, whatever comes now
      text = text:sub(1, math.max(0, half.done - from)) .. half.held .. text:sub(half.edge - from + 1)
      base = math.min(from, half.done)
   end
   local to = base + #text
   text = text .. half.queue:take(to)
   to = base + #text
   fin = fin or half.pending_fin == to
   decide(half, text:sub(half.done - base + 1), fin)
   half.edge = to
   if fin then
      half.fin, half.done, half.edge = to, to + 1, to + 1
      half.queue:clear()
      half.top = half.edge
   end
   half.top = math.max(half.top, half.edge)
   return text, base, to, fin
end

-- Sends the bytes that were held, which their sender has forgotten, until they have arrived.
local function push(half, receiver, copy, left)
   local begin = half.map:back(half.done, half.told, half.has)
   if begin == half.done or left == 0 then return end
   local text, start = half.map:render(begin, half.done, "", half.done)
   copy.payload = text
   local p = packet.resolve(copy)
   put(p, 4, 4, number(half, start))
   put(p, 8, 4, half.ack)
   put(p, 14, 2, half.window)
   C.tf_tcp_options_read(p, options)
   options.val, options.ecr = half.clock or 0, receiver.clock or 0
   options.present = band(options.present, TIMESTAMP)
   write_options(p, 0)
   send(copy.to, copy)
   timer.after(0.2 * 2 ^ (tries - left), function() push(half, receiver, copy, left - 1) end)
end

-- Held bytes have come again, and nothing behind them. Each time that they do their sender has not heard
-- yet that they arrived, and the time begins anew.
local function wait(half, receiver, pkt)
   half.until_then = context.now + patience
   if half.last then return end
   local copy = pkt:copy()
   half.last = copy
   local function look()
      if half.last ~= copy then return end
      if context.now < half.until_then and half.top == half.edge then
         timer.after(half.until_then - context.now, look)
         return
      end
      half.last = nil
      if half.top > half.edge then return end
      keep(half, half.done, half.edge, half.held, half.done)
      half.done, half.held = half.edge, ""
      push(half, receiver, copy, tries)
   end
   timer.after(patience, look)
end

local function room_for_edits(half)
   local n = half.map:count()
   return n < few_edits or n < max_edits and budget.used < budget.max
end

local function receive(half, receiver, pkt, p, seq, fin)
   local from = offset(half, seq, half.edge)
   local to = from + p["end"] - p.payload
   if from == to and not fin then
      put(p, 4, 4, number(half, place(half, from)))
      return
   end
   if half.fin and to > half.fin then return verdict.drop end
   if from > half.edge then
      if to - half.edge < furthest and (from == to or half.queue:add(from, text_of(p))) then
         half.top = math.max(half.top, to)
         if fin then half.pending_fin = to end
      end
      answer(half, receiver, pkt, p, from)
      return absorb(half, pkt, p)
   end

   local text, base, longest = nil, from, 0
   local whole = from == half.done and half.held == "" and not half.queue[1]
   local last = fin
   if to + (fin and 1 or 0) <= half.edge then
      if half.held ~= "" and half.ack and to == half.edge and half.top == to and half.has == out(half) then
         wait(half, receiver, pkt)
      end
      text, to, last = text_of(p), math.min(to, half.done), fin and half.fin == to
      if to <= from and not last then
         answer(half, receiver, pkt, p)
         return absorb(half, pkt, p)
      end
   else
      if not room_for_edits(half) then return verdict.drop end
      longest = half.queue.largest
      local transport, finish = p.transport, p["end"]
      text, base, to, last = advance(half, text_of(p), from, fin)
      to = math.min(to, half.done)
      p = packet.resolve(pkt) -- a function of the script's may have run
      if p.transport ~= transport or p["end"] ~= finish or band(p.headers, C.TF_HAS_TCP) == 0 then
         fault "stream.rewrite: the function changed the packet itself; it may only return what is to be sent"
      end
   end
   local begin = half.map:back(base, half.told, half.has)
   local new, start = half.map:render(begin, to, text, base, last)
   if new == "" and not last then
      if half.map:to_old(half.has) > half.told then answer(half, receiver, pkt, p) end
      return absorb(half, pkt, p)
   end
   if whole and last == fin and start == from and begin == from and new == text then return end
   emit(half, receiver, pkt, p, new, start, last, longest)
end

-- The connection ----------------------------------------------------------------------------------

--- What a SYN says of its sender; nil if it is none. Options without a name go: a path that changes
--- bytes cannot carry those that speak of bytes (MPTCP) or come with some (fast open).
function M.syn(p)
   C.tf_tcp_options_read(p, options)
   local has = function(which) return band(options.present, which) ~= 0 end
   local syn = {
      seq = get32(p, 4), ack = get32(p, 8), side = p.from,
      mss = has(C.TF_OPTION_MSS) and options.mss or 536,
      scale = has(C.TF_OPTION_WSCALE) and math.min(options.wscale, 14) or nil,
      sack = has(C.TF_OPTION_SACK_OK),
   }
   C.tf_tcp_options_write(p, options, 0)
   return syn
end

--- A connection from the SYNs of both sides; editors by side. See M.editor.
function M.new(a, b, editors)
   local scaled = a.scale and b.scale
   if not scaled then a.scale, b.scale = 0, 0 end
   local connection = { seen = context.now, reset = false }
   for _, syn in ipairs { a, b } do
      local half = new_half(syn, editors[syn.side])
      half.sack = a.sack and b.sack
      connection[syn.side] = half
   end
   return connection
end

--- Whether the connection has had nothing to say for so many seconds; if it has not ended, for ten times as many.
function M.is_idle(connection, seconds)
   local over = connection.reset or connection[0].finished and connection[1].finished
   return context.now - connection.seen > (over and seconds or 10 * seconds), over
end

--- Whether the connection began with these SYNs.
function M.is(connection, a, b)
   return connection[a.side].base == (a.seq + 1) % 2 ^ 32 and connection[b.side].base == (b.seq + 1) % 2 ^ 32
end

--- Whether more than half of the memory that all share is in use.
function M.crowded()
   return budget.used > budget.max / 2
end

--- Gives back what the connection has of it. What was not acknowledged can no longer be sent again.
function M.close(connection)
   for side = 0, 1 do
      connection[side].map:forget(math.huge)
      connection[side].queue:clear()
   end
end

-- What the other side has seen of a packet's sender.
local function remember(half, p, seq, flags)
   local d = p.data + p.transport
   if band(flags, ACK) ~= 0 then half.ack, half.window = get32(p, 8), d[14] * 256 + d[15] end
   if half.edit then
      half.next = number(half, out(half))
   else
      local behind = (seq + p["end"] - p.payload + (band(flags, FIN) ~= 0 and 1 or 0)) % 2 ^ 32
      if tobit(behind - half.next) > 0 then half.next = behind end
   end
end

--- A packet (not a SYN) of the connection, whole and with the right checksum. Gives a verdict or nil.
function M.process(connection, pkt)
   local p = packet.resolve(pkt)
   local half, other = connection[p.from], connection[1 - p.from]
   local flags = p.data[p.transport + 13]
   local seq = get32(p, 4)
   connection.seen = context.now
   if band(flags, FIN) ~= 0 then half.finished = true end
   C.tf_tcp_options_read(p, options)
   if band(options.present, TIMESTAMP) ~= 0 and (not half.clock or tobit(options.val - half.clock) > 0) then
      half.clock = options.val
   end
   if other.edit and band(flags, ACK) ~= 0 then acknowledge(other, half, p) end
   local decision
   connection.reset = band(flags, RST) ~= 0 -- if nothing follows it, it was meant
   if half.edit then
      if band(flags, RST) ~= 0 then
         put(p, 4, 4, number(half, place(half, offset(half, seq, half.edge))))
      else
         decision = receive(half, other, pkt, p, seq, band(flags, FIN) ~= 0)
      end
   end
   if decision ~= verdict.drop then remember(half, packet.resolve(pkt), seq, flags) end
   return decision
end

return M
