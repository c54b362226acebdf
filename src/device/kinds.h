/* The kinds of devices of this system: one kinds_SYSTEM.c has the list, chosen by CMake. */
#ifndef TF_DEVICE_KINDS_H
#define TF_DEVICE_KINDS_H

#include "../device.h"

/* In the order in which messages name them, the one that is meant where none is named first; ends with NULL. */
const struct tf_device_ops *const *tf_device_table(void);

#endif
