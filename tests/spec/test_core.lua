-- What core.lua puts in place of LuaJIT's own next() and pairs() where these are not safe.
local old = jit.arch == "x64" and jit.version_num <= 20100

test("next() is not compiled where its machine code may be wrong", function()
   local function info(fn) return debug.getinfo(fn, "S").what end
   equal(info(next), old and "Lua" or "C")
   equal(info((pairs{})), old and "Lua" or "C")
end)

test("pairs() and next() are as ever", function()
   local t, sum, keys = { 10, 20, x = 30 }, 0, 0
   for key, value in pairs(t) do
      equal(t[key], value)
      sum, keys = sum + value, keys + 1
      t[key] = nil
   end
   equal(sum, 60)
   equal(keys, 3)
   equal(next(t), nil)
   equal(select("#", next{}), 1)
   throws("bad argument #1 to 'pairs' (table expected, got nil)", function() pairs(nil) end)
end)
