/* Answers to refused packets: whatever the bytes, they are sound and lead to no further answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "edit.h"
#include "parse.h"
#include "reject.h"
#include "samples.h"
#include "vector.h"

static uint32_t seed = 4711;

static uint32_t chance(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* A parsed packet of a sample's bytes, in memory that ends with it. */
static struct tf_packet sample(int which)
{
	struct tf_packet packet = {.link = samples[which].link};

	packet.data = vector_bytes(samples[which].hex, &packet.len);
	packet.room = packet.len;
	tf_parse(&packet);
	return packet;
}

/* Answers a packet; checks all that holds of every answer. Its length. */
static uint32_t answer_of(struct tf_packet *packet)
{
	uint8_t *answer = malloc(TF_REJECT_MAX);
	struct tf_packet made = {.data = answer, .link = packet->link};
	uint32_t length = tf_reject(packet, answer);
	uint8_t none[TF_REJECT_MAX];

	made.len = made.room = length;
	if (length > 0) {
		uint32_t field;

		tf_parse(&made);
		assert_int_equal(made.malformed, TF_WELL_FORMED);
		assert_int_equal(made.end, made.len);
		assert_int_equal(made.vlan, packet->vlan);
		assert_int_equal(made.network, packet->network);
		field = tf_checksum_offset(&made);
		assert_true(field > 0);
		assert_int_equal(tf_get16(answer + field), tf_checksum_transport(&made));
		if (made.headers & TF_HAS_IP4) {
			assert_int_equal(tf_get16(answer + made.network + 10),
					 tf_checksum_ip4(&made));
			assert_true(made.len - made.network <= 576);
		} else {
			assert_true(made.len - made.network <= 1280);
		}
		assert_int_equal(!!(made.headers & TF_HAS_TCP), !!(packet->headers & TF_HAS_TCP));
		assert_int_equal(tf_reject(&made, none), 0);
	}
	free(answer);
	return length;
}

static void what_has_an_answer(void **state)
{
	/* Later fragments, ARP and what is no IP have none. */
	static const uint8_t expected[SAMPLE_COUNT] = {
		[SAMPLE_TCP4] = 1,	 [SAMPLE_TCP4_OPTIONS] = 1, [SAMPLE_UDP4] = 1,
		[SAMPLE_UDP4_NONE] = 1,	 [SAMPLE_ICMP] = 1,	    [SAMPLE_GRE] = 1,
		[SAMPLE_FIRST4] = 1,	 [SAMPLE_TCP6] = 1,	    [SAMPLE_UDP6] = 1,
		[SAMPLE_UDP6_ROUTE] = 1, [SAMPLE_ICMP6] = 1,	    [SAMPLE_FIRST6] = 1,
		[SAMPLE_ETH_TCP] = 1,	 [SAMPLE_ETH_VLAN_UDP] = 1, [SAMPLE_ETH_QINQ_TCP6] = 1,
	};

	(void)state;
	for (int i = 0; i < SAMPLE_COUNT; i++) {
		struct tf_packet packet = sample(i);
		uint32_t length = answer_of(&packet);

		if (!!length != expected[i])
			fail_msg("sample %d: %u bytes", i, length);
		free(packet.data);
	}
}

static void any_bytes(void **state)
{
	unsigned answers = 0;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct tf_packet packet = sample((int)chance(SAMPLE_COUNT));
		uint32_t edits = chance(4);

		if (chance(4) == 0) {
			packet.len = packet.room = 1 + chance(packet.len);
			packet.data = realloc(packet.data, packet.len);
			tf_parse(&packet);
		}
		for (; edits > 0; edits--) {
			/* With checksums that follow, or none would be answered. */
			packet.flags = chance(8) ? 0 : TF_RAW;
			tf_packet_put(&packet, chance(packet.len), 1, chance(256));
		}
		answers += answer_of(&packet) > 0;
		free(packet.data);
	}
	assert_true(answers > 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_an_answer),
		cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
