#include "handover.h"

#include <string.h>

#include "log.h"
#include "parse.h"
#include "pipeline.h"
#include "script.h"
#include "segment.h"

/* Before a held packet's bytes, which begin with its headroom. */
struct held {
	struct tf_packet packet;
	uint32_t there; /* 1: one follows; 0: that was the last, and nothing follows */
	uint8_t side;
};

static void put(struct tf_handover *handover, const void *bytes, size_t n)
{
	if (handover->full || sizeof(handover->bytes) - handover->used < n) {
		handover->full = 1;
		return;
	}
	memcpy(handover->bytes + handover->used, bytes, n);
	handover->used += n;
}

static void put_text(void *arg, const void *bytes, size_t n)
{
	uint64_t size = n;

	put(arg, &size, sizeof(size));
	put(arg, bytes, n);
}

static void put_packet(void *arg, struct tf_packet *packet, uint8_t side)
{
	struct held held = {.there = 1, .side = side};

	tf_settle(packet); /* who takes it believes no flag that says what is still to be done */
	held.packet = *packet;
	put(arg, &held, sizeof(held));
	put(arg, packet->data - TF_HEADROOM, TF_HEADROOM + packet->len);
}

int tf_handover_save(struct tf_handover *handover, struct tf_script *script, struct tf_pipeline *pipeline)
{
	struct held last = {.there = 0};
	int err = tf_script_save(script, put_text, handover);

	if (pipeline != NULL)
		tf_pipeline_empty(pipeline, put_packet, handover);
	put(handover, &last, sizeof(last));
	if (handover->full)
		tf_log(TF_LOG_WARNING, "there is too much to hand over: tf.keep or held packets are lost");
	return handover->full ? TF_ESCRIPT : err;
}

/* The next n bytes, or NULL where there are not so many. */
static const uint8_t *get(const struct tf_handover *handover, size_t *at, uint64_t n)
{
	uint64_t used = handover->used < sizeof(handover->bytes) ? handover->used : sizeof(handover->bytes);
	const uint8_t *bytes = handover->bytes + *at;

	if (*at > used || n > used - *at)
		return NULL;
	*at += n;
	return bytes;
}

/* 0 behind the last one. */
static int take_packet(const struct tf_handover *handover, size_t *at, struct tf_pipeline *pipeline)
{
	const uint8_t *bytes = get(handover, at, sizeof(struct held));
	uint8_t copy[TF_HEADROOM + TF_PACKET_MAX];
	struct held held;

	if (bytes == NULL)
		return 0;
	memcpy(&held, bytes, sizeof(held));
	if (!held.there || held.packet.len > TF_PACKET_MAX || held.side > TF_RIGHT || held.packet.prefix > TF_HEADROOM ||
	    held.packet.link > TF_LINK_OTHER || !(held.packet.due >= 0) || (bytes = get(handover, at, TF_HEADROOM + held.packet.len)) == NULL)
		return 0;
	if (pipeline == NULL)
		return 1;
	memcpy(copy, bytes, TF_HEADROOM + held.packet.len);
	held.packet.data = copy + TF_HEADROOM;
	held.packet.room = held.packet.len;
	held.packet.verdict = TF_VERDICT_HOLD;
	held.packet.tail = NULL;
	held.packet.large = NULL;
	held.packet.flags &= (uint8_t) ~(TF_CUT | TF_PARTIAL);
	held.packet.from &= 1;
	tf_parse(&held.packet);
	tf_pipeline_hold(pipeline, &held.packet, held.side);
	return 1;
}

void tf_handover_take(const struct tf_handover *handover, size_t *at, struct tf_script *script,
		      struct tf_pipeline *pipeline)
{
	const uint8_t *bytes = get(handover, at, sizeof(uint64_t));
	uint64_t size = 0;

	if (bytes != NULL)
		memcpy(&size, bytes, sizeof(size));
	bytes = get(handover, at, size);
	if (bytes == NULL)
		return;
	if (pipeline != NULL)
		tf_script_take(script, (const char *)bytes, size);
	else
		tf_script_begin(script, (const char *)bytes, size);
	while (take_packet(handover, at, pipeline))
		;
}
