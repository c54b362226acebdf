--- Segments of a stream that came before their turn: they wait until what is missing before them has
--- come. Runs of bytes without a gap, in order, apart from each other, bounded in number and size.
local M = {}

local queue = {}
queue.__index = queue

local max_runs, max_bytes, overhead = 64, 2 ^ 21, 64

--- budget: { used =, max = } in bytes, shared by all queues.
function M.new(budget)
   return setmetatable({ budget = budget, used = 0, largest = 0 }, queue) -- [i]: { from =, to =, parts }
end

local function take_room(self, n)
   self.used = self.used + n
   self.budget.used = self.budget.used + n
end

-- The first run that ends at `from` or later, and its place.
local function find(self, from)
   for i = 1, #self do
      if self[i].to >= from then return i, self[i] end
   end
   return #self + 1
end

--- Keeps text that begins at an offset, or a part of it; false if there is no room. A part that
--- reaches over bytes that are here already may be left out: it will come again.
function M.add(self, from, text)
   local cost = #text + overhead
   if #text == 0 or self.used + cost > max_bytes or self.budget.used + cost > self.budget.max then return false end
   local i, run = find(self, from)
   if run and from + #text < run.from then run = nil end
   if not run then
      if #self >= max_runs then return false end
      table.insert(self, i, { from = from, to = from + #text, text })
   elseif from < run.from then
      text = text:sub(1, run.from - from)
      run.from = from
      table.insert(run, 1, text)
   else
      local following = self[i + 1]
      text = text:sub(run.to - from + 1, following and following.from - from or #text)
      if text == "" then return true end
      run[#run + 1] = text
      run.to = run.to + #text
      if following and following.from == run.to then
         for j = 1, #following do run[#run + 1] = following[j] end
         run.to = following.to
         table.remove(self, i + 1)
      end
   end
   self.largest = math.max(self.largest, #text)
   take_room(self, #text + overhead)
   return true
end
queue.add = M.add

--- Gives what is here from an offset on without a gap, and removes it and all before it.
function queue:take(from)
   local parts = {}
   while self[1] and self[1].from <= from do
      local run = table.remove(self, 1)
      local text = table.concat(run)
      take_room(self, -#text - overhead * #run)
      if run.to > from then
         parts[#parts + 1] = text:sub(from - run.from + 1)
         from = run.to
      end
   end
   return table.concat(parts)
end

--- Forgets all.
function queue:clear()
   self:take(math.huge)
end

--- Writes the runs as SACK blocks, the one with `recent` first, by set(i, from, to), from i on
--- below n. Returns how many there are then.
function queue:blocks(recent, i, n, set)
   local first = recent and find(self, recent) or 1
   for step = 0, math.min(#self, n - i) - 1 do
      local run = self[(first - 1 + step) % #self + 1]
      set(i, run.from, run.to)
      i = i + 1
   end
   return i
end

return M
