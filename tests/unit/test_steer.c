/*
 * Which worker a packet is for, and how it gets there: what belongs together by the RFCs is found together, and
 * packets that are handed over are the same ones, in their order, or counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bytes.h"
#include "exchange.h"
#include "parse.h"

enum { FIRST = 0x2000, LATER = 0x0010 }; /* IPv4: more fragments; an offset */

static struct tf_steer *steer;

static int set_up(void **state)
{
	(void)state;
	/* By hand: its lines of memory are to begin where lines do. */
	steer = aligned_alloc(64, sizeof(*steer));
	memset(steer, 0, sizeof(*steer));
	tf_steer_begin(steer);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(steer);
	return 0;
}

struct flow {
	uint32_t a, b; /* hosts */
	uint16_t sport, dport;
	uint8_t proto;
};

static const struct flow udp = {1, 2, 4000, 53, 17};

static struct flow back(struct flow flow)
{
	return (struct flow){flow.b, flow.a, flow.dport, flow.sport, flow.proto};
}

static uint8_t *put_host(uint8_t *at, uint32_t host, int bytes)
{
	memset(at, 0x20, (size_t)bytes);
	tf_put16(at + bytes - 4, host >> 16);
	tf_put16(at + bytes - 2, host);
	return at + bytes;
}

/* An IPv4 packet at data; 28 bytes and 20 of payload. ICMP: sport is type and code, dport the identifier. */
static uint32_t put4(uint8_t *data, struct flow flow, uint32_t fragment, uint32_t id)
{
	memset(data, 0, 48);
	data[0] = 0x45;
	tf_put16(data + 2, 48);
	tf_put16(data + 4, id);
	tf_put16(data + 6, fragment);
	data[9] = flow.proto;
	put_host(put_host(data + 12, flow.a, 4), flow.b, 4);
	tf_put16(data + 20, flow.sport);
	tf_put16(data + 22, flow.proto == 1 ? 0 : flow.dport);
	tf_put16(data + 24, flow.proto == 17 ? 28 : flow.dport);
	data[32] = 0x50; /* TCP */
	return 48;
}

/* IPv6; with a fragment header behind options where offset_and_more is 0 or above. */
static uint32_t put6(uint8_t *data, struct flow flow, int offset_and_more, uint32_t id)
{
	uint32_t at = 40;

	memset(data, 0, 100);
	data[0] = 0x60;
	data[6] = flow.proto;
	put_host(put_host(data + 8, flow.a, 16), flow.b, 16);
	if (offset_and_more >= 0) {
		data[6] = 60;
		data[at] = 44;
		at += 8;
		data[at] = flow.proto;
		tf_put16(data + at + 2, (uint32_t)offset_and_more);
		tf_put16(data + at + 4, id >> 16);
		tf_put16(data + at + 6, id);
		at += 8;
	}
	tf_put16(data + at, flow.sport);
	tf_put16(data + at + 2, flow.proto == 58 ? 0 : flow.dport);
	tf_put16(data + at + 4, flow.proto == 17 ? 28 : flow.dport);
	data[at + 12] = 0x50;
	tf_put16(data + 4, at + 28 - 40);
	return at + 28;
}

static struct tf_packet parsed(uint8_t *data, uint32_t len)
{
	struct tf_packet packet = {.data = data, .len = len, .room = len, .link = TF_LINK_IP};

	tf_parse(&packet);
	return packet;
}

static int find4(struct flow flow, uint32_t fragment, uint32_t id)
{
	uint8_t data[48];
	struct tf_packet packet = parsed(data, put4(data, flow, fragment, id));

	return tf_steer_find(steer, &packet, 1);
}

static int find6(struct flow flow, int fragment, uint32_t id)
{
	uint8_t data[100];
	struct tf_packet packet = parsed(data, put6(data, flow, fragment, id));

	return tf_steer_find(steer, &packet, 1);
}

static void enter4(struct flow flow, unsigned int worker, double now)
{
	uint8_t data[48];
	struct tf_packet packet = parsed(data, put4(data, flow, 0, 0));

	tf_steer_enter(steer, &packet, worker, now);
}

static void enter6(struct flow flow, unsigned int worker)
{
	uint8_t data[100];
	struct tf_packet packet = parsed(data, put6(data, flow, -1, 0));

	tf_steer_enter(steer, &packet, worker, 1);
}

static void both_directions_are_one_workers(void **state)
{
	struct flow other = udp, tcp = udp;

	(void)state;
	assert_int_equal(tf_steer_used(steer), 0);
	enter4(udp, 63, 1);
	assert_int_equal(tf_steer_used(steer), 1);
	assert_int_equal(find4(udp, 0, 1), 63);
	assert_int_equal(find4(back(udp), 0, 2), 63);
	assert_int_equal(find6(udp, -1, 0), -1);
	other.dport++;
	tcp.proto = 6;
	assert_int_equal(find4(other, 0, 0), -1);
	assert_int_equal(find4(tcp, 0, 0), -1);
	other = udp; /* the ports the other way round, with the same hosts */
	other.sport = udp.dport;
	other.dport = udp.sport;
	assert_int_equal(find4(other, 0, 0), -1);
	enter4(back(udp), 0, 2); /* the newest */
	assert_int_equal(find4(udp, 0, 0), 0);
	enter6(tcp, 5);
	assert_int_equal(find6(back(tcp), -1, 0), 5);
}

static void echoes_go_by_their_identifier(void **state)
{
	struct flow ping = {1, 2, 0x0800, 77, 1}, pong = {2, 1, 0, 77, 1}, another = {2, 1, 0, 78, 1};
	struct flow ping6 = {1, 2, 0x8000, 77, 58}, pong6 = {2, 1, 0x8100, 77, 58};

	(void)state;
	enter4(ping, 3, 1);
	assert_int_equal(find4(pong, 0, 0), 3);
	assert_int_equal(find4(another, 0, 0), -1);
	enter6(ping6, 4);
	assert_int_equal(find6(pong6, -1, 0), 4);
}

static void what_has_no_ports_goes_by_addresses(void **state)
{
	struct flow gre = {1, 2, 1, 2, 47}, answer = {2, 1, 3, 4, 47}, esp = {2, 1, 3, 4, 50};

	(void)state;
	enter4(gre, 3, 1);
	assert_int_equal(find4(answer, 0, 0), 3);
	assert_int_equal(find4(esp, 0, 0), -1);
}

static void fragments_follow_their_first(void **state)
{
	(void)state;
	enter4(udp, 3, 1);
	assert_int_equal(find4(back(udp), LATER, 9), -1); /* nobody can know */
	assert_int_equal(find4(back(udp), FIRST, 9), 3);
	assert_int_equal(find4(back(udp), LATER, 9), 3);
	assert_int_equal(find4(back(udp), FIRST | LATER, 9), 3);
	assert_int_equal(find4(back(udp), LATER, 10), -1);
	enter6(udp, 4);
	assert_int_equal(find6(back(udp), 0x80, 0x10009), -1);
	assert_int_equal(find6(back(udp), 1, 0x10009), 4);
	assert_int_equal(find6(back(udp), 0x80, 0x10009), 4);
	assert_int_equal(find6(back(udp), 0x80, 0x20009), -1);
}

/* An ICMP error about a packet, of which so many bytes are quoted, from a router that nobody knows. */
static int find_error(int v6, struct flow about, uint32_t quoted)
{
	struct flow error = {99, 1, v6 ? 0x0104 : 0x0303, 0, v6 ? 58 : 1};
	uint8_t data[200];
	struct tf_packet packet;
	uint32_t len;

	if (v6) {
		put6(data, error, -1, 0);
		put6(data + 48, about, -1, 0);
		len = 48 + quoted;
		tf_put16(data + 4, len - 40);
	} else {
		put4(data, error, 0, 0);
		put4(data + 28, about, 0, 0);
		len = 28 + quoted;
		tf_put16(data + 2, len);
	}
	packet = parsed(data, len);
	tf_steer_enter(steer, &packet, 7, 1); /* says nothing of the flow */
	return tf_steer_find(steer, &packet, 1);
}

static void an_error_goes_with_the_flow_that_it_is_about(void **state)
{
	struct flow tcp = udp;

	(void)state;
	tcp.proto = 6;
	assert_int_equal(find_error(0, udp, 28), -1);
	enter4(udp, 3, 1);
	enter4(tcp, 4, 1);
	enter6(udp, 5);
	enter6(tcp, 6);
	assert_int_equal(find_error(0, udp, 28), 3);
	assert_int_equal(find_error(0, tcp, 28), 4); /* 8 bytes of TCP, as RFC 792 has it */
	assert_int_equal(find_error(1, udp, 48), 5);
	assert_int_equal(find_error(1, tcp, 68), 6);
	assert_int_equal(find_error(0, udp, 21), -1);
	assert_int_equal(find_error(1, udp, 9), -1);
}

static void what_is_unused_for_longest_makes_room(void **state)
{
	enum { OLD = 32, MANY = 3200000 };
	uint32_t found = 0;
	double now = 1;

	(void)state;
	for (uint32_t i = 0; i < OLD; i++)
		enter4((struct flow){i, 7, 1, 1, 17}, i, now);
	for (uint32_t i = 0; i < MANY; i++) {
		enter4((struct flow){i, 8, 2, 2, 17}, 1, now);
		if (i % 100000 == 0) {
			uint8_t data[48];
			struct tf_packet packet;

			now += 100;
			for (uint32_t old = 0; old < OLD; old++) {
				packet = parsed(data, put4(data, back((struct flow){old, 7, 1, 1, 17}), 0, 0));
				assert_int_equal(tf_steer_find(steer, &packet, now), old);
			}
		}
	}
	for (uint32_t i = MANY - 100000; i < MANY; i++)
		found += find4((struct flow){i, 8, 2, 2, 17}, 0, 0) == 1;
	assert_true(found > 99900);
}

struct pair {
	uv_loop_t loop;
	uv_async_t async[2];
	struct tf_exchange *exchange;
	struct tf_away *away[2];
	struct tf_batch *batch;
};

static void on_wake(uv_async_t *async)
{
	(void)async;
}

static void open_pair(struct pair *pair)
{
	assert_int_equal(uv_loop_init(&pair->loop), 0);
	assert_int_equal(tf_exchange_create(&pair->exchange, steer, 2), 0);
	assert_int_equal(tf_batch_create(&pair->batch, 256), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(uv_async_init(&pair->loop, &pair->async[i], on_wake), 0);
		tf_exchange_wake(pair->exchange, i, &pair->async[i]);
		pair->away[i] = tf_away_create(pair->exchange, i, pair->batch->capacity);
		assert_non_null(pair->away[i]);
	}
}

static void close_pair(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		uv_close((uv_handle_t *)&pair->async[i], NULL);
		tf_away_destroy(pair->away[i]);
	}
	uv_run(&pair->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&pair->loop), 0);
	tf_batch_destroy(pair->batch);
	tf_exchange_destroy(pair->exchange);
}

/* Reads a packet of a flow, numbered by its identification, from the left. */
static struct tf_packet *arrive(struct pair *pair, struct flow flow, uint32_t number)
{
	return tf_batch_commit(pair->batch, put4(tf_batch_room(pair->batch), flow, 0, number));
}

static uint32_t number_of(const struct tf_packet *packet)
{
	return tf_get16(packet->data + 4);
}

static void what_is_anothers_is_handed_over(void **state)
{
	static const uint8_t tail[20] = "twenty other bytes.";
	static const uint32_t kept[] = {1, 3, 4, 5}, handed[] = {0, 2, 6};
	const struct flow native = {5, 6, 7, 8, 17};
	struct pair pair;
	struct tf_large large = {.count = 2};
	struct tf_packet *packet;
	struct tf_batch *got;
	uint64_t lost[2] = {0, 0};
	uint8_t data[48];
	struct tf_packet mapped = parsed(data, put4(data, udp, 0, 0));

	(void)state;
	open_pair(&pair);
	tf_batch_reset(pair.batch, TF_RIGHT, TF_LINK_IP);
	arrive(&pair, back(udp), 0);
	assert_int_equal(tf_away_take(pair.away[0], pair.batch, 1), 0); /* nothing is known yet */
	assert_int_equal(pair.batch->count, 1);

	tf_away_enter(pair.away[1], &mapped, 1);
	tf_batch_reset(pair.batch, TF_RIGHT, TF_LINK_IP);
	for (uint32_t i = 0; i < 6; i++) {
		packet = arrive(&pair, i % 2 || i == 4 ? native : back(udp), i);
		if (i == 2) { /* its payload lies elsewhere still */
			tf_parse(packet);
			packet->tail = tail;
			packet->flags = TF_CUT | TF_PARTIAL;
		}
		if (i == 4 || i == 5)
			packet->large = &large;
		if (i == 4)
			large.first = packet;
	}
	assert_int_equal(tf_away_take(pair.away[0], pair.batch, 1), 1);
	assert_int_equal(pair.batch->count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(number_of(&pair.batch->packets[i]), kept[i]);
	assert_ptr_equal(large.first, &pair.batch->packets[2]);
	assert_null(pair.batch->packets[4].data);
	assert_null(tf_away_next(pair.away[1])); /* behind the others */
	tf_away_send(pair.away[0], lost);
	tf_batch_reset(pair.batch, TF_LEFT, TF_LINK_IP);
	arrive(&pair, udp, 6);
	tf_away_take(pair.away[0], pair.batch, 1);
	tf_away_send(pair.away[0], lost);
	assert_null(tf_away_next(pair.away[0]));
	got = tf_away_next(pair.away[1]);
	assert_non_null(got);
	assert_int_equal(got->count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		packet = &got->packets[i];
		assert_int_equal(number_of(packet), handed[i]);
		assert_int_equal(packet->from, i < 2 ? TF_RIGHT : TF_LEFT);
		put4(data, i < 2 ? back(udp) : udp, 0, number_of(packet));
		if (i == 1)
			memcpy(data + 28, tail, sizeof(tail));
		assert_memory_equal(packet->data, data, 48);
		assert_int_equal(packet->flags, i == 1 ? TF_PARTIAL : 0);
		assert_null(packet->large);
		assert_int_equal(packet->headers, TF_HAS_IP4 | TF_HAS_UDP);
	}
	tf_away_done(pair.away[1]);
	assert_null(tf_away_next(pair.away[1]));
	tf_batch_reset(pair.batch, TF_RIGHT, TF_LINK_IP);
	arrive(&pair, back(udp), 7);
	assert_int_equal(tf_away_take(pair.away[1], pair.batch, 1), 1); /* its own stays */
	assert_int_equal(pair.batch->count, 1);
	assert_int_equal(lost[0] + lost[1], 0);
	close_pair(&pair);
}

/* While one batch is worked on more may come; beyond the bound packets are lost from the end, and counted. */
static void a_full_inbox_loses_what_it_counts(void **state)
{
	struct pair pair;
	uint64_t lost[2] = {0, 0};
	uint8_t data[48];
	struct tf_packet mapped = parsed(data, put4(data, udp, 0, 0));
	struct tf_batch *got;
	uint32_t sent = 0, seen = 0;

	(void)state;
	open_pair(&pair);
	tf_away_enter(pair.away[1], &mapped, 1);
	for (int round = 0; round < 100; round++) {
		tf_batch_reset(pair.batch, TF_RIGHT, TF_LINK_IP);
		for (int i = 0; i < 100; i++)
			arrive(&pair, back(udp), sent++);
		tf_away_take(pair.away[0], pair.batch, 1);
		tf_away_send(pair.away[0], lost);
		if (round == 50)
			assert_non_null(tf_away_next(pair.away[1]));
	}
	assert_int_equal(lost[TF_LEFT], 0);
	assert_int_equal(lost[TF_RIGHT], sent - TF_EXCHANGE_BATCHES * 256);
	while ((got = tf_away_next(pair.away[1])) != NULL) {
		for (uint32_t i = 0; i < got->count; i++)
			assert_int_equal(number_of(&got->packets[i]), seen++);
		tf_away_done(pair.away[1]);
	}
	assert_int_equal(seen, TF_EXCHANGE_BATCHES * 256);
	close_pair(&pair);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		EACH(both_directions_are_one_workers),
		EACH(echoes_go_by_their_identifier),
		EACH(what_has_no_ports_goes_by_addresses),
		EACH(fragments_follow_their_first),
		EACH(an_error_goes_with_the_flow_that_it_is_about),
		EACH(what_is_unused_for_longest_makes_room),
		EACH(what_is_anothers_is_handed_over),
		EACH(a_full_inbox_loses_what_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
