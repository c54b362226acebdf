/*
 * A worker: one loop, one script and one pipeline between a pair of device queues, with the alarm
 * that the script's timers and held packets wait for.
 *
 * It is given devices that are open and a script that is compiled, so that whoever makes it can do
 * so in another process than the one that opened the devices. All of it is for the thread that runs
 * it, but for what says otherwise.
 *
 *   create → load → start → run → finish → destroy
 */
#ifndef TF_WORKER_H
#define TF_WORKER_H

#include "pipeline.h"

struct tf_worker;

struct tf_worker_config {
	const struct tf_options *options;
	struct tf_device *device[2]; /* the caller's, open; for this worker alone until destroy */
	struct tf_script
		*script; /* created, not loaded; the worker's from now on, also if it fails */
	tf_pipeline_gone_cb gone; /* on the worker's thread */
	void *arg;		  /* for gone */
	struct tf_exchange *exchange; /* with the other workers, or NULL; the caller's, until destroy */
	struct tf_stats *stats;	  /* where to count, or NULL; see pipeline.h */
};

/* 0, or a code with a sentence. Runs none of the script. */
int tf_worker_create(struct tf_worker **out, const struct tf_worker_config *config,
		     struct tf_error *error);

/* For handles of the caller's, which it closes before destroy. */
uv_loop_t *tf_worker_loop(struct tf_worker *worker);

/* NULL before start. */
struct tf_pipeline *tf_worker_pipeline(struct tf_worker *worker);

struct tf_script *tf_worker_script(struct tf_worker *worker);

/* Runs the script's top level. 0, or TF_ESCRIPT with a sentence. */
int tf_worker_load(struct tf_worker *worker, struct tf_error *error);

/* Makes all that moving packets takes, and calls on_start. The capture is the caller's, or NULL. 0, or a code with a sentence. */
int tf_worker_start(struct tf_worker *worker, struct tf_capture *capture, struct tf_error *error);

/* Watches the devices. 0, or a code with a sentence. */
int tf_worker_begin(struct tf_worker *worker, struct tf_error *error);

/* Moves packets until tf_worker_stop. */
void tf_worker_run(struct tf_worker *worker);

/* Something for a worker to do on its own thread; the caller's until it has run. */
struct tf_worker_job {
	void (*run)(struct tf_worker *worker, struct tf_worker_job *job);
	void *arg; /* for run */
	struct tf_worker_job *next;
};

/*
 * Has a job run between two batches, jobs in their order: from any thread, not from a signal's
 * handler. Jobs that come after the worker's last turn do not run.
 */
void tf_worker_post(struct tf_worker *worker, struct tf_worker_job *job);

/* Ends tf_worker_run after this turn: on the worker's thread, as by a job. */
void tf_worker_stop(struct tf_worker *worker);

/* After run: what the devices have read and not given goes through the script, or to the other workers. */
void tf_worker_flush(struct tf_worker *worker);

/* After start and run, also if they failed: what was read already, then on_stop. */
void tf_worker_finish(struct tf_worker *worker, uint32_t limits);

/* Stops watching and frees all, but the devices. NULL is fine. */
void tf_worker_destroy(struct tf_worker *worker);

#endif
