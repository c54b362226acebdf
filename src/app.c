#include "app.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "log.h"
#include "worker.h"

/*
 * In order, and taken apart in reverse:
 *
 *   1. signals of Ctrl-C's kind are noticed
 *   2. the script is compiled: none of it runs, and a mistake ends here
 *   3. the devices are open                            (open_devices)
 *   4. --capture's file and thread; the worker with its loop, and the handles on it; the script's
 * top level runs                                      (make_worker)
 *   5. the start lines, on_start, packets              (start)
 *
 * What comes before 4 has neither loop nor thread and runs no code of the user's: a process can
 * fork there, and 4 and 5 are the child's.
 */
struct tf_app {
	const struct tf_options *options;
	struct tf_script *script; /* compiled, until the worker has it */
	struct tf_device *device[2];
	struct tf_capture *capture; /* NULL without --capture */
	struct tf_worker *worker;

	volatile sig_atomic_t wished;  /* a signal asked for the end */
	volatile sig_atomic_t handles; /* those below are initialised */
	uv_async_t asked;	       /* to end, by a signal */
	uv_signal_t usr1;	       /* prints the table */
	uv_timer_t stats_timer;

	int started; /* on_start has been called, or will not be again */
	int stopping;
	int status;
};

static const char *const side_names[] = {"left", "right"};

/* Ends the run with this exit status; the first call counts. */
static void stop(struct tf_app *app, int status)
{
	if (!app->stopping)
		app->status = status;
	app->stopping = 1;
	tf_worker_stop(app->worker);
}

static void on_usr1(uv_signal_t *handle, int number)
{
	struct tf_app *app = handle->data;

	(void)number;
	tf_pipeline_print(tf_worker_pipeline(app->worker));
}

static void on_stats_timer(uv_timer_t *timer)
{
	struct tf_app *app = timer->data;

	tf_pipeline_print(tf_worker_pipeline(app->worker));
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
	struct tf_app *app = handle->data;

	tf_interrupt_heard();
	stop(app, TF_EXIT_OK);
}

static void on_gone(void *arg, struct tf_device *device, int code)
{
	struct tf_app *app = arg;

	tf_log(TF_LOG_ERROR, "%s device %s: %s", side_names[device == app->device[TF_RIGHT]],
	       device->name,
	       code == TF_EGONE ? "it was deleted, or its namespace was" : tf_error_name(code));
	stop(app, TF_EXIT_SYSTEM);
}

static void list_callback(void *arg, const char *text)
{
	(void)arg;
	tf_log(TF_LOG_INFO, "callback  %s", text);
}

static void start_lines(struct tf_app *app)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device *device = app->device[side];

		tf_log(TF_LOG_INFO, "%-5s  %s (%s), mtu %u%s%s%s%s", side_names[side], device->name,
		       device->ops->kind, device->mtu, device->where[0] ? ", " : "", device->where,
		       device->offload[0] ? ", offload: " : "", device->offload);
	}
	tf_script_list(tf_worker_script(app->worker), list_callback, NULL);
	if (app->device[TF_LEFT]->home != 0 &&
	    app->device[TF_LEFT]->home == app->device[TF_RIGHT]->home)
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
		struct tf_error reason = {0};
		int err = tf_device_open(&app->device[side], &specs[side], &reason);

		if (err < 0)
			return tf_error_set(error, err, "%s device: %s", side_names[side],
					    reason.text);
	}
	return 0;
}

static void close_devices(struct tf_app *app)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		if (app->device[side])
			tf_device_close(app->device[side]);
}

static int open_capture(struct tf_app *app, struct tf_error *error)
{
	const char *names[2] = {app->device[TF_LEFT]->name, app->device[TF_RIGHT]->name};

	if (!app->options->capture)
		return 0;
	return tf_capture_start(&app->capture, app->options->capture, names,
				app->device[TF_LEFT]->link == TF_LINK_ETHERNET ? TF_CAPTURE_ETHERNET
									       : TF_CAPTURE_RAW,
				0, error);
}

/* Handles on the worker's loop. */
static void open_handles(struct tf_app *app)
{
	uv_loop_t *loop = tf_worker_loop(app->worker);

	uv_timer_init(loop, &app->stats_timer);
	uv_signal_init(loop, &app->usr1);
	uv_async_init(loop, &app->asked, on_asked);
	app->stats_timer.data = app->usr1.data = app->asked.data = app;
	app->handles = 1;
#ifdef SIGUSR1
	uv_signal_start(&app->usr1, on_usr1, SIGUSR1);
#endif
	if (app->wished)
		uv_async_send(&app->asked);
}

static void close_handles(struct tf_app *app)
{
	if (!app->handles)
		return;
	app->handles = 0;
	uv_close((uv_handle_t *)&app->stats_timer, NULL);
	uv_close((uv_handle_t *)&app->usr1, NULL);
	uv_close((uv_handle_t *)&app->asked, NULL);
}

static int make_worker(struct tf_app *app, struct tf_error *error)
{
	struct tf_worker_config config = {
		.options = app->options,
		.device = {app->device[TF_LEFT], app->device[TF_RIGHT]},
		.script = app->script,
		.gone = on_gone,
		.arg = app,
	};
	int err;

	app->script = NULL;
	err = tf_worker_create(&app->worker, &config, error);
	if (err < 0)
		return err;
	open_handles(app);
	err = tf_worker_load(app->worker, error);
	if (err == 0)
		err = open_capture(app, error);
	if (err == 0)
		start_lines(app);
	return err;
}

static int start(struct tf_app *app, struct tf_error *error)
{
	int err;

	app->started = 1;
	err = tf_worker_start(app->worker, app->capture, error);
	if (err < 0)
		return err;
	if (app->options->stats_seconds > 0) {
		uint64_t period = (uint64_t)(app->options->stats_seconds * 1000);

		uv_timer_start(&app->stats_timer, on_stats_timer, period, period ? period : 1);
	}
	return 0;
}

/* Calls on_stop, prints the table, gives the devices back. */
static void close_all(struct tf_app *app)
{
	if (app->started) {
		tf_worker_finish(app->worker);
		if (!app->options->quiet && tf_worker_pipeline(app->worker))
			tf_pipeline_print(tf_worker_pipeline(app->worker));
	}
	tf_interrupt_ignore();
	close_handles(app);
	tf_worker_destroy(app->worker);
	tf_capture_stop(app->capture);
	close_devices(app);
	tf_script_destroy(app->script);
}

int tf_app(const struct tf_options *options,
	   int (*opened)(const struct tf_options *options, struct tf_error *error),
	   void (*ready)(void))
{
	struct tf_app app = {.options = options};
	struct tf_error error = {0};
	int err;

	tf_interrupt_watch(ask_to_end, &app);
	err = tf_script_create(&app.script, options, &error);
	if (err == 0)
		err = open_devices(&app, &error);
	if (err == 0)
		err = make_worker(&app, &error);
	if (err == 0 && opened)
		err = opened(options, &error);
	if (err == 0)
		err = start(&app, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		app.status = tf_error_exit(err);
	} else {
		if (ready)
			ready();
		tf_worker_run(app.worker);
	}
	close_all(&app);
	return app.status;
}

int tf_command_run(const struct tf_options *options)
{
	return tf_app(options, NULL, NULL);
}
