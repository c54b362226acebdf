# Toolchain: macOS 11 and later on TF_CROSS_PROCESSOR, by zig's clang, which brings Apple's headers and
# stubs along. scripts/build-macos uses it, with the commands in TF_CROSS_TOOLS and the libraries in
# TF_CROSS_PREFIX. On a Mac nothing of this is needed.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR "${TF_CROSS_PROCESSOR}")
set(CMAKE_C_COMPILER "${TF_CROSS_TOOLS}/cc")
set(CMAKE_AR "${TF_CROSS_TOOLS}/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${TF_CROSS_TOOLS}/ranlib" CACHE FILEPATH "")
set(CMAKE_INSTALL_NAME_TOOL /bin/true CACHE FILEPATH "")
set(CMAKE_OSX_SYSROOT "" CACHE PATH "")
set(CMAKE_OSX_ARCHITECTURES "" CACHE STRING "")
set(CMAKE_FIND_ROOT_PATH "${TF_CROSS_PREFIX}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TF_CROSS_PREFIX TF_CROSS_TOOLS TF_CROSS_PROCESSOR)
set(ENV{PKG_CONFIG_LIBDIR} "${TF_CROSS_PREFIX}/lib/pkgconfig") # none of this machine's own
# zig's linker would leave out the functions that only the Lua library calls, by name.
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,--no-gc-sections)
