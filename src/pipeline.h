/*
 * How packets move: read a batch, parse it, show it to the script, write what it decided.
 * One for a pair of devices; all on the loop thread.
 */
#ifndef TF_PIPELINE_H
#define TF_PIPELINE_H

#include <uv.h>

#include "capture.h"
#include "device.h"
#include "exchange.h"
#include "script.h"
#include "stats.h"

#define TF_BUDGET 256 /* packets a batch: of 64 flows mixed some can still be joined */

struct tf_pipeline;

/* A device is no more (TF_EGONE) or cannot be read; called once a device at most. */
typedef void (*tf_pipeline_gone_cb)(void *arg, struct tf_device *device, int code);

struct tf_pipeline_config {
	struct tf_device *device[2]; /* the caller's, open; one twice: both sides' packets, in order */
	struct tf_script *script;    /* the caller's, started */
	int verbose;		     /* a line a packet on standard error */
	struct tf_capture *capture;  /* the caller's, or NULL */
	int offline;		     /* packets come with their own time, which is the run's clock */
	struct tf_exchange *exchange; /* the caller's, with the other workers, or NULL */
	unsigned int worker;	      /* its number there */
	tf_pipeline_gone_cb gone;
	void *arg; /* for gone */
	struct tf_stats *stats; /* the caller's, counted on from what is there; or NULL: its own */
};

/* 0 or UV_ENOMEM. */
int tf_pipeline_create(struct tf_pipeline **out, const struct tf_pipeline_config *config);

/*
 * Offline there is no loop: reads a batch of a side's device, takes it through the script and writes what it
 * decided. The number of packets (0: none wait), or a device's code.
 */
int tf_pipeline_pump(struct tf_pipeline *pipeline, int side);

/* Offline: lets time pass up to this (seconds, the run's clock), with timers and held packets in their order. */
void tf_pipeline_advance(struct tf_pipeline *pipeline, double now);

/*
 * Offline: lets time pass until no packet is held and every tf.after has run, an hour of it and a
 * million timers at most: a script may set timers for ever. Or until stop says so.
 */
void tf_pipeline_drain(struct tf_pipeline *pipeline, int (*stop)(void));

/* At the end of a run: the packets that are held still are lost. */
void tf_pipeline_give_up(struct tf_pipeline *pipeline);

/* Takes what other workers have handed over through the script, and writes what it decided. */
void tf_pipeline_collect(struct tf_pipeline *pipeline);

/* Watches both devices on the loop. 0 or a code. */
int tf_pipeline_start(struct tf_pipeline *pipeline, uv_loop_t *loop);

/* When tf_pipeline_tick is due next, in seconds on the run's clock; above 1e299: not at all. */
double tf_pipeline_due(const struct tf_pipeline *pipeline);

/*
 * Runs the timers that are due, lets go of held packets whose time has come, and writes these and
 * what timers, on_start or on_stop sent.
 */
void tf_pipeline_tick(struct tf_pipeline *pipeline);

/* The number of the last packet that was read; 0 before the first. */
double tf_pipeline_number(const struct tf_pipeline *pipeline);

/* Before the end: takes through the script what a device has read and not given yet. */
void tf_pipeline_finish(struct tf_pipeline *pipeline);

/* Instead of give_up: the packets that are held, for another pipeline to hold (tf_pipeline_hold). */
void tf_pipeline_empty(struct tf_pipeline *pipeline,
		       void (*each)(void *arg, struct tf_packet *packet, uint8_t side), void *arg);
void tf_pipeline_hold(struct tf_pipeline *pipeline, struct tf_packet *packet, uint8_t side);

/* Stops watching; handles close in the loop's next turn. */
void tf_pipeline_stop(struct tf_pipeline *pipeline);

/* The counters, with the devices' own asked for anew. */
const struct tf_stats *tf_pipeline_stats(struct tf_pipeline *pipeline);

struct tf_script *tf_pipeline_script(struct tf_pipeline *pipeline);

void tf_pipeline_destroy(struct tf_pipeline *pipeline);

#endif
