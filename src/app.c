#include "app.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "log.h"
#include "system.h"
#include "tally.h"
#include "worker.h"

/*
 * In order, and taken apart in reverse:
 *
 *   1. signals of Ctrl-C's kind are noticed
 *   2. the script is compiled: none of it runs, and a mistake ends here
 *   3. the devices are open, with all queues          (open_devices)
 *   4. the workers, each with its loop, and the handles on the first one's; the script's top level
 * runs, once a worker; --capture's file and thread; the start lines         (make_workers)
 *   5. on_start of each; a thread for each but the first, which is this one; packets (start, run)
 *
 * What comes before 4 has neither loop nor thread and runs no code of the user's: a process can
 * fork there, and 4 and 5 are the child's.
 */

/* A worker's place: what is its own. */
struct seat {
	struct tf_app *app;
	struct tf_options options; /* the command's, but for the worker's number */
	struct tf_script *script;  /* compiled, until the worker has it */
	struct tf_device *device[2];
	struct tf_worker *worker;
	struct tf_worker_job tell, end;
	uv_thread_t thread; /* not the first one's, which is the program's */
};

struct tf_app {
	const struct tf_options *options;
	struct seat *seats; /* count of them */
	unsigned count;
	struct tf_capture *capture; /* NULL without --capture */

	volatile sig_atomic_t wished;  /* a signal asked for the end */
	volatile sig_atomic_t handles; /* those below are initialised */
	uv_async_t asked;	       /* to end, by a signal */
	uv_signal_t table_signal;
	uv_timer_t stats_timer;

	int started; /* on_start has been called, or will not be again */

	uv_mutex_t mutex; /* over what follows, while there are threads */
	int stopping;
	int status;
	struct tf_tally tally; /* of those that have told already */
	unsigned telling;      /* workers that have yet to */
};

static const char *const side_names[] = {"left", "right"};

static void end_worker(struct tf_worker *worker, struct tf_worker_job *job)
{
	(void)job;
	tf_worker_stop(worker);
}

/* Ends the run with this exit status; 1 for the first call, the one that counts. On any thread. */
static int stop(struct tf_app *app, int status)
{
	int first;

	uv_mutex_lock(&app->mutex);
	first = !app->stopping;
	app->stopping = 1;
	if (first)
		app->status = status;
	uv_mutex_unlock(&app->mutex);
	for (unsigned i = 0; i < app->count; i++)
		if (first)
			tf_worker_post(app->seats[i].worker, &app->seats[i].end);
	return first;
}

/* On a worker's thread; the last one prints for all. */
static void add_to_table(struct tf_worker *worker, struct tf_worker_job *job)
{
	struct tf_app *app = job->arg;

	uv_mutex_lock(&app->mutex);
	tf_tally_add(&app->tally, tf_worker_pipeline(worker));
	if (--app->telling == 0) {
		tf_tally_print(&app->tally);
		tf_tally_clear(&app->tally);
	}
	uv_mutex_unlock(&app->mutex);
}

/* Has the table printed when every worker is between two batches. */
static void ask_for_table(struct tf_app *app)
{
	int busy;

	uv_mutex_lock(&app->mutex);
	busy = app->telling > 0;
	if (!busy)
		app->telling = app->count;
	uv_mutex_unlock(&app->mutex);
	for (unsigned i = 0; i < app->count; i++)
		if (!busy)
			tf_worker_post(app->seats[i].worker, &app->seats[i].tell);
}

static void on_table_signal(uv_signal_t *handle, int number)
{
	(void)number;
	ask_for_table(handle->data);
}

static void on_stats_timer(uv_timer_t *timer)
{
	ask_for_table(timer->data);
}

/* In a signal's handler. */
static void ask_to_end(void *arg)
{
	struct tf_app *app = arg;

	app->wished = 1;
	if (app->handles)
		uv_async_send(&app->asked);
}

static void on_asked(uv_async_t *handle)
{
	stop(handle->data, TF_EXIT_OK);
}

static void on_gone(void *arg, struct tf_device *device, int code)
{
	struct seat *seat = arg;

	if (!stop(seat->app, TF_EXIT_SYSTEM))
		return;
	tf_log(TF_LOG_ERROR, "%s device %s: %s", side_names[device == seat->device[TF_RIGHT]],
	       device->name,
	       code == TF_EGONE ? "it was deleted, or its namespace was" : tf_error_name(code));
}

static void list_callback(void *arg, const char *text)
{
	(void)arg;
	tf_log(TF_LOG_INFO, "callback  %s", text);
}

static void start_lines(struct tf_app *app)
{
	struct tf_device *const *devices = app->seats->device;

	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device *device = devices[side];

		tf_log(TF_LOG_INFO, "%-5s  %s (%s), mtu %u%s%s%s%s", side_names[side], device->name,
		       device->ops->kind, device->mtu, device->where[0] ? ", " : "", device->where,
		       device->offload[0] ? ", offload: " : "", device->offload);
	}
	if (app->count > 1)
		tf_log(TF_LOG_INFO, "%u workers", app->count);
	tf_script_list(tf_worker_script(app->seats->worker), list_callback, NULL);
	if (devices[TF_LEFT]->home != 0 && devices[TF_LEFT]->home == devices[TF_RIGHT]->home)
		tf_log(TF_LOG_WARNING,
		       "both devices have addresses in one namespace: the kernel delivers between "
		       "them by itself and shows the filter no packet; give one of them netns=, or "
		       "use `tunfilter lab`");
}

static int open_devices(struct tf_app *app, struct tf_error *error)
{
	const struct tf_device_spec *specs = app->options->device;

	if (tf_device_spec_link(&specs[TF_LEFT]) != tf_device_spec_link(&specs[TF_RIGHT]))
		return tf_error_set(error, TF_EOPTION,
				    "--left and --right: one carries IP packets (tun), the other "
				    "Ethernet frames (tap); give both the same kind");
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		struct tf_device **first = &app->seats->device[side];
		struct tf_error reason = {0};
		int err = tf_device_open(first, &specs[side], &reason);

		for (unsigned i = 1; err == 0 && i < app->count; i++)
			err = tf_device_queue(&app->seats[i].device[side], *first, i, &reason);
		if (err < 0)
			return tf_error_set(error, err, "%s device: %s", side_names[side],
					    reason.text);
	}
	return 0;
}

/* The queues before the device that they are of. */
static void close_devices(struct tf_app *app)
{
	for (unsigned i = app->count; i-- > 0;)
		for (int side = TF_LEFT; side <= TF_RIGHT; side++)
			if (app->seats[i].device[side])
				tf_device_close(app->seats[i].device[side]);
}

static int open_capture(struct tf_app *app, struct tf_error *error)
{
	struct tf_device *const *devices = app->seats->device;
	const char *names[2] = {devices[TF_LEFT]->name, devices[TF_RIGHT]->name};

	if (!app->options->capture)
		return 0;
	return tf_capture_start(&app->capture, app->options->capture, names,
				devices[TF_LEFT]->link == TF_LINK_ETHERNET ? TF_CAPTURE_ETHERNET
									   : TF_CAPTURE_RAW,
				0, error);
}

/* Handles on the first worker's loop. */
static void open_handles(struct tf_app *app)
{
	uv_loop_t *loop = tf_worker_loop(app->seats->worker);

	uv_timer_init(loop, &app->stats_timer);
	uv_signal_init(loop, &app->table_signal);
	uv_async_init(loop, &app->asked, on_asked);
	app->stats_timer.data = app->table_signal.data = app->asked.data = app;
	app->handles = 1;
	if (tf_system_table_signal)
		uv_signal_start(&app->table_signal, on_table_signal, tf_system_table_signal);
	if (app->wished)
		uv_async_send(&app->asked);
}

static void close_handles(struct tf_app *app)
{
	if (!app->handles)
		return;
	app->handles = 0;
	uv_close((uv_handle_t *)&app->stats_timer, NULL);
	uv_close((uv_handle_t *)&app->table_signal, NULL);
	uv_close((uv_handle_t *)&app->asked, NULL);
}

static int make_worker(struct seat *seat, struct tf_error *error)
{
	struct tf_worker_config config = {
		.options = &seat->options,
		.device = {seat->device[TF_LEFT], seat->device[TF_RIGHT]},
		.gone = on_gone,
		.arg = seat,
	};
	int err = seat->script ? 0 : tf_script_create(&seat->script, &seat->options, error);

	if (err < 0)
		return err;
	config.script = seat->script;
	seat->script = NULL;
	return tf_worker_create(&seat->worker, &config, error);
}

static int make_workers(struct tf_app *app, struct tf_error *error)
{
	int err = 0;

	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = make_worker(&app->seats[i], error);
	if (err < 0)
		return err;
	open_handles(app);
	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = tf_worker_load(app->seats[i].worker, error);
	if (err == 0)
		err = open_capture(app, error);
	if (err == 0)
		start_lines(app);
	return err;
}

static int start(struct tf_app *app, struct tf_error *error)
{
	int err = 0;

	app->started = 1;
	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = tf_worker_start(app->seats[i].worker, app->capture, error);
	if (err == 0 && app->options->stats_seconds > 0) {
		uint64_t period = (uint64_t)(app->options->stats_seconds * 1000);

		uv_timer_start(&app->stats_timer, on_stats_timer, period, period ? period : 1);
	}
	return err;
}

static void run_seat(void *arg)
{
	struct seat *seat = arg;

	tf_worker_run(seat->worker);
}

/* Moves packets until the run is stopped. */
static void run(struct tf_app *app)
{
	unsigned threads = 1;
	int err = 0;

	while (threads < app->count && err == 0) {
		struct seat *seat = &app->seats[threads];

		err = tf_interrupt_thread(&seat->thread, run_seat, seat);
		threads += err == 0;
	}
	if (err < 0 && stop(app, TF_EXIT_SYSTEM))
		tf_log(TF_LOG_ERROR, "no thread for a worker: %s", uv_strerror(err));
	tf_worker_run(app->seats->worker);
	while (threads-- > 1)
		uv_thread_join(&app->seats[threads].thread);
	if (app->wished)
		tf_interrupt_heard();
}

/* Calls on_stop, prints the table, gives the devices back. */
static void close_all(struct tf_app *app)
{
	tf_tally_clear(&app->tally); /* of a table that not all have told for */
	for (unsigned i = 0; i < app->count && app->started; i++) {
		struct tf_worker *worker = app->seats[i].worker;

		if (!tf_worker_pipeline(worker))
			continue;
		tf_worker_finish(worker);
		tf_tally_add(&app->tally, tf_worker_pipeline(worker));
	}
	if (app->started && !app->options->quiet)
		tf_tally_print(&app->tally);
	tf_tally_clear(&app->tally);
	tf_interrupt_ignore();
	close_handles(app);
	for (unsigned i = 0; i < app->count; i++)
		tf_worker_destroy(app->seats[i].worker);
	tf_capture_stop(app->capture);
	close_devices(app);
	tf_script_destroy(app->seats->script);
}

static void run_all(struct tf_app *app,
		    int (*opened)(const struct tf_options *options, struct tf_error *error),
		    void (*ready)(void))
{
	struct tf_error error = {0};
	int err;

	for (unsigned i = 0; i < app->count; i++) {
		struct seat *seat = &app->seats[i];

		seat->app = app;
		seat->options = *app->options;
		seat->options.worker = i;
		seat->tell = (struct tf_worker_job){.run = add_to_table, .arg = app};
		seat->end = (struct tf_worker_job){.run = end_worker};
	}
	tf_interrupt_watch(ask_to_end, app);
	err = tf_script_create(&app->seats->script, &app->seats->options, &error);
	if (err == 0)
		err = open_devices(app, &error);
	if (err == 0)
		err = make_workers(app, &error);
	if (err == 0 && opened)
		err = opened(app->options, &error);
	if (err == 0)
		err = start(app, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		app->status = tf_error_exit(err);
	} else {
		if (ready)
			ready();
		run(app);
	}
	close_all(app);
}

int tf_app(const struct tf_options *options,
	   int (*opened)(const struct tf_options *options, struct tf_error *error),
	   void (*ready)(void))
{
	struct tf_app app = {
		.options = options, .count = options->workers, .status = TF_EXIT_SYSTEM};

	app.seats = calloc(app.count, sizeof(*app.seats));
	if (!app.seats || uv_mutex_init(&app.mutex) < 0) {
		tf_log(TF_LOG_ERROR, "out of memory");
	} else {
		run_all(&app, opened, ready);
		uv_mutex_destroy(&app.mutex);
	}
	free(app.seats);
	return app.status;
}

int tf_command_run(const struct tf_options *options)
{
	return tf_app(options, NULL, NULL);
}
