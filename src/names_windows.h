/*
 * Before every file on Windows (src/CMakeLists.txt): its headers, which libuv's include, make
 * nothing of some plain words. After this they are ours again.
 */
#ifndef TF_NAMES_WINDOWS_H
#define TF_NAMES_WINDOWS_H

#include <winsock2.h> /* brings windows.h, and has to come first */

#include <ws2tcpip.h>

#include <mswsock.h>

#undef interface
#undef near
#undef far
#undef NEAR
#undef FAR
#undef small

#endif
