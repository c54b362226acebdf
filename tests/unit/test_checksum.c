#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "checksum.h"
#include "parse.h"
#include "vector.h"

/* RFC 1071's own words, word by word. */
static uint16_t plain_sum(const uint8_t *bytes, size_t len, uint64_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint64_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void sums_as_word_by_word(void **state)
{
	static const uint32_t starts[] = {0, 1, 0xffff, 0x10000, 0xfffffffe, 0xffffffff};
	uint32_t seed = 1;

	(void)state;
	for (size_t len = 0; len < 200; len++) {
		for (size_t shift = 0; shift < 8; shift++) {
			uint8_t *block = malloc(shift + len), *bytes = block + shift;

			for (size_t i = 0; i < len; i++) {
				seed = seed * 1664525 + 1013904223;
				bytes[i] = len % 5 ? (uint8_t)(seed >> 24) : 0xff;
			}
			for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
				assert_int_equal(
					tf_checksum_fold(tf_checksum_add(bytes, len, starts[i])),
					plain_sum(bytes, len, starts[i]));
			free(block);
		}
	}
}

static void sums_the_largest(void **state)
{
	uint8_t *bytes = malloc(TF_PACKET_MAX);

	(void)state;
	memset(bytes, 0xff, TF_PACKET_MAX);
	for (uint32_t n = TF_PACKET_MAX - 9; n <= TF_PACKET_MAX; n++)
		assert_int_equal(tf_checksum_fold(tf_checksum_add(bytes, n, 0xffffffff)),
				 plain_sum(bytes, n, 0xffffffff));
	/* All zero is the only sum of 0 (RFC 1624 needs the two zeros told apart). */
	memset(bytes, 0, TF_PACKET_MAX);
	assert_int_equal(tf_checksum_fold(tf_checksum_add(bytes, TF_PACKET_MAX, 0)), 0);
	bytes[1] = 1;
	bytes[4] = bytes[5] = 0xff;
	bytes[7] = 0xfe;
	bytes[6] = 0xff;
	assert_int_equal(tf_checksum_fold(tf_checksum_add(bytes, TF_PACKET_MAX, 0)), 0xffff);
	free(bytes);
}

static void rfc1071_example(void **state)
{
	const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal(tf_checksum_fold(tf_checksum_add(bytes, sizeof(bytes), 0)), 0xddf2);
}

/* Packets that scapy 2.5 built: link, bytes; and where their checksums stand. */
static const struct {
	const char *what;
	const char *hex;
	uint32_t field;
} built[] = {
	{"TCP over IPv4 with options, odd length",
	 "4600003300010000400663c00a0000010a0000020101010100010002000000000000000060022000"
	 "90b90000020405b46f6464",
	 40},
	{"UDP over IPv4", "4500001f00010000401166cb0a0000010a00000200010002000b2770616263", 26},
	{"ICMP", "4500002000010000400166da0a0000010a0000020800191f0007000970696e67", 22},
	{"TCP over IPv6",
	 "6000000000150640fd000000000000000000000000000001fd000000000000000000000000000002"
	 "000100020000000000000000500220001dda000078",
	 56},
	{"ICMPv6 behind hop-by-hop",
	 "6000000000130040fd000000000000000000000000000001fd000000000000000000000000000002"
	 "3a000502000001008000c14f00010002616263",
	 50},
	{"UDP, routing header type 0 under way",
	 "6000000000332b40fd000000000000000000000000000001fd000000000000000000000000000002"
	 "1104000100000000fd00000000000000000000000000000afd00000000000000000000000000000b"
	 "00010002000b4165616263",
	 86},
	{"UDP, the same at its end",
	 "6000000000332b40fd000000000000000000000000000001fd000000000000000000000000000002"
	 "1104000000000000fd00000000000000000000000000000afd00000000000000000000000000000b"
	 "00010002000b416e616263",
	 86},
	{"TCP, segment routing",
	 "60000000003c2b40fd000000000000000000000000000001fd000000000000000000000000000002"
	 "0604040101000000fd00000000000000000000000000000afd00000000000000000000000000000b"
	 "0001000200000000000000005002200095d30000",
	 96},
	{"UDP whose checksum comes out as 0",
	 "4500001e00010000401166cc0a0000010a0000028a730002000affff6162", 26},
};

static void as_scapy_builds(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(built) / sizeof(*built); i++) {
		struct tf_packet p;
		uint32_t len;
		uint8_t *bytes = vector_bytes(built[i].hex, &len);
		const uint8_t *field = bytes + built[i].field;

		vector_packet(&p, TF_LINK_IP, bytes, len, len);
		tf_parse(&p);
		assert_int_equal(p.malformed, TF_WELL_FORMED);
		assert_int_equal(tf_checksum_offset(&p), built[i].field);
		assert_int_equal(tf_checksum_transport(&p), field[0] << 8 | field[1]);
		if (p.headers & TF_HAS_IP4)
			assert_int_equal(tf_checksum_ip4(&p), bytes[10] << 8 | bytes[11]);
		else
			assert_int_equal(memcmp(bytes + tf_checksum_destination(&p), "\xfd", 1), 0);
		free(p.data);
		free(bytes);
	}
}

static void none_without_transport(void **state)
{
	struct tf_packet p;
	const uint8_t bytes[20] = {0x45, 0, 0, 20, 0, 0, 0, 0, 64, 50};

	(void)state;
	vector_packet(&p, TF_LINK_IP, bytes, sizeof(bytes), sizeof(bytes));
	tf_parse(&p);
	assert_int_equal(tf_checksum_offset(&p), 0);
	assert_int_equal(tf_checksum_transport(&p), 0);
	free(p.data);
}

/* A route with segments left and no room for an address is none. */
static void empty_routes(void **state)
{
	(void)state;
	for (uint8_t type = 0; type < 6; type++) {
		uint8_t bytes[56] = {0x60, 0, 0, 0, 0, 16, 43, 64}, *route = bytes + 40;
		struct tf_packet p;

		route[0] = 17;
		route[2] = type;
		route[3] = 1;
		bytes[53] = 8;
		vector_packet(&p, TF_LINK_IP, bytes, sizeof(bytes), sizeof(bytes));
		tf_parse(&p);
		assert_int_equal(p.headers, TF_HAS_IP6 | TF_HAS_UDP);
		assert_int_equal(tf_checksum_destination(&p), 24);
		free(p.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_as_word_by_word),	  cmocka_unit_test(sums_the_largest),
		cmocka_unit_test(rfc1071_example),	  cmocka_unit_test(as_scapy_builds),
		cmocka_unit_test(none_without_transport), cmocka_unit_test(empty_routes),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
