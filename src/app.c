#include "app.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "capture_write.h"
#include "exchange.h"
#include "handover.h"
#include "interrupt.h"
#include "log.h"
#include "supervisor.h"
#include "tally.h"
#include "trial.h"
#include "user.h"
#include "worker.h"

/*
 * In order, and taken apart in reverse:
 *
 *   1. signals of Ctrl-C's kind are kept for later
 *   2. the script is compiled, without rights: none of it runs, and a mistake ends here
 *   3. the devices are open, with all queues; `opened`                     (open_devices)
 *   4. a process that outlives the script waits from here on (supervisor.h), where the system has such a thing;
 *      what follows is another one's, or several ones', one after the other   (live)
 *   5. the workers, each with its loop, and the handles on the first one's; the script's top level
 *      runs, once a worker; --capture's file and thread; the start lines      (make_workers)
 *   6. on_start of each; a thread for each but the first, which is this one; packets    (start, run)
 */

#define STOP_LIMITS   2	   /* for on_stop at the end of the run; packets wait for that of one that is replaced */
#define LAST_LINES_MS 1000 /* that who reads the table may take, at the end */

/* A worker's place: what is its own. */
struct seat {
	struct tf_app *app;
	struct tf_options options; /* the command's, but for the worker's number */
	struct tf_device *device[2];
	struct tf_worker *worker;
	struct tf_worker_job tell, end, save;
	uv_thread_t thread; /* not the first one's, which is the program's */
};

struct tf_app {
	const struct tf_options *options;
	struct seat *seats; /* count of them */
	unsigned count;
	struct tf_exchange *exchange; /* NULL with one worker */
	struct tf_capture *capture; /* NULL without --capture */
	int capture_file;	    /* -1: none */
	int handing;		    /* a next life takes over */

	struct tf_life *life;
	uv_timer_t stats_timer;
	int handles; /* it is initialised */

	int started; /* on_start has been called, or will not be again */
	int served;  /* packets could pass */

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
		tf_tally_print(&app->tally, 0);
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

static void on_stats_timer(uv_timer_t *timer)
{
	ask_for_table(timer->data);
}

static void on_print(void *arg)
{
	ask_for_table(arg);
}

static void on_end(void *arg)
{
	stop(arg, TF_EXIT_OK);
}

/* On a worker's thread, one after the other: what its script keeps. */
static void save(struct tf_worker *worker, struct tf_worker_job *job)
{
	struct seat *seat = job->arg, *next = seat + 1;
	struct tf_app *app = seat->app;

	if (tf_handover_save(tf_life_handover(app->life), tf_worker_script(worker), NULL) < 0)
		tf_life_cannot(app->life);
	else if (next < app->seats + app->count)
		tf_worker_post(next->worker, &next->save);
	else
		tf_life_saved(app->life);
}

static void on_save(void *arg)
{
	struct tf_app *app = arg;

	tf_worker_post(app->seats->worker, &app->seats->save);
}

static void on_hand_over(void *arg)
{
	struct tf_app *app = arg;

	app->handing = 1;
	stop(app, TF_EXIT_OK);
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

/* A host takes a packet from its own address for a forged one, and drops it. */
static void warn_of_addresses(const struct tf_device_spec *left, const struct tf_device_spec *right)
{
	char text[TF_IP6_TEXT_MAX];

	for (uint32_t i = 0; i < left->address_count; i++)
		for (uint32_t j = 0; j < right->address_count; j++) {
			const struct tf_prefix *one = &left->addresses[i], *other = &right->addresses[j];

			if (one->family != other->family ||
			    memcmp(one->bytes, other->bytes, one->family == 4 ? 4 : 16) != 0)
				continue;
			uv_inet_ntop(one->family == 4 ? AF_INET : AF_INET6, one->bytes, text, sizeof(text));
			tf_log(TF_LOG_WARNING, "left and right both have the address %s: neither can reach the other there",
			       text);
		}
}

static int open_devices(struct tf_app *app, struct tf_error *error)
{
	const struct tf_device_spec *specs = app->options->device;

	if (tf_device_spec_link(&specs[TF_LEFT]) != tf_device_spec_link(&specs[TF_RIGHT]))
		return tf_error_set(error, TF_EOPTION,
				    "--left and --right: one carries IP packets (tun), the other "
				    "Ethernet frames (tap); give both the same kind");
	warn_of_addresses(&specs[TF_LEFT], &specs[TF_RIGHT]);
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
	return tf_capture_prepare(&app->capture, app->options->capture, names,
				devices[TF_LEFT]->link == TF_LINK_ETHERNET ? TF_CAPTURE_ETHERNET
									   : TF_CAPTURE_RAW,
				0, error);
}

/* Handles on the first worker's loop. */
static int open_handles(struct tf_app *app, struct tf_error *error)
{
	struct tf_orders orders = {.end = on_end,
				   .print = on_print,
				   .save = on_save,
				   .hand_over = on_hand_over,
				   .arg = app};
	uv_loop_t *loop = tf_worker_loop(app->seats->worker);
	int err;

	uv_timer_init(loop, &app->stats_timer);
	app->stats_timer.data = app;
	app->handles = 1;
	err = tf_life_listen(app->life, loop, &orders);
	return err < 0 ? tf_error_set(error, err, "the event loop: %s", uv_strerror(err)) : 0;
}

static void close_handles(struct tf_app *app)
{
	if (!app->handles)
		return;
	app->handles = 0;
	uv_close((uv_handle_t *)&app->stats_timer, NULL);
	tf_life_close(app->life);
}

static int make_worker(struct seat *seat, struct tf_error *error)
{
	struct tf_worker_config config = {
		.options = &seat->options,
		.device = {seat->device[TF_LEFT], seat->device[TF_RIGHT]},
		.gone = on_gone,
		.arg = seat,
		.exchange = seat->app->exchange,
		.stats = tf_life_stats(seat->app->life, seat->options.worker),
	};
	int plain = tf_life_role(seat->app->life) == TF_ROLE_PLAIN;
	int err = (plain ? tf_script_plain : tf_script_create)(&config.script, &seat->options, error);

	if (err < 0)
		return err;
	return tf_worker_create(&seat->worker, &config, error);
}

static int make_workers(struct tf_app *app, struct tf_error *error)
{
	int err = 0, next = tf_life_role(app->life) == TF_ROLE_NEXT;
	struct tf_steer *steer = app->count > 1 ? tf_life_steer(app->life) : NULL;
	size_t at = 0;

	if (steer && tf_exchange_create(&app->exchange, steer, app->count) < 0)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = make_worker(&app->seats[i], error);
	if (err < 0)
		return err;
	err = open_handles(app, error);
	for (unsigned i = 0; i < app->count && err == 0; i++) {
		struct tf_worker *worker = app->seats[i].worker;

		if (next)
			tf_handover_take(tf_life_handover(app->life), &at, tf_worker_script(worker), NULL);
		err = tf_worker_load(worker, error);
	}
	if (err == 0)
		err = open_capture(app, error);
	if (err == 0 && tf_life_role(app->life) == TF_ROLE_FIRST)
		start_lines(app);
	return err;
}

/* From here on the devices and the capture are ours. */
static int take_over(struct tf_app *app, struct tf_error *error)
{
	size_t at = 0;
	int err = 0;

	for (unsigned i = 0; i < app->count && tf_life_role(app->life) == TF_ROLE_NEXT; i++)
		tf_handover_take(tf_life_handover(app->life), &at, tf_worker_script(app->seats[i].worker),
				 tf_worker_pipeline(app->seats[i].worker));
	if (app->capture)
		err = tf_capture_begin(app->capture, app->capture_file, tf_life_capture(app->life), error);
	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = tf_worker_begin(app->seats[i].worker, error);
	return err;
}

static int start(struct tf_app *app, struct tf_error *error)
{
	int err = 0;

	app->started = 1;
	for (unsigned i = 0; i < app->count && err == 0; i++)
		err = tf_worker_start(app->seats[i].worker, app->capture, error);
	if (err == 0 && (tf_life_role(app->life) == TF_ROLE_FIRST || tf_life_role(app->life) == TF_ROLE_NEXT))
		tf_script_warn(tf_worker_script(app->seats->worker));
	if (err == 0 && tf_life_wait(app->life) < 0)
		_Exit(TF_EXIT_OK); /* it has seen no packet, and nobody waits for it */
	if (err == 0)
		err = take_over(app, error);
	if (err == 0 && app->options->stats_seconds > 0) {
		uint64_t period = (uint64_t)(app->options->stats_seconds * 1000);

		for (unsigned i = 0; i < app->count; i++)
			tf_tally_add(&app->tally, tf_worker_pipeline(app->seats[i].worker));
		tf_tally_mark(&app->tally);
		tf_tally_clear(&app->tally);
		uv_timer_start(&app->stats_timer, on_stats_timer, period, period ? period : 1);
	}
	return err;
}

static void run_seat(void *arg)
{
	struct seat *seat = arg;

	tf_life_thread(seat->app->life, tf_worker_script(seat->worker));
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
	app->served = err == 0;
	if (err == 0)
		tf_life_ready(app->life);
	else if (stop(app, TF_EXIT_SYSTEM))
		tf_log(TF_LOG_ERROR, "no thread for a worker: %s", uv_strerror(err));
	tf_worker_run(app->seats->worker);
	while (threads-- > 1) {
		uv_thread_join(&app->seats[threads].thread);
		tf_life_thread(app->life, tf_worker_script(app->seats[threads].worker)); /* for on_stop */
	}
	tf_life_heard(app->life);
}

/* Calls on_stop, prints the table. */
static void close_workers(struct tf_app *app)
{
	tf_tally_clear(&app->tally); /* of a table that not all have told for */
	for (unsigned i = 0; i < app->count && app->started; i++)
		tf_worker_flush(app->seats[i].worker);
	for (unsigned i = 0; i < app->count && app->started; i++) {
		struct tf_worker *worker = app->seats[i].worker;

		if (!tf_worker_pipeline(worker))
			continue;
		tf_worker_finish(worker, app->handing ? 1 : STOP_LIMITS);
		if (app->handing)
			tf_handover_save(tf_life_handover(app->life), tf_worker_script(worker),
					 tf_worker_pipeline(worker));
		else
			tf_pipeline_give_up(tf_worker_pipeline(worker));
		tf_tally_add(&app->tally, tf_worker_pipeline(worker));
	}
	if (!app->handing)
		tf_log_patience(LAST_LINES_MS);
	if (app->served && !app->options->quiet && !app->handing)
		tf_tally_print(&app->tally, 1);
	tf_tally_clear(&app->tally);
	close_handles(app);
	for (unsigned i = 0; i < app->count; i++)
		tf_worker_destroy(app->seats[i].worker);
	tf_exchange_destroy(app->exchange);
	tf_capture_stop(app->capture);
	if (app->handing)
		tf_life_saved(app->life);
}

static int try_script(struct tf_app *app)
{
	struct tf_error error = {0};
	int err = tf_trial(app->options, app->seats->device[TF_LEFT]->link, &error);

	if (err < 0)
		tf_log(TF_LOG_ERROR, "%s", error.text);
	return err < 0 ? tf_error_exit(err) : TF_EXIT_OK;
}

/* From the script's top level to its end; in a process of its own, where there is a supervisor. */
static int live(void *arg, struct tf_life *life)
{
	struct tf_error error = {0};
	struct tf_app *app = arg;
	int err;

	app->life = life;
	if (tf_life_role(life) == TF_ROLE_TRIAL)
		return try_script(app);
	err = make_workers(app, &error);
	if (err == 0)
		err = start(app, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		app->status = tf_error_exit(err);
	} else {
		run(app);
	}
	close_workers(app);
	return app->status;
}

static int open_file(struct tf_app *app, struct tf_error *error)
{
	const char *path = app->options->capture;

	app->capture_file = path != NULL ? tf_capture_file(path) : -1;
	if (path != NULL && app->capture_file < 0)
		return tf_error_set(error, app->capture_file, "--capture %s cannot be written%s: %s", path,
				    tf_user_text(), uv_strerror(app->capture_file));
	return 0;
}

static void run_all(struct tf_app *app,
		    int (*opened)(const struct tf_options *options, struct tf_error *error),
		    void (*ready)(void))
{
	struct tf_supervised what = {.options = app->options, .live = live, .ready = ready, .arg = app};
	struct tf_error error = {0};
	int waits[2 * TF_WORKERS_MAX], err;

	for (unsigned i = 0; i < app->count; i++) {
		struct seat *seat = &app->seats[i];

		seat->app = app;
		seat->options = *app->options;
		seat->options.worker = i;
		seat->tell = (struct tf_worker_job){.run = add_to_table, .arg = app};
		seat->end = (struct tf_worker_job){.run = end_worker};
		seat->save = (struct tf_worker_job){.run = save, .arg = seat};
	}
	tf_supervise_begin();
	app->status = tf_trial_read(app->options);
	if (app->status != TF_EXIT_OK)
		return;
	err = open_devices(app, &error);
	if (err == 0 && opened)
		err = opened(app->options, &error);
	if (err == 0)
		err = open_file(app, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		app->status = tf_error_exit(err);
	} else {
		what.file = app->capture_file;
		what.waits = waits;
		for (unsigned i = 0; i < 2 * app->count; i++)
			if (app->seats[i / 2].device[i % 2]->wakes > 0)
				waits[what.waits_count++] = app->seats[i / 2].device[i % 2]->wakes - 1;
		app->status = tf_supervise(&what);
	}
	close_devices(app);
}

int tf_app(const struct tf_options *options,
	   int (*opened)(const struct tf_options *options, struct tf_error *error),
	   void (*ready)(void))
{
	struct tf_app app = {
		.options = options, .count = options->workers, .status = TF_EXIT_SYSTEM, .capture_file = -1};

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
