/*
 * A batch: one arena that packets are read into one after the other, and their descriptors.
 *
 *   arena:  headroom | packet | headroom | packet | headroom | (room for the largest packet)
 *
 * A device asks for room, reads a whole packet into it and commits the length; no read can be cut
 * short. With so many packets or so many bytes the batch is full. A packet that a script
 * makes longer moves to a slot of its own (tf_batch_grow), which the batch keeps for the next time.
 * A large packet that is cut lies there too, before the headers of the packets that it gave.
 * Everything here runs on the loop thread.
 */
#ifndef TF_BATCH_H
#define TF_BATCH_H

#include <stddef.h>

#include "packet.h"

/* cdef: begin */
struct tf_batch {
	struct tf_packet *packets; /* count of them are in use, the others all zero */
	uint32_t count;		   /* packets in the batch, at most capacity */
	uint32_t cursor;	   /* the packet that the script is at; count when it is done */
	uint32_t budget;	   /* no more is read once there are so many; fixed at creation */
	uint32_t capacity;	   /* how many fit: a large packet that is cut may give more */
	uint8_t from;		   /* side that all of them were read from */
	uint8_t link;		   /* TF_LINK_… of that side */
	uint8_t *arena;		   /* all packets lie here until they grow */
	size_t arena_size;	   /* bytes */
	size_t used;		   /* bytes of the arena that packets occupy */
	uint8_t **slots;	   /* capacity pointers: one full-size slot a grown packet, kept */
	uint32_t slots_used;	   /* slots that this batch's packets have taken */
	struct tf_large *larges;   /* budget of them: what packets of this batch were cut from */
	uint32_t large_count;	   /* of them in use */
};
/* cdef: end */

/* A batch for up to budget (1 to 4096) packets. 0, UV_ENOMEM, or UV_EINVAL for another budget. */
int tf_batch_create(struct tf_batch **out, uint32_t budget);

/* Frees it and every slot; NULL is fine. */
void tf_batch_destroy(struct tf_batch *batch);

/* Forgets all packets and starts anew for packets of this side and link type. */
void tf_batch_reset(struct tf_batch *batch, uint8_t from, uint8_t link);

/* No more is read once packets occupy so many bytes: two large ones, a hundred of middle size. */
enum { TF_BATCH_BYTES = 160 << 10 };

/* Where the next packet goes: TF_PACKET_MAX bytes, TF_HEADROOM free before. NULL when full. */
static inline uint8_t *tf_batch_room(struct tf_batch *batch)
{
	if (batch->count >= batch->budget || batch->used >= TF_BATCH_BYTES)
		return NULL;
	return batch->arena + batch->used + TF_HEADROOM;
}

/*
 * Takes the len (1 to TF_PACKET_MAX) bytes just read at tf_batch_room() as a packet, and returns
 * its descriptor: data, len, room, from, link set, all else zero. Number, time and parse are the
 * pipeline's.
 */
static inline struct tf_packet *tf_batch_commit(struct tf_batch *batch, uint32_t len)
{
	struct tf_packet *packet = &batch->packets[batch->count++];

	packet->data = batch->arena + batch->used + TF_HEADROOM;
	packet->len = len;
	packet->room = (len + TF_ALIGN - 1) & ~(uint32_t)(TF_ALIGN - 1);
	packet->from = batch->from;
	packet->link = batch->link;
	batch->used += TF_HEADROOM + packet->room;
	return packet;
}

/*
 * Likewise, but not as a packet: it is to be cut (segment.h), and stays where it is until the batch
 * is reset.
 */
static inline void tf_batch_keep(struct tf_batch *batch, uint32_t len)
{
	batch->used += TF_HEADROOM + ((len + TF_ALIGN - 1) & ~(uint32_t)(TF_ALIGN - 1));
}

/*
 * Moves a packet of this batch to a slot with room for TF_PACKET_MAX bytes; its bytes and its
 * offsets stay, and its payload is settled. 0, or UV_ENOMEM and the packet is as it was.
 */
/* cdef: begin */
TF_EXPORT int tf_batch_grow(struct tf_batch *batch, struct tf_packet *packet);
/* cdef: end */

#endif
