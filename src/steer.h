/*
 * Which worker a flow belongs to, where the system's own choice of a queue does not tell: flows whose
 * addresses or ports a script has changed. What a worker writes of such a flow is entered here, under
 * what the other end sees of it; a packet of it that comes to another worker is handed over (inbox.h).
 *
 * The table is memory that all workers share, and those of the process that takes over. Both directions
 * of a flow have one entry; whoever wrote last has it. Nothing is ever taken out, but the entry unused for
 * longest makes room. Any thread.
 */
#ifndef TF_STEER_H
#define TF_STEER_H

#include <stdatomic.h>

#include "packet.h"

enum {
	TF_STEER_SETS = 1 << 18, /* of as many entries as a line of memory has: 16 MB, taken as they are used */
	TF_STEER_WAYS = 8
};

/* All zero at first. */
struct tf_steer {
	uint64_t secret[2];   /* nobody chooses which flows share a set */
	_Atomic uint32_t used; /* something was entered */
	_Alignas(64) _Atomic uint64_t entries[TF_STEER_SETS][TF_STEER_WAYS]; /* 0: free; steer.c */
};

/* Before any thread uses it, once a process; the secret of the first process stays. */
void tf_steer_begin(struct tf_steer *steer);

/* Whether it is of any use to look: nothing is there before the first packet that a script gave another end. */
static inline int tf_steer_used(const struct tf_steer *steer)
{
	return atomic_load_explicit(&steer->used, memory_order_relaxed) != 0;
}

/*
 * The parsed packet is this worker's (0 to 63) to write, and what answers it is to come to the same one.
 * now: seconds of a clock that never goes back.
 */
void tf_steer_enter(struct tf_steer *steer, const struct tf_packet *packet, unsigned int worker, double now);

/*
 * The worker that the parsed packet belongs to, or -1 where nothing was entered. A fragment goes with its
 * datagram's first, if that came before it; an ICMP error with the flow that it is about.
 */
int tf_steer_find(struct tf_steer *steer, const struct tf_packet *packet, double now);

#endif
