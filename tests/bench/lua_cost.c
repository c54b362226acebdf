/*
 * What the Lua part alone costs: batches of parsed packets through tf_script_run, no device.
 *
 *   bench_lua RULES.lua [BATCH [SECONDS [TRAFFIC]]]
 *
 * Prints the nanoseconds a packet that the script takes, after half a second to warm up; then the
 * longest batch in microseconds (from the first packet on) and the resident memory in KiB. It is the
 * processor's time, as others may run beside it; making and parsing the packets is not in it. TRAFFIC:
 *
 *   one        64-byte UDP datagrams over IPv4 from port 12345 to port 9, all alike (the default)
 *   ports:N    UDP, to ports 1 to N at random
 *   flows:N    UDP, of N connections at random
 *   tcp        1,448 bytes in each TCP segment, to port 5001
 *   mixed      TCP, UDP, ICMP over IPv4 and IPv6, to some services' ports and back
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "log.h"
#include "parse.h"
#include "script.h"

enum traffic { ONE, PORTS, FLOWS, TCP, MIXED };

struct load {
	enum traffic traffic;
	uint32_t number; /* ports or flows */
	uint64_t state;	 /* of random() */
};

static uint32_t chance(struct load *load, uint32_t below)
{
	load->state = load->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) ((load->state >> 33) * below >> 31);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t) (value >> 8);
	at[1] = (uint8_t) value;
}

static void make_ip4(uint8_t *p, uint8_t proto, uint32_t len)
{
	static const uint8_t header[20] = { 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 0, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2 };

	memset(p, 0, len);
	memcpy(p, header, sizeof(header));
	put16(p + 2, len);
	p[9] = proto;
	put16(p + 20, 12345);
	put16(p + 22, 9);
	if (proto == 17)
		put16(p + 24, len - 20);
	else if (proto == 6)
		put16(p + 32, 0x5010);
}

/* One of the kinds that are met on a network; its length. */
static uint32_t make_mixed(struct load *load, uint8_t *p)
{
	static const uint16_t services[8] = { 80, 443, 53, 22, 5001, 123, 8080, 9 };
	uint32_t kind = chance(load, 16), len = 60 + chance(load, 5) * 300, at = 20;

	make_ip4(p, kind < 8 ? 6 : kind < 14 ? 17 : 1, len);
	if (kind % 4 == 3) {
		uint8_t proto = p[9] == 1 ? 58 : p[9];

		memmove(p + 40, p + 20, len - 40);
		memset(p, 0, 40);
		p[0] = 0x60;
		put16(p + 4, len - 40);
		p[6] = proto;
		p[7] = 64;
		p[23] = 1;
		p[39] = 2;
		at = 40;
		if (proto == 17)
			put16(p + 44, len - 40);
	} else {
		p[15] = (uint8_t) chance(load, 4);
	}
	if (kind < 14) {
		uint32_t far = chance(load, 2) * 2;

		put16(p + at + far, services[chance(load, 8)]);
		put16(p + at + (2 - far), 40000 + chance(load, 1000));
		if (kind < 8)
			p[at + 13] = chance(load, 8) ? 0x10 : 2;
	} else {
		put16(p + at, at == 40 ? 0x8000 : 0x0800);
	}
	return len;
}

static uint32_t make_packet(struct load *load, uint8_t *p)
{
	uint32_t flow;

	if (load->traffic == MIXED)
		return make_mixed(load, p);
	if (load->traffic == TCP) {
		make_ip4(p, 6, 1488);
		put16(p + 22, 5001);
		return 1488;
	}
	make_ip4(p, 17, 64);
	if (load->traffic == PORTS)
		put16(p + 22, 1 + chance(load, load->number));
	if (load->traffic == FLOWS) {
		flow = chance(load, load->number);
		put16(p + 14, flow >> 16);
		put16(p + 20, flow & 0xffff);
	}
	return 64;
}

/* Nanoseconds that the processor has worked for us. */
static uint64_t spent_here(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

/* What asking for the time costs by itself. */
static uint64_t clock_cost(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		uint64_t before = spent_here(), cost = spent_here() - before;

		if (cost < least)
			least = cost;
	}
	return least;
}

static void fill(struct load *load, struct tf_batch *batch, double *number)
{
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	for (uint32_t i = 0; i < batch->budget; i++) {
		uint8_t *room = tf_batch_room(batch);
		struct tf_packet *packet;

		if (room == NULL)
			break;
		packet = tf_batch_commit(batch, make_packet(load, room));
		packet->number = ++*number;
		packet->clock = (double) uv_hrtime() / 1e9;
		tf_parse(packet);
	}
}

/* Nanoseconds a packet; the longest batch, in nanoseconds, to *longest. */
static double measure(struct tf_script *script, struct tf_batch *batch, struct load *load, double seconds,
		      double *number, uint64_t *longest)
{
	uint64_t start = uv_hrtime(), own = clock_cost(), spent = 0, packets = 0;

	while ((double) (uv_hrtime() - start) < seconds * 1e9) {
		uint64_t before, cost;

		fill(load, batch, number);
		before = spent_here() + own;
		tf_script_run(script, batch);
		cost = spent_here();
		cost = cost > before ? cost - before : 0;
		if (cost > *longest)
			*longest = cost;
		spent += cost;
		packets += batch->count;
	}
	return (double) spent / (double) packets;
}

static int read_traffic(struct load *load, const char *text)
{
	static const char *const names[] = { "one", "ports:", "flows:", "tcp", "mixed" };

	for (int i = ONE; i <= MIXED; i++) {
		size_t size = strlen(names[i]);

		load->traffic = (enum traffic) i;
		load->number = (uint32_t) strtoul(text + (strncmp(text, names[i], size) ? 0 : size), NULL, 10);
		if (strncmp(text, names[i], size) == 0 && (names[i][size - 1] != ':' ? text[size] == '\0' : load->number > 0))
			return 0;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct tf_options options = { .on_error = TF_VERDICT_DROP };
	struct tf_side sides[2] = { { "left", "memory", 1500 }, { "right", "memory", 1500 } };
	struct load load = { .traffic = ONE, .state = 1 };
	struct tf_error error = { 0 };
	struct tf_script *script;
	struct tf_batch *batch;
	int count = argc > 2 ? atoi(argv[2]) : 64;
	uint64_t longest = 0;
	double number = 0, cost;
	size_t memory = 0;

	if (argc < 2 || count < 1 || count > 4096 || (argc > 4 && read_traffic(&load, argv[4]) != 0)) {
		fprintf(stderr, "usage: bench_lua RULES.lua [BATCH [SECONDS [one|ports:N|flows:N|tcp|mixed]]]\n");
		return 2;
	}
	tf_log_setup(TF_LOG_INFO, 0);
	options.script = argv[1];
	if (tf_script_create(&script, &options, &error) != 0 ||
	    tf_script_load(script, sides, TF_LINK_IP, &error) != 0 || tf_script_start(script, &error) != 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	if (tf_batch_create(&batch, (uint32_t) count) != 0)
		return 3;
	measure(script, batch, &load, 0.5, &number, &longest);
	cost = measure(script, batch, &load, argc > 3 ? atof(argv[3]) : 1, &number, &longest);
	uv_resident_set_memory(&memory);
	printf("%.1f\t%.1f\t%zu\n", cost, (double) longest / 1e3, memory / 1024);
	tf_batch_destroy(batch);
	tf_script_destroy(script);
	return 0;
}
