#include "batch.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "segment.h"

enum {
	BUDGET_MAX = 4096,
	CUT_EXTRA = 192,  /* packets that the last large one may give beyond the budget */
	CUT_HEADERS = 256 /* arena bytes for each of them, beside its payload */
};

int tf_batch_create(struct tf_batch **out, uint32_t budget)
{
	struct tf_batch *batch;

	if (budget < 1 || budget > BUDGET_MAX)
		return UV_EINVAL;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return UV_ENOMEM;
	batch->budget = budget;
	batch->capacity = budget + CUT_EXTRA;
	/* Behind the packets: the last one read, and, if it is large, all that is cut from it. */
	batch->arena_size = TF_BATCH_BYTES + 2 * (size_t)(TF_HEADROOM + TF_PACKET_MAX) +
			    CUT_EXTRA * CUT_HEADERS;
	batch->packets = calloc(batch->capacity, sizeof(*batch->packets));
	batch->slots = calloc(batch->capacity, sizeof(*batch->slots));
	batch->larges = calloc(budget, sizeof(*batch->larges));
	batch->arena = malloc(batch->arena_size);
	if (!batch->packets || !batch->slots || !batch->larges || !batch->arena) {
		tf_batch_destroy(batch);
		return UV_ENOMEM;
	}
	*out = batch;
	return 0;
}

void tf_batch_destroy(struct tf_batch *batch)
{
	if (!batch)
		return;
	for (uint32_t i = 0; batch->slots && i < batch->capacity; i++)
		free(batch->slots[i]);
	free(batch->slots);
	free(batch->larges);
	free(batch->packets);
	free(batch->arena);
	free(batch);
}

void tf_batch_reset(struct tf_batch *batch, uint8_t from, uint8_t link)
{
	/* Unused descriptors are all zero. At once: gcc clears a single one with a slow instruction. */
	memset(batch->packets, 0, batch->count * sizeof(*batch->packets));
	batch->count = 0;
	batch->cursor = 0;
	batch->used = 0;
	batch->slots_used = 0;
	batch->large_count = 0;
	batch->from = from;
	batch->link = link;
}

int tf_batch_grow(struct tf_batch *batch, struct tf_packet *packet)
{
	uint8_t **slot = &batch->slots[batch->slots_used];

	if (packet->room >= TF_PACKET_MAX)
		return 0; /* has a slot, so that slots_used stays below capacity */
	if (!*slot)
		*slot = malloc(TF_HEADROOM + TF_PACKET_MAX);
	if (!*slot)
		return UV_ENOMEM;
	tf_settle_payload(packet);
	memcpy(*slot + TF_HEADROOM - packet->prefix, packet->data - packet->prefix,
	       packet->prefix + packet->len);
	packet->data = *slot + TF_HEADROOM;
	packet->room = TF_PACKET_MAX;
	batch->slots_used++;
	return 0;
}
