#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT	      __declspec(dllexport)
#define ADAPTER_MAGIC 0x41445054
#define SESSION_MAGIC 0x53455353
#define RING_MIN      0x20000
#define RING_MAX      0x4000000

typedef void(CALLBACK *logger_fn)(int level, DWORD64 time, LPCWSTR line);

static logger_fn logger;
static LONG adapters_made;
static struct adapter *open_adapters[16];
static int driver_runs;

void misuse(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "wintun stand-in: misuse: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	fflush(stderr);
	TerminateProcess(GetCurrentProcess(), MISUSE);
	for (;;)
		Sleep(INFINITE);
}

void say(int level, const char *format, ...)
{
	char text[256];
	WCHAR wide[256];
	FILETIME now;
	DWORD error = GetLastError();
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	MultiByteToWideChar(CP_UTF8, 0, text, -1, wide, 256);
	GetSystemTimeAsFileTime(&now);
	if (logger)
		logger(level, (DWORD64)now.dwHighDateTime << 32 | now.dwLowDateTime, wide);
	SetLastError(error);
}

/* What stands behind NAME and the separator in a list of an environment variable; NULL: it is not
 * in it. */
static const char *entry(const char *variable, const char *name, char separator)
{
	const char *list = getenv(variable);
	size_t length = strlen(name);

	for (; list && *list; list = strchr(list, ','), list = list ? list + 1 : NULL) {
		if (strncmp(list, name, length))
			continue;
		if (list[length] == separator)
			return list + length + 1;
		if (separator == 0 && list[length] == ',')
			return list + length;
	}
	return NULL;
}

BOOL fails(const char *call)
{
	const char *code = entry("STANDIN_FAIL", call, ':');

	if (code == NULL)
		return FALSE;
	say(2, "Failed in %s, as it was told to", call);
	SetLastError((DWORD)strtoul(code, NULL, 10));
	return TRUE;
}

static void check_adapter(const struct adapter *adapter, const char *call)
{
	if (adapter == NULL || adapter->magic != ADAPTER_MAGIC)
		misuse("%s: no adapter, or one that is closed", call);
}

static void check_session(const struct session *session, const char *call)
{
	if (session == NULL || session->magic != SESSION_MAGIC)
		misuse("%s: no session, or one that has ended", call);
}

EXPORT void WINAPI WintunSetLogger(logger_fn new_logger)
{
	logger = new_logger;
}

EXPORT DWORD WINAPI WintunGetRunningDriverVersion(void)
{
	if (fails("GetRunningDriverVersion"))
		return 0;
	SetLastError(driver_runs ? 0 : ERROR_FILE_NOT_FOUND);
	return driver_runs ? 14 : 0;
}

EXPORT BOOL WINAPI WintunDeleteDriver(void)
{
	return !fails("DeleteDriver");
}

static struct adapter *make(LPCWSTR wide)
{
	char name[200];
	const char *ports;
	struct adapter *adapter;
	int slot = 0;

	WideCharToMultiByte(CP_UTF8, 0, wide, -1, name, sizeof(name), NULL, NULL);
	ports = entry("STANDIN_ADAPTERS", name, '=');
	while (slot < 16 && open_adapters[slot])
		slot++;
	adapter = slot < 16 ? calloc(1, sizeof(*adapter)) : NULL;
	if (adapter == NULL) {
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
		return NULL;
	}
	adapter->magic = ADAPTER_MAGIC;
	wcsncpy(adapter->name, wide, 63);
	adapter->number = InterlockedIncrement(&adapters_made);
	if (ports)
		adapter->peer = atoi(ports);
	driver_runs = 1;
	open_adapters[slot] = adapter;
	return adapter;
}

EXPORT struct adapter *WINAPI WintunCreateAdapter(LPCWSTR name, LPCWSTR type, const GUID *id)
{
	(void)id;
	if (name == NULL || type == NULL || wcslen(name) > 127 || wcslen(type) > 127)
		misuse("CreateAdapter: a name and a type of at most 127 characters are needed");
	if (fails("CreateAdapter"))
		return NULL;
	say(0, "Creating adapter");
	return make(name);
}

EXPORT struct adapter *WINAPI WintunOpenAdapter(LPCWSTR name)
{
	char text[200];

	if (name == NULL)
		misuse("OpenAdapter: no name");
	if (fails("OpenAdapter"))
		return NULL;
	WideCharToMultiByte(CP_UTF8, 0, name, -1, text, sizeof(text), NULL, NULL);
	for (int i = 0; i < 16; i++)
		if (open_adapters[i] && !wcscmp(open_adapters[i]->name, name))
			return make(name);
	if (entry("STANDIN_EXISTS", text, 0))
		return make(name);
	say(2, "Failed to find matching adapter name (Code 0x00000490)");
	SetLastError(ERROR_NOT_FOUND);
	return NULL;
}

EXPORT void WINAPI WintunCloseAdapter(struct adapter *adapter)
{
	if (adapter == NULL)
		return;
	check_adapter(adapter, "CloseAdapter");
	if (adapter->session)
		misuse("CloseAdapter: its session has not ended");
	for (int i = 0; i < 16; i++)
		if (open_adapters[i] == adapter)
			open_adapters[i] = NULL;
	say(0, "Removed adapter");
	adapter->magic = 0; /* kept, so that who uses it still is found out */
}

EXPORT void WINAPI WintunGetAdapterLUID(struct adapter *adapter, void *luid)
{
	DWORD64 value;

	check_adapter(adapter, "GetAdapterLUID");
	value = (DWORD64)53 << 48 | (DWORD64)(0x800000 + adapter->number) << 24;
	memcpy(luid, &value, sizeof(value));
}

/* Its socket, at a port of the system's choice, of which the peer is told; 0 or an error code. */
static DWORD open_socket(struct session *session)
{
	static const char hello[] = {(char)255, 'h', 'e', 'l', 'l', 'o'};
	int size = 8 << 20;
	WSADATA data;

	WSAStartup(MAKEWORD(2, 2), &data);
	session->self.sin_family = session->peer.sin_family = AF_INET;
	session->self.sin_addr.s_addr = session->peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	session->peer.sin_port = htons((u_short)session->adapter->peer);
	session->socket = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(session->socket, SOL_SOCKET, SO_RCVBUF, (char *)&size, sizeof(size));
	setsockopt(session->socket, SOL_SOCKET, SO_SNDBUF, (char *)&size, sizeof(size));
	if (bind(session->socket, (struct sockaddr *)&session->self, sizeof(session->self)) != 0)
		return (DWORD)WSAGetLastError();
	size = sizeof(session->self);
	getsockname(session->socket, (struct sockaddr *)&session->self, &size);
	if (session->adapter->peer)
		sendto(session->socket, hello, sizeof(hello), 0, (struct sockaddr *)&session->peer,
		       sizeof(session->peer));
	return 0;
}

EXPORT struct session *WINAPI WintunStartSession(struct adapter *adapter, DWORD capacity)
{
	struct session *session;
	DWORD error;

	check_adapter(adapter, "StartSession");
	if (capacity < RING_MIN || capacity > RING_MAX || (capacity & (capacity - 1)))
		misuse("StartSession: a ring has a power of two of bytes, 0x20000 to 0x4000000");
	if (fails("StartSession"))
		return NULL;
	if (adapter->session) {
		SetLastError(ERROR_ALREADY_INITIALIZED);
		return NULL;
	}
	session = calloc(1, sizeof(*session));
	session->magic = SESSION_MAGIC;
	session->capacity = capacity;
	session->adapter = adapter;
	InitializeCriticalSection(&session->in.lock);
	InitializeCriticalSection(&session->out.lock);
	error = open_socket(session);
	if (error) {
		say(2, "Failed to open a socket");
		closesocket(session->socket);
		free(session);
		SetLastError(error);
		return NULL;
	}
	session->event =
		CreateEventW(NULL, FALSE, FALSE, NULL); /* auto-reset, as the genuine one */
	session->thread = CreateThread(NULL, 0, standin_receive, session, 0, NULL);
	adapter->session = session;
	return session;
}

/* Frees what is left in a ring. */
static void empty(struct ring *ring)
{
	while (ring->first) {
		struct packet *next = ring->first->next;

		free(ring->first);
		ring->first = next;
	}
}

EXPORT void WINAPI WintunEndSession(struct session *session)
{
	const char stop = (char)255;

	check_session(session, "EndSession");
	for (struct packet *packet = session->in.first; packet; packet = packet->next)
		if (packet->state == LENT)
			misuse("EndSession: a received packet was not released");
	if (session->out.first)
		misuse("EndSession: an allocated packet was not sent");
	session->stop = 1;
	sendto(session->socket, &stop, 1, 0, (struct sockaddr *)&session->self,
	       sizeof(session->self));
	WaitForSingleObject(session->thread, INFINITE);
	CloseHandle(session->thread);
	CloseHandle(session->event);
	closesocket(session->socket);
	WSACleanup();
	empty(&session->in);
	session->adapter->session = NULL;
	session->magic = 0; /* kept, as adapters are */
}

EXPORT HANDLE WINAPI WintunGetReadWaitEvent(struct session *session)
{
	check_session(session, "GetReadWaitEvent");
	return session->event;
}

DWORD taken(DWORD size)
{
	return (sizeof(DWORD) + size + 3) & ~(DWORD)3;
}

/* Takes away from the ring's beginning what is done; send is called before for each, or is NULL. */
static void advance(struct session *session, struct ring *ring,
		    void (*send_one)(struct session *session, const struct packet *packet))
{
	struct packet *packet;

	while ((packet = ring->first) && packet->state == DONE) {
		if (send_one)
			send_one(session, packet);
		ring->first = packet->next;
		if (ring->first == NULL)
			ring->last = NULL;
		ring->used -= taken(packet->size);
		packet->magic = 0;
		free(packet);
	}
}

EXPORT BYTE *WINAPI WintunReceivePacket(struct session *session, DWORD *size)
{
	struct packet *packet;
	DWORD error = ERROR_NO_MORE_ITEMS;

	check_session(session, "ReceivePacket");
	EnterCriticalSection(&session->in.lock);
	packet = session->in.unread;
	if (session->ended)
		error = ERROR_HANDLE_EOF;
	else if (session->corrupt)
		error = ERROR_INVALID_DATA;
	else if (packet)
		error = 0;
	if (error == 0) {
		session->in.unread = packet->next;
		packet->state = LENT;
		*size = packet->size;
	}
	LeaveCriticalSection(&session->in.lock);
	SetLastError(error);
	return error == 0 ? packet->bytes : NULL;
}

/* The packet whose bytes a program gives back; it must be lent. */
static struct packet *lent(const BYTE *bytes, const char *call)
{
	struct packet *packet = (struct packet *)(bytes - offsetof(struct packet, bytes));

	if (bytes == NULL || packet->magic != PACKET_MAGIC || packet->state != LENT)
		misuse("%s: not a packet that it had, or given back twice", call);
	return packet;
}

EXPORT void WINAPI WintunReleaseReceivePacket(struct session *session, const BYTE *bytes)
{
	check_session(session, "ReleaseReceivePacket");
	EnterCriticalSection(&session->in.lock);
	lent(bytes, "ReleaseReceivePacket")->state = DONE;
	advance(session, &session->in, NULL);
	LeaveCriticalSection(&session->in.lock);
}

EXPORT BYTE *WINAPI WintunAllocateSendPacket(struct session *session, DWORD size)
{
	struct packet *packet = NULL;
	DWORD error = 0;

	check_session(session, "AllocateSendPacket");
	if (size == 0 || size > PACKET_MAX)
		misuse("AllocateSendPacket: %lu bytes", size);
	EnterCriticalSection(&session->out.lock);
	if (session->ended) {
		error = ERROR_HANDLE_EOF;
	} else if (session->corrupt) {
		error = ERROR_INVALID_DATA;
	} else if (session->full || session->out.used + taken(size) > session->capacity) {
		error = ERROR_BUFFER_OVERFLOW;
		session->send_refused++;
	} else {
		packet = malloc(sizeof(*packet) + size);
		packet->next = NULL;
		packet->magic = PACKET_MAGIC;
		packet->size = size;
		packet->state = LENT;
		memset(packet->bytes, 0xcd, size); /* what is not written to is no packet */
		if (session->out.last)
			session->out.last->next = packet;
		else
			session->out.first = packet;
		session->out.last = packet;
		session->out.used += taken(size);
	}
	LeaveCriticalSection(&session->out.lock);
	SetLastError(error);
	return packet ? packet->bytes : NULL;
}

static void send_one(struct session *session, const struct packet *packet)
{
	int version = packet->bytes[0] >> 4;

	if (version != 4 && version != 6)
		misuse("SendPacket: neither IPv4 nor IPv6");
	sendto(session->socket, (const char *)packet->bytes, (int)packet->size, 0,
	       (struct sockaddr *)&session->peer, sizeof(session->peer));
	session->sent++;
}

EXPORT void WINAPI WintunSendPacket(struct session *session, const BYTE *bytes)
{
	check_session(session, "SendPacket");
	EnterCriticalSection(&session->out.lock);
	lent(bytes, "SendPacket")->state = DONE;
	advance(session, &session->out, send_one);
	LeaveCriticalSection(&session->out.lock);
}

/* The library goes, or the process ends, and something is still open. */
BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID at_exit)
{
	(void)instance;
	(void)at_exit;
	if (reason != DLL_PROCESS_DETACH)
		return TRUE;
	for (int i = 0; i < 16; i++)
		if (open_adapters[i])
			misuse("the end: an adapter is still open");
	return TRUE;
}
