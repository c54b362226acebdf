/*
 * What the Lua part alone costs: batches of parsed packets through tf_script_run, no device.
 *
 *   bench_lua RULES.lua [BATCH [SECONDS]]
 *
 * The packets are 64-byte UDP datagrams over IPv4 to port 9. Prints nanoseconds a packet for the
 * script, after half a second to warm up; parsing is not in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "log.h"
#include "parse.h"
#include "script.h"

static const uint8_t datagram[64] = {
	0x45, 0, 0, 64, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2, /* IPv4 */
	0x30, 0x39, 0, 9, 0, 44, 0, 0,						 /* UDP */
};

static double now(void)
{
	return (double) uv_hrtime() / 1e9;
}

static double measure(struct tf_script *script, struct tf_batch *batch, double seconds)
{
	double start = now(), number = 0, packets = 0, elapsed;

	do {
		for (int turn = 0; turn < 100; turn++) {
			for (uint32_t i = 0; i < batch->count; i++) {
				batch->packets[i].number = ++number;
				batch->packets[i].verdict = 0;
			}
			batch->cursor = 0;
			tf_script_run(script, batch);
			packets += batch->count;
		}
		elapsed = now() - start;
	} while (elapsed < seconds);
	return elapsed / packets * 1e9;
}

int main(int argc, char **argv)
{
	struct tf_options options = { .on_error = TF_VERDICT_DROP };
	struct tf_side sides[2] = { { "left", "memory", 1500 }, { "right", "memory", 1500 } };
	struct tf_error error = { 0 };
	struct tf_script *script;
	struct tf_batch *batch;
	int count = argc > 2 ? atoi(argv[2]) : 64;

	if (argc < 2 || count < 1 || count > 4096) {
		fprintf(stderr, "usage: bench_lua RULES.lua [BATCH [SECONDS]]\n");
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
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	for (int i = 0; i < count; i++) {
		uint8_t *room = tf_batch_room(batch);

		if (room == NULL)
			break;
		memcpy(room, datagram, sizeof(datagram));
		tf_parse(tf_batch_commit(batch, sizeof(datagram)));
	}
	measure(script, batch, 0.5);
	printf("%.1f\n", measure(script, batch, argc > 3 ? atof(argv[3]) : 1));
	tf_batch_destroy(batch);
	tf_script_destroy(script);
	return 0;
}
