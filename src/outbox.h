/*
 * Packets that a script sends by itself, in order, until the pipeline has written them. Each
 * knows at which packet of the batch it was sent, so that it is written in its place.
 */
#ifndef TF_OUTBOX_H
#define TF_OUTBOX_H

#include <stddef.h>

#include "packet.h"

#define TF_OUTBOX_PACKETS 4096
#define TF_OUTBOX_BYTES	  (16u << 20)

struct tf_sent {
	struct tf_packet packet; /* data, len, room, link, from (the other side), all else zero */
	uint32_t before;	 /* index in the batch of the packet that it goes before */
	uint8_t side;		 /* where it goes */
};

struct tf_outbox {
	struct tf_sent *sent; /* count of them */
	uint32_t count;
	uint32_t capacity;
	size_t bytes; /* in them */
};

struct tf_outbox *tf_outbox_create(void);
void tf_outbox_destroy(struct tf_outbox *outbox);

/* Copies a packet of 1 to TF_PACKET_MAX bytes in. TF_SEND_OK, TF_SEND_FULL or TF_SEND_NOMEM. */
int tf_outbox_add(struct tf_outbox *outbox, uint8_t side, uint8_t link, uint32_t before,
		  const uint8_t *bytes, uint32_t len);

/* Forgets all. */
void tf_outbox_clear(struct tf_outbox *outbox);

#endif
