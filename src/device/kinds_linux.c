#include "kinds.h"

#include <stdlib.h>

#include "chardev.h"
#include "linux_tun.h"
#include "memory.h"

static const struct tf_device_ops *const kinds[] = {
	&tf_device_linux_tun,
	&tf_device_linux_tap,
	&tf_device_memory,
	NULL,
};

/* TUNFILTER_DEVICES=FOLDER: tun and tap are the nodes there, as on a Mac. So they are tested. */
static const struct tf_device_ops *const kinds_of_folder[] = {
	&tf_device_chardev_tun,
	&tf_device_chardev_tap,
	&tf_device_memory,
	NULL,
};

const struct tf_device_ops *const *tf_device_table(void)
{
	return getenv(TF_CHARDEV_FOLDER) ? kinds_of_folder : kinds;
}
