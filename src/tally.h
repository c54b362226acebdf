/* What a run has counted, over all its workers, and how a person sees it. */
#ifndef TF_TALLY_H
#define TF_TALLY_H

#include "pipeline.h"

struct tf_tally_counter;

/* All zero: nothing is counted. */
struct tf_tally {
	struct tf_stats stats;
	struct tf_tally_counter *counters; /* the scripts' own (tf.counter), count of them */
	uint32_t count;
	uint32_t room;
};

/* Adds what a pipeline and its script have counted; on the thread that they belong to. */
void tf_tally_add(struct tf_tally *tally, struct tf_pipeline *pipeline);

/*
 * Prints the table, and a line a counter: "counter  name  value". Its rates are of the time since the table before, or the
 * mark; of all the time where whole.
 */
void tf_tally_print(struct tf_tally *tally, int whole);

/* In a process that takes a run over: the next table's rates are of the time from now on. */
void tf_tally_mark(const struct tf_tally *tally);

/* Forgets all, so that it can be added to again; what is left needs no freeing. */
void tf_tally_clear(struct tf_tally *tally);

#endif
