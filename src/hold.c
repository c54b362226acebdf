#include "hold.h"

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "segment.h"

struct entry {
	double due;
	uint64_t serial; /* of the add, so that equal times keep their order */
	struct tf_packet packet;
	uint8_t side;
};

struct tf_hold {
	struct entry **heap; /* the first is due first; count of capacity */
	uint32_t count;
	uint32_t capacity;
	uint64_t serial;
	size_t bytes;
};

struct tf_hold *tf_hold_create(void)
{
	return calloc(1, sizeof(struct tf_hold));
}

void tf_hold_destroy(struct tf_hold *hold)
{
	if (hold == NULL)
		return;
	for (uint32_t i = 0; i < hold->count; i++) {
		free(hold->heap[i]->packet.data - TF_HEADROOM);
		free(hold->heap[i]);
	}
	free(hold->heap);
	free(hold);
}

static int before(const struct entry *a, const struct entry *b)
{
	return a->due < b->due || (a->due == b->due && a->serial < b->serial);
}

static void sift_up(struct tf_hold *hold, uint32_t i, struct entry *entry)
{
	for (; i > 0 && before(entry, hold->heap[(i - 1) / 2]); i = (i - 1) / 2)
		hold->heap[i] = hold->heap[(i - 1) / 2];
	hold->heap[i] = entry;
}

static void sift_down(struct tf_hold *hold, uint32_t i, struct entry *entry)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= hold->count)
			break;
		if (child + 1 < hold->count && before(hold->heap[child + 1], hold->heap[child]))
			child++;
		if (!before(hold->heap[child], entry))
			break;
		hold->heap[i] = hold->heap[child];
		i = child;
	}
	hold->heap[i] = entry;
}

int tf_hold_add(struct tf_hold *hold, struct tf_packet *packet, uint8_t side)
{
	struct entry *entry;
	uint8_t *block;

	if (hold->count >= TF_HOLD_PACKETS || hold->bytes + packet->len > TF_HOLD_BYTES)
		return TF_SEND_FULL;
	if (hold->count == hold->capacity) {
		uint32_t capacity = hold->capacity ? hold->capacity * 2 : 256;
		struct entry **heap = realloc(hold->heap, capacity * sizeof(*heap));

		if (heap == NULL)
			return TF_SEND_NOMEM;
		hold->heap = heap;
		hold->capacity = capacity;
	}
	entry = malloc(sizeof(*entry));
	block = malloc(TF_HEADROOM + packet->len);
	if (entry == NULL || block == NULL) {
		free(entry);
		free(block);
		return TF_SEND_NOMEM;
	}
	tf_settle_payload(packet);
	/* With the headroom: a capture's link header may lie there. */
	memcpy(block, packet->data - TF_HEADROOM, TF_HEADROOM + packet->len);
	entry->packet = *packet;
	entry->packet.data = block + TF_HEADROOM;
	entry->packet.room = packet->len;
	entry->packet.large = NULL;
	entry->due = packet->due;
	entry->serial = hold->serial++;
	entry->side = side;
	hold->bytes += packet->len;
	sift_up(hold, hold->count++, entry);
	return TF_SEND_OK;
}

double tf_hold_due(const struct tf_hold *hold)
{
	return hold->count > 0 ? hold->heap[0]->due : 1e300;
}

uint32_t tf_hold_count(const struct tf_hold *hold)
{
	return hold->count;
}

uint32_t tf_hold_count_to(const struct tf_hold *hold, uint8_t side)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < hold->count; i++)
		count += hold->heap[i]->side == side;
	return count;
}

void tf_hold_release(struct tf_hold *hold, double now, struct tf_outbox *outbox, uint32_t before_packet)
{
	while (hold->count > 0 && hold->heap[0]->due <= now) {
		struct entry *entry = hold->heap[0];

		if (tf_outbox_take(outbox, &entry->packet, entry->side, before_packet) != TF_SEND_OK)
			return;
		hold->bytes -= entry->packet.len;
		if (--hold->count > 0)
			sift_down(hold, 0, hold->heap[hold->count]);
		free(entry);
	}
}

void tf_hold_empty(struct tf_hold *hold, void (*each)(void *arg, struct tf_packet *packet, uint8_t side), void *arg)
{
	while (hold->count > 0) {
		struct entry *entry = hold->heap[0];

		each(arg, &entry->packet, entry->side);
		hold->bytes -= entry->packet.len;
		if (--hold->count > 0)
			sift_down(hold, 0, hold->heap[hold->count]);
		free(entry->packet.data - TF_HEADROOM);
		free(entry);
	}
}
