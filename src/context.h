/*
 * What C and the Lua library share while a script runs; one a Lua state. The library gets a pointer
 * to it (lua/tunfilter/core.lua), scripts never do.
 */
#ifndef TF_CONTEXT_H
#define TF_CONTEXT_H

#include "batch.h"
#include "packet.h"

/* cdef: begin */
struct tf_context {
	struct tf_packet *packet; /* the one that a callback sees now; NULL outside callbacks */
	double number;		  /* its number; 0 outside callbacks */
	struct tf_batch *batch;	  /* the batch that is being dispatched, or NULL */
	double now;		  /* seconds on the run's clock */
	double due;		  /* seconds on it: when the next timer wants to run; 1e300 never */
	uint32_t once;		  /* timers of tf.after that have not run yet */
	uint32_t callback;	  /* index of the running callback, from 1; 0 outside */
	uint8_t offline;	  /* the clock is the packets' own: each has its time, timers run between */
};

/* tf_context_send */
enum { TF_SEND_OK = 0, TF_SEND_FULL = -1, TF_SEND_INVALID = -2, TF_SEND_NOMEM = -3 };

/*
 * Queues a copy of a packet for a side; written in order with the batch's own packets: before the
 * one that the script is at. TF_SEND_…; FULL: bounded at 4,096 packets or 16 MiB a turn.
 */
TF_EXPORT int tf_context_send(struct tf_context *context, uint32_t side, const uint8_t *bytes,
			      uint32_t len);

/*
 * Queues a copy of the batch's packet for the other side than it came from, to go at `due` (seconds, the run's
 * clock; the caller sets it), as one that the script sent; with verdict DROP it does not go. NULL where a send would
 * be FULL. Good until the callback returns.
 */
TF_EXPORT struct tf_packet *tf_context_copy(struct tf_context *context, struct tf_packet *packet);

/* Whether expression number i (from 0, as registered) selects the packet as it now is: 1 or 0. */
TF_EXPORT int tf_context_match(struct tf_context *context, uint32_t expression,
			       struct tf_packet *packet);

/*
 * Expression number i as the body of a Lua function (src/translate.h), at most size bytes: its length, or 0
 * where it has to be asked by tf_context_match.
 */
TF_EXPORT uint32_t tf_context_translate(struct tf_context *context, uint32_t expression, char *text,
					uint32_t size);

/*
 * For scripts with many expressions: adds the next callback, for what expression number `expression`
 * selects (-1: every packet) and from TF_LEFT, TF_RIGHT or 2, both. From then on C calls callbacks by
 * their number. 0, or -1 without memory.
 */
TF_EXPORT int tf_context_choose(struct tf_context *context, int expression, uint32_t from);

/* Why a side would not take these bytes, or NULL: for messages. */
TF_EXPORT const char *tf_context_refuses(struct tf_context *context, uint32_t side,
					 const uint8_t *bytes, uint32_t len);
/* cdef: end */

#endif
