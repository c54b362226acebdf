/*
 * The network interface behind a device that another program or driver made, by its name: one
 * interface_SYSTEM.c each. Linux's own tun and tap have no need of it.
 */
#ifndef TF_INTERFACE_H
#define TF_INTERFACE_H

#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "error.h"

struct tf_interface;

/*
 * Sets what the spec asks for on the interface of the device's name, brings it up, and fills in the
 * device's mtu, home and where. An interface that this user may not bring up, or that the program
 * does not see, is no error unless the spec has addresses or an MTU for it: somebody else's to set
 * up. *out is the caller's to close. 0, or a code with a sentence.
 */
int tf_interface_open(struct tf_interface **out, struct tf_device *device,
		      const struct tf_device_spec *spec, struct tf_error *error);

/* What its MTU is now, in bytes. 0, or a code and *mtu as it was. */
int tf_interface_mtu(struct tf_interface *interface, uint32_t *mtu);

/* NULL is fine. The interface stays as it is. */
void tf_interface_close(struct tf_interface *interface);

/* The command that brings an interface up, before and behind its name; for messages. */
extern const char *const tf_interface_up_command[2];

#endif
