/* test_edit [FILE]: FILE comes from packet_vectors.py edit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "checksum.h"
#include "edit.h"
#include "parse.h"
#include "samples.h"
#include "vector.h"

enum { WORDS_MAX = 10 };

static const char *file;

/* Does what words (from the verb on) say; what the function answered. */
static int act(struct tf_packet *p, char *const words[WORDS_MAX])
{
	uint32_t n = 0, with_n = 0;
	uint8_t *bytes, *with;
	int status = -100;

	if (!strcmp(words[0], "put"))
		return tf_packet_put(p, (uint32_t)atoi(words[1]), (uint32_t)atoi(words[2]),
				     (uint32_t)strtoul(words[3], NULL, 10));
	bytes = vector_bytes(words[0][0] == 'w' ? words[2] : words[1], &n);
	if (!strcmp(words[0], "write")) {
		status = tf_packet_write(p, (uint32_t)atoi(words[1]), bytes, n);
	} else if (!strcmp(words[0], "payload")) {
		status = tf_packet_set_payload(p, bytes, n);
	} else if (!strcmp(words[0], "replace")) {
		with = vector_bytes(words[2], &with_n);
		status = tf_packet_replace(p, bytes, n, with, with_n, (uint32_t)atoi(words[3]));
		free(with);
	}
	free(bytes);
	return status;
}

static int same_parse(const struct tf_packet *p)
{
	struct tf_packet again = *p;

	tf_parse(&again);
	return !memcmp(&again, p, sizeof(again));
}

static void edits_as_scapy_does(void **state)
{
	static char line[800000];
	unsigned count = 0, wrong = 0;
	FILE *in;

	(void)state;
	if (!file)
		skip();
	in = fopen(file, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		char *words[5 + WORDS_MAX] = {NULL};
		uint32_t len, want_len;
		uint8_t *bytes, *want;
		struct tf_packet p;
		int i = 0, expected = 0, status;

		for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
			words[i++] = word;
		assert_in_range(i, 7, 10);
		bytes = vector_bytes(words[3], &len);
		want = vector_bytes(words[4], &want_len);
		if (!strcmp(words[5], "replace"))
			expected = atoi(words[9]);
		if (want_len > len) { /* one byte too few: nothing may happen */
			vector_packet(&p, (uint8_t)atoi(words[2]), bytes, len, want_len - 1);
			tf_parse(&p);
			assert_int_equal(act(&p, words + 5), TF_EDIT_ROOM);
			assert_int_equal(p.len, len);
			assert_memory_equal(p.data, bytes, len);
			assert_int_equal(p.flags, 0);
			free(p.data);
		}
		vector_packet(&p, (uint8_t)atoi(words[2]), bytes, len,
			      len > want_len ? len : want_len);
		tf_parse(&p);
		status = act(&p, words + 5);
		if (status != expected || p.len != want_len || memcmp(p.data, want, want_len)) {
			if (wrong++ < 5) {
				print_error("%s %s %s %s %s: %d\nbefore %s\nwanted %s\ngot    ",
					    words[1], words[5], words[6], words[7] ? words[7] : "",
					    words[8] ? words[8] : "", status, words[3], words[4]);
				for (uint32_t k = 0; k < p.len; k++)
					print_error("%02x", p.data[k]);
				print_error("\n");
			}
		}
		assert_null(vector_broken(&p));
		assert_true(same_parse(&p));
		if (status > 0 || strcmp(words[5], "replace"))
			assert_true(p.flags & TF_EDITED);
		count++;
		free(p.data);
		free(bytes);
		free(want);
	}
	fclose(in);
	assert_int_equal(wrong, 0);
	assert_in_range(count, 5000, 1000000);
	print_message("%u edits\n", count);
}

static void sample(struct tf_packet *p, int i, uint32_t extra_room)
{
	uint32_t len;
	uint8_t *bytes = vector_bytes(samples[i].hex, &len);

	vector_packet(p, samples[i].link, bytes, len, len + extra_room);
	free(bytes);
	tf_parse(p);
	assert_int_equal(p->malformed, TF_WELL_FORMED);
}

static uint32_t get16(const struct tf_packet *p, uint32_t at)
{
	return (uint32_t)p->data[at] << 8 | p->data[at + 1];
}

static void outside_is_refused(void **state)
{
	struct tf_packet p, was;
	uint8_t bytes[4] = {0};

	(void)state;
	sample(&p, SAMPLE_TCP4, 10);
	was = p;
	assert_int_equal(tf_packet_put(&p, p.len, 1, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, p.len - 1, 2, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, p.len - 3, 4, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, 0xffffffff, 1, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, 0xfffffffe, 4, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, 0, 3, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_put(&p, 0, 8, 0), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_write(&p, 0, bytes, 0xffffffff), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_write(&p, 0xfffffffe, bytes, 4), TF_EDIT_RANGE);
	assert_int_equal(tf_packet_write(&p, p.len, bytes, 0), 0); /* nothing, at the end */
	assert_memory_equal(&p, &was, sizeof(p));
	assert_int_equal(tf_packet_put(&p, p.len - 1, 1, 0), 0);
	assert_int_equal(p.flags, TF_EDITED | TF_CHANGED);
	free(p.data);
}

/* What was wrong stays wrong by as much. */
static void wrong_checksums_stay_wrong(void **state)
{
	static const struct {
		int sample;
		uint32_t offset, width;
	} edits[] = {
		{SAMPLE_TCP4, 8, 1},  {SAMPLE_TCP4, 12, 4}, {SAMPLE_TCP4, 20, 2},
		{SAMPLE_TCP4, 33, 1}, {SAMPLE_TCP4, 41, 2}, {SAMPLE_UDP4, 16, 4},
		{SAMPLE_UDP4, 22, 2}, {SAMPLE_ICMP, 24, 2}, {SAMPLE_TCP6, 20, 4},
		{SAMPLE_TCP6, 42, 2}, {SAMPLE_UDP6, 49, 1}, {SAMPLE_ICMP6, 44, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(edits) / sizeof(*edits); i++) {
		struct tf_packet p;
		uint32_t field, wrong;

		sample(&p, edits[i].sample, 0);
		field = tf_checksum_offset(&p);
		p.data[field] ^= 0x40;
		if (p.headers & TF_HAS_IP4)
			p.data[10] ^= 0x40;
		wrong = (get16(&p, field) + 0xffffu - tf_checksum_transport(&p)) % 0xffff;
		assert_int_not_equal(wrong, 0);
		assert_int_equal(tf_packet_put(&p, edits[i].offset, edits[i].width, 0x35a17), 0);
		assert_int_equal((get16(&p, field) + 0xffffu - tf_checksum_transport(&p)) % 0xffff,
				 wrong);
		if (p.headers & TF_HAS_IP4)
			assert_int_not_equal(get16(&p, 10), tf_checksum_ip4(&p));
		free(p.data);
	}
}

static void udp_zero_is_written_as_ffff(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_UDP4, 0);
	/* The port that makes the sum come out as 0: the old one and the checksum on top. */
	assert_int_equal(tf_packet_put(&p, 22, 2, 6 + get16(&p, 26)), 0);
	assert_int_equal(get16(&p, 26), 0xffff);
	assert_int_equal(tf_checksum_transport(&p), 0xffff);
	free(p.data);
}

static void udp_none_stays_none(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_UDP4_NONE, 5);
	assert_int_equal(tf_packet_put(&p, 22, 2, 99), 0);
	assert_int_equal(tf_packet_put(&p, 12, 4, 99), 0);
	assert_int_equal(tf_packet_set_payload(&p, (const uint8_t *)"longer than it was", 16), 0);
	assert_int_equal(get16(&p, 26), 0);
	assert_int_equal(get16(&p, 24), 24);
	assert_int_equal(get16(&p, 10), tf_checksum_ip4(&p));
	free(p.data);
}

static void raw_changes_only_the_bytes(void **state)
{
	struct tf_packet p;
	uint32_t ip4, tcp;

	(void)state;
	sample(&p, SAMPLE_TCP4, 9);
	p.flags = TF_RAW;
	ip4 = get16(&p, 10);
	tcp = get16(&p, 36);
	assert_int_equal(tf_packet_put(&p, 22, 2, 99), 0);
	assert_int_equal(tf_packet_put(&p, 16, 4, 99), 0);
	assert_int_equal(tf_packet_put(&p, 8, 1, 9), 0);
	assert_int_equal(p.flags, TF_RAW | TF_EDITED | TF_CHANGED | TF_MOVED);
	assert_int_equal(tf_packet_set_payload(&p, (const uint8_t *)"twenty bytes, exactly", 20),
			 0);
	assert_int_equal(p.len, 60);
	assert_int_equal(get16(&p, 2), 51);
	assert_int_equal(p.end, 51); /* where the length says */
	assert_int_equal(tf_packet_put(&p, 2, 2, 60), 0);
	assert_int_equal(p.end, 60);
	assert_int_equal(tf_packet_put(&p, 0, 1, 0x46), 0);
	assert_int_equal(p.transport, 24);
	assert_int_equal(get16(&p, 10), ip4);
	assert_int_equal(get16(&p, 36), tcp);
	free(p.data);
}

static void fragments_keep_their_length(void **state)
{
	static const int fragments[] = {SAMPLE_FIRST4, SAMPLE_LATER4, SAMPLE_FIRST6};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct tf_packet p, was;
		uint8_t bytes[100], *before, fold[2];
		uint32_t n, field, sum;

		sample(&p, fragments[i], 9);
		assert_int_not_equal(p.fragment, TF_WHOLE);
		n = p.end - p.payload;
		memset(bytes, 'y', sizeof(bytes));
		was = p;
		before = malloc(p.len);
		memcpy(before, p.data, p.len);
		assert_int_equal(tf_packet_set_payload(&p, bytes, n + 1), TF_EDIT_FRAGMENT);
		assert_int_equal(tf_packet_set_payload(&p, bytes, n - 1), TF_EDIT_FRAGMENT);
		assert_int_equal(tf_packet_replace(&p, p.data + p.payload, 1, bytes, 2, 0),
				 TF_EDIT_FRAGMENT);
		assert_memory_equal(&p, &was, sizeof(p));
		assert_memory_equal(p.data, before, p.len);

		assert_int_equal(tf_packet_set_payload(&p, bytes, n), 0);
		assert_memory_equal(p.data + p.payload, bytes, n);
		assert_int_equal(p.len, was.len);
		field = tf_checksum_offset(&p);
		if (field) { /* moved by what the payload moved */
			sum = tf_checksum_add(before + p.payload, n, 0);
			sum = tf_checksum_add(bytes, n, (uint16_t)~tf_checksum_fold(sum));
			memcpy(fold, before + field, 2);
			sum += 0xffffu - (uint32_t)(fold[0] << 8 | fold[1]);
			assert_int_equal(get16(&p, field), (uint16_t)~tf_checksum_fold(sum));
		}
		free(before);
		free(p.data);
	}
}

static void fragment_made_a_datagram_keeps_its_checksum(void **state)
{
	struct tf_packet p;
	uint32_t udp;

	(void)state;
	sample(&p, SAMPLE_FIRST4, 0);
	udp = get16(&p, 26);
	assert_int_equal(tf_packet_put(&p, 6, 2, 0), 0);
	assert_int_equal(p.fragment, TF_WHOLE);
	assert_int_equal(get16(&p, 26), udp);
	assert_int_equal(get16(&p, 10), tf_checksum_ip4(&p));
	free(p.data);
	/* A later one, whose data happens to look like a UDP header. */
	sample(&p, SAMPLE_LATER4, 0);
	assert_int_equal(tf_packet_put(&p, 24, 4, (p.end - 20) << 16 | 0x1234), 0);
	assert_int_equal(tf_packet_put(&p, 6, 2, 0), 0);
	assert_int_equal(p.headers, TF_HAS_IP4 | TF_HAS_UDP);
	assert_int_equal(p.malformed, TF_WELL_FORMED);
	assert_int_equal(get16(&p, 26), 0x1234);
	free(p.data);
}

static void lengths_have_an_end(void **state)
{
	static const int all[] = {SAMPLE_TCP4, SAMPLE_UDP6, SAMPLE_ETH_QINQ_TCP6, SAMPLE_LLDP};
	uint8_t *bytes = calloc(1, 70000);

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct tf_packet p;
		uint32_t most;

		sample(&p, all[i], 0);
		most = TF_IP_MAX - (p.payload - p.network);
		assert_int_equal(tf_packet_set_payload(&p, bytes, most), TF_EDIT_ROOM);
		free(p.data);
		sample(&p, all[i], TF_PACKET_MAX - p.len);
		assert_int_equal(tf_packet_set_payload(&p, bytes, most + 1), TF_EDIT_TOO_LONG);
		assert_int_equal(tf_packet_set_payload(&p, bytes, 0xffffffff), TF_EDIT_TOO_LONG);
		assert_int_equal(p.flags, 0);
		assert_int_equal(tf_packet_set_payload(&p, bytes, most), 0);
		assert_int_equal(p.len - p.network, TF_IP_MAX);
		assert_true(same_parse(&p));
		assert_int_equal(p.malformed, TF_WELL_FORMED);
		assert_int_equal(tf_packet_replace(&p, bytes, 1, bytes, 69000, 0),
				 TF_EDIT_TOO_LONG);
		assert_int_equal(tf_packet_replace(&p, bytes, 1, bytes, 2, 1), TF_EDIT_TOO_LONG);
		assert_int_equal(tf_packet_set_payload(&p, bytes, 0), 0);
		assert_int_equal(p.len, p.payload);
		assert_true(same_parse(&p));
		free(p.data);
	}
	free(bytes);
}

static void payload_from_the_packet_itself(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_UDP4, 0);
	assert_int_equal(tf_packet_set_payload(&p, p.data + p.payload + 6, 5), 0);
	assert_int_equal(p.len, 33);
	assert_memory_equal(p.data + p.payload, "world", 5);
	assert_int_equal(get16(&p, 26), tf_checksum_transport(&p));
	free(p.data);
	/* From before the payload to behind it, in a fragment, the checksum field among them. */
	sample(&p, SAMPLE_FIRST4, 0);
	assert_int_equal(tf_packet_set_payload(&p, p.data + p.payload - 8, p.end - p.payload), 0);
	assert_memory_equal(p.data + p.payload + 8, "first fr", 8);
	free(p.data);
}

static void padding_goes_with_a_new_payload(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_ETH_TCP, 0);
	assert_int_equal(p.len, 60);
	assert_int_equal(p.end, 54);
	assert_int_equal(tf_packet_put(&p, 57, 2, 0xffff), 0); /* padding is in no checksum */
	assert_int_equal(get16(&p, 50), tf_checksum_transport(&p));
	assert_int_equal(tf_packet_set_payload(&p, (const uint8_t *)"ab", 2), 0);
	assert_int_equal(p.len, 56);
	assert_int_equal(get16(&p, 16), 42);
	assert_int_equal(get16(&p, 50), tf_checksum_transport(&p));
	free(p.data);
	/* A fragment's too. */
	sample(&p, SAMPLE_LATER4, 3);
	p.len += 3;
	assert_int_equal(tf_packet_set_payload(&p, p.data, p.end - p.payload), 0);
	assert_int_equal(p.len, p.end);
	free(p.data);
}

static void lengths_mend_a_packet(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_TCP4, 0);
	p.data[3] += 5; /* says more than there is */
	tf_parse(&p);
	assert_int_equal(p.malformed, TF_BAD_IP_LEN);
	assert_int_equal(p.headers, TF_HAS_IP4 | TF_HAS_TCP);
	assert_int_equal(tf_packet_set_payload(&p, (const uint8_t *)"abc", 3), 0);
	assert_int_equal(p.malformed, TF_WELL_FORMED);
	assert_int_equal(get16(&p, 2), 43);
	assert_int_equal(get16(&p, 36), tf_checksum_transport(&p));
	free(p.data);
}

static void replace_without_a_hit_changes_nothing(void **state)
{
	struct tf_packet p;

	(void)state;
	sample(&p, SAMPLE_TCP4, 0);
	assert_int_equal(tf_packet_replace(&p, (const uint8_t *)"hello world!", 12,
					   (const uint8_t *)"", 0, 0),
			 0);
	assert_int_equal(tf_packet_replace(&p, (const uint8_t *)"", 0, (const uint8_t *)"x", 1, 0),
			 0);
	assert_int_equal(p.flags, 0);
	/* The TCP header is not payload. */
	assert_int_equal(tf_packet_replace(&p, p.data + 20, 2, (const uint8_t *)"", 0, 0), 0);
	free(p.data);
}

/* Wherever it is, and however its letters come before; memmem says where. */
static void replace_finds_what_memmem_finds(void **state)
{
	uint32_t seed = 5, hits = 0;

	(void)state;
	for (int turn = 0; turn < 3000; turn++) {
		uint8_t text[120], wanted[120], old[24], *at = wanted, *hit;
		uint32_t n = 1 + (uint32_t)turn % 120, old_len, count = 0;
		struct tf_packet p;

		for (uint32_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = (uint8_t)('a' + (seed >> 24) % 3 / 2);
		}
		seed = seed * 1664525 + 1013904223;
		old_len = 1 + (seed >> 20) % (n < 24 ? n : 24);
		memcpy(old, text + (seed >> 8) % (n - old_len + 1), old_len);
		if (turn % 3 == 0)
			old[old_len / 2] = 'b';
		memcpy(wanted, text, n);
		while ((hit = memmem(at, (size_t)(wanted + n - at), old, old_len))) {
			memset(hit, 'x', old_len);
			at = hit + old_len;
			count++;
		}
		sample(&p, SAMPLE_TCP4, 1500);
		assert_int_equal(tf_packet_set_payload(&p, text, n), 0);
		memset(text, 'x', sizeof(text));
		assert_int_equal(tf_packet_replace(&p, old, old_len, text, old_len, 0), count);
		assert_memory_equal(p.data + p.payload, wanted, n);
		hits += count;
		free(p.data);
	}
	assert_true(hits > 3000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_as_scapy_does),
		cmocka_unit_test(outside_is_refused),
		cmocka_unit_test(wrong_checksums_stay_wrong),
		cmocka_unit_test(udp_zero_is_written_as_ffff),
		cmocka_unit_test(udp_none_stays_none),
		cmocka_unit_test(raw_changes_only_the_bytes),
		cmocka_unit_test(fragments_keep_their_length),
		cmocka_unit_test(fragment_made_a_datagram_keeps_its_checksum),
		cmocka_unit_test(lengths_have_an_end),
		cmocka_unit_test(payload_from_the_packet_itself),
		cmocka_unit_test(padding_goes_with_a_new_payload),
		cmocka_unit_test(lengths_mend_a_packet),
		cmocka_unit_test(replace_without_a_hit_changes_nothing),
		cmocka_unit_test(replace_finds_what_memmem_finds),
	};

	file = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests_name("edit", tests, NULL, NULL);
}
