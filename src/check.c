/* `tunfilter check`: what a script registers, and what it does wrong with packets of each kind, without a device. */
#include <stdio.h>

#include "app.h"
#include "check_jit.h"
#include "guard.h"
#include "log.h"
#include "privileges.h"
#include "script.h"
#include "trial.h"

static void print_line(void *arg, const char *text)
{
	int *count = arg;

	printf("callback  %s\n", text);
	++*count;
}

int tf_command_check(const struct tf_options *options)
{
	struct tf_error error = { 0 };
	struct tf_script *script = NULL;
	struct tf_side sides[2];
	uint8_t link = tf_device_spec_link(&options->device[TF_LEFT]);
	int err, count = 0;

	if (options->jit)
		return tf_command_check_jit(options);
	tf_guard_alarm(options->time_limit, NULL);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device_spec *spec = &options->device[side];

		sides[side].name = spec->name[0] ? spec->name : side == TF_LEFT ? "left" : "right";
		sides[side].kind = spec->kind;
		sides[side].mtu = spec->mtu ? spec->mtu : 1500;
	}
	err = tf_privileges_drop(options, &error);
	if (err == 0)
		err = tf_script_create(&script, options, &error);
	if (err == 0)
		err = tf_script_load(script, sides, link, &error);
	if (err == 0) {
		tf_script_list(script, print_line, &count);
		if (count == 0)
			printf("%s registers no callback (tf.on_packet does): every packet is forwarded\n", options->script);
	}
	tf_script_destroy(script);
	/* With --unsafe a callback may do more than a check should. The trial takes standard output away. */
	if (err == 0 && count > 0 && !options->unsafe) {
		fflush(stdout);
		err = tf_trial(options, link, &error);
	}
	if (err < 0)
		tf_log(TF_LOG_ERROR, "%s", error.text);
	return err < 0 ? tf_error_exit(err) : TF_EXIT_OK;
}
