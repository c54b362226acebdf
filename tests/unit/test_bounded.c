/* Programs that loop come to an end, and all others say what libpcap's own interpreter says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bounded.h"
#include "samples.h"
#include "vector.h"

enum { ROUNDS = 400 };

static const char *const texts[] = {
	"tcp port 80",
	"ip6 proto 6",
	"ip6 protochain 6",
	"ip protochain 17",
	"ip[2:2] - 4 * (ip[0] & 0xf) > 40 and ip[8] / 2 = 32",
	"tcp[tcp[12] / 4] = 0 or udp[4:2] % 3 = 1",
	"ip6[6] << 1 = 12 or (ip[9] | 1) ^ 3 = 16",
	"len > 60 and not host 10.0.0.1",
	"icmp[icmptype] = icmp-echo or icmp6[0] = 128",
	"ip[ip[1]] = ip[ip[0]] / ip[1]",
	"greater 100 or portrange 1-1023",
};

static struct bpf_program compiled(const char *text)
{
	struct bpf_program program;
	pcap_t *pcap = pcap_open_dead(DLT_RAW, 65600);

	assert_int_equal(pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN), 0);
	pcap_close(pcap);
	return program;
}

static uint32_t draw(uint32_t below)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % below;
}

static void test_as_libpcap(void **state)
{
	unsigned selected = 0, left = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct bpf_program program = compiled(texts[i]);

		for (int round = 0; round < ROUNDS; round++) {
			int which = (int)draw(SAMPLE_COUNT);
			uint32_t len, wire;
			uint8_t *bytes = vector_bytes(samples[which].hex, &len), *exact;
			u_int expected;

			if (samples[which].link == TF_LINK_ETHERNET &&
			    draw(4)) { /* mostly without it */
				len -= 14;
				memmove(bytes, bytes + 14, len);
			}
			for (uint32_t damage = draw(4); damage > 1; damage--)
				bytes[draw(len)] = (uint8_t)draw(256);
			for (uint32_t k = 0; k < len;
			     k++) /* what makes libpcap's program run for ever */
				if (bytes[k] == 51)
					bytes[k] = 50;
			wire = len + draw(3);
			len = draw(4) ? len : 1 + draw(len);
			exact = malloc(len); /* a read behind it is seen */
			memcpy(exact, bytes, len);
			expected = bpf_filter(program.bf_insns, exact, wire, len);
			assert_int_equal(tf_bounded_filter(&program, exact, wire, len), expected);
			selected += expected != 0;
			left += expected == 0;
			free(exact);
			free(bytes);
		}
		pcap_freecode(&program);
	}
	assert_in_range(selected, 300, 1000000); /* else this proves little */
	assert_in_range(left, 300, 1000000);
}

/* An Authentication Header whose length leads the program back to it. */
static void test_ends(void **state)
{
	struct bpf_program program = compiled("ip6 protochain 5");
	uint8_t packet[80] = {0x60, [6] = 51, [40] = 51, [41] = 8};

	(void)state;
	assert_int_equal(tf_bounded_filter(&program, packet, sizeof(packet), sizeof(packet)), 0);
	pcap_freecode(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_libpcap),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests_name("bounded", tests, NULL, NULL);
}
