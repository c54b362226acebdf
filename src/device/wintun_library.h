/*
 * wintun.dll, which carries IP packets between Windows and a program through two rings. It is no
 * part of this program: a person puts it beside tunfilter.exe. What we use of it is declared here
 * in our own words; its functions need no lock but where said.
 */
#ifndef TF_DEVICE_WINTUN_LIBRARY_H
#define TF_DEVICE_WINTUN_LIBRARY_H

#include <windows.h>

#include "../error.h"

enum {
	TF_WINTUN_RING_MIN = 0x20000, /* bytes; a ring's size is a power of two in these bounds */
	TF_WINTUN_RING_MAX = 0x4000000,
	TF_WINTUN_PACKET_MAX = 0xffff
};

struct tf_wintun_adapter; /* the library's */
struct tf_wintun_session;

enum tf_wintun_level { TF_WINTUN_INFO, TF_WINTUN_WARNING, TF_WINTUN_ERROR };
typedef void(CALLBACK *tf_wintun_logger)(enum tf_wintun_level level, DWORD64 time, LPCWSTR line);

/* Its exports, in the order of its own header: X(result, name, arguments). */
#define TF_WINTUN_EXPORTS(X)                                                                       \
	X(struct tf_wintun_adapter *, CreateAdapter, (LPCWSTR name, LPCWSTR type, const GUID *id)) \
	X(struct tf_wintun_adapter *, OpenAdapter, (LPCWSTR name))                                 \
	X(void, CloseAdapter, (struct tf_wintun_adapter * adapter))                                \
	X(BOOL, DeleteDriver, (void))                                                              \
	X(void, GetAdapterLUID, (struct tf_wintun_adapter * adapter, void *luid))                  \
	X(DWORD, GetRunningDriverVersion, (void))                                                  \
	X(void, SetLogger, (tf_wintun_logger logger))                                              \
	X(struct tf_wintun_session *, StartSession,                                                \
	  (struct tf_wintun_adapter * adapter, DWORD capacity))                                    \
	X(void, EndSession, (struct tf_wintun_session * session))                                  \
	X(HANDLE, GetReadWaitEvent, (struct tf_wintun_session * session))                          \
	X(BYTE *, ReceivePacket, (struct tf_wintun_session * session, DWORD * size))               \
	X(void, ReleaseReceivePacket, (struct tf_wintun_session * session, const BYTE *packet))    \
	X(BYTE *, AllocateSendPacket, (struct tf_wintun_session * session, DWORD size))            \
	X(void, SendPacket, (struct tf_wintun_session * session, const BYTE *packet))

struct tf_wintun_library {
#define TF_WINTUN_MEMBER(result, name, arguments) result(WINAPI *name) arguments;
	TF_WINTUN_EXPORTS(TF_WINTUN_MEMBER)
#undef TF_WINTUN_MEMBER
	HMODULE module;
	char path[MAX_PATH * 3]; /* UTF-8: where it was found */
	int users;
};

/*
 * Loads the library, from the program's folder or System32 and nowhere else, and looks up each of
 * its names; devices share one. 0, or a code with a sentence that says which file has to come from
 * where. Its log lines are in ours from then on.
 */
int tf_wintun_library_open(struct tf_wintun_library **out, struct tf_error *error);
void tf_wintun_library_close(struct tf_wintun_library *library);

/* OpenAdapter; but that there is none of that name, which it complains of, is no news. */
struct tf_wintun_adapter *tf_wintun_ask(struct tf_wintun_library *library, LPCWSTR name);

/* "0.14" of the driver that runs, or "" if none does. */
const char *tf_wintun_version(const struct tf_wintun_library *library, char text[16]);

/*
 * Why its last call on this thread failed, in words: what it last complained of, the system's error
 * (0: it left none), or both.
 */
const char *tf_wintun_reason(DWORD code, char text[512]);

/* Forgets what it complained of so far: before a call whose reason will be asked for. */
void tf_wintun_reason_clear(void);

#endif
