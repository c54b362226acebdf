#include "kinds.h"
#include "linux_tun.h"
#include "memory.h"

const struct tf_device_ops *const tf_device_table[] = {
	&tf_device_linux_tun,
	&tf_device_linux_tap,
	&tf_device_memory,
	NULL,
};
