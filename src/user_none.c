/* Where a script has the rights of who started the program. */
#include "user.h"

int tf_user_choose(const char *name, struct tf_error *error)
{
	(void)name;
	(void)error;
	return 0;
}

int tf_user_lend(void)
{
	return 0;
}

void tf_user_return(void)
{
}

int tf_user_become(struct tf_error *error)
{
	(void)error;
	return 0;
}

const char *tf_user_text(void)
{
	return "";
}
