/*
 * Whether packets wait that nobody takes: a worker may stand still where no script of its is to blame, and then
 * nothing that it writes changes. Nobody is asked while a script's calls are being watched, or no packet comes.
 */
#ifndef TF_WAITS_LINUX_H
#define TF_WAITS_LINUX_H

#include <poll.h>
#include <stdint.h>

#include "stats.h"

struct tf_waits {
	const int *fds; /* readable while packets wait */
	unsigned count;
	double taken;	/* packets that had been, when this was last asked */
	uint64_t since; /* packets have waited, and none was taken; 0: not */
	uint64_t look;	/* when to ask again; 0: when one of the descriptors is readable */
};

/* Adds the descriptors to what is polled, and says how many. */
unsigned tf_waits_add(const struct tf_waits *waits, struct pollfd *fds);

/*
 * Asks. stats: of `workers` workers, in memory that they write. 1: packets have waited for `most` ns since `grace` at
 * least, and none was taken.
 */
int tf_waits_look(struct tf_waits *waits, const struct tf_stats *stats, unsigned workers, uint64_t now, uint64_t grace,
		  uint64_t most);

#endif
