/* What the supervisor and its workers share; supervisor_linux.c and life_linux.c only. */
#ifndef TF_SUPERVISOR_LINUX_H
#define TF_SUPERVISOR_LINUX_H

#include <sys/types.h>

#include "guard.h"
#include "supervisor.h"

/*
 * One mapping of both processes. The worker may be in the hands of its script: what is read here
 * is printed or counted, nothing else.
 */
struct tf_shared {
	struct tf_guards guards;
	struct tf_stats stats[TF_WORKERS_MAX];
	_Atomic int hung;  /* 1 + the slot that is to say what it is at */
	char words[2048];  /* what it said (tf_script_last_words), or "" */
	char place[256];   /* and tf_script_last_place */
};

/* One byte each, over the channel between the two. */
enum tf_word {
	TF_SAY_RING = 'r',  /* worker: Lua was entered while the watcher slept */
	TF_SAY_READY = 'R', /* worker: packets pass */
	TF_SAY_HEARD = 'h', /* worker: it is ending */
	TF_SAY_END = 'E',   /* supervisor */
	TF_SAY_PRINT = 'P'  /* supervisor */
};

/* The exit status of a worker whose script wanted too much memory. */
#define TF_EXIT_MEMORY 97

/* The signal that asks a hung worker what it is at. */
#define TF_SIGNAL_HUNG SIGALRM

struct tf_life {
	struct tf_shared *shared;
	enum tf_role role;
	int channel;
	uv_poll_t poll;
	int listening;
	struct tf_orders orders;
};

/* In the worker's process, before anything of the script's: its signals and its guards. */
void tf_life_begin(struct tf_life *life);

#endif
