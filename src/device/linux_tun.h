/* Linux's virtual interfaces: tun carries IP packets, tap Ethernet frames. */
#ifndef TF_DEVICE_LINUX_TUN_H
#define TF_DEVICE_LINUX_TUN_H

#include "../device.h"

extern const struct tf_device_ops tf_device_linux_tun;
extern const struct tf_device_ops tf_device_linux_tap;

#endif
