#include "pipeline.h"

#include <stdlib.h>

#include "batch.h"
#include "context.h"
#include "hold.h"
#include "outbox.h"
#include "parse.h"
#include "trace.h"

#define DRAIN_SECONDS 3600
#define DRAIN_TIMERS  1000000
#define GAP_SECONDS   86400 /* between two packets of a capture, at most */

struct tf_pipeline {
	struct tf_pipeline_config config;
	struct tf_batch *batch;
	struct tf_away *away;	/* NULL without other workers */
	struct tf_trace *trace; /* NULL unless verbose */
	struct tf_kept *kept;	/* NULL without a capture */
	struct tf_hold *hold;
	struct tf_outbox *released; /* held packets whose time has come, this turn */
	struct tf_stats own;
	struct tf_stats *stats;
	uint64_t errors_before; /* callbacks' errors that somebody before us has counted */
	double clock;		/* offline: the time that has been reached */
	int64_t epoch;		/* clock 0, in nanoseconds since the epoch */
	int gone[2];		/* the device has been reported */
	struct tf_packet **out[2]; /* what goes to each side this turn, in order */
	uint32_t out_count[2];
};

int tf_pipeline_create(struct tf_pipeline **out, const struct tf_pipeline_config *config)
{
	struct tf_pipeline *pipeline = calloc(1, sizeof(*pipeline));
	uint32_t most;

	if (pipeline == NULL)
		return UV_ENOMEM;
	if (tf_batch_create(&pipeline->batch, TF_BUDGET) != 0)
		goto fail;
	most = pipeline->batch->capacity;
	pipeline->config = *config;
	pipeline->stats = config->stats != NULL ? config->stats : &pipeline->own;
	if (!(pipeline->stats->started > 0))
		pipeline->stats->started = (double) uv_hrtime() / 1e9;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		pipeline->out[side] = calloc(most + 2 * TF_OUTBOX_PACKETS, sizeof(struct tf_packet *));
	pipeline->hold = tf_hold_create();
	pipeline->released = tf_outbox_create();
	if (pipeline->out[0] == NULL || pipeline->out[1] == NULL || pipeline->hold == NULL ||
	    pipeline->released == NULL ||
	    (config->capture != NULL && (pipeline->kept = tf_kept_create()) == NULL) ||
	    (config->exchange != NULL &&
	     (pipeline->away = tf_away_create(config->exchange, config->worker, most)) == NULL) ||
	    (config->verbose && tf_trace_create(&pipeline->trace, most) != 0))
		goto fail;
	*out = pipeline;
	return 0;

fail:
	tf_pipeline_destroy(pipeline);
	return UV_ENOMEM;
}

void tf_pipeline_destroy(struct tf_pipeline *pipeline)
{
	if (pipeline == NULL)
		return;
	tf_away_destroy(pipeline->away);
	tf_trace_destroy(pipeline->trace);
	tf_kept_free(pipeline->kept);
	tf_outbox_destroy(pipeline->released);
	tf_hold_destroy(pipeline->hold);
	tf_batch_destroy(pipeline->batch);
	free(pipeline->out[0]);
	free(pipeline->out[1]);
	free(pipeline);
}

static void device_gone(struct tf_pipeline *pipeline, int side, int code)
{
	if (pipeline->gone[side])
		return;
	pipeline->gone[side] = 1;
	pipeline->config.gone(pipeline->config.arg, pipeline->config.device[side], code);
}

static void add(struct tf_count *count, const struct tf_packet *packet)
{
	count->packets++;
	count->bytes += packet->len;
}

static void to_side(struct tf_pipeline *pipeline, int side, struct tf_packet *packet)
{
	if (pipeline->away && packet->flags & TF_MOVED)
		tf_away_enter(pipeline->away, packet, pipeline->clock);
	if (pipeline->config.device[TF_LEFT] == pipeline->config.device[TF_RIGHT])
		side = TF_RIGHT;
	pipeline->out[side][pipeline->out_count[side]++] = packet;
}

/* Counts a packet under what was decided for it, and puts it where it goes. */
static void judge(struct tf_pipeline *pipeline, struct tf_packet *packet)
{
	struct tf_direction *direction = &pipeline->stats->direction[packet->from];

	if (packet->flags & TF_FAILED)
		add(&direction->errors, packet);
	switch (packet->verdict) {
	case TF_VERDICT_FORWARD:
		if (!(packet->flags & TF_FAILED))
			add(&direction->forwarded, packet);
		to_side(pipeline, !packet->from, packet);
		break;
	case TF_VERDICT_REPLY:
		add(&direction->replied, packet);
		to_side(pipeline, packet->from, packet);
		break;
	case TF_VERDICT_HOLD:
		add(&direction->held, packet);
		if (tf_hold_add(pipeline->hold, packet, !packet->from) != TF_SEND_OK)
			direction->lost++;
		break;
	default:
		if (!(packet->flags & TF_FAILED))
			add(&direction->dropped, packet);
		break;
	}
}

static void write_side(struct tf_pipeline *pipeline, int side)
{
	struct tf_direction *direction = &pipeline->stats->direction[!side];
	struct tf_device *device = pipeline->config.device[side];
	struct tf_written written = { 0 };
	int err;

	if (pipeline->out_count[side] == 0)
		return;
	err = tf_device_write(device, pipeline->out[side], pipeline->out_count[side], &written);
	pipeline->out_count[side] = 0;
	direction->invalid += written.invalid;
	direction->lost += written.not_ready + written.full + written.failed;
	if (err < 0)
		device_gone(pipeline, side, err);
}

/* The time of a packet that goes out by itself follows from the run's clock. */
static void set_stamp(const struct tf_pipeline *pipeline, struct tf_packet *packet)
{
	packet->stamp = pipeline->epoch + (int64_t) (packet->clock * 1e9 + 0.5);
}

/* Puts the held packets that are due at this time where they go. */
static void releases_at(struct tf_pipeline *pipeline, double now)
{
	struct tf_outbox *released = pipeline->released;

	while (tf_hold_due(pipeline->hold) <= now) {
		uint32_t first = released->count;

		tf_hold_release(pipeline->hold, now, released, 0);
		for (uint32_t i = first; i < released->count; i++) {
			struct tf_packet *packet = &released->sent[i].packet;

			packet->clock = packet->due;
			set_stamp(pipeline, packet);
			if (pipeline->config.capture)
				tf_capture_out(pipeline->config.capture, packet, released->sent[i].side);
			to_side(pipeline, released->sent[i].side, packet);
		}
		if (tf_hold_due(pipeline->hold) <= now) { /* there are more than can wait at once */
			write_side(pipeline, TF_LEFT);
			write_side(pipeline, TF_RIGHT);
			tf_outbox_clear(released);
		}
	}
}

/*
 * Puts what the script has sent before packet i of the batch, from *next on, where it goes.
 */
static void sends_before(struct tf_pipeline *pipeline, const struct tf_outbox *outbox, uint32_t i,
			 uint32_t *next)
{
	for (; *next < outbox->count && outbox->sent[*next].before <= i; ++*next) {
		struct tf_sent *entry = &outbox->sent[*next];

		if (entry->packet.verdict == TF_VERDICT_DROP)
			continue;
		releases_at(pipeline, entry->packet.clock);
		add(&pipeline->stats->direction[!entry->side].sent, &entry->packet);
		set_stamp(pipeline, &entry->packet);
		if (pipeline->away) { /* what answers it is for this script */
			tf_parse(&entry->packet);
			entry->packet.flags |= TF_MOVED;
		}
		if (pipeline->trace)
			tf_trace_sent(pipeline->trace, &entry->packet, entry->side);
		if (entry->packet.verdict == TF_VERDICT_HOLD) {
			if (tf_hold_add(pipeline->hold, &entry->packet, entry->side) != TF_SEND_OK)
				pipeline->stats->direction[!entry->side].lost++;
			continue;
		}
		if (pipeline->config.capture)
			tf_capture_out(pipeline->config.capture, &entry->packet, entry->side);
		to_side(pipeline, entry->side, &entry->packet);
	}
}

/*
 * Writes the batch's packets (NULL: none) from the first up to its cursor, what the script sent and
 * what is no longer held, each at its place in the order.
 */
static void deliver(struct tf_pipeline *pipeline, struct tf_batch *batch, uint32_t first, double now)
{
	struct tf_outbox *outbox = tf_script_outbox(pipeline->config.script);
	uint32_t next = 0;

	for (uint32_t i = first; batch != NULL && i < batch->cursor; i++) {
		struct tf_packet *packet = &batch->packets[i];

		sends_before(pipeline, outbox, i, &next);
		releases_at(pipeline, packet->clock);
		if (pipeline->trace)
			tf_trace_after(pipeline->trace, i, packet, pipeline->config.script);
		if (pipeline->config.capture)
			tf_capture_after(pipeline->config.capture, pipeline->kept, i, packet,
					 tf_script_callback(pipeline->config.script, packet->callback));
		judge(pipeline, packet);
	}
	sends_before(pipeline, outbox, UINT32_MAX, &next);
	releases_at(pipeline, now);
	write_side(pipeline, TF_LEFT);
	write_side(pipeline, TF_RIGHT);
	tf_outbox_clear(outbox);
	tf_outbox_clear(pipeline->released);
}

/* Sets the run's clock and its epoch by the system's: the time, in nanoseconds since the epoch. */
static int64_t read_clock(struct tf_pipeline *pipeline)
{
	uv_timeval64_t now = { 0, 0 };
	uint64_t clock = uv_hrtime();
	int64_t stamp;

	uv_gettimeofday(&now);
	stamp = now.tv_sec * 1000000000 + now.tv_usec * 1000;
	pipeline->clock = (double) clock / 1e9;
	pipeline->epoch = stamp - (int64_t) clock;
	return stamp;
}

/* Gives every packet of the batch its place on the run's clock. */
static void set_time(struct tf_pipeline *pipeline, struct tf_batch *batch)
{
	double reached = pipeline->clock;
	int64_t stamp;

	if (!pipeline->config.offline) {
		stamp = read_clock(pipeline);
		for (uint32_t i = 0; i < batch->count; i++) {
			batch->packets[i].stamp = stamp;
			batch->packets[i].clock = pipeline->clock;
		}
		return;
	}
	if (pipeline->stats->number == 0)
		pipeline->epoch = batch->packets[0].stamp - (int64_t) (pipeline->clock * 1e9);
	for (uint32_t i = 0; i < batch->count; i++) {
		double clock = (double) (batch->packets[i].stamp - pipeline->epoch) / 1e9;

		/* From a packet without a time, 0, to one of today timers would run for ages. */
		if (clock > reached + GAP_SECONDS) {
			pipeline->epoch += (int64_t) ((clock - reached - GAP_SECONDS) * 1e9);
			clock = reached + GAP_SECONDS;
		}
		/* Captures are not always in order; the clock is. */
		if (clock > reached)
			reached = clock;
		batch->packets[i].clock = reached;
	}
	tf_script_epoch(pipeline->config.script, pipeline->epoch);
}

static void process(struct tf_pipeline *pipeline, struct tf_batch *batch, int parsed)
{
	set_time(pipeline, batch);
	for (uint32_t i = 0; i < batch->count; i++) {
		struct tf_packet *packet = &batch->packets[i];
		struct tf_direction *direction = &pipeline->stats->direction[packet->from];

		packet->number = ++pipeline->stats->number;
		if (!parsed && !(packet->flags & (TF_CUT | TF_PARTIAL))) /* those have been */
			tf_parse(packet);
		add(&direction->in, packet);
		if (packet->malformed)
			add(&direction->malformed, packet);
		if (pipeline->trace)
			tf_trace_before(pipeline->trace, i, packet);
		if (pipeline->config.capture)
			tf_capture_before(pipeline->kept, i, packet);
	}
	for (batch->cursor = 0; batch->cursor < batch->count;) {
		uint32_t first = batch->cursor;

		tf_script_run(pipeline->config.script, batch);
		if (batch->cursor > first)
			pipeline->clock = batch->packets[batch->cursor - 1].clock;
		deliver(pipeline, batch, first, pipeline->clock);
		if (batch->cursor < batch->count) /* offline: a timer comes first */
			tf_pipeline_advance(pipeline, batch->packets[batch->cursor].clock);
	}
	pipeline->stats->callback_errors = pipeline->errors_before + tf_script_errors(pipeline->config.script);
}

/* Behind our own packets, as those of a flow that has just become another worker's may be among them. */
static void send_away(struct tf_pipeline *pipeline)
{
	uint64_t lost[2] = { 0, 0 };

	tf_away_send(pipeline->away, lost);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		pipeline->stats->direction[side].crowded += lost[side];
}

int tf_pipeline_pump(struct tf_pipeline *pipeline, int side)
{
	struct tf_device *device = pipeline->config.device[side];
	int count, parsed = 0;

	tf_batch_reset(pipeline->batch, (uint8_t) side, device->link);
	count = tf_device_read(device, pipeline->batch);
	pipeline->stats->direction[side].waiting = (struct tf_count){ device->more, device->more_bytes };
	if (pipeline->away)
		parsed = tf_away_take(pipeline->away, pipeline->batch, pipeline->clock);
	if (pipeline->batch->count > 0)
		process(pipeline, pipeline->batch, parsed);
	if (parsed)
		send_away(pipeline);
	return count;
}

void tf_pipeline_collect(struct tf_pipeline *pipeline)
{
	struct tf_batch *batch;

	for (int i = 0; i < TF_EXCHANGE_BATCHES && pipeline->away && (batch = tf_away_next(pipeline->away)); i++) {
		process(pipeline, batch, 1);
		tf_away_done(pipeline->away);
	}
}

/*
 * One batch: then the other device has its turn, which waits 100 us at most behind large packets. Four
 * batches at a time cost a packet as much, and a ping beside a TCP stream ten times.
 */
static void on_ready(struct tf_device *device, int status, void *arg)
{
	struct tf_pipeline *pipeline = arg;
	int side = device == pipeline->config.device[TF_RIGHT], count;

	if (status < 0) {
		device_gone(pipeline, side, status);
		return;
	}
	tf_pipeline_collect(pipeline); /* what another worker has read of a flow came before what waits now */
	count = tf_pipeline_pump(pipeline, side);
	if (count < 0 && count != TF_ENOTREADY)
		device_gone(pipeline, side, count);
}

int tf_pipeline_start(struct tf_pipeline *pipeline, uv_loop_t *loop)
{
	int err;

	/* Who counted here before does so no more. */
	tf_stats_settle(pipeline->stats);
	pipeline->errors_before = pipeline->stats->callback_errors;
	err = tf_device_start(pipeline->config.device[TF_LEFT], loop, on_ready, pipeline);
	if (err < 0)
		return err;
	err = tf_device_start(pipeline->config.device[TF_RIGHT], loop, on_ready, pipeline);
	if (err < 0)
		tf_device_stop(pipeline->config.device[TF_LEFT]);
	return err;
}

double tf_pipeline_number(const struct tf_pipeline *pipeline)
{
	return pipeline->stats->number;
}

double tf_pipeline_due(const struct tf_pipeline *pipeline)
{
	double script = tf_script_due(pipeline->config.script), hold = tf_hold_due(pipeline->hold);

	return script < hold ? script : hold;
}

void tf_pipeline_tick(struct tf_pipeline *pipeline)
{
	if (!pipeline->config.offline)
		read_clock(pipeline);
	tf_script_tick(pipeline->config.script, pipeline->clock);
	deliver(pipeline, NULL, 0, pipeline->clock);
}

void tf_pipeline_advance(struct tf_pipeline *pipeline, double now)
{
	for (double due = tf_pipeline_due(pipeline); due <= now; due = tf_pipeline_due(pipeline)) {
		if (due > pipeline->clock)
			pipeline->clock = due;
		tf_pipeline_tick(pipeline);
	}
	if (now > pipeline->clock)
		pipeline->clock = now;
	tf_pipeline_tick(pipeline);
}

void tf_pipeline_drain(struct tf_pipeline *pipeline, int (*stop)(void))
{
	double end = pipeline->clock + DRAIN_SECONDS;

	for (int i = 0; i < DRAIN_TIMERS && !stop(); i++) {
		double due = tf_pipeline_due(pipeline);

		if (due > end || (tf_hold_count(pipeline->hold) == 0 && tf_script_once(pipeline->config.script) == 0))
			break;
		tf_pipeline_advance(pipeline, due);
	}
}

void tf_pipeline_give_up(struct tf_pipeline *pipeline)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		pipeline->stats->direction[side].lost += tf_hold_count_to(pipeline->hold, !side);
}

void tf_pipeline_empty(struct tf_pipeline *pipeline,
		       void (*each)(void *arg, struct tf_packet *packet, uint8_t side), void *arg)
{
	tf_hold_empty(pipeline->hold, each, arg);
}

void tf_pipeline_hold(struct tf_pipeline *pipeline, struct tf_packet *packet, uint8_t side)
{
	if (tf_hold_add(pipeline->hold, packet, side) != TF_SEND_OK)
		pipeline->stats->direction[!side].lost++;
}

void tf_pipeline_finish(struct tf_pipeline *pipeline)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		while (pipeline->config.device[side]->more > 0)
			tf_pipeline_pump(pipeline, side);
}

void tf_pipeline_stop(struct tf_pipeline *pipeline)
{
	tf_device_stop(pipeline->config.device[TF_LEFT]);
	tf_device_stop(pipeline->config.device[TF_RIGHT]);
}

struct tf_script *tf_pipeline_script(struct tf_pipeline *pipeline)
{
	return pipeline->config.script;
}

const struct tf_stats *tf_pipeline_stats(struct tf_pipeline *pipeline)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		tf_device_dropped(pipeline->config.device[side],
				  &pipeline->stats->direction[side].kernel_dropped);
	pipeline->stats->callback_errors = pipeline->errors_before + tf_script_errors(pipeline->config.script);
	return pipeline->stats;
}
