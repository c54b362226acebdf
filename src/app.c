#include "app.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "alarm.h"
#include "interrupt.h"
#include "log.h"
#include "pipeline.h"
#include "script.h"

struct tf_app {
	uv_loop_t *loop;
	const struct tf_options *options;
	struct tf_script *script;
	struct tf_device *device[2];
	struct tf_pipeline *pipeline;
	struct tf_capture *capture; /* NULL without --capture */

	uv_async_t asked; /* to end, by a signal */
	uv_signal_t usr1; /* prints the table */
	uv_prepare_t prepare;
	struct tf_alarm *alarm; /* for the script's next timer or held packet */
	double armed;		/* what it is set to */
	uv_timer_t stats_timer;
	int handles; /* those above are initialised */
	int started; /* on_start has been called, or will not be again */

	int stopping;
	int status;
};

static const char *const side_names[] = { "left", "right" };

/* Ends the run with this exit status; the first call counts. */
static void stop(struct tf_app *app, int status)
{
	if (!app->stopping)
		app->status = status;
	app->stopping = 1;
	uv_stop(app->loop);
}

static void on_usr1(uv_signal_t *handle, int number)
{
	struct tf_app *app = handle->data;

	(void) number;
	if (app->pipeline != NULL)
		tf_pipeline_print(app->pipeline);
}

/* In a signal's handler. */
static void ask_to_end(void *arg)
{
	struct tf_app *app = arg;

	uv_async_send(&app->asked);
}

static void on_asked(uv_async_t *handle)
{
	struct tf_app *app = handle->data;

	tf_interrupt_heard();
	stop(app, TF_EXIT_OK);
}

static void on_stats_timer(uv_timer_t *timer)
{
	struct tf_app *app = timer->data;

	tf_pipeline_print(app->pipeline);
}

static void on_alarm(void *arg)
{
	struct tf_app *app = arg;

	app->armed = 1e300;
	tf_pipeline_tick(app->pipeline);
}

/* Before the loop sleeps: the time of the next timer or held packet may have changed. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct tf_app *app = prepare->data;
	double due = tf_pipeline_due(app->pipeline);

	if (due == app->armed)
		return;
	app->armed = due;
	tf_alarm_set(app->alarm, due);
}

static void on_gone(void *arg, struct tf_device *device, int code)
{
	struct tf_app *app = arg;

	tf_log(TF_LOG_ERROR, "%s device %s: %s", side_names[device == app->device[TF_RIGHT]], device->name,
	       code == TF_EGONE ? "it was deleted, or its namespace was" : tf_error_name(code));
	stop(app, TF_EXIT_SYSTEM);
}

static void list_callback(void *arg, const char *text)
{
	(void) arg;
	tf_log(TF_LOG_INFO, "callback  %s", text);
}

static void start_lines(struct tf_app *app)
{
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device *device = app->device[side];

		tf_log(TF_LOG_INFO, "%-5s  %s (%s), mtu %u%s%s", side_names[side], device->name,
		       device->ops->kind, device->mtu, device->where[0] ? ", " : "", device->where);
	}
	tf_script_list(app->script, list_callback, NULL);
	if (app->device[TF_LEFT]->home != 0 && app->device[TF_LEFT]->home == app->device[TF_RIGHT]->home)
		tf_log(TF_LOG_WARNING,
		       "both devices have addresses in one namespace: the kernel delivers between them "
		       "by itself and shows the filter no packet; give one of them netns=, or use "
		       "`tunfilter lab`");
}

/* Handles and signals, before any code of the user's runs. */
static void open_handles(struct tf_app *app)
{
	uv_prepare_init(app->loop, &app->prepare);
	uv_timer_init(app->loop, &app->stats_timer);
	uv_signal_init(app->loop, &app->usr1);
	uv_async_init(app->loop, &app->asked, on_asked);
	app->prepare.data = app->stats_timer.data = app->usr1.data = app->asked.data = app;
	app->handles = 1;
#ifdef SIGUSR1
	uv_signal_start(&app->usr1, on_usr1, SIGUSR1);
#endif
	tf_interrupt_watch(ask_to_end, app);
}

static void close_handles(struct tf_app *app)
{
	if (app->handles) {
		uv_close((uv_handle_t *) &app->prepare, NULL);
		uv_close((uv_handle_t *) &app->stats_timer, NULL);
		uv_close((uv_handle_t *) &app->usr1, NULL);
		uv_close((uv_handle_t *) &app->asked, NULL);
	}
	tf_alarm_close(app->alarm);
	/* Handles of ours and of the devices close here; a caller's own live on. */
	for (int turn = 0; turn < 4; turn++)
		uv_run(app->loop, UV_RUN_NOWAIT);
}

/* Calls on_stop, prints the table, gives the devices back. NULL is fine. */
static void destroy(struct tf_app *app)
{
	if (app == NULL)
		return;
	if (app->pipeline != NULL) {
		if (app->started) {
			tf_script_stop(app->script);
			tf_pipeline_tick(app->pipeline); /* what on_stop sent */
			tf_pipeline_give_up(app->pipeline);
			if (!app->options->quiet)
				tf_pipeline_print(app->pipeline);
		}
		tf_pipeline_stop(app->pipeline);
	}
	tf_interrupt_ignore();
	close_handles(app);
	tf_capture_stop(app->capture);
	tf_pipeline_destroy(app->pipeline);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		if (app->device[side] != NULL)
			tf_device_close(app->device[side]);
	tf_script_destroy(app->script);
	free(app);
}

static int create(struct tf_app **out, uv_loop_t *loop, const struct tf_options *options,
		  struct tf_error *error)
{
	struct tf_app *app = calloc(1, sizeof(*app));
	struct tf_pipeline_config config = { .verbose = options->verbose, .gone = on_gone };
	struct tf_side sides[2];
	int err;

	if (app == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	app->loop = loop;
	app->options = options;
	app->armed = 1e300;

	open_handles(app);
	err = tf_script_create(&app->script, options, error);
	if (err < 0)
		goto fail;
	if (tf_device_spec_link(&options->device[TF_LEFT]) != tf_device_spec_link(&options->device[TF_RIGHT])) {
		err = tf_error_set(error, TF_EOPTION,
				   "--left and --right: one carries IP packets (tun), the other Ethernet "
				   "frames (tap); give both the same kind");
		goto fail;
	}
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		struct tf_error reason = { 0 };

		err = tf_device_open(&app->device[side], &options->device[side], &reason);
		if (err < 0) {
			tf_error_set(error, err, "%s device: %s", side_names[side], reason.text);
			goto fail;
		}
		sides[side].name = app->device[side]->name;
		sides[side].kind = app->device[side]->ops->kind;
		sides[side].mtu = app->device[side]->mtu;
		config.device[side] = app->device[side];
	}
	err = tf_script_load(app->script, sides, app->device[TF_LEFT]->link, error);
	if (err < 0)
		goto fail;

	if (options->capture != NULL) {
		const char *names[2] = { sides[TF_LEFT].name, sides[TF_RIGHT].name };

		err = tf_capture_start(&app->capture, options->capture, names,
				       app->device[TF_LEFT]->link == TF_LINK_ETHERNET ? TF_CAPTURE_ETHERNET
										      : TF_CAPTURE_RAW,
				       0, error);
		if (err < 0)
			goto fail;
	}
	config.capture = app->capture;
	config.script = app->script;
	config.arg = app;
	err = tf_pipeline_create(&app->pipeline, &config);
	if (err < 0) {
		tf_error_set(error, err, "out of memory");
		goto fail;
	}
	start_lines(app);
	*out = app;
	return 0;

fail:
	destroy(app);
	return err;
}

static int start(struct tf_app *app, struct tf_error *error)
{
	int err;

	app->started = 1;
	err = tf_script_start(app->script, error);
	if (err < 0)
		return err;
	tf_pipeline_tick(app->pipeline); /* what on_start sent */
	err = tf_pipeline_start(app->pipeline, app->loop);
	if (err < 0)
		return tf_error_set(error, err, "the devices cannot be watched: %s", tf_error_name(err));
	err = tf_alarm_create(&app->alarm, app->loop, on_alarm, app);
	if (err < 0)
		return tf_error_set(error, err, "the clock: %s", tf_error_name(err));
	uv_prepare_start(&app->prepare, on_prepare);
	if (app->options->stats_seconds > 0) {
		uint64_t period = (uint64_t) (app->options->stats_seconds * 1000);

		uv_timer_start(&app->stats_timer, on_stats_timer, period, period ? period : 1);
	}
	return 0;
}

static int turn(struct tf_app *app)
{
	while (!app->stopping)
		uv_run(app->loop, UV_RUN_ONCE);
	return app->status;
}

int tf_app(const struct tf_options *options,
	   int (*opened)(const struct tf_options *options, struct tf_error *error), void (*ready)(void))
{
	struct tf_error error = { 0 };
	struct tf_app *app = NULL;
	uv_loop_t loop;
	int err, status;

	err = uv_loop_init(&loop);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "the event loop: %s", uv_strerror(err));
		return TF_EXIT_SYSTEM;
	}
	err = create(&app, &loop, options, &error);
	if (err == 0 && opened != NULL)
		err = opened(options, &error);
	if (err == 0)
		err = start(app, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		status = tf_error_exit(err);
	} else {
		if (ready != NULL)
			ready();
		status = turn(app);
	}
	destroy(app);
	uv_loop_close(&loop);
	return status;
}

int tf_command_run(const struct tf_options *options)
{
	return tf_app(options, NULL, NULL);
}
