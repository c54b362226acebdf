/* The memory device's other end, for tests: packets are put in and taken out by hand. */
#ifndef TF_DEVICE_MEMORY_H
#define TF_DEVICE_MEMORY_H

#include "../device.h"

extern const struct tf_device_ops tf_device_memory;

/* Puts a packet where the program will read it, and wakes the loop. 0, UV_ENOBUFS when full, UV_EINVAL. */
int tf_memory_inject(struct tf_device *device, const void *bytes, uint32_t len);

/* Takes the next packet that the program wrote: its length into bytes[0..TF_PACKET_MAX), 0 if none. */
uint32_t tf_memory_take(struct tf_device *device, void *bytes);

/* When the packets come that are put in from now on: nanoseconds since the epoch; 0 at first. */
void tf_memory_clock(struct tf_device *device, int64_t stamp);

/* When the packet went out that was taken last, likewise. */
int64_t tf_memory_taken(const struct tf_device *device);

/* From now on reads, writes or both answer this code (0: work again); TF_EGONE ends the device. */
void tf_memory_fault(struct tf_device *device, int read_code, int write_code);

#endif
