/* tunfilter: joins two virtual network devices through a Lua script. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "doctor.h"
#include "lab.h"
#include "log.h"
#include "options.h"
#include "outputs.h"
#include "privileges.h"
#include "replay.h"
#include "system.h"
#include "test.h"
#include "user.h"

/* What a command had to say, if it could not: then this is its status. */
static int end_output(const struct tf_options *options, int status)
{
	if (options->command == TF_COMMAND_RUN || options->command == TF_COMMAND_LAB || options->command == TF_COMMAND_ENTER)
		return status; /* it is the script's, or the command's that ran in the lab */
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	tf_log(TF_LOG_ERROR, "standard output cannot be written%s%s: some of it is lost", errno ? ": " : "",
	       errno ? strerror(errno) : "");
	return TF_EXIT_SYSTEM;
}

static int run(int argc, char **argv)
{
	struct tf_options options;
	struct tf_error error = { 0 };
	int colour = isatty(2) && getenv("NO_COLOR") == NULL;
	int err, status = TF_EXIT_OK;

	tf_privileges_begin();
	tf_log_setup(TF_LOG_INFO, colour);
	err = tf_options_parse(&options, argc, argv, &error);
	if (err == 0 && options.script != NULL)
		err = tf_user_choose(options.user, &error);
	if (err == 0)
		err = tf_outputs_check(&options, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		tf_options_free(&options);
		return tf_error_exit(err);
	}
	tf_log_setup(options.quiet ? TF_LOG_WARNING : TF_LOG_INFO, colour);
	switch (options.command) {
	case TF_COMMAND_RUN:
		status = tf_command_run(&options);
		break;
	case TF_COMMAND_LAB:
		status = tf_command_lab(&options);
		break;
	case TF_COMMAND_ENTER:
		status = tf_command_enter(&options);
		break;
	case TF_COMMAND_REPLAY:
		status = tf_command_replay(&options);
		break;
	case TF_COMMAND_TEST:
		status = tf_command_test(&options);
		break;
	case TF_COMMAND_CHECK:
		status = tf_command_check(&options);
		break;
	case TF_COMMAND_DOCTOR:
		status = tf_command_doctor();
		break;
	case TF_COMMAND_HELP:
		fputs(tf_options_help, stdout);
		break;
	case TF_COMMAND_VERSION:
		printf("tunfilter %s\n", TF_VERSION);
		break;
	}
	status = end_output(&options, status);
	tf_options_free(&options);
	return status;
}

int main(int argc, char **argv)
{
	return tf_system_run(run, argc, argv);
}
