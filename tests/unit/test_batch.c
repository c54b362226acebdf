#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "batch.h"

static void budget_has_bounds(void **state)
{
	struct tf_batch *batch = NULL;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 0), UV_EINVAL);
	assert_int_equal(tf_batch_create(&batch, 4097), UV_EINVAL);
	assert_null(batch);
	tf_batch_destroy(NULL);
	assert_int_equal(tf_batch_create(&batch, 4096), 0);
	tf_batch_destroy(batch);
	assert_int_equal(tf_batch_create(&batch, 1), 0);
	tf_batch_destroy(batch);
}

static void packets_keep_apart(void **state)
{
	struct tf_batch *batch;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	for (int round = 0; round < 2; round++) {
		uint32_t n = 0;
		uint8_t *room;

		tf_batch_reset(batch, TF_RIGHT, TF_LINK_ETHERNET);
		assert_int_equal(batch->count, 0);
		while ((room = tf_batch_room(batch))) {
			struct tf_packet *p;
			uint32_t len = 1 + n * 23;

			assert_ptr_equal(tf_batch_room(batch), room); /* nothing taken by asking */
			memset(room, (int)n, len);
			p = tf_batch_commit(batch, len);
			assert_ptr_equal(p, &batch->packets[n]);
			assert_ptr_equal(p->data, room);
			assert_int_equal(p->len, len);
			assert_in_range(p->room, len, TF_PACKET_MAX);
			assert_int_equal(p->from, TF_RIGHT);
			assert_int_equal(p->link, TF_LINK_ETHERNET);
			assert_int_equal(p->flags | p->verdict | p->headers | p->malformed, 0);
			p->flags = 255; /* must be gone in the next round */
			memset(p->data - TF_HEADROOM, 0xaa, TF_HEADROOM);
			n++;
		}
		assert_int_equal(n, 64);
		assert_int_equal(batch->count, 64);
		for (uint32_t i = 0; i < n; i++) {
			struct tf_packet *p = &batch->packets[i];

			for (uint32_t k = 0; k < p->len; k++)
				assert_int_equal(p->data[k], i);
			if (i)
				assert_true(p[-1].data + p[-1].room <= p->data - TF_HEADROOM);
		}
	}
	tf_batch_destroy(batch);
}

static void every_room_takes_the_largest(void **state)
{
	struct tf_batch *batch;
	uint32_t n = 0;
	uint8_t *room;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	for (; (room = tf_batch_room(batch)); n++) {
		memset(room - TF_HEADROOM, (int)n, TF_HEADROOM + TF_PACKET_MAX);
		assert_int_equal(tf_batch_commit(batch, TF_PACKET_MAX)->len, TF_PACKET_MAX);
	}
	assert_in_range(n, 1, 63); /* full before the budget is used up */
	assert_true(batch->used <= batch->arena_size);
	tf_batch_destroy(batch);
	/* A budget of one takes the largest as well. */
	assert_int_equal(tf_batch_create(&batch, 1), 0);
	room = tf_batch_room(batch);
	assert_non_null(room);
	memset(room, 1, TF_PACKET_MAX);
	tf_batch_commit(batch, TF_PACKET_MAX);
	assert_null(tf_batch_room(batch));
	tf_batch_destroy(batch);
}

static void growing_keeps_the_bytes(void **state)
{
	struct tf_batch *batch;
	uint8_t *first = NULL;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 3), 0);
	for (int round = 0; round < 3; round++) {
		tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
		for (int i = 0; i < 3; i++) {
			struct tf_packet *p;

			memset(tf_batch_room(batch), i, 100);
			p = tf_batch_commit(batch, 100);
			p->transport = 20;
			p->number = 7;
		}
		for (int i = 2; i >= 0; i--) {
			struct tf_packet *p = &batch->packets[i];
			uint8_t *before = p->data;

			assert_int_equal(tf_batch_grow(batch, p), 0);
			assert_ptr_not_equal(p->data, before);
			assert_int_equal(p->room, TF_PACKET_MAX);
			assert_int_equal(p->len, 100);
			assert_int_equal(p->transport, 20);
			assert_true(p->number == 7);
			for (uint32_t k = 0; k < p->len; k++)
				assert_int_equal(p->data[k], i);
			memset(p->data - TF_HEADROOM, i, TF_HEADROOM + TF_PACKET_MAX);
			before = p->data;
			assert_int_equal(tf_batch_grow(batch, p), 0); /* has all there is */
			assert_ptr_equal(p->data, before);
		}
		assert_int_equal(batch->slots_used, 3);
		if (round)
			assert_ptr_equal(batch->packets[2].data, first); /* slots are kept */
		first = batch->packets[2].data;
		for (int i = 0; i < 3; i++)
			assert_int_equal(batch->packets[i].data[50], i);
	}
	tf_batch_destroy(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_has_bounds),
		cmocka_unit_test(packets_keep_apart),
		cmocka_unit_test(every_room_takes_the_largest),
		cmocka_unit_test(growing_keeps_the_bytes),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
