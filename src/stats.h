/* Counters by direction, and the table that shows them. */
#ifndef TF_STATS_H
#define TF_STATS_H

#include <stdint.h>
#include <stddef.h>

struct tf_count {
	uint64_t packets;
	uint64_t bytes;
};

/*
 * One direction: packets that were read from one side. The verdicts add up to what came in:
 * in = forwarded + dropped + replied + held + errors (whatever --on-error then did with those).
 */
struct tf_direction {
	struct tf_count in;
	struct tf_count forwarded;
	struct tf_count dropped;
	struct tf_count replied;
	struct tf_count held;	     /* to be forwarded later; those beyond what can be held are lost */
	struct tf_count errors;	     /* a callback failed on it */
	struct tf_count sent;	     /* by the script's tf.send, towards the side this direction leads to */
	struct tf_count malformed;   /* of those in: not well-formed, whatever the verdict */
	struct tf_count waiting;     /* the device has read them, and they are not in yet */
	uint64_t invalid;	     /* of those to be written to the far side: refused before the write */
	uint64_t lost;		     /* likewise: the far device was down, full, or failed; or held still at the end */
	uint64_t kernel_dropped;     /* by the system before we could read them */
	uint64_t crowded;	     /* read, but the worker that they were for had no room (exchange.h) */
};

struct tf_stats {
	struct tf_direction direction[2]; /* TF_LEFT: from left to right; TF_RIGHT: from right to left */
	uint64_t callback_errors;	  /* times that a callback or timer threw */
	double started;			  /* seconds, monotonic */
	double number;			  /* of the last packet that was read */
	/* For the rates of a table: what had come in from each side by then, in seconds; 0 since the start. No part of a sum. */
	struct tf_count before[2];
	double since;
};

/*
 * What came in, or was about to, and was never judged, since the process that had it died, counts as errors. A number
 * that no packet can have begins anew.
 */
void tf_stats_settle(struct tf_stats *stats);

/* Adds what one has counted to a sum, which is all zero at first and began when the first of them did. */
void tf_stats_add(struct tf_stats *sum, const struct tf_stats *one);

/*
 * Writes the table: at most size bytes with the final 0; the length written. left and right are the
 * devices' names, shortened and made printable where they must be. elapsed is in seconds, for the
 * rates, which are of the time from stats->since on; 0 leaves them out.
 *
 * A line a row, 79 characters wide until numbers pass 13 and 17 digits. First word: in, forwarded,
 * dropped, replied, held, errors, sent, malformed, invalid, lost, kernel-dropped, in/s. Then packets and
 * bytes from left to right, packets and bytes from right to left, as plain integers; "-" where
 * bytes are not counted. Rows behind the third are left out while both directions have no packets.
 * Last, with one number each: seconds, and callback-errors if there were any. The two title lines
 * begin with "direction" and "packets".
 */
size_t tf_stats_table(const struct tf_stats *stats, const char *left, const char *right, double elapsed,
		      char *text, size_t size);

#endif
