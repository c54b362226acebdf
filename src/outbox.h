/*
 * Packets that go out besides the batch's own: those a script sends by itself, and held ones whose
 * time has come. In order, until the pipeline has written them; each knows before which packet of
 * the batch it is to be written.
 */
#ifndef TF_OUTBOX_H
#define TF_OUTBOX_H

#include <stddef.h>

#include "packet.h"

#define TF_OUTBOX_PACKETS 4096
#define TF_OUTBOX_BYTES	  (16u << 20)

struct tf_sent {
	struct tf_packet packet; /* number 0: the script's own; else one that was held */
	uint32_t before;	 /* index in the batch of the packet that it goes before */
	uint8_t side;		 /* where it goes */
};

struct tf_outbox {
	struct tf_sent *sent; /* count of them, room for TF_OUTBOX_PACKETS: they stay where they are */
	uint32_t count;
	size_t bytes; /* in them */
};

/* NULL without memory. */
struct tf_outbox *tf_outbox_create(void);
void tf_outbox_destroy(struct tf_outbox *outbox);

/*
 * Copies a packet, sent at this time on the run's clock, of 1 to TF_PACKET_MAX bytes in, as the script's own. TF_SEND_OK, TF_SEND_FULL or
 * TF_SEND_NOMEM.
 */
int tf_outbox_add(struct tf_outbox *outbox, uint8_t side, uint8_t link, uint32_t before, double clock,
		  const uint8_t *bytes, uint32_t len);

/*
 * Copies a packet in with all that its descriptor says, to be held (verdict HOLD) from its own time on. The copy, which
 * stays where it is until tf_outbox_clear, or NULL if it is full or there is no memory.
 */
struct tf_packet *tf_outbox_copy(struct tf_outbox *outbox, struct tf_packet *packet, uint8_t side,
				 uint32_t before);

/* Takes a packet over whose data is TF_HEADROOM bytes into a block of malloc. Likewise. */
int tf_outbox_take(struct tf_outbox *outbox, const struct tf_packet *packet, uint8_t side, uint32_t before);

/* Forgets all. */
void tf_outbox_clear(struct tf_outbox *outbox);

#endif
