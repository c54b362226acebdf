#include "outbox.h"

#include <stdlib.h>
#include <string.h>

#include "context.h"

struct tf_outbox *tf_outbox_create(void)
{
	return calloc(1, sizeof(struct tf_outbox));
}

void tf_outbox_clear(struct tf_outbox *outbox)
{
	for (uint32_t i = 0; i < outbox->count; i++)
		free(outbox->sent[i].packet.data - TF_HEADROOM);
	outbox->count = 0;
	outbox->bytes = 0;
}

void tf_outbox_destroy(struct tf_outbox *outbox)
{
	if (outbox == NULL)
		return;
	tf_outbox_clear(outbox);
	free(outbox->sent);
	free(outbox);
}

int tf_outbox_add(struct tf_outbox *outbox, uint8_t side, uint8_t link, uint32_t before,
		  const uint8_t *bytes, uint32_t len)
{
	struct tf_sent *sent;
	uint8_t *copy;

	if (outbox->count >= TF_OUTBOX_PACKETS || outbox->bytes + len > TF_OUTBOX_BYTES)
		return TF_SEND_FULL;
	if (outbox->count == outbox->capacity) {
		uint32_t capacity = outbox->capacity ? outbox->capacity * 2 : 64;

		sent = realloc(outbox->sent, capacity * sizeof(*sent));
		if (sent == NULL)
			return TF_SEND_NOMEM;
		outbox->sent = sent;
		outbox->capacity = capacity;
	}
	copy = malloc(TF_HEADROOM + len);
	if (copy == NULL)
		return TF_SEND_NOMEM;
	memcpy(copy + TF_HEADROOM, bytes, len);

	sent = &outbox->sent[outbox->count++];
	memset(sent, 0, sizeof(*sent));
	sent->packet.data = copy + TF_HEADROOM;
	sent->packet.len = len;
	sent->packet.room = len;
	sent->packet.link = link;
	sent->packet.from = !side;
	sent->before = before;
	sent->side = side;
	outbox->bytes += len;
	return TF_SEND_OK;
}
