/* What comes to a session's socket: packets for the program, and commands for us. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void queue(struct session *session, const char *bytes, DWORD size)
{
	struct packet *packet = malloc(sizeof(*packet) + size);
	struct ring *ring = &session->in;
	int was_empty;

	packet->next = NULL;
	packet->magic = PACKET_MAGIC;
	packet->size = size;
	packet->state = QUEUED;
	memcpy(packet->bytes, bytes, size);
	EnterCriticalSection(&ring->lock);
	if (ring->used + taken(size) > session->capacity) {
		session->receive_dropped++;
		LeaveCriticalSection(&ring->lock);
		free(packet);
		return;
	}
	was_empty = ring->unread == NULL;
	ring->used += taken(size);
	if (ring->last)
		ring->last->next = packet;
	else
		ring->first = packet;
	ring->last = packet;
	if (was_empty)
		ring->unread = packet;
	session->received++;
	LeaveCriticalSection(&ring->lock);
	if (!was_empty) /* who has not drained the ring is not told again */
		return;
	if (session->late)
		Sleep((DWORD)session->late);
	session->events++;
	SetEvent(session->event);
}

static void answer_stat(struct session *session, const struct sockaddr_in *to)
{
	char text[200];
	int length;

	length = snprintf(text, sizeof(text),
			  "%creceived=%ld receive_dropped=%ld sent=%ld send_refused=%ld events=%ld "
			  "ring=%lu",
			  255, session->received, session->receive_dropped, session->sent,
			  session->send_refused, session->events, session->capacity);
	sendto(session->socket, text, length, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void obey(struct session *session, const char *word, const struct sockaddr_in *from)
{
	session->late = 0;
	if (!strcmp(word, "end")) {
		session->ended = 1;
		SetEvent(session->event);
	} else if (!strcmp(word, "corrupt")) {
		session->corrupt = 1;
		SetEvent(session->event);
	} else if (!strncmp(word, "full ", 5)) {
		session->full = atoi(word + 5);
	} else if (!strncmp(word, "late ", 5)) {
		session->late = atoi(word + 5);
	} else if (!strcmp(word, "spurious")) {
		SetEvent(session->event);
	} else if (!strcmp(word, "stat")) {
		answer_stat(session, from);
	} else {
		misuse("no such command: %s", word);
	}
}

DWORD WINAPI standin_receive(void *arg)
{
	static __thread char bytes[PACKET_MAX + 2];
	struct session *session = arg;

	for (;;) {
		struct sockaddr_in from;
		int from_size = sizeof(from);
		int length = recvfrom(session->socket, bytes, PACKET_MAX, 0,
				      (struct sockaddr *)&from, &from_size);

		if (session->stop)
			return 0;
		if (length <= 0) /* nobody listens at the peer: the socket says so here */
			continue;
		bytes[length] = 0;
		if ((unsigned char)bytes[0] == 255)
			obey(session, bytes + 1, &from);
		else
			queue(session, bytes, (DWORD)length);
	}
}
