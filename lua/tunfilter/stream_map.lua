--- How the bytes of a stream that is being changed are numbered on its two sides.
---
--- Offsets count bytes of one direction of a connection from 0: old ones as their sender numbers
--- them, new ones as their receiver does. An edit says that `len` old bytes have become `text`; edits
--- are in order and do not overlap. Those that the receiver has acknowledged are forgotten; before the
--- first that is remembered, and behind the last, the two numbers differ by a constant.
local M = {}

local map = {}
map.__index = map

--- budget: { used =, max = } in bytes, shared by all maps.
function M.new(budget)
   return setmetatable({
      at = {}, len = {}, text = {}, start = {}, -- of each edit; start is the new offset of `at`
      first = 1, last = 0,
      shift = 0,                                -- new minus old before the first edit
      total = 0,                                -- and behind the last
      budget = budget,
   }, map)
end

local overhead = 64 -- bytes that an edit takes besides its text, about

-- The last edit whose entry in list is at most value; first - 1 if there is none.
local function find(self, list, value)
   local low, high = self.first - 1, self.last
   while low < high do
      local middle = math.ceil((low + high) / 2)
      if list[middle] <= value then low = middle else high = middle - 1 end
   end
   return low
end

function map:count()
   return self.last - self.first + 1
end

--- Whether all that passed and passes has the same numbers on both sides.
function map:is_plain()
   return self.last < self.first and self.total == 0
end

--- From old offset `at` on, len bytes have become text. In order.
function map:add(at, len, text)
   local i = self.last + 1
   self.at[i], self.len[i], self.text[i], self.start[i] = at, len, text, at + self.total
   self.last = i
   self.total = self.total + #text - len
   self.budget.used = self.budget.used + #text + overhead
end

--- The receiver has everything before a new offset: no edit before it is needed any more.
function map:forget(new)
   while self.first <= self.last do
      local i = self.first
      local behind = self.start[i] + #self.text[i]
      if behind > new then return end
      self.shift = behind - self.at[i] - self.len[i]
      self.budget.used = self.budget.used - #self.text[i] - overhead
      self.at[i], self.len[i], self.text[i], self.start[i] = nil, nil, nil, nil
      self.first = i + 1
   end
   self.first, self.last = 1, 0
end

--- The new offset of an old one; of one inside an edit, the edit's first.
function map:to_new(old)
   local i = find(self, self.at, old)
   if i < self.first then return old + self.shift end
   local behind = self.at[i] + self.len[i]
   if old < behind then return self.start[i] end
   return old - behind + self.start[i] + #self.text[i]
end

--- How far the old bytes are with the receiver when it has the new ones before `new`.
function map:to_old(new)
   local i = find(self, self.start, new)
   if i < self.first then return new - self.shift end
   local behind = self.start[i] + #self.text[i]
   if new < behind then return self.at[i] end
   return new - behind + self.at[i] + self.len[i]
end

--- The old range of a new one of which it is sure that all its bytes are with the receiver.
function map:to_old_range(left, right)
   local i = find(self, self.start, left)
   local from = self:to_old(left)
   if i >= self.first and left > self.start[i] and left < self.start[i] + #self.text[i] then
      from = from + self.len[i]
   end
   i = find(self, self.start, right - 1)
   if i < self.first then return from, right - self.shift end
   local behind = self.start[i] + #self.text[i]
   if right < behind then return from, self.at[i] end
   return from, right - behind + self.at[i] + self.len[i]
end

--- Where to begin so that what comes before an old offset is there too, as far as its sender has been
--- told (up to `told`) that it has arrived, and the receiver (which has new bytes up to `has`) lacks it.
function map:back(old, told, has)
   local i = find(self, self.at, old - 1)
   while i >= self.first do
      local at = self.at[i]
      if at + self.len[i] < old or at >= told or self.start[i] + #self.text[i] <= has then break end
      old = at
      i = i - 1
   end
   return old
end

--- The new bytes of the old ones from `from` up to `to`, and the new offset where they begin. An edit
--- that reaches into the range is there in whole. The old bytes are in text, whose first has the
--- old offset base. last: an edit that only inserts, at `to`, is there too.
function map:render(from, to, text, base, last)
   local i = find(self, self.at, from)
   if i < self.first or (self.at[i] < from and self.at[i] + self.len[i] <= from) then i = i + 1 end
   if i > self.last or not (self.at[i] < to or last and self.at[i] == to) then
      return text:sub(from - base + 1, to - base), self:to_new(from)
   end
   local start = self.at[i] <= from and self.start[i] or self.start[i] - (self.at[i] - from)
   local parts, done = {}, from
   while i <= self.last and (self.at[i] < to or last and self.at[i] == to) do
      if self.at[i] > done then parts[#parts + 1] = text:sub(done - base + 1, self.at[i] - base) end
      parts[#parts + 1] = self.text[i]
      done = self.at[i] + self.len[i]
      i = i + 1
   end
   if done < to then parts[#parts + 1] = text:sub(done - base + 1, to - base) end
   return table.concat(parts), start
end

return M
