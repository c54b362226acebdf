/* How many packets wait: the times at which they leave, of which those to come are counted. */
#ifndef TF_WAITING_H
#define TF_WAITING_H

#include "packet.h"

/* cdef: begin */
struct tf_waiting;

/* For at most max (1 to 65,536) packets at a time; NULL without memory. */
TF_EXPORT struct tf_waiting *tf_waiting_create(uint32_t max);
TF_EXPORT void tf_waiting_destroy(struct tf_waiting *waiting);

/*
 * A packet that leaves at `due` begins to wait now (seconds on one clock, which does not go back).
 * 1, or 0 if max packets wait already: then it does not.
 */
TF_EXPORT int tf_waiting_add(struct tf_waiting *waiting, double now, double due);
/* cdef: end */

#endif
