/* -v: a line a packet, with direction and verdict, on standard error. */
#ifndef TF_TRACE_H
#define TF_TRACE_H

#include "packet.h"
#include "script.h"

struct tf_trace;

/* For batches of up to budget packets. 0 or UV_ENOMEM. */
int tf_trace_create(struct tf_trace **out, uint32_t budget);
void tf_trace_destroy(struct tf_trace *trace);

/* Keeps what packet i of the batch looked like when it was read. */
void tf_trace_before(struct tf_trace *trace, uint32_t i, const struct tf_packet *packet);

/* Prints it with what became of it, and what it looks like now if it was edited and goes on. */
void tf_trace_after(struct tf_trace *trace, uint32_t i, const struct tf_packet *packet,
		    const struct tf_script *script);

/* Prints a packet that the script sent to a side by itself. */
void tf_trace_sent(struct tf_trace *trace, struct tf_packet *packet, int side);

#endif
