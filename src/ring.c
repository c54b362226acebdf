#include "ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "packet.h"

enum { HEADER = 8, LONGEST = HEADER + TF_PACKET_MAX };

/*
 * Records lie one after the other from first to next: the length in 4 bytes, 4 unused, the packet,
 * up to a multiple of 8. One may begin anywhere below size and runs on behind it, so that none is
 * ever broken in two; the next then begins at 0. Where first and next are equal there is none.
 */
struct tf_ring {
	size_t size;
	uint32_t count_max;
	_Atomic size_t next;	/* written by who puts in */
	_Atomic uint32_t put;	/* packets so far, likewise */
	_Atomic size_t first;	/* written by who takes out */
	_Atomic uint32_t taken; /* likewise */
	uint8_t *bytes;		/* size, and LONGEST more */
};

static size_t record_size(uint32_t len)
{
	return HEADER + ((size_t)len + 7) / 8 * 8;
}

int tf_ring_create(struct tf_ring **out, uint32_t count, uint32_t size)
{
	struct tf_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return UV_ENOMEM;
	/* Room is there only for the longest: two more than will be used. */
	ring->size = count * record_size(size) + 2 * LONGEST;
	ring->count_max = count;
	ring->bytes = malloc(ring->size + LONGEST);
	if (!ring->bytes) {
		free(ring);
		return UV_ENOMEM;
	}
	*out = ring;
	return 0;
}

void tf_ring_destroy(struct tf_ring *ring)
{
	if (!ring)
		return;
	free(ring->bytes);
	free(ring);
}

uint8_t *tf_ring_room(struct tf_ring *ring)
{
	size_t next = atomic_load_explicit(&ring->next, memory_order_relaxed);
	size_t first = atomic_load_explicit(&ring->first, memory_order_acquire);
	uint32_t put = atomic_load_explicit(&ring->put, memory_order_relaxed);

	if (put - atomic_load_explicit(&ring->taken, memory_order_acquire) >= ring->count_max)
		return NULL;
	/* next must not come to stand at first again: that would mean an empty ring. */
	if (next < first ? next + LONGEST >= first : first == 0 && next + LONGEST >= ring->size)
		return NULL;
	return ring->bytes + next + HEADER;
}

void tf_ring_put(struct tf_ring *ring, uint32_t len)
{
	size_t next = atomic_load_explicit(&ring->next, memory_order_relaxed);

	memcpy(ring->bytes + next, &len, sizeof(len));
	next += record_size(len);
	atomic_fetch_add_explicit(&ring->put, 1, memory_order_relaxed);
	atomic_store_explicit(&ring->next, next < ring->size ? next : 0, memory_order_release);
}

const uint8_t *tf_ring_first(struct tf_ring *ring, uint32_t *len)
{
	size_t first = atomic_load_explicit(&ring->first, memory_order_relaxed);

	if (first == atomic_load_explicit(&ring->next, memory_order_acquire))
		return NULL;
	memcpy(len, ring->bytes + first, sizeof(*len));
	return ring->bytes + first + HEADER;
}

void tf_ring_take(struct tf_ring *ring)
{
	size_t first = atomic_load_explicit(&ring->first, memory_order_relaxed);
	uint32_t len;

	memcpy(&len, ring->bytes + first, sizeof(len));
	first += record_size(len);
	atomic_store_explicit(&ring->first, first < ring->size ? first : 0, memory_order_release);
	atomic_fetch_add_explicit(&ring->taken, 1, memory_order_release);
}
