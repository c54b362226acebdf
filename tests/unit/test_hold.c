/* Held packets: the queue against a sorted list, its bounds, and what of a packet is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "hold.h"

enum { MODEL_MAX = 20000, ROUNDS = 3000 };

/* The model: what was added and is not released, in the order in which it has to come. */
struct expected {
	double due;
	double number;
	uint8_t side;
};

static struct expected model[MODEL_MAX];
static uint32_t model_count;

static uint32_t seed = 20240229;

static uint32_t chance(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

static void model_add(double due, double number, uint8_t side)
{
	uint32_t at = model_count++;

	for (; at > 0 && model[at - 1].due > due; at--)
		model[at] = model[at - 1];
	model[at] = (struct expected){due, number, side};
}

static uint8_t buffer[TF_HEADROOM + TF_PACKET_MAX];

static int add(struct tf_hold *hold, double due, double number, uint8_t side, uint32_t len)
{
	struct tf_packet packet = {.data = buffer + TF_HEADROOM, .len = len, .room = len};

	packet.due = due;
	packet.number = number;
	return tf_hold_add(hold, &packet, side);
}

static void order_is_that_of_a_sorted_list(void **state)
{
	struct tf_hold *hold = tf_hold_create();
	struct tf_outbox *outbox = tf_outbox_create();
	double now = 0, number = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t i = 0, adds = chance(12);

		for (; adds > 0 && model_count < MODEL_MAX; adds--) {
			/* Few different times, so that many are equal. */
			double due = now + chance(40) * 0.25;
			uint8_t side = (uint8_t)chance(2);

			assert_int_equal(add(hold, due, ++number, side, 1 + chance(100)),
					 TF_SEND_OK);
			model_add(due, number, side);
		}
		assert_int_equal(tf_hold_count(hold), model_count);
		if (model_count > 0)
			assert_true(tf_hold_due(hold) == model[0].due);
		else
			assert_true(tf_hold_due(hold) > 1e299);
		now += chance(3) * 0.25;
		tf_hold_release(hold, now, outbox, 7);
		for (; i < outbox->count; i++) {
			const struct tf_sent *sent = &outbox->sent[i];

			assert_true(i < model_count && model[i].due <= now);
			assert_true(sent->packet.number == model[i].number);
			assert_true(sent->packet.due == model[i].due);
			assert_int_equal(sent->side, model[i].side);
			assert_int_equal(sent->before, 7);
		}
		assert_true(i == model_count || model[i].due > now);
		model_count -= i;
		memmove(model, model + i, model_count * sizeof(*model));
		tf_outbox_clear(outbox);
	}
	assert_true(number > ROUNDS);
	tf_outbox_destroy(outbox);
	tf_hold_destroy(hold); /* with what it still holds */
}

static void a_packet_is_kept_as_it_was(void **state)
{
	struct tf_hold *hold = tf_hold_create();
	struct tf_outbox *outbox = tf_outbox_create();
	struct tf_packet packet = {.data = buffer + TF_HEADROOM, .len = 100, .room = 1000};
	const struct tf_packet *kept;
	uint8_t before[TF_HEADROOM + 100];

	(void)state;
	for (uint32_t i = 0; i < sizeof(before); i++)
		buffer[i] = before[i] = (uint8_t)chance(256);
	packet.due = 1;
	packet.number = 42;
	packet.prefix = 16; /* bytes in the headroom that belong to it */
	packet.flags = TF_EDITED;
	assert_int_equal(tf_hold_add(hold, &packet, TF_RIGHT), TF_SEND_OK);
	memset(buffer, 0, sizeof(buffer));
	tf_hold_release(hold, 0.999, outbox, 0);
	assert_int_equal(outbox->count, 0);
	tf_hold_release(hold, 1, outbox, 0);
	assert_int_equal(outbox->count, 1);
	kept = &outbox->sent[0].packet;
	assert_ptr_not_equal(kept->data, packet.data);
	assert_memory_equal(kept->data - TF_HEADROOM, before, sizeof(before));
	assert_int_equal(kept->len, 100);
	assert_int_equal(kept->prefix, 16);
	assert_int_equal(kept->flags, TF_EDITED);
	assert_int_equal(tf_hold_count(hold), 0);
	tf_outbox_destroy(outbox);
	tf_hold_destroy(hold);
}

/* Fills with packets of this length; how many it took. */
static uint32_t fill(struct tf_hold *hold, uint32_t len)
{
	uint32_t count = 0;

	while (add(hold, 5, count + 1, TF_LEFT, len) == TF_SEND_OK)
		count++;
	assert_int_equal(tf_hold_count(hold), count);
	return count;
}

static void it_is_bounded_in_number(void **state)
{
	struct tf_hold *hold = tf_hold_create();
	struct tf_outbox *outbox = tf_outbox_create();
	double number = 0;

	(void)state;
	assert_int_equal(fill(hold, 1), TF_HOLD_PACKETS);
	assert_int_equal(add(hold, 5, 1, TF_LEFT, 1), TF_SEND_FULL);
	/* What the outbox has no room for stays, in its order. */
	while (tf_hold_count(hold) > 0) {
		tf_hold_release(hold, 5, outbox, 0);
		assert_in_range(outbox->count, 1, TF_OUTBOX_PACKETS);
		for (uint32_t i = 0; i < outbox->count; i++)
			assert_true(outbox->sent[i].packet.number == ++number);
		tf_outbox_clear(outbox);
	}
	assert_true(number == TF_HOLD_PACKETS);
	assert_int_equal(add(hold, 5, 1, TF_LEFT, 1), TF_SEND_OK);
	tf_outbox_destroy(outbox);
	tf_hold_destroy(hold);
}

static void it_is_bounded_in_bytes(void **state)
{
	struct tf_hold *hold = tf_hold_create();
	struct tf_outbox *outbox = tf_outbox_create();

	(void)state;
	assert_int_equal(fill(hold, 65536), TF_HOLD_BYTES / 65536);
	assert_int_equal(add(hold, 5, 1, TF_LEFT, 1), TF_SEND_FULL);
	tf_hold_release(hold, 5, outbox, 0);
	assert_int_equal(outbox->count, TF_OUTBOX_BYTES / 65536);
	/* As many have room again as have gone. */
	tf_outbox_clear(outbox);
	for (uint32_t i = 0; i < TF_OUTBOX_BYTES / 65536; i++)
		assert_int_equal(add(hold, 5, 1, TF_LEFT, 65536), TF_SEND_OK);
	assert_int_equal(add(hold, 5, 1, TF_LEFT, 1), TF_SEND_FULL);
	tf_outbox_destroy(outbox);
	tf_hold_destroy(hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_is_that_of_a_sorted_list),
		cmocka_unit_test(a_packet_is_kept_as_it_was),
		cmocka_unit_test(it_is_bounded_in_number),
		cmocka_unit_test(it_is_bounded_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
