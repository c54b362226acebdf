/* Where there are no network namespaces there is no lab. */
#include "lab.h"

#include "error.h"
#include "log.h"

static int refuse(const char *command)
{
	tf_log(TF_LOG_ERROR,
	       "%s needs network namespaces, which Linux alone has; `tunfilter run` joins two devices "
	       "of this machine, and `tunfilter replay` and `tunfilter test` need none",
	       command);
	return TF_EXIT_SYSTEM;
}

int tf_command_lab(const struct tf_options *options)
{
	(void)options;
	return refuse("lab");
}

int tf_command_enter(const struct tf_options *options)
{
	(void)options;
	return refuse("enter");
}
