#include "chardev.h"
#include "kinds.h"
#include "memory.h"
#include "utun.h"

static const struct tf_device_ops *const kinds[] = {
	&tf_device_utun, /* every Mac has it; tun and tap are TunTapOSX's */
	&tf_device_chardev_tun,
	&tf_device_chardev_tap,
	&tf_device_memory,
	NULL,
};

const struct tf_device_ops *const *tf_device_table(void)
{
	return kinds;
}
