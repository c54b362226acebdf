--- require "tunfilter.stream": text in TCP connections that is changed on its way, to any length.
local check = require "tunfilter.check"
local connections = require "tunfilter.stream_connection"
local core = require "tunfilter.core"
local fault = require "tunfilter.fault"
local http = require "tunfilter.stream_http"
local packet = require "tunfilter.packet"
local sides = require "tunfilter.sides"
local suggest = require "tunfilter.suggest"
local verdict = require "tunfilter.verdict"

local M = {}

local ffi, C, context = core.ffi, core.C, core.context
local band, byte = bit.band, string.byte

local max_connections, idle = 16384, 86400 -- seconds
local tidy = 60 -- seconds
local longest_word = 1024

-- Editors -----------------------------------------------------------------------------------------
--
-- An editor is a function(text, last) for one connection. It is given the bytes that are not decided
-- yet, in order, and says how many of them it takes, and what is changed in these: an array of
-- offset (from 0), length, new text of the first change, of the second, and so on. What it does
-- not take it is given again, with more behind it. last: nothing follows; then it takes all.

-- Where the longest end of text (not before `from`) begins that a word may begin with.
local function undecided(text, from, words, longest)
   for at = math.max(from, #text - longest + 2), #text do
      if words.begin[byte(text, at)] then
         local rest = text:sub(at)
         for i = 1, #words, 2 do
            if #rest < #words[i] and words[i]:sub(1, #rest) == rest then return at end
         end
      end
   end
   return #text + 1
end

-- The first of the words in text from a place on, and where it begins; of two at one place the one
-- that was named first. places: where each was found when it was looked for last, false for nowhere.
local function first_word(text, from, words, places)
   local best, which
   for i = 1, #words, 2 do
      local at = places[i]
      if at == nil or at and at < from then
         at = text:find(words[i], from, true) or false
         places[i] = at
      end
      if at and (not best or at < best) then best, which = at, i end
   end
   return best, which
end

local function replacer(words, longest, max)
   local left = max or math.huge
   return function(text, last)
      local edits, from, places = {}, 1, {}
      local behind = last and #text + 1 or undecided(text, 1, words, longest)
      while left > 0 do
         local at, which = first_word(text, from, words, places)
         if not at or at >= behind then break end
         edits[#edits + 1], edits[#edits + 2], edits[#edits + 3] = at - 1, #words[which], words[which + 1]
         from = at + #words[which]
         left = left - 1
         if behind < from then behind = undecided(text, from, words, longest) end
      end
      if left == 0 then return #text, edits end
      return behind - 1, edits
   end
end

local function rewriter(fn)
   local state = {}
   return function(text, last)
      local new, kept = core.host.call(fn, text, last, state)
      if new == nil then new = text:sub(1, #text - (kept or 0)) end
      check.text(new, "stream.rewrite: what the function returned")
      local taken = #text - check.integer(kept == nil and 0 or kept, #text, "stream.rewrite: bytes to be kept")
      if last and taken < #text then fault "stream.rewrite: nothing follows, so there is nothing to wait for" end
      if taken == 0 and new ~= "" and not last then fault "stream.rewrite: new text for no text" end
      if new == text:sub(1, taken) then return taken, {} end
      return taken, { 0, taken, new }
   end
end

-- The callback ------------------------------------------------------------------------------------

local function is(p, flag)
   return band(p.data[p.transport + 13], flag) ~= 0
end

local SYN, ACK = 2, 16

-- A SYN, or the answer to one: with both of them a connection begins.
local function begin(entry, p, editors)
   local syn = connections.syn(p)
   if not is(p, ACK) then
      entry.syn = syn
      return
   end
   local first = entry.syn
   if not first or first.side == syn.side or syn.ack ~= (first.seq + 1) % 2 ^ 32 then return end
   if entry.connection then
      if connections.is(entry.connection, first, syn) then return end
      connections.close(entry.connection)
   end
   entry.connection = connections.new(first, syn, editors())
end

local function make_flows()
   local flows = C.tf_flow_create(max_connections)
   if flows == nil then fault "stream: there is no memory for the connections" end
   return ffi.gc(flows, C.tf_flow_destroy)
end

-- Whose packet it is: the addresses and ports of the left and of the right.
local function ends(p)
   local ip, tcp = p.data + p.network, p.data + p.transport
   local at, n = 12, 4
   if band(p.headers, C.TF_HAS_IP6) ~= 0 then at, n = 8, 16 end
   local a, b = ffi.string(ip + at, n) .. ffi.string(tcp, 2), ffi.string(ip + at + n, n) .. ffi.string(tcp + 2, 2)
   return p.from == C.TF_LEFT and a .. b or b .. a
end

-- The callback for connections whose bytes from one side go through what `make` makes.
local function callback(from, with_http, make)
   local flows, entries, fresh, tidied = nil, {}, ffi.new "uint8_t[1]", 0

   -- Connections that have ended are forgotten; where memory is short, what silent ones keep to send again too.
   local function tidy_up()
      tidied = context.now
      for slot, entry in pairs(entries) do
         local connection = entry.connection
         local silent, over = false, false
         if connection then silent, over = connections.is_idle(connection, tidy) end
         if silent and (over or connections.crowded()) then connections.close(connection) end
         if silent and over then entries[slot] = nil end
      end
   end

   local function editors()
      if not with_http then return { [from] = make() } end
      return { [from] = http.answer(make()), [1 - from] = http.request() }
   end

   local function entry_of(p)
      flows = flows or make_flows()
      local slot = C.tf_flow_find(flows, p, nil, context.now, idle, fresh)
      if slot == C.TF_FLOW_NONE then return nil end
      local entry = entries[slot]
      if entry and fresh[0] == 0 then return entry end
      local name = ends(p)
      if entry and entry.name == name then return entry end -- after a RST, which need not have been meant
      if entry and entry.connection then connections.close(entry.connection) end
      entry = { name = name }
      entries[slot] = entry
      return entry
   end

   return function(pkt)
      if not packet.is(pkt) then fault "stream: a callback for tf.on_packet; it takes a packet" end
      local p = packet.resolve(pkt)
      if band(p.headers, C.TF_HAS_TCP) == 0 then return end
      if context.now - tidied > tidy then tidy_up() end
      local entry = entry_of(p)
      if not entry or not entry.connection and not is(p, SYN) then return end
      if p.fragment ~= C.TF_WHOLE or C.tf_checksum_tcp_right(p) == 0 then
         return entry.connection and verdict.drop or nil -- nobody could tell where its bytes belong, or who changed them
      end
      if is(p, SYN) then return begin(entry, p, editors) end
      return connections.process(entry.connection, pkt)
   end
end

-- What scripts call ---------------------------------------------------------------------------------

-- The side and the options of a call; name: of the function.
local function arguments(name, t, options)
   if type(t) ~= "table" then check.wrong(name, "a table { …, from = side }", t) end
   for key in pairs(t) do
      if type(key) ~= "number" and not options[key] then fault(suggest(name, key, options)) end
   end
   local from = sides.index(t.from)
   if not from then fault(("%s: from is the side that sends the text, tf.left or tf.right, not %s"):format(name, tostring(t.from))) end
   if t.http ~= nil then check.boolean(t.http, name .. ": http") end
   return from
end

local replace_options = { from = true, http = true, max = true }

--- A callback for tf.on_packet that replaces words: { old, new, more…, from = side, http =, max = }.
function M.replace(t)
   local from = arguments("stream.replace", t, replace_options)
   if #t == 0 or #t % 2 ~= 0 then fault "stream.replace takes pairs of an old and a new text" end
   local words, longest = { begin = {} }, 0 -- pairs, and the first bytes of what is looked for
   for i = 1, #t do
      words[i] = check.text(t[i], i % 2 == 1 and "stream.replace: old" or "stream.replace: new")
      if i % 2 == 1 then
         if #t[i] < 1 or #t[i] > longest_word then
            fault(("stream.replace: an old text has 1 to %d bytes, not %d"):format(longest_word, #t[i]))
         end
         longest = math.max(longest, #t[i])
         words.begin[byte(t[i])] = true
      end
   end
   if t.max ~= nil then check.integer(t.max, 2 ^ 53, "stream.replace: max") end
   local max = t.max
   return callback(from, t.http, function() return replacer(words, longest, max) end)
end

local rewrite_options = { from = true, http = true }

--- A callback for tf.on_packet that gives text to a function: { function, from = side, http = }.
function M.rewrite(t)
   local from = arguments("stream.rewrite", t, rewrite_options)
   local fn = t[1]
   if type(fn) ~= "function" or t[2] ~= nil then fault "stream.rewrite takes one function(text, last, state)" end
   return callback(from, t.http, function() return rewriter(fn) end)
end

return require "tunfilter.module"("tunfilter.stream", M)
