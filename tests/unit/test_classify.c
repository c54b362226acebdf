/* A classifier selects what libpcap's bpf_filter() selects, program by program. */
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>

#include <cmocka.h>

#include "any_packet.h"
#include "choose.h"
#include "classify.h"
#include "parse.h"

enum { PACKETS = 2000, PROGRAMS_MAX = 200 };

static int by_libpcap(const struct bpf_program *program, const struct tf_packet *packet)
{
	return bpf_filter(program->bf_insns, packet->data, packet->len + packet->missing,
			  packet->len) != 0;
}

static int found(const struct tf_selected *selected, uint32_t number)
{
	for (uint32_t i = 0; i < selected->count; i++)
		if (selected->numbers[i] == number)
			return 1;
	return 0;
}

/* Compiles the expressions of the list that a link type takes; how many, with their texts. */
static int compile_all(uint8_t link, struct bpf_program *programs, char (*texts)[128])
{
	pcap_t *pcap = pcap_open_dead(link == TF_LINK_ETHERNET ? DLT_EN10MB : DLT_RAW, 65535);
	FILE *file = fopen(TF_EXPRESSIONS, "r");
	int count = 0;

	assert_non_null(pcap);
	assert_non_null(file);
	while (fgets(texts[count], sizeof(*texts), file)) {
		texts[count][strcspn(texts[count], "\n")] = 0;
		if (texts[count][0] == '#' ||
		    pcap_compile(pcap, &programs[count], texts[count], 1, PCAP_NETMASK_UNKNOWN))
			continue;
		count++;
		assert_true(count < PROGRAMS_MAX);
	}
	fclose(file);
	pcap_close(pcap);
	return count;
}

/* Each expression by itself, and all of them as one. */
static void selects_as_libpcap(uint8_t link)
{
	static char texts[PROGRAMS_MAX][128];
	struct bpf_program programs[PROGRAMS_MAX];
	struct tf_classifier *alone[PROGRAMS_MAX], *all = tf_classifier_create();
	int count = compile_all(link, programs, texts), loose = 0;
	uint32_t selected_count[PROGRAMS_MAX] = {0};
	uint8_t together[PROGRAMS_MAX];
	struct tf_selected selected;

	assert_true(count >= 60);
	for (int i = 0; i < count; i++) {
		together[i] = tf_classifier_add(all, &programs[i], (uint32_t)(3 * i)) == 0;
		alone[i] = tf_classifier_create();
		assert_int_equal(tf_classifier_add(alone[i], &programs[i], 7) == 0, together[i]);
		loose += !together[i];
	}
	assert_true(loose <= 2); /* those that loop: ip protochain, ip6 protochain */
	for (int n = 0; n < PACKETS; n++) {
		struct tf_packet packet = make_packet(link);

		assert_int_equal(tf_classifier_find(all, &packet, 0, &selected), 0);
		for (uint32_t i = 1; i < selected.count; i++)
			assert_true(selected.numbers[i - 1] < selected.numbers[i]);
		for (int i = 0; i < count; i++) {
			int wanted = by_libpcap(&programs[i], &packet);
			struct tf_selected one;

			if (!together[i])
				continue;
			selected_count[i] += (uint32_t)wanted;
			if (found(&selected, (uint32_t)(3 * i)) != wanted)
				fail_msg("%s: together with others, packet %d", texts[i], n);
			assert_int_equal(tf_classifier_find(alone[i], &packet, 0, &one), 0);
			if (one.count != (uint32_t)wanted)
				fail_msg("%s: alone, packet %d", texts[i], n);
		}
		free(packet.data);
	}
	for (int i = 0; i < count; i++) {
		/* Else the packets here say nothing of it. */
		if (together[i] && !strstr(texts[i], "1 = 1") && !strstr(texts[i], "pppoes") &&
		    !strstr(texts[i], "mpls") && !strstr(texts[i], "stp") && !strstr(texts[i], "arp") &&
		    !strstr(texts[i], "llc") && (!selected_count[i] || selected_count[i] == PACKETS))
			fail_msg("%s selects all or nothing here", texts[i]);
		tf_classifier_destroy(alone[i]);
		pcap_freecode(&programs[i]);
	}
	tf_classifier_destroy(all);
}

static void selects_ip(void **state)
{
	(void)state;
	selects_as_libpcap(TF_LINK_IP);
}

static void selects_ethernet(void **state)
{
	(void)state;
	selects_as_libpcap(TF_LINK_ETHERNET);
}

/* Any program that only jumps forward, and that reads no memory that it has not written. */
static uint32_t make_program(struct bpf_insn *insns)
{
	uint32_t count = 6 + chance(30);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t left = count - i - 2, k = ONE_OF(0, 1, 2, 4, 6, 9, 13, 15, 20, 40, 80, 0x1fff, 0xffffffff);
		struct bpf_insn *insn = &insns[i];

		insn->jt = insn->jf = 0;
		insn->k = k;
		if (i < 4) { /* M[0] to M[3] */
			insn->code = BPF_ST;
			insn->k = i;
			continue;
		}
		if (i + 1 == count) {
			insn->code = (u_short)(BPF_RET | ONE_OF(BPF_K, BPF_A));
			continue;
		}
		switch (chance(10)) {
		case 0:
		case 1:
			insn->code = (u_short)(BPF_LD | ONE_OF(BPF_ABS, BPF_IND) | ONE_OF(BPF_W, BPF_H, BPF_B));
			insn->k = k == 0xffffffff ? 3 : k;
			break;
		case 2:
			insn->code = (u_short)(ONE_OF(BPF_LD, BPF_LDX) | BPF_MEM);
			insn->k = chance(4);
			break;
		case 3:
			insn->code = (u_short)ONE_OF(BPF_LD | BPF_IMM, BPF_LDX | BPF_IMM, BPF_LD | BPF_LEN,
						      BPF_LDX | BPF_LEN, BPF_LDX | BPF_MSH | BPF_B);
			insn->k = k == 0xffffffff && insn->code == (BPF_LDX | BPF_MSH | BPF_B) ? 0 : k;
			break;
		case 4:
			insn->code = (u_short)ONE_OF(BPF_ST, BPF_STX);
			insn->k = chance(4);
			break;
		case 5:
			insn->code = (u_short)(BPF_MISC | ONE_OF(BPF_TAX, BPF_TXA));
			break;
		case 6:
			insn->code = (u_short)(BPF_ALU | BPF_X |
					       ONE_OF(BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_AND, BPF_OR,
						      BPF_XOR, BPF_LSH, BPF_RSH));
			break;
		case 7:
			insn->code = (u_short)(BPF_ALU | BPF_K |
					       ONE_OF(BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_AND, BPF_OR,
						      BPF_XOR, BPF_NEG));
			insn->k = k ? k : 3;
			break;
		default:
			insn->code = (u_short)(BPF_JMP | ONE_OF(BPF_K, BPF_K, BPF_X) |
					       ONE_OF(BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JEQ));
			insn->jt = (u_char)chance(left + 1);
			insn->jf = (u_char)chance(left + 1);
			if (chance(12) == 0) {
				insn->code = BPF_JMP | BPF_JA;
				insn->k = chance(left + 1);
			}
			break;
		}
	}
	return count;
}

static void runs_any_program(void **state)
{
	enum { TOGETHER = 8 };
	struct bpf_insn insns[TOGETHER][64];
	int translated = 0, selects = 0;

	(void)state;
	for (int turn = 0; turn < 1500; turn++) {
		struct tf_classifier *classifier = tf_classifier_create();
		struct bpf_program programs[TOGETHER];
		uint8_t in[TOGETHER];

		for (uint32_t i = 0; i < TOGETHER; i++) {
			programs[i].bf_insns = insns[i];
			programs[i].bf_len = make_program(insns[i]);
			in[i] = tf_classifier_add(classifier, &programs[i], i) == 0;
			translated += in[i];
		}
		for (int n = 0; n < 12; n++) {
			struct tf_packet packet = make_packet(TF_LINK_IP);
			struct tf_selected selected;

			assert_int_equal(tf_classifier_find(classifier, &packet, 0, &selected), 0);
			for (uint32_t i = 0; i < TOGETHER; i++) {
				if (!in[i])
					continue;
				assert_int_equal(found(&selected, i), by_libpcap(&programs[i], &packet));
				selects += found(&selected, i);
			}
			free(packet.data);
		}
		tf_classifier_destroy(classifier);
	}
	assert_true(translated > 1500 * TOGETHER / 2);
	assert_true(selects > 1500 * TOGETHER);
}

/* What cannot be translated is refused, and harms nothing. */
static void refuses_what_loops(void **state)
{
	struct bpf_insn back[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)-2),
				  BPF_STMT(BPF_RET | BPF_K, 1)};
	struct bpf_insn out[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7), BPF_STMT(BPF_RET | BPF_K, 1)};
	struct bpf_insn no_end[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0)};
	struct bpf_program programs[] = {{3, back}, {2, out}, {1, no_end}, {0, NULL}};
	struct tf_classifier *classifier = tf_classifier_create();
	uint8_t byte = 0;
	struct tf_packet packet = {.data = &byte, .len = 1};
	struct tf_selected selected;

	(void)state;
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		assert_int_equal(tf_classifier_add(classifier, &programs[i], (uint32_t)i), -1);
	assert_int_equal(tf_classifier_add(classifier, NULL, 9), 0);
	assert_int_equal(tf_classifier_find(classifier, &packet, 0, &selected), 0);
	assert_int_equal(selected.count, 1);
	assert_int_equal(selected.numbers[0], 9);
	tf_classifier_destroy(classifier);
}

static struct tf_packet datagram(uint8_t *bytes, uint32_t from, uint32_t to)
{
	struct tf_packet packet = {.data = bytes, .len = 28, .from = TF_LEFT};

	memset(bytes, 0, 28);
	bytes[0] = 0x45;
	bytes[9] = 17;
	put16(bytes + 20, from);
	put16(bytes + 22, to);
	return packet;
}

static uint32_t bit(uint32_t number)
{
	return 1u << (number - 1) % TF_CHOICE_BLOCK;
}

/* More states than are kept: whoever sends from any port to any port gets the right answer still. */
static void forgets_what_is_too_much(void **state)
{
	enum { PORTS = 400 };
	struct tf_expression *expressions[PORTS];
	struct tf_choice *choice = tf_choice_create();
	uint8_t bytes[28];

	(void)state;
	for (uint32_t i = 0; i < PORTS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "udp port %u", i + 1);
		assert_int_equal(tf_expression_compile(&expressions[i], text, TF_LINK_IP, NULL), 0);
		assert_int_equal(tf_choice_add(choice, expressions[i], TF_FROM_ANY), 0);
	}
	for (int n = 0; n < 12000; n++) {
		uint32_t from = 1 + chance(PORTS + PORTS / 4), to = 1 + chance(PORTS + PORTS / 4);
		struct tf_packet packet = datagram(bytes, from, to);
		uint32_t low = from < to ? from : to, high = from < to ? to : from;
		uint32_t first = low <= PORTS ? low : 0, second = high <= PORTS && high != low ? high : 0, mask;

		assert_int_equal(tf_choice_next(choice, &packet, 0, &mask), first);
		if (second && (second - 1) / TF_CHOICE_BLOCK == (first - 1) / TF_CHOICE_BLOCK)
			assert_int_equal(mask, bit(first) | bit(second));
		else
			assert_int_equal(mask, first ? bit(first) : 0);
		if (first)
			assert_int_equal(tf_choice_next(choice, &packet, first, &mask), second);
	}
	tf_choice_destroy(choice);
	for (uint32_t i = 0; i < PORTS; i++)
		tf_expression_free(expressions[i]);
}

/* A packet that was cut: its payload lies elsewhere, and nobody has computed its checksum. */
static void settles_what_is_read(void **state)
{
	static const struct {
		const char *text;
		int selects;
		uint8_t left; /* of TF_CUT and TF_PARTIAL */
	} cases[] = {
		{"udp port 53", 1, TF_CUT | TF_PARTIAL},
		{"udp[4:2] = 12", 1, TF_CUT | TF_PARTIAL},
		{"len = 32", 1, TF_CUT | TF_PARTIAL},
		{"udp[8:2] = 0x6162", 1, TF_PARTIAL},
		{"udp[10:2] = 0x6365", 0, TF_PARTIAL},
		{"udp[11:2] != 1", 0, TF_CUT | TF_PARTIAL}, /* behind the end */
		{"udp[6:2] = 0", 0, 0},
		{"udp[5] = 12 and udp[7] != 0xee", 1, 0},
	};
	static const uint8_t payload[4] = "abcd";

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tf_expression *expression;
		uint8_t *bytes = malloc(32);
		struct tf_packet packet;

		memset(bytes, 0, 32);
		datagram(bytes, 53, 7);
		bytes[3] = 32;
		bytes[8] = 64;
		put16(bytes + 24, 12);
		put16(bytes + 26, 0xeeee); /* means nothing yet */
		memcpy(bytes + 28, "\xff\xff\xff\xff", 4);
		packet = (struct tf_packet){.data = bytes, .len = 32, .room = 32, .link = TF_LINK_IP};
		tf_parse(&packet);
		packet.tail = payload;
		packet.flags = TF_CUT | TF_PARTIAL;
		assert_int_equal(tf_expression_compile(&expression, cases[i].text, TF_LINK_IP, NULL), 0);
		if (tf_expression_match(expression, &packet) != cases[i].selects ||
		    packet.flags != cases[i].left)
			fail_msg("%s: flags %u", cases[i].text, packet.flags);
		tf_expression_free(expression);
		free(bytes);
	}
}

/* In order, from the right side, with those that take every packet and those that cannot be put together. */
static void chooses_in_order(void **state)
{
	static const struct {
		const char *text;
		uint8_t from;
	} callbacks[] = {
		{"udp port 7", TF_FROM_ANY},   {NULL, TF_RIGHT},	{"ip6 protochain 17", TF_FROM_ANY},
		{"ip protochain 17", TF_LEFT}, {NULL, TF_FROM_ANY}, {"tcp", TF_FROM_ANY},
		{"udp src port 9", TF_RIGHT},  {"udp src port 9", TF_LEFT},
	};
	enum { COUNT = sizeof(callbacks) / sizeof(*callbacks) };
	struct tf_expression *expressions[COUNT] = {NULL};
	struct tf_choice *choice = tf_choice_create();
	uint8_t bytes[28];
	struct tf_packet packet = datagram(bytes, 9, 7);

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		if (callbacks[i].text)
			assert_int_equal(tf_expression_compile(&expressions[i], callbacks[i].text, TF_LINK_IP, NULL), 0);
		assert_int_equal(tf_choice_add(choice, expressions[i], callbacks[i].from), 0);
	}
	static const uint32_t left[] = {1, 4, 5, 8, 0}, right[] = {1, 2, 5, 7, 0};
	uint32_t mask;

	for (int i = 0; i < 5; i++)
		assert_int_equal(tf_choice_next(choice, &packet, i ? left[i - 1] : 0, &mask), left[i]);
	packet.from = TF_RIGHT;
	for (int i = 0; i < 5; i++)
		assert_int_equal(tf_choice_next(choice, &packet, i ? right[i - 1] : 0, &mask), right[i]);
	/* A callback has changed it: what follows sees it as it now is. */
	assert_int_equal(tf_choice_next(choice, &packet, 5, &mask), 7);
	put16(bytes + 20, 10);
	packet.flags |= TF_CHANGED;
	assert_int_equal(tf_choice_next(choice, &packet, 5, &mask), 0);
	tf_choice_destroy(choice);
	for (int i = 0; i < COUNT; i++)
		tf_expression_free(expressions[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selects_ip),		    cmocka_unit_test(selects_ethernet),
		cmocka_unit_test(runs_any_program),	    cmocka_unit_test(refuses_what_loops),
		cmocka_unit_test(forgets_what_is_too_much), cmocka_unit_test(chooses_in_order),
		cmocka_unit_test(settles_what_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
