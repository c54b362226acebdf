/* test_parse [FILE]: FILE comes from packet_vectors.py parse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "parse.h"
#include "vector.h"

static const char *file;

static void parses_as_read_elsewhere(void **state)
{
	static char line[400000], hex[200000];
	unsigned count = 0, wrong = 0;
	FILE *in;

	(void)state;
	if (!file)
		skip();
	in = fopen(file, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		unsigned link, w[9];
		struct tf_packet p;
		uint32_t len;
		uint8_t *bytes;

		assert_int_equal(sscanf(line, "parse %u %199999s %u %u %u %u %u %u %u %u %u", &link,
					hex, &w[0], &w[1], &w[2], &w[3], &w[4], &w[5], &w[6], &w[7],
					&w[8]),
				 11);
		bytes = vector_bytes(hex, &len);
		vector_packet(&p, (uint8_t)link, bytes, len, len);
		tf_parse(&p);
		if (p.headers != w[0] || p.network != w[1] || p.transport != w[2] ||
		    p.payload != w[3] || p.end != w[4] || p.proto != w[5] || p.fragment != w[6] ||
		    p.vlan != w[7] || p.malformed != w[8]) {
			if (wrong++ < 5)
				print_error("%sis parsed as %u %u %u %u %u %u %u %u %u\n", line,
					    p.headers, p.network, p.transport, p.payload, p.end,
					    p.proto, p.fragment, p.vlan, p.malformed);
		}
		assert_null(vector_broken(&p));
		assert_memory_equal(p.data, bytes, len);
		count++;
		free(p.data);
		free(bytes);
	}
	fclose(in);
	assert_int_equal(wrong, 0);
	assert_in_range(count, 10000, 1000000);
	print_message("%u packets\n", count);
}

static void parse_hex(struct tf_packet *packet, uint8_t link, const char *hex)
{
	uint32_t len;
	uint8_t *bytes = vector_bytes(hex, &len);

	vector_packet(packet, link, bytes, len, len);
	free(bytes);
	tf_parse(packet);
	free(packet->data);
}

static void ipv6_payload_length_zero(void **state)
{
	struct tf_packet p;

	(void)state;
	/* No next header and nothing behind: a packet like any other. */
	parse_hex(&p, TF_LINK_IP,
		  "6000000000003b40"
		  "00000000000000000000000000000001"
		  "00000000000000000000000000000002");
	assert_int_equal(p.malformed, TF_WELL_FORMED);
	assert_int_equal(p.end, 40);
	/* A hop-by-hop header with the jumbo option. */
	parse_hex(&p, TF_LINK_IP,
		  "6000000000000040"
		  "00000000000000000000000000000001"
		  "00000000000000000000000000000002"
		  "3b00c20400010000");
	assert_int_equal(p.malformed, TF_BAD_IP_LEN);
	assert_int_equal(p.headers, TF_HAS_IP6);
	assert_int_equal(p.proto, 59);
}

static void no_bytes_at_all(void **state)
{
	struct tf_packet p;

	(void)state;
	parse_hex(&p, TF_LINK_IP, "-");
	assert_int_equal(p.malformed, TF_BAD_IP_SHORT);
	parse_hex(&p, TF_LINK_ETHERNET, "-");
	assert_int_equal(p.malformed, TF_BAD_ETH_SHORT);
	assert_int_equal(p.headers, 0);
}

static void every_code_has_words(void **state)
{
	(void)state;
	assert_null(tf_malformed_text(TF_WELL_FORMED));
	for (uint8_t code = 1; code < TF_MALFORMED_COUNT; code++)
		assert_non_null(tf_malformed_text(code));
	assert_null(tf_malformed_text(TF_MALFORMED_COUNT));
	assert_null(tf_malformed_text(255));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_as_read_elsewhere),
		cmocka_unit_test(ipv6_payload_length_zero),
		cmocka_unit_test(no_bytes_at_all),
		cmocka_unit_test(every_code_has_words),
	};

	file = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
