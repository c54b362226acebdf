/*
 * macOS's own tunnel devices: a socket whose packets begin with their address family, 4 bytes in
 * network order. utun.c is plain POSIX but for the one call that makes such a socket, which is in
 * utun_macos.c.
 */
#ifndef TF_DEVICE_UTUN_H
#define TF_DEVICE_UTUN_H

#include "../device.h"

extern const struct tf_device_ops tf_device_utun;

/*
 * A socket to the utun of this number (-1: the system chooses), and what that is called. Or the
 * negative errno of the step that failed.
 */
int tf_utun_connect(int unit, char name[TF_NAME_SIZE]);

#endif
