--- What the library has from C. Run once by the program with the declarations that the headers
--- share, the address of the context, and the functions of binding.c; never reachable for scripts.
local declarations, context, host = ...
local ffi = require "ffi"

ffi.cdef(declarations)

return {
   ffi = ffi,
   C = ffi.C,
   context = ffi.cast("struct tf_context *", context),
   host = host,
}
