#include "kinds.h"
#include "memory.h"
#include "wintun.h"

static const struct tf_device_ops *const kinds[] = {
	&tf_device_wintun,
	&tf_device_memory,
	NULL,
};

const struct tf_device_ops *const *tf_device_table(void)
{
	return kinds;
}
