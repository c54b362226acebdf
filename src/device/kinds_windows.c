#include "kinds.h"

#include "wintun.h" /* before what includes uv.h */

#include "memory.h"

static const struct tf_device_ops *const kinds[] = {
	&tf_device_wintun,
	&tf_device_memory,
	NULL,
};

const struct tf_device_ops *const *tf_device_table(void)
{
	return kinds;
}
