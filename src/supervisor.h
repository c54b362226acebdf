/*
 * A run that outlives its script: one process opens the devices and keeps them, another one has loop,
 * script and packets on the descriptors that it inherited. When that one hangs, crashes or is
 * killed, the next takes its place, with devices, addresses and routes as they were.
 *
 * Where a system has no such thing (supervisor_none.c) the same process does it all, and a script
 * that does not come back ends with it.
 */
#ifndef TF_SUPERVISOR_H
#define TF_SUPERVISOR_H

#include <uv.h>

#include "options.h"
#include "stats.h"

struct tf_life;
struct tf_steer;
struct tf_script;

/* What a life is for. */
enum tf_role {
	TF_ROLE_FIRST,	/* the run begins */
	TF_ROLE_AFRESH, /* the one before it died */
	TF_ROLE_TRIAL,	/* a script that was changed is tried, and the life ends (trial.h) */
	TF_ROLE_NEXT,	/* it takes over from the one that serves, when it is ready to */
	TF_ROLE_PLAIN	/* they died too often: packets get --on-error's verdict, without a script */
};

struct tf_supervised {
	const struct tf_options *options;
	/* A life, whole: from the script's top level to its end; the exit status. */
	int (*live)(void *arg, struct tf_life *life);
	void (*ready)(void); /* once, when packets can pass; or NULL */
	void *arg;	     /* for live */
	/* What is readable while packets wait, of all devices; or NULL. */
	const int *waits;
	unsigned waits_count;
	int file;	     /* of --capture, or -1: cut to tf_life_capture's length where somebody died writing it */
};

/*
 * Before anything is opened: the signals that end a run (SIGINT, SIGTERM, SIGHUP) or have it print its
 * table (SIGUSR1) wait from now on, or end it while the script is being compiled.
 */
void tf_supervise_begin(void);

/* The run; its exit status. Messages are printed. */
int tf_supervise(const struct tf_supervised *what);

/* What a life is told to do, on its loop. */
struct tf_orders {
	void (*end)(void *arg);	  /* in good order */
	void (*print)(void *arg); /* the table */
	/* To say what the scripts keep, as it is now: into the handover, then tf_life_saved. */
	void (*save)(void *arg);
	/* To end in good order, but for the table, and say what passes to the next one: likewise. */
	void (*hand_over)(void *arg);
	void *arg;
};

enum tf_role tf_life_role(const struct tf_life *life);

/* Where the counters of the run's worker number i are, which outlive the life. */
struct tf_stats *tf_life_stats(struct tf_life *life, unsigned int i);

/* Where what passes to the next life is written, or was; handover.h. NULL where there is no next one. */
struct tf_handover *tf_life_handover(struct tf_life *life);

/* The table of flows that workers share, of the whole run; steer.h. NULL where there is one worker only. */
struct tf_steer *tf_life_steer(struct tf_life *life);

/* Of the file of --capture: how long it is, as far as it is whole; see capture.h. NULL: nobody goes on after us. */
uint64_t *tf_life_capture(struct tf_life *life);

/* Waits until it is this life's turn to move packets. 0, or -1: it never will be. */
int tf_life_wait(struct tf_life *life);

/* This thread runs a script from now on; before anybody says so, the program's first does. */
void tf_life_thread(struct tf_life *life, const struct tf_script *script);

/* The handover is written. */
void tf_life_saved(struct tf_life *life);

/* Of `save`: it is not, and the script that runs goes on. */
void tf_life_cannot(struct tf_life *life);

/* Begins to hear orders. 0 or a code. */
int tf_life_listen(struct tf_life *life, uv_loop_t *loop, const struct tf_orders *orders);

/* Packets can pass. */
void tf_life_ready(struct tf_life *life);

/* The script has come back, and no packet moves any more: the end may take its time. */
void tf_life_heard(struct tf_life *life);

/* No more orders; handles close in the loop's next turn. */
void tf_life_close(struct tf_life *life);

#endif
