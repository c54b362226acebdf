/*
 * A run: two devices, a script, a loop. Ordered open and close.
 *
 *   open:  devices, script (its top level runs), on_start, watch
 *   close: stop watching, on_stop, write what is left, table, devices
 */
#ifndef TF_APP_H
#define TF_APP_H

#include <uv.h>

#include "options.h"

struct tf_app;

/*
 * Reads the script, opens the devices, loads the script and prints the start lines. 0 or a code.
 * From now on SIGUSR1 prints the table, and SIGINT, SIGTERM and SIGHUP end the run, also while the
 * script does not come back (interrupt.h).
 */
int tf_app_create(struct tf_app **out, uv_loop_t *loop, const struct tf_options *options,
		  struct tf_error *error);

/* Calls on_start and begins to move packets. */
int tf_app_start(struct tf_app *app, struct tf_error *error);

/* Turns the loop until tf_app_stop; the exit status of the run (0, or TF_EXIT_…). */
int tf_app_run(struct tf_app *app);

/* Ends tf_app_run with this exit status; the first call counts. From the loop thread. */
void tf_app_stop(struct tf_app *app, int status);

/* Calls on_stop, prints the final table, gives the devices back. NULL is fine. */
void tf_app_destroy(struct tf_app *app);

/* The commands `run` and `check`, whole: messages printed, exit status returned. */
int tf_command_run(const struct tf_options *options);
int tf_command_check(const struct tf_options *options);

#endif
