#include "test.h"

#include "log.h"

int tf_command_test(const struct tf_options *options)
{
	(void) options;
	tf_log(TF_LOG_ERROR, "test is not there yet");
	return TF_EXIT_USAGE;
}
