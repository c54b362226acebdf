/*
 * Damaged packets and random edits, the same every time: nothing leaves the packet's block (the
 * sanitizers see to that), offsets stay in order, a descriptor is what a fresh parse gives, and
 * checksums that were right are right afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "checksum.h"
#include "edit.h"
#include "parse.h"
#include "samples.h"
#include "vector.h"

enum { ROUNDS = 60000, EDITS = 4 };

static uint64_t seed = 88172645463325252u;

static uint32_t draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % below;
}

/* The sum as RFC 1071 has it, a word at a time. */
static uint32_t sum(const uint8_t *bytes, uint32_t from, uint32_t to, uint32_t start)
{
	for (uint32_t i = from; i < to; i++)
		start += (i - from) % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return start;
}

/* A whole, well-formed datagram whose checksums a receiver would find right (or left out). */
static int verifies(const struct tf_packet *p)
{
	const uint8_t *data = p->data;
	uint32_t field = tf_checksum_offset(p), n = p->network, pseudo;

	if (p->malformed || p->fragment || !(p->headers & (TF_HAS_IP4 | TF_HAS_IP6)))
		return 0;
	if (p->headers & TF_HAS_IP4 && tf_checksum_fold(sum(data, n, p->transport, 0)) != 0xffff)
		return 0;
	if (!field)
		return 1;
	if (p->headers & TF_HAS_UDP && !data[field] && !data[field + 1])
		return !!(p->headers & TF_HAS_IP4);
	pseudo = p->end - p->transport + p->proto;
	if (p->headers & TF_HAS_IP4) {
		pseudo = p->headers & TF_HAS_ICMP ? 0 : sum(data, n + 12, n + 20, pseudo);
	} else {
		uint32_t to = tf_checksum_destination(p); /* right by test_checksum */

		pseudo = sum(data, to, to + 16, sum(data, n + 8, n + 24, pseudo));
	}
	return tf_checksum_fold(sum(data, p->transport, p->end, pseudo)) == 0xffff;
}

static int hits(uint32_t at, uint32_t n, uint32_t field)
{
	return field && at < field + 2 && at + n > field;
}

static void check(const struct tf_packet *p)
{
	struct tf_packet again = *p;

	assert_null(vector_broken(p));
	tf_parse(&again);
	assert_memory_equal(&again, p, sizeof(again));
}

/* A write somewhere; whether checksums have to be right afterwards if they were before. */
static int random_write(struct tf_packet *p)
{
	const struct tf_packet was = *p;
	uint32_t at = draw(p->len + 3), n = draw(5) ? 1u << draw(3) : draw(40);
	uint8_t *bytes = malloc(n);
	int status, expected;

	if (p->len > 60 && draw(2))
		at = draw(60);
	for (uint32_t i = 0; i < n; i++) {
		bytes[i] = (uint8_t)draw(256);
		if (draw(3) && at + i < p->len)
			bytes[i] = (uint8_t)(p->data[at + i] ^ (1u << draw(16)));
	}
	expected = at > p->len || n > p->len - at ? TF_EDIT_RANGE : 0;
	if ((n == 1 || n == 2 || n == 4) && draw(2)) {
		uint32_t value = 0;

		for (uint32_t i = 0; i < n; i++)
			value = value << 8 | bytes[i];
		status = tf_packet_put(p, at, n, value);
	} else {
		status = tf_packet_write(p, at, bytes, n);
	}
	assert_int_equal(status, expected);
	if (!status && !hits(at, n, p->network + 10) && !hits(at, n, tf_checksum_offset(p)))
		assert_memory_equal(p->data + at, bytes, n);
	free(bytes);
	return !(p->flags & TF_RAW) && was.network == p->network &&
	       ((was.headers ^ p->headers) & (TF_HAS_IP4 | TF_HAS_IP6)) == 0 &&
	       !hits(at, n, tf_checksum_offset(&was)) && !hits(at, n, tf_checksum_offset(p)) &&
	       !(p->headers & TF_HAS_IP4 && hits(at, n, p->network + 10));
}

static void random_payload(struct tf_packet *p)
{
	uint32_t n = draw(p->room + 20), had = p->len;
	uint8_t *bytes = malloc(n);
	int status;

	memset(bytes, 'a', n);
	if (p->fragment && draw(2))
		n = p->end - p->payload < n ? p->end - p->payload : n;
	status = tf_packet_set_payload(p, bytes, n);
	if (status)
		assert_int_equal(p->len, had);
	free(bytes);
}

static void random_replace(struct tf_packet *p)
{
	static const uint8_t with[] = "aaaaaaaaaa";
	uint8_t old[2];
	uint32_t n = 1 + draw(2), at = p->payload + draw(8);

	memset(old, 'a', sizeof(old));
	if (at + n <= p->end)
		memcpy(old, p->data + at, n);
	assert_in_range(tf_packet_replace(p, old, n, with, draw(sizeof(with)), draw(4)) -
				TF_EDIT_RANGE,
			0, (uint32_t)TF_PACKET_MAX + 4);
}

static void damaged_and_edited(void **state)
{
	unsigned verified = 0, right = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		int which = (int)draw(SAMPLE_COUNT), damage = (int)draw(4);
		struct tf_packet p;
		uint32_t len;
		uint8_t *bytes = vector_bytes(samples[which].hex, &len);

		for (; damage > 1; damage--)
			bytes[draw(len)] = (uint8_t)draw(256);
		if (!draw(8))
			len = 1 + draw(len);
		vector_packet(&p, samples[which].link, bytes, len, len + draw(2) * draw(40));
		free(bytes);
		p.flags = draw(10) ? 0 : TF_RAW;
		tf_parse(&p);
		check(&p);
		for (int i = 0; i < EDITS; i++) {
			int before = verifies(&p), must = !(p.flags & TF_RAW);
			uint32_t kind = draw(8);

			if (kind < 6)
				must = random_write(&p);
			else if (kind == 6)
				random_payload(&p);
			else
				random_replace(&p);
			check(&p);
			right += (unsigned)before;
			if (before && must && !p.malformed && !p.fragment) {
				if (!verifies(&p))
					fail_msg("round %d, edit %d, sample %d, kind %u", round, i,
						 which, kind);
				verified++;
			}
		}
		free(p.data);
	}
	/* The test would be worth nothing if few packets came so far. */
	assert_in_range(verified, ROUNDS / 2, ROUNDS * EDITS);
	print_message("%d edits, %u of packets that were right, %u verified\n", ROUNDS * EDITS,
		      right, verified);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_and_edited),
	};

	return cmocka_run_group_tests_name("mutation", tests, NULL, NULL);
}
