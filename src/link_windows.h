/*
 * Windows' network interfaces: addresses, MTU, counters, by iphlpapi.dll. Interfaces are given by
 * their LUID. Some systems lack some of its functions: UV_ENOSYS then, and the sentence names the
 * function; everything else is 0 or another code with a sentence.
 */
#ifndef TF_LINK_WINDOWS_H
#define TF_LINK_WINDOWS_H

#include <stdint.h>

#include "device.h"
#include "error.h"

/* Of IPv4, and of IPv6 where mtu (bytes) is at least 1280, the least that it allows. */
int tf_interface_set_mtu(uint64_t luid, uint32_t mtu, struct tf_error *error);

/* Usable at once: no duplicate address detection. An address that is there already is fine. */
int tf_interface_add_address(uint64_t luid, const struct tf_prefix *address,
			     struct tf_error *error);

/* The MTU of IPv4, in bytes. */
int tf_interface_mtu(uint64_t luid, uint32_t *mtu, struct tf_error *error);

/* Packets to us that the driver dropped, since our ring was full. */
int tf_interface_dropped(uint64_t luid, uint64_t *packets);

#endif
