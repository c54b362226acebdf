# What tunfilter stands on. Each comes from the system; scripts/packages knows their names there.
find_package(PkgConfig REQUIRED)

function(tf_require name module)
  pkg_check_modules(${name} IMPORTED_TARGET GLOBAL "${module}")
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "tunfilter needs ${module}. `scripts/packages build` installs what the build needs.")
  endif()
endfunction()

tf_require(LUAJIT luajit)
tf_require(LIBUV libuv)
tf_require(LIBPCAP libpcap)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  tf_require(LIBMNL libmnl)
endif()

# Flags that hold for every target of ours.
add_library(tf_flags INTERFACE)
target_compile_features(tf_flags INTERFACE c_std_11)
target_compile_definitions(tf_flags INTERFACE _GNU_SOURCE)
target_compile_options(tf_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes
                       -Wmissing-prototypes -fvisibility=hidden)
if(WIN32) # of its headers what Windows 10 has, without the rest of their names; C's printf; no DLLs beside us
  target_compile_definitions(tf_flags INTERFACE _WIN32_WINNT=0x0A00 WIN32_LEAN_AND_MEAN NOMINMAX
                             __USE_MINGW_ANSI_STDIO=1)
  target_compile_options(tf_flags INTERFACE -include "${PROJECT_SOURCE_DIR}/src/names_windows.h")
  target_link_options(tf_flags INTERFACE -static)
endif()
if(TF_WERROR)
  target_compile_options(tf_flags INTERFACE -Werror)
endif()
if(TF_SANITIZE)
  string(REPLACE ";" "," tf_sanitizers "${TF_SANITIZE}")
  target_compile_options(tf_flags INTERFACE -fsanitize=${tf_sanitizers} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(tf_flags INTERFACE -fsanitize=${tf_sanitizers})
endif()
