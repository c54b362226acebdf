# The Lua library as C arrays in the program, and the headers' shared declarations as one of its texts.
set(TF_LUA_DIR "${PROJECT_SOURCE_DIR}/lua/tunfilter")

function(tf_embed target)
  file(GLOB lua_files CONFIGURE_DEPENDS "${TF_LUA_DIR}/*.lua")
  list(FILTER lua_files EXCLUDE REGEX "/meta[^/]*\\.lua$")
  set(headers packet.h batch.h parse.h segment.h edit.h describe.h flow.h waiting.h context.h names.h nets.h address.h checksum.h tcp_options.h reject.h)
  list(TRANSFORM headers PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded.c")
  add_custom_command(
    OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DLUA_FILES=${lua_files}" "-DHEADERS=${headers}"
            -P "${PROJECT_SOURCE_DIR}/src/cmake/embed.cmake"
    DEPENDS ${lua_files} ${headers} "${PROJECT_SOURCE_DIR}/src/cmake/embed.cmake"
    COMMENT "Embedding the Lua library" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
  if(TF_LUA_FROM_SOURCE)
    target_compile_definitions(${target} PRIVATE "TF_LUA_DIR=\"${TF_LUA_DIR}\"")
  endif()
endfunction()
