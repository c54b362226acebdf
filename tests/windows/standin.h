/*
 * A stand-in for wintun.dll: the same fourteen functions, with an adapter's network on a loopback
 * UDP socket, faults on demand, and no patience with a program that misuses it.
 *
 *   STANDIN_ADAPTERS=left=PORT:PEER,right=…   whose datagrams to PORT are packets to the program,
 * and whose packets from the program are datagrams to PEER STANDIN_EXISTS=left,… adapters that are
 * there before the program starts STANDIN_FAIL=CreateAdapter:5,…            calls that fail, and
 * the last error they leave
 *
 * A datagram whose first byte is 255, which begins no packet, is a command for the session:
 *
 *   end          the adapter is taken away
 *   corrupt      the rings hold nonsense from now on
 *   full 1|0     the ring that the program sends through is full, or as full as it is
 *   late MS      the event for packets is set so much later than they come, until the next command
 *   spurious     the event is set, and there is no packet
 *   stat         is answered with counters
 *
 * What a program may not do ends it with a line on standard error and status 99.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <winsock2.h>

#define PACKET_MAX   0xffff
#define PACKET_MAGIC 0x504b5453
#define MISUSE	     99 /* exit status */

enum state {
	QUEUED, /* in the ring to the program; in the other one there is no such state */
	LENT,	/* the program has its address: received, or allocated */
	DONE	/* released or sent, but one before it is not */
};

/* A packet in a ring; its bytes are what the program gets the address of. */
struct packet {
	struct packet *next;
	DWORD magic, size;
	enum state state;
	BYTE bytes[];
};

/* Packets in order of arrival or allocation; the oldest leaves first, whatever the program does. */
struct ring {
	struct packet *first, *last;
	struct packet *unread; /* to the program: the first that is QUEUED */
	DWORD used;	       /* bytes */
	CRITICAL_SECTION lock;
};

struct adapter {
	DWORD magic;
	WCHAR name[64];
	int peer;		 /* port; 0: nobody is joined to it */
	struct session *session; /* one at a time */
	LONG number;
};

struct session {
	DWORD magic, capacity; /* of each ring, in bytes */
	struct adapter *adapter;
	SOCKET socket;
	struct sockaddr_in self, peer;
	HANDLE event, thread;
	struct ring in, out;
	volatile LONG ended, corrupt, full, late, stop;
	LONG received, receive_dropped, sent, send_refused, events;
};

void misuse(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void say(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether STANDIN_FAIL names this call; the last error is set then. */
BOOL fails(const char *call);

/* Bytes that a packet takes of a ring: a size before it, and rounded up to 4. */
DWORD taken(DWORD size);

/* The thread of a session that receives from its socket. */
DWORD WINAPI standin_receive(void *session);

#endif
