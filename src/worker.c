#include "worker.h"

#include <stdlib.h>

#include "alarm.h"

#define NEVER 1e300

struct tf_worker {
	struct tf_worker_config config;
	uv_loop_t loop;
	struct tf_pipeline *pipeline;
	struct tf_alarm *alarm; /* for the script's next timer or held packet */
	double armed;		/* what it is set to */
	uv_prepare_t prepare;
	uv_async_t posted;
	uv_mutex_t mutex;	     /* over the jobs */
	struct tf_worker_job *jobs;  /* the first that waits, or NULL */
	struct tf_worker_job **last; /* where the next one goes */
	int stopping;
};

static void on_alarm(void *arg)
{
	struct tf_worker *worker = arg;

	worker->armed = NEVER;
	tf_pipeline_tick(worker->pipeline);
}

/* Before the loop sleeps: the time of the next timer or held packet may have changed. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct tf_worker *worker = prepare->data;
	double due = tf_pipeline_due(worker->pipeline);

	if (due == worker->armed)
		return;
	worker->armed = due;
	tf_alarm_set(worker->alarm, due);
}

static void on_posted(uv_async_t *handle)
{
	struct tf_worker *worker = handle->data;
	struct tf_worker_job *job, *next;

	uv_mutex_lock(&worker->mutex);
	job = worker->jobs;
	worker->jobs = NULL;
	worker->last = &worker->jobs;
	uv_mutex_unlock(&worker->mutex);
	if (worker->pipeline)
		tf_pipeline_collect(worker->pipeline);
	for (; job != NULL; job = next) {
		next = job->next; /* a job may be its poster's again once it has run */
		job->run(worker, job);
	}
}

void tf_worker_post(struct tf_worker *worker, struct tf_worker_job *job)
{
	job->next = NULL;
	uv_mutex_lock(&worker->mutex);
	*worker->last = job;
	worker->last = &job->next;
	uv_mutex_unlock(&worker->mutex);
	uv_async_send(&worker->posted);
}

int tf_worker_create(struct tf_worker **out, const struct tf_worker_config *config,
		     struct tf_error *error)
{
	struct tf_worker *worker = calloc(1, sizeof(*worker));
	int err = UV_ENOMEM;

	if (!worker)
		goto fail_memory;
	worker->config = *config;
	worker->armed = NEVER;
	worker->last = &worker->jobs;
	err = uv_mutex_init(&worker->mutex);
	if (err < 0)
		goto fail_memory;
	err = uv_loop_init(&worker->loop);
	if (err < 0)
		goto fail_loop;
	uv_prepare_init(&worker->loop, &worker->prepare);
	err = uv_async_init(&worker->loop, &worker->posted, on_posted);
	if (err < 0)
		goto fail_handles;
	worker->prepare.data = worker->posted.data = worker;
	if (config->exchange)
		tf_exchange_wake(config->exchange, config->options->worker, &worker->posted);
	*out = worker;
	return 0;

fail_handles:
	uv_close((uv_handle_t *)&worker->prepare, NULL);
	uv_run(&worker->loop, UV_RUN_NOWAIT);
	uv_loop_close(&worker->loop);
fail_loop:
	uv_mutex_destroy(&worker->mutex);
fail_memory:
	free(worker);
	tf_script_destroy(config->script);
	return tf_error_set(error, err, "the event loop: %s", uv_strerror(err));
}

uv_loop_t *tf_worker_loop(struct tf_worker *worker)
{
	return &worker->loop;
}

struct tf_pipeline *tf_worker_pipeline(struct tf_worker *worker)
{
	return worker->pipeline;
}

struct tf_script *tf_worker_script(struct tf_worker *worker)
{
	return worker->config.script;
}

int tf_worker_load(struct tf_worker *worker, struct tf_error *error)
{
	struct tf_side sides[2];
	int err = 0;

	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device *device = worker->config.device[side];

		sides[side] = (struct tf_side){device->name, device->ops->kind, device->mtu};
		if (err == 0 && device->mtu_now)
			err = tf_script_follow_mtu(worker->config.script, side, (const void *)device->mtu_now, error);
	}
	if (err < 0)
		return err;
	return tf_script_load(worker->config.script, sides, worker->config.device[TF_LEFT]->link,
			      error);
}

int tf_worker_start(struct tf_worker *worker, struct tf_capture *capture, struct tf_error *error)
{
	struct tf_pipeline_config parts = {
		.device = {worker->config.device[TF_LEFT], worker->config.device[TF_RIGHT]},
		.script = worker->config.script,
		.verbose = worker->config.options->verbose,
		.capture = capture,
		.exchange = worker->config.exchange,
		.worker = worker->config.options->worker,
		.gone = worker->config.gone,
		.arg = worker->config.arg,
		.stats = worker->config.stats,
	};
	int err = tf_pipeline_create(&worker->pipeline, &parts);

	if (err < 0)
		return tf_error_set(error, err, "out of memory");
	err = tf_alarm_create(&worker->alarm, &worker->loop, on_alarm, worker);
	if (err < 0)
		return tf_error_set(error, err, "the clock: %s", tf_error_name(err));
	return tf_script_start(worker->config.script, error);
}

int tf_worker_begin(struct tf_worker *worker, struct tf_error *error)
{
	int err;

	tf_pipeline_tick(worker->pipeline); /* what on_start sent */
	err = tf_pipeline_start(worker->pipeline, &worker->loop);
	if (err < 0)
		return tf_error_set(error, err, "the devices cannot be watched: %s",
				    tf_error_name(err));
	uv_prepare_start(&worker->prepare, on_prepare);
	return 0;
}

void tf_worker_run(struct tf_worker *worker)
{
	const uint64_t spin = worker->config.options->spin_us * UINT64_C(1000);
	double number = 0;
	uint64_t end = 0; /* until when it spins: some time from the last packet on */

	tf_script_here(worker->config.script);
	while (!worker->stopping) {
		uv_run(&worker->loop, end && uv_hrtime() < end ? UV_RUN_NOWAIT : UV_RUN_ONCE);
		if (!spin || number == tf_pipeline_number(worker->pipeline))
			continue;
		number = tf_pipeline_number(worker->pipeline);
		end = uv_hrtime() + spin;
	}
}

void tf_worker_stop(struct tf_worker *worker)
{
	worker->stopping = 1;
	uv_stop(&worker->loop);
}

void tf_worker_flush(struct tf_worker *worker)
{
	if (!worker->pipeline)
		return;
	tf_script_here(worker->config.script);
	tf_pipeline_finish(worker->pipeline);
}

void tf_worker_finish(struct tf_worker *worker, uint32_t limits)
{
	if (!worker->pipeline)
		return;
	tf_script_here(worker->config.script);
	tf_pipeline_collect(worker->pipeline);
	tf_script_stop(worker->config.script, limits);
	tf_pipeline_tick(worker->pipeline); /* what on_stop sent */
}

void tf_worker_destroy(struct tf_worker *worker)
{
	if (!worker)
		return;
	if (worker->pipeline)
		tf_pipeline_stop(worker->pipeline);
	uv_close((uv_handle_t *)&worker->prepare, NULL);
	uv_close((uv_handle_t *)&worker->posted, NULL);
	tf_alarm_close(worker->alarm);
	/* Handles of ours, the devices' and the caller's close here. */
	for (int turn = 0; turn < 4; turn++)
		uv_run(&worker->loop, UV_RUN_NOWAIT);
	uv_loop_close(&worker->loop);
	uv_mutex_destroy(&worker->mutex);
	tf_pipeline_destroy(worker->pipeline);
	tf_script_destroy(worker->config.script);
	free(worker);
}
