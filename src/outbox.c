#include "outbox.h"

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "segment.h"

struct tf_outbox *tf_outbox_create(void)
{
	struct tf_outbox *outbox = calloc(1, sizeof(*outbox));

	if (outbox == NULL)
		return NULL;
	outbox->sent = malloc(TF_OUTBOX_PACKETS * sizeof(struct tf_sent));
	if (outbox->sent == NULL) {
		free(outbox);
		return NULL;
	}
	return outbox;
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

int tf_outbox_take(struct tf_outbox *outbox, const struct tf_packet *packet, uint8_t side, uint32_t before)
{
	struct tf_sent *sent;

	if (outbox->count >= TF_OUTBOX_PACKETS || outbox->bytes + packet->len > TF_OUTBOX_BYTES)
		return TF_SEND_FULL;
	sent = &outbox->sent[outbox->count++];
	sent->packet = *packet;
	sent->before = before;
	sent->side = side;
	outbox->bytes += packet->len;
	return TF_SEND_OK;
}

int tf_outbox_add(struct tf_outbox *outbox, uint8_t side, uint8_t link, uint32_t before, double clock,
		  const uint8_t *bytes, uint32_t len)
{
	struct tf_packet packet = { .len = len, .room = len, .link = link, .from = !side, .clock = clock };
	uint8_t *block = malloc(TF_HEADROOM + len);
	int err;

	if (block == NULL)
		return TF_SEND_NOMEM;
	memcpy(block + TF_HEADROOM, bytes, len);
	packet.data = block + TF_HEADROOM;
	err = tf_outbox_take(outbox, &packet, side, before);
	if (err != TF_SEND_OK)
		free(block);
	return err;
}

struct tf_packet *tf_outbox_copy(struct tf_outbox *outbox, struct tf_packet *packet, uint8_t side,
				 uint32_t before)
{
	struct tf_packet copy;
	uint8_t *block = malloc(TF_HEADROOM + packet->len);

	if (block == NULL)
		return NULL;
	tf_settle_payload(packet);
	copy = *packet;
	copy.large = NULL;
	/* With the headroom: a capture's link header may lie there. */
	memcpy(block, packet->data - TF_HEADROOM, TF_HEADROOM + packet->len);
	copy.data = block + TF_HEADROOM;
	copy.room = packet->len;
	copy.verdict = TF_VERDICT_HOLD;
	copy.due = packet->clock;
	if (tf_outbox_take(outbox, &copy, side, before) != TF_SEND_OK) {
		free(block);
		return NULL;
	}
	return &outbox->sent[outbox->count - 1].packet;
}
