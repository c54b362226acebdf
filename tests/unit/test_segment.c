/*
 * Cutting and settling without a kernel (test_linux_segments.c has one): when a packet is settled
 * makes no difference to what edits make of it; a cut goes on in the next batch; what the system
 * says is not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "context.h"
#include "device.h"
#include "device/memory.h"
#include "edit.h"
#include "hold.h"
#include "large.h"
#include "outbox.h"
#include "parse.h"
#include "segment.h"
#include "tcp_options.h"

static struct tf_offload offload_of(const struct large *large)
{
	struct tf_offload offload = {.partial = 1,
				     .size = (uint16_t)large->size,
				     .start = (uint16_t)large->transport,
				     .field = (uint16_t)large->field};

	if (large->size)
		offload.kind = large->udp ? TF_GSO_UDP : large->ip6 ? TF_GSO_TCP6 : TF_GSO_TCP4;
	return offload;
}

/* Gives a batch the packet, as a device would; what is not cut is parsed. */
static void fill(struct tf_batch *batch, struct tf_cut *cut, const struct large *large,
		 const struct tf_offload *offload)
{
	uint8_t *room = tf_batch_room(batch);

	assert_non_null(room);
	memcpy(room, large->data, large->len);
	if (!offload->kind) {
		tf_offload_take(tf_batch_commit(batch, large->len), offload);
		return;
	}
	assert_int_equal(tf_cut_begin(cut, room, large->len, batch->link, offload), 0);
	tf_batch_keep(batch, large->len);
	tf_cut_into(cut, batch);
}

/* ---- edits ---- */

/* One edit, of many kinds; the same for both packets, whose numbers are the same so far. */
static void edit(struct tf_batch *batch, struct tf_packet *packet, uint64_t seed)
{
	struct tf_tcp_options options = {.present = TF_OPTION_MSS, .mss = 1234};
	uint64_t saved = large_seed;
	uint8_t bytes[64];
	uint32_t at;

	large_seed = seed;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)large_random(4); /* so that some of them are found */
	at = large_random(packet->payload + 8);
	switch (large_random(12)) {
	case 0:
	case 1: /* ports and addresses */
		tf_packet_put(packet, packet->transport + 2 * large_random(2), 2,
			      large_random(65536));
		tf_packet_put(packet, packet->network + 12, 4, large_random(1u << 31));
		break;
	case 2:
	case 3:
		tf_packet_put(packet, at, 1u << large_random(3), large_random(1u << 31));
		break;
	case 4:
		tf_packet_write(packet, at, bytes, large_random(17));
		break;
	case 5:
		tf_packet_write(packet, large_random(packet->len + 1), bytes, large_random(17));
		break;
	case 6:
		tf_packet_set_payload(packet, bytes, large_random(sizeof(bytes)));
		break;
	case 7:
		tf_packet_replace(packet, bytes, 1 + large_random(2), bytes + 9, large_random(3),
				  large_random(3));
		break;
	case 8:
		if (packet->headers & TF_HAS_TCP)
			tf_tcp_options_write(packet, &options, (int)large_random(2));
		break;
	case 9:
		packet->flags ^= large_random(3) ? 0 : TF_RAW;
		break;
	case 10:
		assert_int_equal(tf_batch_grow(batch, packet), 0);
		break;
	default:
		tf_settle_range(packet, at, 1 + large_random(16));
	}
	large_seed = saved;
}

/* Apart from the two forms of zero in the checksum. */
static void check_same(const struct tf_packet *a, const struct tf_packet *b,
		       const struct large *large)
{
	uint32_t field = tf_checksum_offset(a);

	assert_int_equal(a->len, b->len);
	assert_int_equal(a->headers, b->headers);
	assert_int_equal(a->end, b->end);
	for (uint32_t i = 0; i < a->len; i++) {
		if (a->data[i] == b->data[i])
			continue;
		if (field && (i == field || i == field + 1) &&
		    (tf_get16(a->data + field) ^ tf_get16(b->data + field)) == 0xffff &&
		    tf_get16(a->data + field) % 0xffff == 0)
			continue;
		fail_msg("%s: byte %u is %02x, and %02x in what was settled late",
			 large_text(large), i, a->data[i], b->data[i]);
	}
}

static void settling_can_wait(void **state)
{
	struct tf_batch *early, *late;
	struct large large = {0};
	struct tf_cut cut;
	uint32_t waited = 0;

	(void)state;
	assert_int_equal(tf_batch_create(&early, 4), 0);
	assert_int_equal(tf_batch_create(&late, 4), 0);
	for (int round = 0; round < 4000; round++) {
		struct tf_offload offload;

		large_make(&large, round & 1, 1);
		for (uint32_t i = large.header; i < large.len; i++)
			large.data[i] &= 3;
		offload = offload_of(&large);
		tf_batch_reset(early, TF_LEFT, round & 1 ? TF_LINK_ETHERNET : TF_LINK_IP);
		tf_batch_reset(late, TF_LEFT, round & 1 ? TF_LINK_ETHERNET : TF_LINK_IP);
		fill(early, &cut, &large, &offload);
		fill(late, &cut, &large, &offload);
		assert_int_equal(early->count, late->count);
		for (uint32_t i = 0; i < early->count && i < 8; i++) {
			struct tf_packet *a = &early->packets[i], *b = &late->packets[i];

			tf_settle(a);
			for (uint32_t edits = large_random(6); edits; edits--) {
				uint64_t seed = ++large_seed;

				edit(early, a, seed);
				edit(late, b, seed);
			}
			assert_int_equal(a->flags & (TF_CUT | TF_PARTIAL), 0);
			waited += !!(b->flags & TF_PARTIAL);
			tf_settle(b);
			assert_int_equal(a->flags, b->flags);
			check_same(a, b, &large);
		}
	}
	assert_true(waited > 1000);
	free(large.data);
	tf_batch_destroy(early);
	tf_batch_destroy(late);
}

/* ---- copies ---- */

static void copies_are_whole(void **state)
{
	struct tf_outbox *outbox = tf_outbox_create();
	struct tf_hold *hold = tf_hold_create();
	struct tf_batch *batch;
	struct large large = {0};
	struct tf_cut cut;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	do
		large_make(&large, 0, 0);
	while (large.size < 500);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	{
		struct tf_offload offload = offload_of(&large);

		fill(batch, &cut, &large, &offload);
	}
	assert_non_null(tf_outbox_copy(outbox, &batch->packets[0], TF_RIGHT, 0));
	assert_int_equal(tf_hold_add(hold, &batch->packets[1], TF_RIGHT), TF_SEND_OK);
	tf_hold_release(hold, 1, outbox, 0);
	assert_int_equal(outbox->count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		struct tf_packet *copy = &outbox->sent[i].packet;

		assert_int_equal(copy->flags & TF_CUT, 0);
		assert_null(copy->large);
		tf_settle(copy);
		tf_settle(&batch->packets[i]);
		assert_int_equal(copy->len, batch->packets[i].len);
		assert_memory_equal(copy->data, batch->packets[i].data, copy->len);
	}
	free(large.data);
	tf_outbox_destroy(outbox);
	tf_hold_destroy(hold);
	tf_batch_destroy(batch);
}

/* A device that knows nothing of this writes wire packets as well. */
static void other_devices_write_them_whole(void **state)
{
	struct tf_batch *batch;
	struct tf_device_spec spec;
	struct tf_device *device;
	struct large large = {0};
	struct tf_packet *packets[200];
	struct tf_written written = {0};
	static uint8_t bytes[TF_PACKET_MAX];
	struct tf_cut cut;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	do
		large_make(&large, 0, 0);
	while (large.size < 500 || large.ip6);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	{
		struct tf_offload offload = offload_of(&large);

		fill(batch, &cut, &large, &offload);
	}
	assert_true(batch->count <= 200);
	for (uint32_t i = 0; i < batch->count; i++)
		packets[i] = &batch->packets[i];
	assert_int_equal(tf_device_spec_parse(&spec, "memory", NULL), 0);
	assert_int_equal(tf_device_open(&device, &spec, NULL), 0);
	assert_int_equal(tf_device_write(device, packets, batch->count, &written), 0);
	assert_int_equal(written.packets, batch->count);
	for (uint32_t i = 0, at = large.header; i < batch->count; i++) {
		struct tf_packet came = {.data = bytes, .room = sizeof(bytes)};

		came.len = tf_memory_take(device, bytes);
		tf_parse(&came);
		assert_int_equal(tf_checksum_tcp_right(&came), 1);
		assert_memory_equal(bytes + came.payload, large.data + at, came.len - came.payload);
		at += came.len - came.payload;
	}
	tf_device_close(device);
	free(large.data);
	tf_batch_destroy(batch);
}

/* ---- over several batches ---- */

static void a_cut_goes_on(void **state)
{
	struct large large = {0};
	struct tf_batch *batch;
	struct tf_cut cut;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 1), 0);
	for (int round = 0; round < 20; round++) {
		struct tf_offload offload;
		uint32_t at = 0, count = 0, batches = 0;
		uint8_t *elsewhere = malloc(TF_PACKET_MAX);

		do
			large_make(&large, 0, 0);
		while (large.size == 0 || large.size > 8 || large.ip6);
		offload = offload_of(&large);
		memcpy(elsewhere, large.data, large.len);
		assert_int_equal(tf_cut_begin(&cut, large.data, large.len, TF_LINK_IP, &offload),
				 0);
		do {
			tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
			tf_cut_into(&cut, batch);
			assert_true(batch->count > 0 && batch->count <= batch->capacity);
			assert_int_equal(batch->large_count, 1);
			assert_int_equal(batch->larges[0].whole,
					 batch->count == large_segments(&large));
			assert_ptr_equal(batch->larges[0].data, batches ? elsewhere : large.data);
			for (uint32_t i = 0; i < batch->count; i++, count++) {
				struct tf_packet *packet = &batch->packets[i];
				uint32_t n = packet->len - packet->payload;

				tf_settle(packet);
				assert_int_equal(tf_get16(packet->data + 4),
						 (tf_get16(large.data + 4) + count) & 0xffff);
				assert_memory_equal(packet->data + packet->payload,
						    large.data + large.header + at, n);
				at += n;
			}
			tf_cut_move(&cut, elsewhere);
			batches++;
		} while (!cut.done);
		assert_int_equal(count, large_segments(&large));
		assert_int_equal(at, large.len - large.header);
		free(elsewhere);
	}
	free(large.data);
	tf_batch_destroy(batch);
}

/* ---- what is not believed ---- */

static void what_does_not_fit_is_refused(void **state)
{
	struct large large = {0};
	struct tf_cut cut;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct tf_offload offload;
		uint8_t *block;

		do
			large_make(&large, round & 1, 1);
		while (!large.size);
		block = malloc(large.len); /* of exact size, for sanitizers */
		memcpy(block, large.data, large.len);
		offload = offload_of(&large);
		switch (round / 2 % 7) {
		case 0:
			offload.kind = (uint8_t)(1 + offload.kind % TF_GSO_UNKNOWN);
			break;
		case 1:
			offload.size = 0;
			break;
		case 2:
			offload.start++;
			break;
		case 3:
			offload.field += 2;
			break;
		case 4: /* an IP length that is not the packet's */
			block[large.network + (large.ip6 ? 5 : 3)]++;
			break;
		case 5: /* a fragment, or an IP version that there is not */
			block[large.network + (large.ip6 ? 0 : 6)] ^= large.ip6 ? 0x10 : 0x20;
			break;
		default: /* headers that end where the packet does */
			large.len = large.header - 1;
			block = realloc(block, large.len);
		}
		if (tf_cut_begin(&cut, block, large.len, round & 1 ? TF_LINK_ETHERNET : TF_LINK_IP,
				 &offload) == 0)
			fail_msg("%s: taken, with mistake %d", large_text(&large), round / 2 % 7);
		free(block);
	}
	free(large.data);
}

/* Any other sum in the field than ours: the kernel's arithmetic decides, at once. */
static void a_foreign_sum_is_kept(void **state)
{
	struct large large = {0};
	struct tf_batch *batch;
	struct tf_cut cut;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	for (int round = 0; round < 300; round++) {
		uint32_t more = 1 + large_random(65533);
		struct tf_offload offload;
		uint8_t *field;

		large_make(&large, 0, 1);
		offload = offload_of(&large);
		field = large.data + large.transport + large.field;
		tf_put16(field, tf_checksum_fold(tf_get16(field) + more));
		tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
		fill(batch, &cut, &large, &offload);
		for (uint32_t i = 0; i < batch->count; i++) {
			struct tf_packet *packet = &batch->packets[i];
			uint16_t right, has;

			assert_int_equal(packet->flags, 0);
			tf_parse(packet);
			right = tf_checksum_transport(packet);
			has = tf_get16(packet->data + tf_checksum_offset(packet));
			/* Off by what was added, as far as one's complement tells. */
			assert_int_equal(tf_checksum_fold((uint32_t)has + more) % 0xffff,
					 right % 0xffff);
		}
	}
	free(large.data);
	tf_batch_destroy(batch);
}

/* A checksum inside a packet in a packet is completed at once; one outside of it nowhere. */
static void other_sums_are_completed(void **state)
{
	uint8_t inner[60] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 4, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
	struct tf_offload offload = {.partial = 1, .start = 40, .field = 6};
	struct tf_batch *batch;
	struct tf_packet *packet;

	(void)state;
	for (int i = 20; i < 60; i++)
		inner[i] = (uint8_t)(i * 7);
	assert_int_equal(tf_batch_create(&batch, 4), 0);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	memcpy(tf_batch_room(batch), inner, sizeof(inner));
	packet = tf_batch_commit(batch, sizeof(inner));
	tf_offload_take(packet, &offload);
	assert_int_equal(packet->flags, 0);
	/* With the sum that was in the field, all of it comes to all ones. */
	assert_int_equal(tf_checksum_fold(tf_checksum_add(packet->data + 40, 20, 0) +
					  (uint32_t)tf_get16(inner + 46)),
			 0xffff);
	assert_memory_equal(packet->data, inner, 46);
	assert_memory_equal(packet->data + 48, inner + 48, 12);

	for (uint32_t start = 0; start < 70; start++) {
		for (uint32_t field = 0; field < 70; field += 3) {
			uint8_t *block = malloc(sizeof(inner));
			struct tf_packet exact = {.data = block, .len = 60, .room = 60};

			memcpy(block, inner, sizeof(inner));
			offload.start = (uint16_t)start;
			offload.field = (uint16_t)field;
			tf_offload_take(&exact, &offload);
			if (start + field + 2 > 60)
				assert_memory_equal(block, inner, sizeof(inner));
			free(block);
		}
	}
	offload.start = offload.field = 65535;
	tf_offload_take(packet, &offload);
	tf_batch_destroy(batch);
}

/* The system's word for a checksum holds until somebody writes it, or the bytes as they please. */
static void valid_until_written(void **state)
{
	struct tf_offload offload = {.valid = 1};
	struct large large = {0};
	uint8_t *block = malloc(TF_PACKET_MAX);

	(void)state;
	do
		large_make(&large, 0, 0);
	while (large.size || large.ip6 || large.len < large.header + 8);
	for (int way = 0; way < 5; way++) {
		struct tf_packet packet = {.data = block, .len = large.len, .room = TF_PACKET_MAX};

		memcpy(block, large.data, large.len);
		tf_offload_take(&packet, &offload);
		tf_parse(&packet);
		tf_put16(block + large.transport + 16, tf_checksum_transport(&packet));
		assert_int_equal(packet.flags, TF_VALID);
		tf_packet_put(&packet, large.transport, 2, 99);
		tf_packet_put(&packet, large.network + 8, 1, 9);
		tf_packet_put(&packet, large.header + 1, 4, 99);
		assert_int_equal(packet.flags, TF_VALID | TF_EDITED | TF_CHANGED | TF_MOVED);
		assert_int_equal(tf_checksum_tcp_right(&packet), 1);
		if (way == 0)
			tf_packet_put(&packet, large.transport + 16, 2, 1);
		else if (way == 1)
			packet.flags |= TF_RAW;
		else if (way == 2)
			tf_packet_put(&packet, large.network + 9, 1, 99);
		else if (way == 3)
			tf_packet_set_payload(&packet, block, 3);
		else
			tf_packet_write(&packet, large.transport + 15, block, 3);
		tf_packet_put(&packet, large.transport, 2, 100);
		assert_int_equal(packet.flags & TF_VALID, 0);
	}
	free(block);
	free(large.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settling_can_wait),
		cmocka_unit_test(copies_are_whole),
		cmocka_unit_test(other_devices_write_them_whole),
		cmocka_unit_test(a_cut_goes_on),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(a_foreign_sum_is_kept),
		cmocka_unit_test(other_sums_are_completed),
		cmocka_unit_test(valid_until_written),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
