/* A run: two devices and the worker between them. app.c says in which order things open and close. */
#ifndef TF_APP_H
#define TF_APP_H

#include "options.h"

/*
 * A run, whole: messages printed, exit status returned. Compiles the script, opens the devices, calls
 * `opened` (NULL: nothing is to be done; 0 or a code with a sentence), loads the script, calls on_start,
 * calls `ready` (or NULL), and moves packets until a device or a signal ends it: SIGINT, SIGTERM and SIGHUP,
 * also while the script does not come back. SIGUSR1 prints the table. A script that hangs, crashes or takes
 * too much memory is started afresh (supervisor.h).
 */
int tf_app(const struct tf_options *options,
	   int (*opened)(const struct tf_options *options, struct tf_error *error), void (*ready)(void));

/* The commands `run` and `check`, whole: messages printed, exit status returned. */
int tf_command_run(const struct tf_options *options);
int tf_command_check(const struct tf_options *options);

#endif
