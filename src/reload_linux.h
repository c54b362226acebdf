/*
 * The supervisor's own, for supervisor_linux.c and reload_linux.c. The first one has the signals, the limits and
 * who serves; the other one how the next script comes to serve in its place.
 */
#ifndef TF_RELOAD_LINUX_H
#define TF_RELOAD_LINUX_H

#include "child_linux.h"
#include "waits_linux.h"

#define TF_FAILURES    5 /* so many in a row, each soon after the one before, and we try no more */

/* How far a reload has come. `next` is the child that it is about, but for TF_SAVING. */
enum tf_reload {
	TF_RESTING,
	TF_TRYING, /* a trial runs */
	TF_SAVING, /* the one that serves writes down what its script keeps, for the next one to begin with */
	TF_LOADING,
	TF_HANDING /* it writes down all there is, and ends */
};

struct tf_supervisor {
	const struct tf_supervised *what;
	struct tf_shared *shared;
	int signals;	       /* signalfd */
	struct tf_watch *watch; /* NULL without reload */
	int had_terminal;
	struct tf_child serving, next;
	struct tf_child leaving; /* it served; what it still does ends with it */
	enum tf_reload reload;
	int wanted;	  /* a reload, when this one is over, or there is a worker again */
	int refused;	  /* the files are others than those that run: they could not be loaded */
	uint64_t tried;	  /* when to say that a script is being tried; 0: not */
	uint64_t due;	  /* when this step of a reload, or a worker's start, has taken too long; 0: it may take any time */
	struct tf_waits waits;
	uint64_t settled; /* when what changed will have settled; 0: nothing has */
	uint64_t empty;	  /* when to say that a file is empty and not loaded; 0: none is */
	uint8_t *kept;	  /* texts of the files that were loaded last (kept.h), or NULL */
	size_t kept_size;
	int begun;	  /* packets have passed */
	uint64_t grace;	  /* we were stopped until then */
	uint64_t limit;	  /* ns, 0: none */
	uint64_t memory;  /* bytes that a worker's process may have, 0: any */
	uint64_t wished;  /* when somebody asked us to end; 0: not yet */
	uint64_t failed[TF_FAILURES]; /* when workers failed, the newest first */
	uint64_t again;		   /* when starting one that is to serve is tried again; 0: it runs */
	int waiting;		   /* that was said, and packets have not passed since */
	int status;
	int done;
};

/* What may take so many time limits (tf_reload_enter): a script's start; what is asked of one that serves. */
enum { TF_STARTING_LIMITS = 2 * TF_GUARD_PATIENCE + 10, TF_SAVING_LIMITS = 6 };

/* A worker. 0, or -1: it could not be, which was said. */
int tf_supervisor_start(struct tf_supervisor *supervisor, struct tf_child *child, enum tf_role role);

/* Where a child keeps the texts of what it reads. */
struct tf_kept_texts *tf_supervisor_texts(struct tf_supervisor *supervisor, const struct tf_child *child);

/*
 * From here on. What takes more than so many time limits, of each worker, stands still, as each limit is watched by
 * itself: tf_reload_end_overdue is due then. 0: it may take any time.
 */
void tf_reload_enter(struct tf_supervisor *supervisor, enum tf_reload reload, unsigned int limits);

/* Asked for; changed: the files are others than those that are being tried, if any are. */
void tf_reload_begin(struct tf_supervisor *supervisor, int changed);

/* The files have changed: begins, unless one is empty, as an editor leaves it for a moment. */
void tf_reload_changed(struct tf_supervisor *supervisor);

/* Says that one is, if it is still. */
void tf_reload_say_empty(struct tf_supervisor *supervisor);

/* Gives it up. */
void tf_reload_rest(struct tf_supervisor *supervisor);

/* Says that it changes nothing. */
void tf_reload_refuse(struct tf_supervisor *supervisor);

/* Starts the trial, or the one that is to take over. */
void tf_reload_try(struct tf_supervisor *supervisor, enum tf_role role, enum tf_reload reload);

/* The script that a worker has loaded is the one to start afresh from now on. */
void tf_reload_keep(struct tf_supervisor *supervisor, const struct tf_child *child);

/* What was handed over is of use to nobody any more. */
void tf_reload_clear(struct tf_supervisor *supervisor);

/* The one that served has nothing more to do with packets: the next one has its place. */
void tf_reload_promote(struct tf_supervisor *supervisor);

/* A trial has ended, or one that was to take over. */
void tf_reload_next_ended(struct tf_supervisor *supervisor, int status);

/* What should have come to an end has not: whoever stands still is ended, and the rest follows from that. */
void tf_reload_end_overdue(struct tf_supervisor *supervisor);

#endif
