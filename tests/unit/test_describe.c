/*
 * What holds for any bytes and any size; describe_vectors.py compares the words with tcpdump's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "describe.h"
#include "parse.h"
#include "samples.h"
#include "vector.h"

enum { LINE_MAX_LENGTH = 4095 };

/* A packet in a heap block of exactly its size, so that a sanitizer sees the first stray byte. */
static void take(struct tf_packet *packet, uint8_t link, const uint8_t *bytes, uint32_t len)
{
	memset(packet, 0, sizeof(*packet));
	packet->data = malloc(len);
	assert_non_null(packet->data);
	memcpy(packet->data, bytes, len);
	packet->len = packet->room = len;
	packet->link = link;
	tf_parse(packet);
}

/* The line and the dump are of the length that is returned, and hold printable ASCII only. */
static void check_text(struct tf_packet *packet)
{
	char line[LINE_MAX_LENGTH + 1];
	uint32_t length = tf_packet_describe(packet, line, sizeof(line));
	uint32_t lines = (packet->len + 15) / 16, i;
	uint32_t needed = tf_packet_hexdump(packet, NULL, 0);
	char *dump = malloc(needed + 1);

	assert_non_null(dump);
	assert_in_range(length, 1, LINE_MAX_LENGTH);
	assert_int_equal(strlen(line), length);
	for (i = 0; i < length; i++)
		assert_in_range(line[i], ' ', '~');
	assert_int_equal(strstr(line, " [malformed: ") != NULL ||
				 strncmp(line, "[malformed: ", 12) == 0,
			 packet->malformed != TF_WELL_FORMED);
	assert_int_equal(tf_packet_hexdump(packet, dump, needed + 1), needed);
	assert_int_equal(strlen(dump), needed);
	for (i = 0; i < needed; i++)
		if (dump[i] == '\n')
			lines--;
		else if (dump[i] != '\t')
			assert_in_range(dump[i], ' ', '~');
	assert_int_equal(lines, 0);
	free(dump);
}

static void samples_cut_anywhere_are_safe(void **state)
{
	uint32_t i, cut, len;

	(void)state;
	for (i = 0; i < SAMPLE_COUNT; i++) {
		uint8_t *bytes = vector_bytes(samples[i].hex, &len);

		for (cut = 1; cut <= len; cut++) {
			struct tf_packet packet;

			take(&packet, samples[i].link, bytes, cut);
			check_text(&packet);
			free(packet.data);
		}
		free(bytes);
	}
}

/* Samples with some bytes of their headers changed: lengths, protocols and options of any kind. */
static void changed_bytes_are_safe(void **state)
{
	uint32_t round, i, len;

	(void)state;
	srand(20);
	for (round = 0; round < 1000 * SAMPLE_COUNT; round++) {
		uint32_t sample = round % SAMPLE_COUNT;
		uint8_t *bytes = vector_bytes(samples[sample].hex, &len);
		struct tf_packet packet;

		for (i = 0; i < 4; i++)
			bytes[(uint32_t)rand() % len] = (uint8_t)rand();
		take(&packet, samples[sample].link, bytes, len);
		check_text(&packet);
		free(packet.data);
		free(bytes);
	}
}

/* Every small size: what fits of the whole text is written, and never a byte more. */
static void sizes_are_kept(void **state)
{
	uint32_t i, size, len;

	(void)state;
	for (i = 0; i < SAMPLE_COUNT; i++) {
		uint8_t *bytes = vector_bytes(samples[i].hex, &len);
		char line[LINE_MAX_LENGTH + 1], dump[8192];
		struct tf_packet packet;
		uint32_t length, needed;

		take(&packet, samples[i].link, bytes, len);
		length = tf_packet_describe(&packet, line, sizeof(line));
		needed = tf_packet_hexdump(&packet, dump, sizeof(dump));
		assert_in_range(needed, 1, sizeof(dump) - 1);
		for (size = 0; size < needed + 2; size++) {
			char *text = malloc(size + 1);
			uint32_t fits = size == 0 ? 0 : size - 1 < length ? size - 1 : length;

			assert_non_null(text);
			text[size] = 77; /* must stay */
			assert_int_equal(tf_packet_describe(&packet, text, size), fits);
			assert_memory_equal(text, line, fits);
			if (size > 0)
				assert_int_equal(text[fits], 0);
			fits = size == 0 ? 0 : size - 1 < needed ? size - 1 : needed;
			assert_int_equal(tf_packet_hexdump(&packet, text, size), needed);
			assert_memory_equal(text, dump, fits);
			if (size > 0)
				assert_int_equal(text[fits], 0);
			assert_int_equal(text[size], 77);
			free(text);
		}
		free(packet.data);
		free(bytes);
	}
}

static void malformed_packets_say_why(void **state)
{
	static const uint8_t cut[] = {0x45, 0, 0, 40, 0,  0, 0, 0, 64, 6,  0, 0,
				      10,   0, 0, 1,  10, 0, 0, 2, 0,  80, 1, 0};
	struct tf_packet packet;
	char line[256];

	(void)state;
	take(&packet, TF_LINK_IP, cut, sizeof(cut));
	tf_packet_describe(&packet, line, sizeof(line));
	assert_string_equal(line, "IP 10.0.0.1.80 > 10.0.0.2.256: [malformed: the IP length is "
				  "below the header's or past the packet's end]");
	free(packet.data);
	take(&packet, TF_LINK_IP, cut, 3);
	tf_packet_describe(&packet, line, sizeof(line));
	assert_string_equal(line, "IP [malformed: the IP header is cut off]");
	free(packet.data);
}

/* An offset past 0xffff takes five digits; the length that is asked for counts them. */
static void the_longest_packet_is_dumped(void **state)
{
	struct tf_packet packet = {.len = TF_PACKET_MAX};
	uint32_t needed;
	char *dump;

	(void)state;
	packet.data = calloc(1, TF_PACKET_MAX);
	assert_non_null(packet.data);
	needed = tf_packet_hexdump(&packet, NULL, 0);
	dump = malloc(needed + 1);
	assert_non_null(dump);
	tf_packet_hexdump(&packet, dump, needed + 1);
	assert_int_equal(strlen(dump), needed);
	assert_non_null(strstr(dump, "\n\t0x10030:  0000 "));
	free(dump);
	free(packet.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_cut_anywhere_are_safe),
		cmocka_unit_test(changed_bytes_are_safe),
		cmocka_unit_test(sizes_are_kept),
		cmocka_unit_test(malformed_packets_say_why),
		cmocka_unit_test(the_longest_packet_is_dumped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
