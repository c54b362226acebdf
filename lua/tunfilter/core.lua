--- What the library has from C. Run once by the program with the declarations that the headers
--- share, the address of the context, and the functions of binding.c; never reachable for scripts.
local declarations, context, host = ...
local ffi = require "ffi"

ffi.cdef(declarations)

-- For scripts with a thousand callbacks: the default, half a MiB of machine code, is thrown away and made anew
-- all the time there, which doubles what a packet costs.
require "jit.opt".start("maxtrace=8000", "maxmcode=8192")

-- LuaJIT on x64 before 5 April 2022 (Debian 12 has one of March) compiles next() to code that may cut
-- a pointer to 32 bits ("Fix RETHI/RETLO swap after call"); no script may come upon that. Releases
-- with a number above 20100 have the mend.
if jit.arch == "x64" and jit.version_num <= 20100 then
   local compiled_next = next
   local function interpreted_next(t, key) return compiled_next(t, key) end
   jit.off(interpreted_next)
   jit.off(table.foreach) -- which has such a loop of its own
   next = interpreted_next
   function pairs(t)
      if type(t) ~= "table" then error(("bad argument #1 to 'pairs' (table expected, got %s)"):format(type(t)), 2) end
      return interpreted_next, t, nil
   end
end

return {
   ffi = ffi,
   C = ffi.C,
   context = ffi.cast("struct tf_context *", context),
   host = host,
}
