/*
 * A large packet and what the system says of it: it is refused, or cut into well-formed packets
 * that together are its payload, and when they are settled makes no difference to what edits make
 * of them. Input: link type, what is said (kind, flags, size, start, field), whether lengths and
 * places are to be right, how many bytes of edits, these, the packet.
 */
#include "bytes.h"
#include "checksum.h"
#include "edit.h"
#include "fuzz.h"
#include "parse.h"
#include "segment.h"
#include "vector.h"

enum { RIGHT = 1, PSEUDO = 2 };

static void put_right(uint8_t *block, uint32_t len, uint8_t link, struct tf_offload *offload,
		      uint32_t what)
{
	struct tf_packet packet = {.data = block, .len = len, .room = len, .link = link};

	for (int round = 0; round < 2; round++) { /* what was cut off by lengths may be seen then */
		tf_parse(&packet);
		if (packet.headers & TF_HAS_IP4)
			tf_put16(block + packet.network + 2, len - packet.network);
		else if (packet.headers & TF_HAS_IP6 && len >= packet.network + 40)
			tf_put16(block + packet.network + 4, len - packet.network - 40);
		if (packet.headers & TF_HAS_UDP)
			tf_put16(block + packet.transport + 4, len - packet.transport);
	}
	tf_parse(&packet);
	if (!(packet.headers & (TF_HAS_TCP | TF_HAS_UDP)))
		return;
	offload->start = (uint16_t)packet.transport;
	offload->field = (uint16_t)(tf_checksum_offset(&packet) - packet.transport);
	offload->kind = packet.headers & TF_HAS_UDP   ? TF_GSO_UDP
			: packet.headers & TF_HAS_IP4 ? TF_GSO_TCP4
						      : TF_GSO_TCP6;
	if (what & PSEUDO)
		tf_put16(block + tf_checksum_offset(&packet), tf_checksum_pseudo(&packet));
}

/* The same edits for the same bytes. */
static void edit(struct tf_batch *batch, struct tf_packet *packet, struct fuzz fuzz)
{
	while (fuzz_left(&fuzz) > 0) {
		uint32_t kind = fuzz_take(&fuzz, 1) % 8, at = fuzz_take(&fuzz, 2),
			 n = fuzz_take(&fuzz, 1) % 32;
		uint8_t *block;

		if (kind == 0)
			at += packet->payload;
		block = fuzz_block(&fuzz, &n);
		if (kind < 3)
			tf_packet_write(packet, at, block, n);
		else if (kind == 3)
			tf_packet_put(packet, packet->network + at % 40, 2, n);
		else if (kind == 4)
			tf_packet_set_payload(packet, block, n);
		else if (kind == 5 && n > 1)
			tf_packet_replace(packet, block, 1, block + 1, n - 1, at % 4);
		else if (kind == 6)
			tf_batch_grow(batch, packet);
		else
			tf_settle_range(packet, at, n);
		if (kind == 7 && n == 0)
			packet->flags ^= TF_RAW;
		free(block);
	}
}

/* But for the two forms of zero in the checksum. */
static int same(const struct tf_packet *a, const struct tf_packet *b)
{
	uint32_t field = tf_checksum_offset(a);

	if (a->len != b->len || a->headers != b->headers || a->end != b->end)
		return 0;
	if (!memcmp(a->data, b->data, a->len))
		return 1;
	return field && !memcmp(a->data, b->data, field) &&
	       !memcmp(a->data + field + 2, b->data + field + 2, a->len - field - 2) &&
	       tf_get16(a->data + field) % 0xffff == tf_get16(b->data + field) % 0xffff;
}

static void check_segment(struct tf_packet *packet, const struct tf_cut *cut,
			  const uint8_t *payload)
{
	struct tf_packet again;
	uint16_t has;

	fuzz_check(!memcmp(tf_payload(packet), payload, packet->len - packet->payload),
		   "payload in order");
	tf_settle(packet);
	again = *packet;
	tf_parse(&again);
	again.flags = packet->flags;
	fuzz_check(!memcmp(&again, packet, sizeof(again)), "a parse says the same");
	fuzz_check(!packet->malformed && !vector_broken(packet), "well-formed");
	has = tf_get16(packet->data + tf_checksum_offset(packet));
	fuzz_check(cut->foreign || has % 0xffff == tf_checksum_transport(packet) % 0xffff,
		   "the checksum is right");
}

/* Cuts it into batches, all of it; the first one's packets are edited. */
static void cut_all(uint8_t *block, uint32_t len, uint8_t link, const struct tf_offload *offload,
		    const struct fuzz *edits)
{
	static struct tf_batch *early, *late;
	static struct tf_cut cut, other;
	uint32_t at = 0;

	if (!early && (tf_batch_create(&early, 1) < 0 || tf_batch_create(&late, 1) < 0))
		abort();
	if (tf_cut_begin(&cut, block, len, link, offload) < 0)
		return;
	tf_cut_begin(&other, block, len, link, offload);
	do {
		tf_batch_reset(early, TF_LEFT, link);
		tf_batch_reset(late, TF_LEFT, link);
		tf_cut_into(&cut, early);
		tf_cut_into(&other, late);
		fuzz_check(early->count > 0 && early->count == late->count, "it goes on");
		for (uint32_t i = 0; i < early->count; i++) {
			struct tf_packet *packet = &early->packets[i];
			uint32_t n = packet->len - packet->payload;

			check_segment(packet, &cut, block + cut.first.payload + at);
			at += n;
			if (i < 4) {
				edit(early, packet, *edits);
				edit(late, &late->packets[i], *edits);
			}
			tf_settle(&late->packets[i]);
			fuzz_check(same(packet, &late->packets[i]), "settled late, it is the same");
		}
	} while (!cut.done);
	fuzz_check(at == len - cut.first.payload, "all of it");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz fuzz = {bytes, bytes + size}, edits;
	struct tf_offload offload = {0};
	uint8_t link = (uint8_t)(fuzz_take(&fuzz, 1) % 2);
	uint32_t what, len;
	uint8_t *edit_block, *block;

	offload.kind = (uint8_t)(fuzz_take(&fuzz, 1) % (TF_GSO_UNKNOWN + 1));
	what = fuzz_take(&fuzz, 1);
	offload.partial = what >> 2 & 1;
	offload.valid = what >> 3 & 1;
	offload.size = (uint16_t)fuzz_take(&fuzz, 2);
	offload.start = (uint16_t)fuzz_take(&fuzz, 2);
	offload.field = (uint16_t)fuzz_take(&fuzz, 2);
	len = fuzz_take(&fuzz, 1);
	edit_block = fuzz_block(&fuzz, &len);
	edits = (struct fuzz){edit_block, edit_block + len};
	len = fuzz_left(&fuzz) < TF_PACKET_MAX ? fuzz_left(&fuzz) : TF_PACKET_MAX;
	block = fuzz_block(&fuzz, &len);
	if (len > 0) {
		struct tf_packet plain = {.data = block, .len = len, .room = len, .link = link};

		if (what & RIGHT)
			put_right(block, len, link, &offload, what);
		cut_all(block, len, link, &offload, &edits);
		tf_offload_take(&plain, &offload);
		tf_settle(&plain);
	}
	free(block);
	free(edit_block);
	return 0;
}
