/* Packets through a ring: against an array, when it is full, and from one thread to another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "packet.h"
#include "ring.h"

enum { COUNT = 50, THROUGH = 50000 };

/* Bytes of a packet that is told by its number. */
static void fill(uint8_t *bytes, uint32_t len, uint32_t number)
{
	for (uint32_t i = 0; i < len; i += 4)
		memcpy(bytes + i, &number, len - i < 4 ? len - i : 4);
}

static void check(const uint8_t *bytes, uint32_t len, uint32_t number)
{
	for (uint32_t i = 0; i < len; i += 4)
		assert_memory_equal(bytes + i, &number, len - i < 4 ? len - i : 4);
}

/* Mostly short, at times as long as can be. */
static uint32_t any_length(void)
{
	return rand() % 20 ? 1 + (uint32_t)rand() % 1600
			   : TF_PACKET_MAX - (uint32_t)rand() % 1000;
}

static void random_steps_against_an_array(void **state)
{
	uint32_t lengths[COUNT], put = 0, taken = 0, full = 0;
	struct tf_ring *ring;

	(void)state;
	srand(1);
	assert_int_equal(tf_ring_create(&ring, COUNT, 1500), 0);
	for (int i = 0; i < THROUGH; i++) {
		uint32_t len = 0;

		if (rand() % 2) {
			uint8_t *room = tf_ring_room(ring);

			full += !room;
			assert_true(room || put - taken > 1); /* two of any size always fit */
			assert_true(!room || put - taken < COUNT);
			if (!room)
				continue;
			len = any_length();
			fill(room, len, put);
			lengths[put % COUNT] = len;
			tf_ring_put(ring, len);
			put++;
		} else {
			const uint8_t *first = tf_ring_first(ring, &len);

			assert_int_equal(first != NULL, put != taken);
			if (!first)
				continue;
			assert_int_equal(len, lengths[taken % COUNT]);
			check(first, len, taken);
			tf_ring_take(ring);
			taken++;
		}
	}
	assert_true(full > 0 && taken > THROUGH / 4);
	tf_ring_destroy(ring);
}

static void holds_as_many_as_it_was_made_for(void **state)
{
	struct tf_ring *ring;
	uint32_t len;

	(void)state;
	assert_int_equal(tf_ring_create(&ring, COUNT, 1500), 0);
	for (int round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < COUNT; i++) {
			uint8_t *room = tf_ring_room(ring);

			assert_non_null(room);
			fill(room, 1500, i);
			tf_ring_put(ring, 1500);
		}
		assert_null(tf_ring_room(ring));
		for (uint32_t i = 0; i < COUNT; i++) {
			check(tf_ring_first(ring, &len), 1500, i);
			tf_ring_take(ring);
		}
		assert_null(tf_ring_first(ring, &len));
	}
	tf_ring_destroy(ring);
}

static void put_all(void *arg)
{
	struct tf_ring *ring = arg;
	unsigned int seed = 3;

	for (uint32_t i = 0; i < THROUGH;) {
		uint32_t len = 1 + (uint32_t)rand_r(&seed) % 300;
		uint8_t *room;

		while (!(room = tf_ring_room(ring)))
			uv_sleep(0);
		fill(room, len, i++);
		tf_ring_put(ring, len);
	}
}

static void from_one_thread_to_another(void **state)
{
	unsigned int seed = 3;
	struct tf_ring *ring;
	uv_thread_t thread;

	(void)state;
	assert_int_equal(tf_ring_create(&ring, COUNT, 100), 0);
	assert_int_equal(uv_thread_create(&thread, put_all, ring), 0);
	for (uint32_t i = 0; i < THROUGH; i++) {
		uint32_t expected = 1 + (uint32_t)rand_r(&seed) % 300, len;
		const uint8_t *first;

		while (!(first = tf_ring_first(ring, &len)))
			uv_sleep(0);
		assert_int_equal(len, expected);
		check(first, len, i);
		tf_ring_take(ring);
	}
	uv_thread_join(&thread);
	tf_ring_destroy(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps_against_an_array),
		cmocka_unit_test(holds_as_many_as_it_was_made_for),
		cmocka_unit_test(from_one_thread_to_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
