/*
 * Joining: each rule by a list of packets that breaks only that one, and random lists, joined and
 * cut again by the cutter here, which is not the program's. test_linux_join.c has the kernel cut
 * them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "join_cut.h"

enum { ALL = TF_JOIN_TCP4 | TF_JOIN_TCP6 | TF_JOIN_UDP4 | TF_JOIN_UDP6 };

static struct list *list;
static struct tf_join *join;

static int set_up(void **state)
{
	(void)state;
	list = list_create();
	return tf_join_create(&join, TF_LINK_IP, ALL);
}

static int tear_down(void **state)
{
	(void)state;
	list_destroy(list);
	tf_join_destroy(join);
	return 0;
}

/* Joins the list and checks all that comes out. How many runs there were. */
static uint32_t join_all(void)
{
	uint32_t runs;
	const char *wrong = join_and_cut(join, list, &runs);

	if (wrong)
		fail_msg("packet %u of %u: %s", list->seen_count, list->count, wrong);
	return runs;
}

static struct flow new_flow(uint8_t link, int v6, int udp)
{
	struct flow flow = {.link = link, .v6 = (uint8_t)v6, .udp = (uint8_t)udp, .ttl = 64};

	list_clear(list);
	join->link = link;
	join->kinds = ALL;
	flow.flags = ACK;
	flow.option_len = 12;
	flow.port = 100;
	flow.window = 500;
	flow.id = 1000;
	return flow;
}

enum { BOTH = 1, TCP = 2, UDP = 4, V4 = 8, V6 = 16, TAP = 32 };

/*
 * Three packets of 100 bytes; what is different about the second one (and, all, about each): how
 * many runs that makes. Without a difference it is one.
 */
struct rule {
	const char *name;
	uint32_t where; /* the kinds of packet that it is about */
	uint32_t all;	/* it holds for each packet, not the second one */
	uint32_t runs;
	void (*change)(struct flow *flow);
	uint32_t bad;
	uint8_t flags; /* of the second one's descriptor */
};

#define CHANGE(name, ...)                                                                          \
	static void name(struct flow *flow)                                                        \
	{                                                                                          \
		__VA_ARGS__;                                                                       \
	}
CHANGE(nothing, (void)flow)
CHANGE(ttl, flow->ttl = 63)
CHANGE(tos, flow->tos = 8)
CHANGE(congested, flow->tos = 3)
CHANGE(label, flow->label = 9)
CHANGE(df, flow->df = 1)
CHANGE(station, flow->station = 9)
CHANGE(vlan, flow->vlan = 9)
CHANGE(port, flow->port = 9)
CHANGE(acknowledgment, flow->acknowledgment = 9)
CHANGE(window, flow->window = 9)
CHANGE(urgent, flow->urgent = 9)
CHANGE(stamp, flow->stamp = 9)
CHANGE(options, flow->option_len = 16)
CHANGE(push, flow->flags |= PSH)
CHANGE(fin, flow->flags |= FIN)
CHANGE(syn, flow->flags |= SYN)
CHANGE(rst, flow->flags |= RST)
CHANGE(urg, flow->flags |= URG)
CHANGE(ece, flow->flags |= ECE)
CHANGE(cwr, flow->flags |= CWR)
CHANGE(no_flags, flow->flags = 0)
CHANGE(same_id, flow->same_id = 1)
CHANGE(same_id_df, flow->same_id = flow->df = 1)
CHANGE(id_gap, flow->id += 5)
CHANGE(id_gap_df, flow->id += 5; flow->df = 1)
CHANGE(id_wrap, flow->id = flow->id == 1000 ? 0xffff : flow->id)
CHANGE(sequence_wrap, flow->sequence = flow->sequence ? flow->sequence : 0xffffff80)
CHANGE(partial, flow->state = TF_PARTIAL)
CHANGE(valid, flow->state = TF_VALID)

static const struct rule rules[] = {
	{"alike", BOTH | V4 | V6 | TAP, 1, 1, nothing, 0, 0},
	{"time to live", BOTH | V4 | V6, 0, 3, ttl, 0, 0},
	{"type of service", BOTH | V4 | V6, 0, 3, tos, 0, 0},
	{"congestion experienced", BOTH | V4 | V6, 0, 3, congested, 0, 0},
	{"congestion experienced by all", BOTH | V4 | V6, 1, 1, congested, 0, 0},
	{"flow label", BOTH | V6, 0, 3, label, 0, 0},
	{"don't fragment", BOTH | V4, 0, 3, df, 0, 0},
	{"all may not be fragmented", BOTH | V4, 1, 1, df, 0, 0},
	{"another station", BOTH | V4 | V6 | TAP, 0, 3, station, 0, 0},
	{"another VLAN", BOTH | V4 | V6 | TAP, 0, 3, vlan, 0, 0},
	{"one VLAN", BOTH | V4 | V6 | TAP, 1, 1, vlan, 0, 0},
	{"acknowledgment", TCP | V4 | V6, 0, 3, acknowledgment, 0, 0},
	{"window", TCP | V4 | V6, 0, 3, window, 0, 0},
	{"urgent pointer", TCP | V4 | V6, 0, 3, urgent, 0, 0},
	{"urgent pointer of all", TCP | V4 | V6, 1, 1, urgent, 0, 0},
	{"time stamp", TCP | V4 | V6, 0, 3, stamp, 0, 0},
	{"more options", TCP | V4 | V6, 0, 3, options, 0, 0},
	{"reserved TCP bit", TCP | V4 | V6, 0, 3, nothing, TCP_RESERVED, 0},
	{"reserved TCP bit in all", TCP | V4 | V6, 1, 1, nothing, TCP_RESERVED, 0},
	{"PSH", TCP | V4 | V6, 0, 2, push, 0, 0},
	{"PSH on all", TCP | V4 | V6, 1, 3, push, 0, 0},
	{"FIN", TCP | V4 | V6, 0, 2, fin, 0, 0},
	{"SYN", TCP | V4 | V6, 0, 3, syn, 0, 0},
	{"SYN on all", TCP | V4 | V6, 1, 3, syn, 0, 0},
	{"RST", TCP | V4 | V6, 0, 3, rst, 0, 0},
	{"RST on all", TCP | V4 | V6, 1, 3, rst, 0, 0},
	{"URG on all", TCP | V4 | V6, 1, 3, urg, 0, 0},
	{"ECE", TCP | V4 | V6, 0, 3, ece, 0, 0},
	{"ECE on all", TCP | V4 | V6, 1, 1, ece, 0, 0},
	{"CWR", TCP | V4 | V6, 0, 2, cwr, 0, 0},
	{"CWR on all", TCP | V4 | V6, 1, 3, cwr, 0, 0},
	{"no flags", TCP | V4 | V6, 0, 3, no_flags, 0, 0},
	{"one identification", BOTH | V4, 1, 3, same_id, 0, 0},
	{"one identification, not to be fragmented", BOTH | V4, 1, 1, same_id_df, 0, 0},
	{"identification goes on elsewhere", BOTH | V4, 0, 2, id_gap, 0, 0},
	{"the same, not to be fragmented", BOTH | V4, 1, 1, id_gap_df, 0, 0},
	{"identification that a script has set", BOTH | V4, 1, 2, id_gap_df, 0, TF_EDITED},
	{"one that a script has left", BOTH | V4, 1, 1, df, 0, TF_EDITED},
	{"identification wraps", BOTH | V4, 1, 1, id_wrap, 0, 0},
	{"sequence number wraps", TCP | V4 | V6, 1, 1, sequence_wrap, 0, 0},
	{"checksum to be computed", BOTH | V4 | V6, 1, 1, partial, 0, 0},
	{"checksum vouched for", BOTH | V4 | V6, 1, 1, valid, 0, 0},
	{"checksum of the second to be computed", BOTH | V4 | V6, 0, 1, partial, 0, 0},
	{"wrong IP checksum", BOTH | V4, 0, 3, nothing, BAD_IP, 0},
	{"wrong checksum", BOTH | V4 | V6, 0, 3, nothing, BAD_TRANSPORT, 0},
	{"wrong checksums", BOTH | V4 | V6, 1, 3, nothing, BAD_TRANSPORT, 0},
	{"wrong IP checksums", BOTH | V4, 1, 3, nothing, BAD_IP, 0},
	{"no checksum", UDP | V4, 0, 3, nothing, NO_CHECKSUM, 0},
	{"no checksums", UDP | V4, 1, 3, nothing, NO_CHECKSUM, 0},
	{"no checksum in IPv6", UDP | V6, 1, 3, nothing, NO_CHECKSUM, 0},
	{"padding", BOTH | V4 | V6, 0, 3, nothing, PADDED, 0},
	{"padding behind all", BOTH | V4 | V6 | TAP, 1, 3, nothing, PADDED, 0},
	{"no checksum, vouched for", UDP | V4, 1, 3, valid, NO_CHECKSUM, 0},
	{"wrong length", BOTH | V4 | V6, 0, 3, nothing, BAD_LENGTH, 0},
	{"wrong lengths", BOTH | V4 | V6, 1, 3, nothing, BAD_LENGTH, 0},
	{"extension header", BOTH | V6, 0, 3, nothing, WITH_OPTIONS, 0},
	{"extension headers", BOTH | V6, 1, 3, nothing, WITH_OPTIONS, 0},
	{"IP options", BOTH | V4, 0, 3, nothing, WITH_OPTIONS, 0},
	{"IP options in all", BOTH | V4, 1, 3, nothing, WITH_OPTIONS, 0},
	{"reserved IP flag", BOTH | V4, 0, 3, nothing, IP_RESERVED, 0},
	{"fragment", BOTH | V4, 0, 3, nothing, FRAGMENT, 0},
	{"fragments", BOTH | V4, 1, 3, nothing, FRAGMENT, 0},
	{"raw", BOTH | V4 | V6, 0, 3, nothing, 0, TF_RAW},
	{"another flow between", BOTH | V4 | V6, 0, 2, port, 0, 0},
};

static void check_rule(const struct rule *rule, int link, int v6, int udp)
{
	struct flow flow = new_flow((uint8_t)link, v6, udp);
	uint32_t runs;

	for (int i = 0; i < 3; i++) {
		struct flow odd = flow;

		if (rule->all || i == 1)
			rule->change(&odd);
		if (rule->change == port) /* its numbers are not these */
			flow.id--, flow.sequence -= 100;
		if (emit(list, &odd, 100, rule->all || i == 1 ? rule->bad : 0, NULL) && i == 1)
			list->pointers[i]->flags |= rule->flags;
		if (rule->change == port && i == 1)
			continue;
		flow.id = odd.id;
		flow.sequence = odd.sequence;
		if (rule->change == port)
			flow.id++, flow.sequence += 100;
	}
	runs = join_all();
	if (runs != rule->runs)
		fail_msg("%s (%s, %s%s): %u runs, not %u", rule->name, v6 ? "IPv6" : "IPv4",
			 udp ? "UDP" : "TCP", link ? ", Ethernet" : "", runs, rule->runs);
}

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		for (int kind = 0; kind < 8; kind++) {
			int v6 = kind & 1, udp = kind & 2, link = kind & 4;

			if (rules[i].where & (v6 ? V6 : V4) && (!link || rules[i].where & TAP) &&
			    (link || rules[i].change != station) &&
			    (link || rules[i].change != vlan) &&
			    rules[i].where & (BOTH | (udp ? UDP : TCP)))
				check_rule(&rules[i], link ? TF_LINK_ETHERNET : TF_LINK_IP, v6,
					   !!udp);
		}
}

/* Lengths of payload in order: how many runs. */
static void check_lengths(int udp, const uint32_t *lengths, uint32_t count, uint32_t runs)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct flow flow = new_flow(TF_LINK_IP, v6, udp);

		for (uint32_t i = 0; i < count; i++)
			emit(list, &flow, lengths[i], 0, NULL);
		assert_int_equal(join_all(), runs);
	}
}

static void test_lengths(void **state)
{
	static const uint32_t shorter_last[] = {100, 100, 99}, shorter[] = {100, 99, 99},
			      longer[] = {100, 101, 50}, empty[] = {100, 0, 100},
			      ones[] = {1, 1, 1}, huge[] = {30000, 30000, 30000},
			      most[] = {32727, 32727, 1};
	struct flow flow;

	(void)state;
	for (int udp = 0; udp < 2; udp++) {
		check_lengths(udp, shorter_last, 3, 1);
		check_lengths(udp, shorter, 3, 2);
		check_lengths(udp, longer, 3, 2);
		check_lengths(udp, empty, 3, 3);
		check_lengths(udp, ones, 3, 1);
		check_lengths(udp, huge, 3, 2);
		check_lengths(udp, most, 3, 1);
	}
	flow = new_flow(TF_LINK_IP, 0, 1);
	for (int i = 0; i < 130; i++)
		emit(list, &flow, 36, 0, NULL);
	assert_int_equal(join_all(), 3);
	/* To the byte: 65,535 in all, and one more. */
	for (uint32_t more = 0; more < 2; more++) {
		flow = new_flow(TF_LINK_IP, 0, 1);
		emit(list, &flow, 32754, 0, NULL);
		emit(list, &flow, 32753 + more, 0, NULL);
		assert_int_equal(join_all(), 1 + more);
	}
}

static void test_gaps(void **state)
{
	struct flow flow;

	(void)state;
	for (int gap = 0; gap < 3; gap++) {
		flow = new_flow(TF_LINK_IP, 0, gap == 2);
		for (int i = 0; i < 4; i++) {
			if (i == 2)
				gap ? (flow.id++) : (flow.sequence++, flow.id);
			emit(list, &flow, 100, 0, NULL);
		}
		assert_int_equal(join_all(), 2);
	}
	/* Out of order: none passes another. */
	flow = new_flow(TF_LINK_IP, 1, 0);
	for (int i = 0; i < 3; i++) {
		flow.sequence = 1000 - 100 * (uint32_t)i;
		emit(list, &flow, 100, 0, NULL);
	}
	assert_int_equal(join_all(), 3);
}

/* What a capture has cut off, or what is of another kind of link, can't be joined. */
static void test_not_all_there(void **state)
{
	(void)state;
	for (int what = 0; what < 3; what++) {
		struct flow flow = new_flow(TF_LINK_IP, 0, 0);

		for (int i = 0; i < 3; i++)
			emit(list, &flow, 100, 0, NULL);
		list->packets[0].missing = what == 0;
		list->packets[1].missing = what == 0;
		if (what == 1)
			join->link = TF_LINK_ETHERNET;
		assert_int_equal(tf_join(join, list->pointers, 3), 3);
		assert_int_equal(join->run_count, what == 2 ? 1 : 3);
	}
}

/* Flows in turn are joined all the same, but for what keeps its place among all. */
static void test_mixed_flows(void **state)
{
	struct flow flows[50];

	(void)state;
	for (int barrier = 0; barrier < 2; barrier++) {
		for (int f = 0; f < 50; f++) {
			flows[f] = new_flow(TF_LINK_IP, f & 1, f >> 1 & 1);
			flows[f].port = (uint16_t)(1000 + f);
		}
		for (int i = 0; i < 4; i++)
			for (int f = 0; f < 50; f++) {
				emit(list, &flows[f], 100, 0, NULL);
				if (barrier && i == 1 && f == 49)
					emit(list, &flows[0], 100, FRAGMENT, NULL);
			}
		assert_int_equal(join_all(), barrier ? 101 : 50);
	}
}

/* More than can be looked at together. */
static void test_windows(void **state)
{
	enum { COUNT = 3 * TF_JOIN_PACKETS };
	static struct tf_packet *pointers[COUNT];
	uint32_t done = 0, calls = 0, packets = 0;
	struct flow flow = new_flow(TF_LINK_IP, 0, 0);
	struct tf_packet *one;

	(void)state;
	flow.flags |= SYN;
	one = emit(list, &flow, 0, 0, NULL);
	for (int i = 0; i < COUNT; i++)
		pointers[i] = one;
	for (; done < COUNT; calls++) {
		uint32_t took = tf_join(join, pointers + done, COUNT - done);

		assert_in_range(took, 1, COUNT - done);
		packets += join->run_count;
		done += took;
	}
	assert_int_equal(packets, COUNT);
	assert_int_equal(calls, 3);
	flow = new_flow(TF_LINK_IP, 0, 0);
	assert_int_equal(tf_join(join, pointers, 0), 0);
	assert_int_equal(join->run_count, 0);
}

static void test_whole(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++)
		for (int what = 0; what < 9; what++) {
			static const uint32_t expected[9] = {2, 2, 3, 2, 4, 3, 2, 40, 12};
			struct flow flow = new_flow(TF_LINK_IP, kind & 1, kind & 2);

			flow.flags |= PSH | CWR;
			if (what == 8) {
				flow.port = 9;
				flow.flags = ACK;
				emit(list, &flow, 100, 0, NULL);
				flow.port = 100;
				flow.flags = ACK | PSH | CWR;
			}
			emit_large(list, &flow, 20, 100, 50);
			flow.flags |= PSH | CWR;
			emit_large(list, &flow, 20, 100, 100);
			switch (what) {
			case 1: /* as a script's NAT leaves it */
				for (uint32_t i = 0; i < list->count; i++)
					list_edit(list, i);
				break;
			case 2:
				list_drop(list, 7);
				break;
			case 3:
				list_drop(list, 0);
				list_drop(list, 38);
				break;
			case 4:
				list_edit(list, 27);
				break;
			case 5: /* the second one is not all here */
				list->larges[1].whole = 0;
				list_drop(list, 30);
				break;
			case 6:
				list->larges[0].whole = 0;
				break;
			case 7:
				join->kinds = 0;
				break;
			case 8: /* the window's end is inside a large packet: it may go beyond */
				for (int i = 0; i < 9; i++)
					emit(list, &flow, 0, 0, NULL);
				break;
			default:
				break;
			}
			/* IPv6 with UDP has no numbers that would show the gap. */
			if (join_all() !=
			    expected[what] - (kind == 3 && (what == 2 || what == 4 || what == 5)))
				fail_msg("%d, %d: %u runs", kind, what, join->run_count);
			if (what == 6 && join->runs[0].whole)
				fail_msg("it was not whole");
			if (what == 0 && (!join->runs[0].whole || !join->runs[1].whole))
				fail_msg("not as they were read");
		}
}

static void test_random(void **state)
{
	static uint8_t random[8192];
	uint32_t seed = 1, runs = 0, packets = 0;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct bytes bytes = {random, random + sizeof(random)};

		for (size_t i = 0; i < sizeof(random); i++) {
			seed = seed * 1664525 + 1013904223;
			random[i] = (uint8_t)(seed >> 24);
		}
		list_fill(list, &bytes, round & 1 ? TF_LINK_ETHERNET : TF_LINK_IP);
		join->link = round & 1 ? TF_LINK_ETHERNET : TF_LINK_IP;
		join->kinds = round % 5 ? ALL : (uint8_t)(round / 5 & ALL);
		packets += list->count;
		runs += join_all();
	}
	print_message("%u packets in %u runs\n", packets, runs);
	assert_true(runs < packets / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),	cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_gaps),	cmocka_unit_test(test_mixed_flows),
		cmocka_unit_test(test_windows), cmocka_unit_test(test_whole),
		cmocka_unit_test(test_random),	cmocka_unit_test(test_not_all_there),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
