/* Where a process has the rights that it was started with. */
#include "privileges.h"

void tf_privileges_begin(void)
{
}

int tf_privileges_become(const struct tf_options *options, struct tf_error *error)
{
	(void)options;
	(void)error;
	return 0;
}

void tf_privileges_confine(const struct tf_options *options, int aloud)
{
	(void)options;
	(void)aloud;
}

int tf_privileges_drop(const struct tf_options *options, struct tf_error *error)
{
	(void)options;
	(void)error;
	return 0;
}

int tf_privileges_apart(const struct tf_options *options, int (*what)(void *arg), void *arg)
{
	(void)options;
	return what(arg);
}
