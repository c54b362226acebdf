#include "check_jit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "device/pcap.h"
#include "guard.h"
#include "log.h"
#include "parse.h"
#include "privileges.h"
#include "script.h"

/* How often all packets are shown: until the JIT has tried all that it will, then to see. */
enum { BATCH = 64, PACKETS_MAX = 1000, WARM = 40000, WATCH = 2000, MEASURE = 10000 };

/* A packet as it came: its descriptor, and its bytes with the prefix before them. */
struct sample {
	struct tf_packet packet;
	uint8_t *bytes;
};

struct check {
	struct tf_script *script;
	struct tf_batch *batch;
	struct sample samples[PACKETS_MAX]; /* count of them */
	uint32_t count;
	uint8_t link;
	uint8_t both; /* each is shown as from either side */
	double number;
	uint64_t shown;
	uint64_t errors;
	char *error; /* the first callback that threw */
};

static void on_log(void *arg, const char *line, size_t length)
{
	(void)arg;
	(void)line;
	(void)length;
}

static void on_error(void *arg, const char *text)
{
	struct check *check = arg;

	if (check->errors++ == 0)
		check->error = strdup(text);
}

static int keep(struct check *check, const struct tf_packet *packet)
{
	struct sample *sample = &check->samples[check->count];

	sample->bytes = malloc(packet->prefix + packet->len);
	if (sample->bytes == NULL)
		return UV_ENOMEM;
	memcpy(sample->bytes, packet->data - packet->prefix, packet->prefix + packet->len);
	sample->packet = *packet;
	check->count++;
	return 0;
}

static void keep_own(void *arg, const char *text, size_t length)
{
	struct check *check = arg;
	struct tf_packet packet = {.len = (uint32_t)length, .link = check->link};

	packet.data = (uint8_t *)(uintptr_t)text; /* only read */
	if (check->count < PACKETS_MAX)
		keep(check, &packet);
}

/* The first packets of the capture. 0 or a code. */
static int keep_captured(struct check *check, struct tf_device *device, struct tf_error *error)
{
	int got;

	do {
		tf_batch_reset(check->batch, TF_LEFT, device->link);
		got = tf_device_read(device, check->batch);
		for (uint32_t i = 0; i < check->batch->count && check->count < PACKETS_MAX; i++)
			if (keep(check, &check->batch->packets[i]) < 0)
				return tf_error_set(error, UV_ENOMEM, "out of memory");
	} while (got > 0 && check->count < PACKETS_MAX);
	return got < 0 ? tf_error_set(error, got, "%s", tf_pcap_error(device)) : 0;
}

/* Shows a batch of the packets from number `first` on, as they came; how many. */
static uint32_t show(struct check *check, uint32_t first, uint8_t side)
{
	struct tf_batch *batch = check->batch;
	uint32_t at = first;

	tf_batch_reset(batch, side, check->link);
	for (; at < check->count && batch->count < BATCH; at++) {
		const struct sample *sample = &check->samples[at];
		uint8_t *room = tf_batch_room(batch), *data;
		struct tf_packet *packet;

		if (room == NULL)
			break;
		packet = tf_batch_commit(batch, sample->packet.len);
		data = packet->data;
		memcpy(data - sample->packet.prefix, sample->bytes, sample->packet.prefix + sample->packet.len);
		if (!check->both) {
			uint32_t had = packet->room;

			*packet = sample->packet;
			packet->data = data;
			packet->room = had;
		}
		packet->number = ++check->number;
		packet->clock = check->number / 1000;
		packet->stamp = (int64_t)(packet->clock * 1e9);
		tf_parse(packet);
	}
	if (batch->count > 0)
		tf_script_run(check->script, batch);
	tf_outbox_clear(tf_script_outbox(check->script));
	check->shown += batch->count;
	return at - first;
}

/* Shows all packets at least once, and until so many were shown; how often. */
static uint32_t show_all(struct check *check, uint64_t packets)
{
	uint32_t passes = 0;

	for (check->shown = 0; passes == 0 || check->shown < packets; passes++)
		for (uint8_t side = TF_LEFT; side <= check->both; side++)
			for (uint32_t at = 0; at < check->count;) {
				uint32_t shown = show(check, at, side);

				if (shown == 0)
					return passes + 1;
				at += shown;
			}
	return passes;
}

static void print_line(void *arg, const char *text, size_t length)
{
	(void)arg;
	printf("%.*s\n", (int)length, text);
}

static void count_line(void *arg, const char *text, size_t length)
{
	(void)text;
	(void)length;
	++*(int *)arg;
}

static int run_step(struct check *check, const char *step, struct tf_error *error)
{
	return tf_script_jit(check->script, step, 0, 0, print_line, NULL, error);
}

/* All steps, in jit_report.lua's order. */
static int run(struct check *check, struct tf_error *error)
{
	uint32_t watched;
	int err, on = 0;

	err = tf_script_jit(check->script, "enabled", 0, 0, count_line, &on, error);
	if (err < 0)
		return err;
	if (!on) {
		printf("summary   the JIT is off: nothing runs compiled, and all of it is 30 to 100 times slower\n");
		return 0;
	}
	err = run_step(check, "count", error);
	if (err < 0)
		return err;
	show_all(check, 0);
	err = run_step(check, "warm", error);
	if (err < 0)
		return err;
	show_all(check, WARM);
	err = run_step(check, "watch", error);
	if (err < 0)
		return err;
	watched = show_all(check, WATCH);
	err = run_step(check, "measure", error);
	if (err < 0)
		return err;
	show_all(check, MEASURE);
	if (check->errors > 0)
		tf_log(TF_LOG_WARNING, "a callback threw, %llu times in all: %s", (unsigned long long)check->errors,
		       check->error ? check->error : "");
	return tf_script_jit(check->script, "report", watched, (uint32_t)check->shown, print_line, NULL, error);
}

static int open_script(struct check *check, const struct tf_options *options, const struct tf_device *device,
		       struct tf_error *error)
{
	const struct tf_listener listener = {.log = on_log, .error = on_error, .arg = check};
	struct tf_side sides[2];
	int err = tf_script_create(&check->script, options, error);

	if (err < 0)
		return err;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device_spec *spec = &options->device[side];

		sides[side].name = spec->name[0] ? spec->name : side == TF_LEFT ? "left" : "right";
		sides[side].kind = device ? "pcap" : spec->kind;
		sides[side].mtu = spec->mtu ? spec->mtu : 1500;
	}
	tf_script_offline(check->script, device != NULL);
	tf_script_listen(check->script, &listener);
	err = tf_script_load(check->script, sides, check->link, error);
	return err < 0 ? err : tf_script_start(check->script, error);
}

static int check_all(struct check *check, const struct tf_options *options, struct tf_error *error)
{
	const struct tf_pcap_config config = {.in = options->capture_in};
	struct tf_device *device = NULL;
	int err = tf_batch_create(&check->batch, BATCH);

	if (err < 0)
		return tf_error_set(error, err, "out of memory");
	check->link = tf_device_spec_link(&options->device[TF_LEFT]);
	if (options->capture_in != NULL) {
		err = tf_pcap_open(&device, &config, error);
		if (err < 0)
			return err;
		check->link = device->link;
		err = keep_captured(check, device, error);
	}
	if (err == 0)
		err = tf_privileges_drop(options, error);
	if (err == 0)
		err = open_script(check, options, device, error);
	if (device == NULL && err == 0) {
		check->both = 1;
		err = tf_script_jit(check->script, "packets", 0, 0, keep_own, check, error);
	}
	if (err == 0)
		err = run(check, error);
	if (device != NULL)
		tf_device_close(device);
	return err;
}

int tf_command_check_jit(const struct tf_options *options)
{
	struct check *check = calloc(1, sizeof(*check));
	struct tf_error error = {0};
	int err;

	if (check == NULL) {
		tf_log(TF_LOG_ERROR, "out of memory");
		return TF_EXIT_SYSTEM;
	}
	tf_guard_alarm(options->time_limit, NULL);
	err = check_all(check, options, &error);
	if (err < 0)
		tf_log(TF_LOG_ERROR, "%s", error.text);
	tf_script_destroy(check->script);
	tf_batch_destroy(check->batch);
	for (uint32_t i = 0; i < check->count; i++)
		free(check->samples[i].bytes);
	free(check->error);
	free(check);
	return err < 0 ? tf_error_exit(err) : TF_EXIT_OK;
}
