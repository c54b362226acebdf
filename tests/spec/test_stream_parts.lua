-- The map and the queue of tunfilter.stream against what is said of them, byte by byte.
local map = require "tunfilter.stream_map"
local queue = require "tunfilter.stream_queue"

test("a map numbers bytes as a list of them does", function()
   math.randomseed(3)
   for _ = 1, 200 do
      local budget = { used = 0, max = 1e6 }
      local m = map.new(budget)
      local old, new = {}, {}       -- the bytes; new_of[i], old_of[i]: where byte i is on the other side
      local new_of, has = {}, 0     -- of old bytes that stayed
      local edits = {}
      while #old < 200 do
         for _ = 1, math.random(0, 6) do
            old[#old + 1] = "."
            new_of[#old - 1] = #new
            new[#new + 1] = "."
         end
         local len, text = math.random(1, 4), ("x"):rep(math.random(0, 5))
         m:add(#old, len, text)
         edits[#edits + 1] = { at = #old, to = #old + len, start = #new, behind = #new + #text }
         for _ = 1, len do old[#old + 1] = "o" end
         for c in text:gmatch "." do new[#new + 1] = c end
      end
      if math.random(2) == 1 then
         has = math.random(#new)
         m:forget(has)
      end
      for at, there in pairs(new_of) do
         if there >= has then
            equal(m:to_new(at), there)
            equal(m:to_old(there + 1) >= at + 1, true)
         end
      end
      for _, edit in ipairs(edits) do
         if edit.behind > has then
            for at = edit.at, edit.to - 1 do equal(m:to_new(at), edit.start) end
            for there = edit.start + 1, edit.behind - 1 do
               equal(m:to_old(there), edit.at)
               local from, to = m:to_old_range(there, edit.behind)
               equal(from >= to, true) -- a part of an edit is no old byte
            end
         end
      end
      local text = table.concat(old)
      local from = m:to_old(has)
      local got, start = m:render(from, #old, text:sub(from + 1), from)
      equal(got, table.concat(new):sub(start + 1))
      equal(start <= has, true)
      equal(m:is_plain(), false)
      m:forget(math.huge)
      equal(m:count(), 0)
      equal(budget.used, 0)
   end
end)

test("a queue gives what was put in, and its room back", function()
   math.randomseed(4)
   local whole = {}
   for i = 1, 400 do whole[i] = string.char(i % 251) end
   whole = table.concat(whole)
   for _ = 1, 200 do
      local budget = { used = 0, max = 1e6 }
      local q, there = queue.new(budget), {}
      for _ = 1, 40 do
         local from = math.random(10, 390)
         local to = math.random(from + 1, math.min(400, from + 40))
         if q:add(from, whole:sub(from + 1, to)) then
            for i = from, to - 1 do there[i] = true end
         end
         local last = 0
         q:blocks(nil, 0, 100, function(_, a, b)
            assert(a > last and b > a, "blocks are apart from each other, and in order")
            for i = a, b - 1 do assert(there[i], "a byte that was never here") end
            last = b
         end)
      end
      local at = math.random(0, 399)
      local got = q:take(at)
      equal(got, whole:sub(at + 1, at + #got))
      for i = at, at + #got - 1 do assert(there[i]) end
      q:clear()
      equal(budget.used, 0)
      equal(q.used, 0)
   end
end)

test("a queue is bounded", function()
   local budget = { used = 0, max = 1e9 }
   local q = queue.new(budget)
   for i = 1, 100 do q:add(i * 10, "x") end
   equal(#q, 64)
   q:clear()
   local text = ("x"):rep(60000)
   for i = 0, 99 do q:add(i * 60000, text) end
   equal(q.used <= 2 ^ 21, true)
   budget.max = budget.used
   equal(q:add(1e8, "x"), false)
end)
