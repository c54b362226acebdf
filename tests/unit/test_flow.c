/* The table of flows: what belongs together, what is forgotten, and a model in plain C beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "flow.h"
#include "parse.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* A packet as a test says it; the bytes follow from it. */
struct spec {
	uint8_t version, proto; /* 4 or 6; TCP 6, UDP 17, ICMP 1 or 58, others have no ports */
	uint32_t src, dst;	/* the addresses' first four bytes */
	uint16_t sport, dport;	/* of ICMP: type and code, identifier */
	uint8_t flags;		/* of TCP */
	uint16_t offset;	/* of an IPv4 fragment, in units of 8 bytes */
};

static uint64_t random_state = 88172645463325252u;

static uint32_t chance(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

static void put(uint8_t *at, uint64_t value, int width)
{
	for (int i = width - 1; i >= 0; i--, value >>= 8)
		at[i] = (uint8_t)value;
}

static void make(struct tf_packet *packet, uint8_t bytes[80], const struct spec *spec)
{
	uint32_t header = spec->version == 4 ? 20 : 40, rest = spec->proto == 6 ? 20 : 8;
	uint8_t *transport = bytes + header;

	memset(bytes, 0, 80);
	if (spec->version == 4) {
		bytes[0] = 0x45;
		put(bytes + 2, header + rest, 2);
		put(bytes + 6, spec->offset, 2);
		bytes[9] = spec->proto;
		put(bytes + 12, spec->src, 4);
		put(bytes + 16, spec->dst, 4);
	} else {
		bytes[0] = 0x60;
		put(bytes + 4, rest, 2);
		bytes[6] = spec->proto;
		put(bytes + 8, spec->src,
		    4); /* the rest is 0: but for the version these are IPv4's */
		put(bytes + 24, spec->dst, 4);
	}
	put(transport, spec->sport, 2);
	if (spec->proto == 1 || spec->proto == 58)
		put(transport + 4, spec->dport, 2);
	else
		put(transport + 2, spec->dport, 2);
	if (spec->proto == 6) {
		transport[12] = 0x50;
		transport[13] = spec->flags;
	}
	if (spec->proto == 17)
		put(transport + 4, 8, 2);
	memset(packet, 0, sizeof(*packet));
	packet->data = bytes;
	packet->len = packet->room = header + rest;
	tf_parse(packet);
}

static uint32_t find(struct tf_flows *flows, struct spec spec, double now, double idle, int *fresh)
{
	struct tf_packet packet;
	uint8_t bytes[80], is_fresh = 7;
	uint32_t slot;

	make(&packet, bytes, &spec);
	assert_int_equal(packet.malformed, 0);
	slot = tf_flow_find(flows, &packet, NULL, now, idle, &is_fresh);
	assert_in_range(is_fresh, 0, 1);
	*fresh = is_fresh;
	return slot;
}

static struct spec back(struct spec spec)
{
	struct spec turned = spec;

	turned.src = spec.dst;
	turned.dst = spec.src;
	if (spec.proto == 6 || spec.proto == 17) {
		turned.sport = spec.dport;
		turned.dport = spec.sport;
	} else if (spec.proto == 1) {
		turned.sport = 0x0000; /* the answer to 0x0800, likewise below */
	} else if (spec.proto == 58) {
		turned.sport = 0x8100;
	}
	return turned;
}

static void both_directions_are_one(void **state)
{
	static const struct spec specs[] = {
		{4, 6, 0x0a000001, 0x0a000002, 1000, 80, ACK, 0},
		{4, 6, 0x0a000002, 0x0a000001, 1000, 80, ACK, 0},
		{4, 17, 0x0a000001, 0x0a000002, 1000, 80, 0, 0},
		{4, 17, 0x0a000001, 0x0a000002, 80, 1000, 0, 0},
		{6, 6, 0x0a000001, 0x0a000002, 1000, 80, ACK, 0},
		{6, 17, 0x0a000001, 0x0a000002, 1000, 80, 0, 0},
		{4, 6, 0x0a000001, 0x0a000002, 1000, 81, ACK, 0},
		{4, 6, 0x0a000001, 0x0a000003, 1000, 80, ACK, 0},
		{4, 1, 0x0a000001, 0x0a000002, 0x0800, 7, 0, 0},
		{4, 1, 0x0a000001, 0x0a000002, 0x0800, 8, 0, 0},
		{6, 58, 0x0a000001, 0x0a000002, 0x8000, 7, 0, 0},
		{4, 47, 0x0a000001, 0x0a000002, 1, 2, 0, 0},
		{4, 17, 0x0a000001, 0x0a000001, 5, 6, 0, 0},
		{4, 17, 0x0a000001, 0x0a000001, 5, 5, 0, 0},
		{4, 17, 0, 0xffffffff, 68, 67, 0, 0},
	};
	const uint32_t count = sizeof(specs) / sizeof(*specs);
	struct tf_flows *flows = tf_flow_create(100);
	int fresh;

	(void)state;
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(find(flows, specs[i], 1, 60, &fresh), i);
		assert_int_equal(fresh, 1);
		assert_int_equal(find(flows, back(specs[i]), 2, 60, &fresh), i);
		assert_int_equal(fresh, 0);
	}
	assert_int_equal(tf_flow_count(flows), count);
	tf_flow_destroy(flows);
}

static void what_has_no_ports_goes_by_addresses(void **state)
{
	struct spec ping = {4, 1, 1, 2, 0x0800, 7, 0, 0},
		    unreachable = {4, 1, 1, 2, 0x0301, 7, 0, 0};
	struct spec datagram = {4, 17, 1, 2, 1000, 53, 0, 0}, first = datagram, later = datagram,
		    other = datagram;
	struct spec protocol = {4, 47, 1, 2, 1, 2, 0, 0}, same_protocol = {4, 47, 1, 2, 3, 4, 0, 0};
	struct tf_flows *flows = tf_flow_create(100);
	uint32_t a, b;
	int fresh;

	(void)state;
	a = find(flows, ping, 1, 60, &fresh);
	assert_int_not_equal(find(flows, unreachable, 1, 60, &fresh), a);
	a = find(flows, unreachable, 1, 60, &fresh);
	unreachable.dport = 8; /* no identifier there */
	assert_int_equal(find(flows, unreachable, 1, 60, &fresh), a);

	a = find(flows, protocol, 1, 60, &fresh);
	assert_int_equal(find(flows, same_protocol, 1, 60, &fresh), a);

	/* Only the first fragment has ports; the later ones of all datagrams between two hosts are
	 * one flow. */
	a = find(flows, datagram, 1, 60, &fresh);
	first.offset = 0x2000;
	assert_int_equal(find(flows, first, 1, 60, &fresh), a);
	later.offset = 0x2001;
	b = find(flows, later, 1, 60, &fresh);
	assert_int_not_equal(b, a);
	other.offset = 1;
	other.sport = 9;
	assert_int_equal(find(flows, other, 1, 60, &fresh), b);
	tf_flow_destroy(flows);
}

static void what_is_not_ip_has_no_flow(void **state)
{
	struct tf_flows *flows = tf_flow_create(1);
	uint8_t arp[42] = {[12] = 8, [13] = 6, [15] = 1, [16] = 8, [18] = 6, [19] = 4, [21] = 1},
		fresh = 1;
	struct tf_packet packet = {.data = arp, .len = 42, .room = 42, .link = TF_LINK_ETHERNET};

	(void)state;
	tf_parse(&packet);
	assert_true(packet.headers & TF_HAS_ARP);
	assert_true(tf_flow_find(flows, &packet, NULL, 0, 60, &fresh) == TF_FLOW_NONE);
	assert_int_equal(fresh, 0);
	packet.link = TF_LINK_OTHER;
	tf_parse(&packet);
	assert_true(tf_flow_find(flows, &packet, NULL, 0, 60, &fresh) == TF_FLOW_NONE);
	assert_int_equal(tf_flow_count(flows), 0);
	tf_flow_destroy(flows);
	tf_flow_destroy(NULL);
}

static void the_oldest_goes_first(void **state)
{
	struct spec spec = {4, 17, 1, 2, 0, 53, 0, 0};
	struct tf_flows *flows = tf_flow_create(3);
	int fresh;

	(void)state;
	for (spec.sport = 0; spec.sport < 3; spec.sport++)
		assert_int_equal(find(flows, spec, 1, 60, &fresh), spec.sport);
	spec.sport = 0; /* used again: now 1 is the oldest */
	find(flows, spec, 1, 60, &fresh);
	assert_int_equal(fresh, 0);
	spec.sport = 3;
	assert_int_equal(find(flows, spec, 1, 60, &fresh), 1);
	assert_int_equal(fresh, 1);
	spec.sport = 0;
	assert_int_equal(find(flows, spec, 1, 60, &fresh), 0);
	assert_int_equal(fresh, 0);
	spec.sport = 1; /* gone: it takes the place of 2 */
	assert_int_equal(find(flows, spec, 1, 60, &fresh), 2);
	assert_int_equal(fresh, 1);
	assert_int_equal(tf_flow_count(flows), 3);
	tf_flow_destroy(flows);
}

/* Whether a flow of TCP that has seen these packets lives on after this many seconds. '>' and '<'
 * set the way. */
static int lives(const char *packets, double seconds, uint8_t last)
{
	struct spec there = {4, 6, 1, 2, 1000, 80, 0, 0};
	struct tf_flows *flows = tf_flow_create(10);
	int fresh;

	find(flows, there, 0, 60, &fresh);
	for (; *packets; packets += 2) {
		struct spec spec = packets[0] == '>' ? there : back(there);

		spec.flags = packets[1] == 'F' ? FIN | ACK : packets[1] == 'R' ? RST : ACK;
		find(flows, spec, 0, 60, &fresh);
		assert_int_equal(fresh, 0);
	}
	there.flags = last;
	find(flows, there, seconds, 60, &fresh);
	tf_flow_destroy(flows);
	return !fresh;
}

static void the_end_of_a_connection_shortens_its_time(void **state)
{
	(void)state;
	assert_true(lives("", 60, ACK));
	assert_false(lives("", 60.001, ACK));
	assert_true(lives(">F", 60, ACK)); /* half closed: the other end may send on */
	assert_true(lives(">F>F", 60, ACK));
	assert_true(lives("<F", 60, ACK));
	assert_true(lives(">F<F>A", 10, ACK));
	assert_false(lives(">F<F>A", 10.001, ACK));
	assert_false(lives("<F>F", 10.001, ACK));
	assert_true(lives(">R", 10, ACK));
	assert_false(lives(">R", 10.001, ACK));
	assert_false(lives("<R", 10.001, ACK));
	/* The ports are used again. */
	assert_false(lives(">F<F>A", 1, SYN));
	assert_false(lives(">R", 1, SYN));
	assert_true(lives(">R", 1, SYN | ACK));
	assert_true(lives("", 1, SYN));
	assert_true(lives(">F", 1, SYN));
}

static void a_short_idle_time_holds_after_the_end_too(void **state)
{
	struct spec spec = {4, 6, 1, 2, 1000, 80, RST, 0};
	struct tf_flows *flows = tf_flow_create(10);
	int fresh;

	(void)state;
	find(flows, spec, 0, 5, &fresh);
	spec.flags = ACK;
	find(flows, spec, 5.001, 5, &fresh);
	assert_int_equal(fresh, 1);
	find(flows, spec, 60, 60, &fresh); /* new: what it was before is forgotten */
	assert_int_equal(fresh, 0);
	tf_flow_destroy(flows);
}

/* The model: an array, searched from end to end. */
#define MODEL_MAX 50
struct model_flow {
	struct spec end; /* sorted: the ends by address and port */
	double last;
	uint32_t slot;
	int closing[2], closed;
	uint64_t used;
};

static int swapped(const struct spec *s)
{
	return s->src > s->dst || (s->src == s->dst && s->sport > s->dport);
}

static int same_flow(const struct spec *a, const struct spec *b)
{
	return a->version == b->version && a->proto == b->proto && a->src == b->src &&
	       a->dst == b->dst && a->sport == b->sport && a->dport == b->dport;
}

static void random_packets_against_a_model(void **state)
{
	static const uint8_t flags[] = {ACK,	   ACK,	      ACK,	 ACK, SYN,
					SYN | ACK, FIN | ACK, FIN | ACK, RST, RST | ACK};
	struct model_flow model[MODEL_MAX];
	struct tf_flows *flows = tf_flow_create(MODEL_MAX);
	uint32_t count = 0, made = 0, evicted = 0, expired = 0;
	double now = 0;

	(void)state;
	for (uint64_t step = 1; step <= 300000; step++) {
		struct spec spec = {chance(2) ? 4 : 6,
				    chance(2) ? 6 : 17,
				    chance(4),
				    chance(4),
				    (uint16_t)chance(3),
				    (uint16_t)chance(2),
				    flags[chance(sizeof(flags))],
				    0};
		int turned = swapped(&spec), expect_fresh = 0, fresh;
		struct spec key = turned ? back(spec) : spec;
		struct model_flow *flow = NULL, *oldest = &model[0];
		double idle = chance(2) ? 20 : 5;
		uint32_t slot;

		now += chance(100) == 0 ? chance(30) : chance(100) / 100.0;
		for (uint32_t i = 0; i < count; i++) {
			if (same_flow(&model[i].end, &key))
				flow = &model[i];
			if (model[i].used < oldest->used)
				oldest = &model[i];
		}
		slot = find(flows, spec, now, idle, &fresh);
		if (flow == NULL) {
			expect_fresh = 1;
			made++;
			if (count < MODEL_MAX) {
				flow = &model[count];
				flow->slot = count++;
			} else {
				flow = oldest;
				evicted++;
			}
			flow->end = key;
		} else {
			double limit = flow->closed && idle > 10 ? 10 : idle;
			int anew = flow->closed && spec.proto == 6 && spec.flags == SYN;

			expect_fresh = now - flow->last > limit || anew;
			expired += (uint32_t)expect_fresh;
		}
		if (expect_fresh)
			flow->closing[0] = flow->closing[1] = flow->closed = 0;
		if (spec.proto == 6 && spec.flags & FIN)
			flow->closing[turned] = 1;
		if ((spec.proto == 6 && spec.flags & RST) || (flow->closing[0] && flow->closing[1]))
			flow->closed = 1;
		flow->last = now;
		flow->used = step;
		assert_int_equal(fresh, expect_fresh);
		assert_int_equal(slot, flow->slot);
		assert_int_equal(tf_flow_count(flows), count);
	}
	assert_true(made > 1000 && evicted > 1000 && expired > 1000);
	tf_flow_destroy(flows);
}

/* Whatever a packet is, no byte outside it is read, and slots stay in bounds. */
static void hostile_packets(void **state)
{
	struct tf_flows *flows = tf_flow_create(64);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct spec spec = {chance(2) ? 4 : 6,
				    (uint8_t[]){6, 17, 1, 58, 44, 0}[chance(6)],
				    chance(9),
				    chance(9),
				    (uint16_t)chance(0x10000),
				    7,
				    (uint8_t)chance(256),
				    (uint16_t)(chance(4) ? 0 : chance(0x10000))};
		struct tf_packet made, packet = {0};
		uint8_t bytes[80], fresh, *exact;
		uint32_t slot;

		make(&made, bytes, &spec);
		for (uint32_t n = chance(4); n > 0; n--)
			bytes[chance(made.len)] = (uint8_t)chance(256);
		packet.len = packet.room = chance(3) ? made.len : 1 + chance(made.len);
		exact = malloc(packet.len);
		assert_non_null(exact);
		memcpy(exact, bytes, packet.len);
		packet.data = exact;
		packet.link = (uint8_t)chance(2);
		tf_parse(&packet);
		slot = tf_flow_find(flows, &packet, NULL, i / 1000.0, 30, &fresh);
		assert_true(slot == TF_FLOW_NONE ? !(packet.headers & (TF_HAS_IP4 | TF_HAS_IP6))
						 : slot < 64);
		free(exact);
	}
	assert_int_equal(tf_flow_count(flows), 64);
	tf_flow_destroy(flows);
}

/* Another flow for each i, in no order. */
static struct spec numbered(uint32_t i)
{
	i = (i ^ i >> 16) * 0x85ebca6b;
	i = (i ^ i >> 13) * 0xc2b2ae35;
	return (struct spec){i & 1 ? 6 : 4, 17, i, 0x0b000001, 1000, 53, 0, 0};
}

/* Nanoseconds of the processor that this thread had; others' turns do not count. */
static uint64_t work_done(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void many_flows(void **state)
{
	const uint32_t count = 1000000;
	struct tf_flows *flows = tf_flow_create(count);
	uint64_t start, longest = 0, whole;
	int fresh;

	(void)state;
	whole = work_done();
	for (uint32_t i = 0; i < count; i++) {
		start = work_done();
		assert_int_equal(find(flows, numbered(i), 1, 60, &fresh), i);
		start = work_done() - start;
		if (start > longest)
			longest = start;
		assert_int_equal(fresh, 1);
	}
	whole = work_done() - whole;
	print_message("a million new flows: %.0f ns each, the longest %.1f us\n",
		      (double)whole / count, (double)longest / 1e3);
	assert_int_equal(tf_flow_count(flows), count);
	for (uint32_t i = 0; i < count; i += 7) {
		assert_int_equal(find(flows, back(numbered(i)), 2, 60, &fresh), i);
		assert_int_equal(fresh, 0);
	}
	/* One more takes the place of the first that the loop above left out. */
	assert_int_equal(find(flows, numbered(count), 2, 60, &fresh), 1);
	assert_int_equal(tf_flow_count(flows), count);
	tf_flow_destroy(flows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_are_one),
		cmocka_unit_test(what_has_no_ports_goes_by_addresses),
		cmocka_unit_test(what_is_not_ip_has_no_flow),
		cmocka_unit_test(the_oldest_goes_first),
		cmocka_unit_test(the_end_of_a_connection_shortens_its_time),
		cmocka_unit_test(a_short_idle_time_holds_after_the_end_too),
		cmocka_unit_test(random_packets_against_a_model),
		cmocka_unit_test(hostile_packets),
		cmocka_unit_test(many_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
