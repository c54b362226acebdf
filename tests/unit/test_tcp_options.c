/* TCP options in packets whose memory ends where the packet does: any bytes, read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"
#include "tcp_options.h"

enum { IP4_LEN = 20, TCP_LEN = 20, PAYLOAD_LEN = 13 };

static uint32_t seed = 1;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* A packet with these options, `slack` bytes of room behind it, and right checksums. */
static struct tf_packet make(const uint8_t *options, uint32_t n, uint32_t slack)
{
	uint32_t len = IP4_LEN + TCP_LEN + n + PAYLOAD_LEN;
	struct tf_packet packet = {.len = len, .room = len + slack, .link = TF_LINK_IP};
	uint8_t *data = calloc(1, len + slack);

	assert_non_null(data);
	data[0] = 0x45;
	tf_put16(data + 2, len);
	data[8] = 64;
	data[9] = 6;
	data[IP4_LEN + 12] = (uint8_t)((TCP_LEN + n) / 4 << 4);
	memcpy(data + IP4_LEN + TCP_LEN, options, n);
	memset(data + len - PAYLOAD_LEN, 'x', PAYLOAD_LEN);
	packet.data = data;
	tf_parse(&packet);
	assert_int_equal(packet.headers, TF_HAS_IP4 | TF_HAS_TCP);
	tf_put16(data + 10, tf_checksum_ip4(&packet));
	tf_put16(data + IP4_LEN + 16, tf_checksum_transport(&packet));
	return packet;
}

static void assert_sound(const struct tf_packet *packet)
{
	assert_int_equal(packet->malformed, TF_WELL_FORMED);
	assert_int_equal(packet->end, packet->len);
	assert_true(packet->len <= packet->room);
	assert_int_equal(packet->end - packet->payload, PAYLOAD_LEN);
	for (uint32_t i = packet->payload; i < packet->end; i++)
		assert_int_equal(packet->data[i], 'x');
	assert_int_equal(tf_get16(packet->data + 10), tf_checksum_ip4(packet));
	assert_int_equal(tf_get16(packet->data + IP4_LEN + 16), tf_checksum_transport(packet));
}

static void any_bytes_stay_within_the_packet(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint8_t bytes[40];
		uint32_t n = any(11) * 4;
		struct tf_tcp_options first, second;
		struct tf_packet packet;
		int status;

		for (uint32_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)(any(5) ? any(13) : any(256));
		packet = make(bytes, n, any(2) * 40);
		tf_tcp_options_read(&packet, &first);
		status = tf_tcp_options_write(&packet, &first, (int)any(2));
		assert_true(status == 0 || status == TF_EDIT_ROOM || status == TF_OPTIONS_TOO_LONG);
		assert_sound(&packet);
		tf_tcp_options_read(&packet, &second);
		assert_memory_equal(&first, &second, sizeof(first));
		free(packet.data);
	}
}

static void a_length_of_nothing_or_too_much_ends_the_list(void **state)
{
	static const uint8_t lists[][8] = {{2, 0, 5, 5, 3, 3, 7, 0},  {2, 1, 5, 5, 3, 3, 7, 0},
					   {99, 9, 3, 3, 7, 0, 0, 0}, {0, 3, 3, 7, 3, 3, 7, 0},
					   {1, 1, 1, 1, 1, 1, 1, 3},  {1, 1, 1, 1, 1, 1, 3, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct tf_packet packet = make(lists[i], 8, 0);
		struct tf_tcp_options options;

		tf_tcp_options_read(&packet, &options);
		assert_int_equal(options.present, 0);
		free(packet.data);
	}
}

static void the_first_of_two_counts_and_wrong_lengths_do_not(void **state)
{
	static const uint8_t list[12] = {2, 3, 9, 2, 4, 1, 2, 2, 4, 3, 4, 0};
	struct tf_packet packet = make(list, 12, 0);
	struct tf_tcp_options options;

	(void)state;
	tf_tcp_options_read(&packet, &options);
	assert_int_equal(options.present, TF_OPTION_MSS);
	assert_int_equal(options.mss, 0x102);
	free(packet.data);
}

static void room_and_raw(void **state)
{
	struct tf_tcp_options options = {.present = TF_OPTION_MSS, .mss = 1400};
	struct tf_packet packet = make((const uint8_t *)"", 0, 3), was = packet;

	(void)state;
	assert_int_equal(tf_tcp_options_write(&packet, &options, 0), TF_EDIT_ROOM);
	assert_memory_equal(&packet, &was, sizeof(packet));
	assert_sound(&packet);
	free(packet.data);

	packet = make((const uint8_t *)"", 0, 4);
	packet.flags = TF_RAW;
	assert_int_equal(tf_tcp_options_write(&packet, &options, 0), 0);
	assert_int_equal(packet.len, was.len + 4);
	assert_int_equal(tf_get16(packet.data + 2), was.len);
	assert_int_equal(packet.data[IP4_LEN + 12], 0x50);
	assert_int_equal(tf_get16(packet.data + IP4_LEN + TCP_LEN + 2), 1400);
	free(packet.data);
}

static void more_than_a_header_holds(void **state)
{
	struct tf_tcp_options options = {.present = 31, .blocks = 4};
	struct tf_packet packet = make((const uint8_t *)"", 0, 40), was = packet;

	(void)state;
	assert_int_equal(tf_tcp_options_write(&packet, &options, 0), TF_OPTIONS_TOO_LONG);
	assert_memory_equal(&packet, &was, sizeof(packet));
	options.blocks = 2;
	assert_int_equal(tf_tcp_options_write(&packet, &options, 0), 0);
	assert_int_equal(packet.len, was.len + 40);
	assert_sound(&packet);
	free(packet.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_bytes_stay_within_the_packet),
		cmocka_unit_test(a_length_of_nothing_or_too_much_ends_the_list),
		cmocka_unit_test(the_first_of_two_counts_and_wrong_lengths_do_not),
		cmocka_unit_test(room_and_raw),
		cmocka_unit_test(more_than_a_header_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
