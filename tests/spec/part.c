#include "part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"
#include "segment.h"

enum { FIN_PSH = 0x09, CWR = 0x80, POISON = 0xa5, FILL = 0x3c };

/* A large packet that something was cut from. */
struct source {
	struct source *next;
	uint8_t *bytes; /* exactly so long, for sanitizers */
	uint8_t *as_made;
	struct tf_large large;
};

static _Thread_local struct source *sources;
static _Thread_local struct tf_batch *apart; /* where they are cut */

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

void parts_forget(void)
{
	while (sources) {
		struct source *source = sources;

		sources = source->next;
		MUST(memcmp(source->bytes, source->as_made, source->large.len) == 0);
		memset(source->bytes, POISON, source->large.len); /* for who reads it later */
		free(source->bytes);
		free(source->as_made);
		free(source);
	}
}

/* Whether a parsed packet can have come so: with both checksums as they are computed. */
static int can_be_part(const struct tf_packet *packet)
{
	return !packet->malformed && packet->fragment == TF_WHOLE && packet->end == packet->len &&
	       packet->headers & (TF_HAS_TCP | TF_HAS_UDP) && packet->payload <= TF_CUT_HEADER &&
	       packet->missing == 0 &&
	       tf_get16(packet->data + tf_checksum_offset(packet)) ==
		       tf_checksum_transport(packet) &&
	       (!(packet->headers & TF_HAS_IP4) ||
		tf_get16(packet->data + packet->network + 10) == tf_checksum_ip4(packet));
}

static struct tf_offload offload_of(const struct tf_packet *packet)
{
	int udp = !!(packet->headers & TF_HAS_UDP);

	return (struct tf_offload){.kind = udp				  ? TF_GSO_UDP
					   : packet->headers & TF_HAS_IP4 ? TF_GSO_TCP4
									  : TF_GSO_TCP6,
				   .partial = 1,
				   .start = (uint16_t)packet->transport,
				   .field = udp ? 6 : 16};
}

/* What is to be in the checksum's field before anybody has computed it. */
static void put_pseudo(const struct tf_packet *packet)
{
	tf_put16(packet->data + tf_checksum_offset(packet), tf_checksum_pseudo(packet));
}

/* Its headers before `before` payloads of size bytes that come first, its own and one behind it. */
static void fill(const struct tf_packet *packet, struct source *source, uint32_t before,
		 uint32_t size, uint32_t after)
{
	uint32_t n = packet->len - packet->payload, own = packet->payload + before * size;
	struct tf_packet whole = *packet;
	uint8_t *ip, *transport;

	whole.data = source->bytes;
	whole.len = whole.end = own + n + after;
	memset(whole.data, FILL, whole.len);
	memcpy(whole.data, packet->data, packet->payload);
	memcpy(whole.data + own, packet->data + packet->payload, n);
	ip = whole.data + packet->network;
	transport = whole.data + packet->transport;
	if (packet->headers & TF_HAS_IP4) {
		tf_put16(ip + 2, whole.len - packet->network);
		tf_put16(ip + 4, tf_get16(ip + 4) - before);
		tf_put16(ip + 10, tf_checksum_ip4(&whole));
	} else {
		tf_put16(ip + 4, whole.len - packet->network - 40);
	}
	if (packet->headers & TF_HAS_UDP) {
		tf_put16(transport + 4, whole.len - packet->transport);
	} else {
		uint32_t sequence =
			((uint32_t)tf_get16(transport + 4) << 16 | tf_get16(transport + 6)) -
			before * size;

		tf_put16(transport + 4, sequence >> 16);
		tf_put16(transport + 6, sequence);
	}
	put_pseudo(&whole);
}

/* Cuts it, and gives the packet what it became. */
static void cut(struct tf_batch *batch, struct tf_packet *packet, struct source *source,
		uint32_t before, uint32_t size)
{
	struct tf_offload offload = offload_of(packet);
	uint32_t n = packet->len - packet->payload;
	struct tf_packet *part;
	struct tf_cut state;

	offload.size = (uint16_t)size;
	MUST(apart || tf_batch_create(&apart, 4) == 0);
	tf_batch_reset(apart, batch->from, batch->link);
	MUST(tf_cut_begin(&state, source->bytes, source->large.len, packet->link, &offload) == 0);
	tf_cut_into(&state, apart);
	MUST(state.done && apart->count > before);
	part = &apart->packets[before];
	MUST(part->flags == (TF_CUT | TF_PARTIAL) && part->len == packet->len);
	memcpy(packet->data, part->data, packet->payload); /* with a checksum that means nothing */
	packet->tail = part->tail;
	packet->flags |= TF_CUT | TF_PARTIAL;
	tf_settle(part);
	MUST(memcmp(part->data + part->payload, packet->data + packet->payload, n) == 0);
	memset(packet->data + packet->payload, POISON, n);
	packet->large = &source->large;
	source->large.first = packet;
	source->large.header = packet->payload;
	source->large.size = size;
	source->large.count = 1;
}

int part_of_large(struct tf_batch *batch, struct tf_packet *packet)
{
	uint32_t n, before = 1, size, after, total;
	struct source *source;
	uint8_t flags;

	tf_parse(packet);
	if (!can_be_part(packet))
		return 0;
	n = packet->len - packet->payload;
	flags = packet->headers & TF_HAS_TCP ? packet->data[packet->transport + 13] : 0;
	if (n == 0) {
		put_pseudo(packet);
		packet->flags |= TF_PARTIAL;
		return 1;
	}
	/* CWR is the first one's, FIN and PSH the last one's; a last one may be shorter. */
	before = !(flags & CWR);
	after = flags & FIN_PSH ? 0 : (n + 1) / 2;
	size = n + (before && !after ? 7 : 0);
	total = packet->payload + before * size + n + after;
	if (total - packet->network > TF_IP_MAX) {
		before = after = 0;
		size = n;
		total = packet->len;
	}
	source = calloc(1, sizeof(*source));
	MUST(source);
	source->next = sources;
	sources = source;
	source->large.len = total;
	source->bytes = source->large.data = malloc(total);
	source->as_made = malloc(total);
	MUST(source->bytes && source->as_made);
	fill(packet, source, before, size, after);
	memcpy(source->as_made, source->bytes, total);
	cut(batch, packet, source, before, size);
	return 1;
}
