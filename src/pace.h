/*
 * The pace of Lua's collector. By itself it goes on by some 2 KB for each KB that is allocated, so that it takes long
 * to mark what there is; and what was made meanwhile is marked at its end, all at once: 4 ms, for a script
 * whose flows grow to a million. So it goes on between two batches too, for a bounded time.
 */
#ifndef TF_PACE_H
#define TF_PACE_H

#include "allocator.h"

struct tf_pace {
	struct tf_allocator *allocator;
	size_t begin;	/* bytes of Lua's at which a collection begins; SIZE_MAX: never */
	size_t slice;	/* bytes that are looked at between two batches */
	int collecting; /* a collection has begun */
};

/* From now on; it allocates. pace stays where it is as long as the allocator's state is there. */
void tf_pace_start(struct tf_pace *pace, struct tf_allocator *allocator);

/* Between two calls into Lua. */
void tf_pace_go_on(struct tf_pace *pace);

#endif
