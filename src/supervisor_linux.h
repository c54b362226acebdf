/* What the supervisor and its workers share; supervisor_linux.c, child_linux.c and life_linux.c only. */
#ifndef TF_SUPERVISOR_LINUX_H
#define TF_SUPERVISOR_LINUX_H

#include <signal.h>

#include "files.h"
#include "guard.h"
#include "handover.h"
#include "steer.h"
#include "kept.h"
#include "supervisor.h"

/* A worker's own page: there are two, as one takes over from another. */
struct tf_page {
	struct tf_guards guards;
	_Atomic int hung;  /* 1 + the slot that is to say what it is at */
	char words[2048];  /* what it said (tf_script_last_words), or "" */
	char place[256];   /* and tf_script_last_place */
	char files[TF_FILES_SIZE]; /* that its script was read from, as in files.h */
};

/*
 * One mapping of all processes of a run. A worker may be in the hands of its script: what the
 * supervisor reads here (child_linux.c) it prints, counts or watches, nothing else.
 */
struct tf_shared {
	struct tf_page page[2];
	struct tf_kept_texts texts[2]; /* likewise */
	struct tf_stats stats[TF_WORKERS_MAX];
	uint64_t capture; /* see tf_life_capture */
	_Atomic uint32_t lost; /* lines that nobody read (tf_log_live) */
	struct tf_steer steer;
	struct tf_handover handover;
};

/* One byte each, over the channel between the two. */
enum tf_word {
	TF_SAY_RING = 'r',	/* worker: Lua was entered while the watcher slept */
	TF_SAY_READY = 'R',	/* worker: packets pass */
	TF_SAY_HEARD = 'h',	/* worker: it is ending */
	TF_SAY_SAVED = 's',	/* worker: the handover is written */
	TF_SAY_CANNOT = 'c',	/* worker: what was to be written takes too long */
	TF_SAY_LOADED = 'l',	/* worker: it can take over */
	TF_SAY_END = 'E',	/* supervisor */
	TF_SAY_PRINT = 'P',	/* supervisor */
	TF_SAY_SAVE = 'S',	/* supervisor */
	TF_SAY_HAND_OVER = 'H', /* supervisor */
	TF_SAY_GO = 'G'		/* supervisor: take over */
};

/* The exit statuses of a worker whose script wanted more memory than it may have, or than the system gives. */
#define TF_EXIT_MEMORY	97
#define TF_EXIT_REFUSED 98

/* The signal that asks a hung worker what it is at. */
#define TF_SIGNAL_HUNG SIGALRM

struct tf_life {
	struct tf_shared *shared;
	struct tf_page *page;
	struct tf_kept_texts *texts;
	const uint8_t *kept; /* what the script was, or NULL: it is read from its files */
	size_t kept_size;
	enum tf_role role;
	int channel;
	uv_poll_t poll;
	int listening;
	struct tf_orders orders;
};

/* What a call had used of a processor when it was first seen. */
struct tf_usage {
	uint64_t entered, seen; /* as struct tf_guard has it; when */
	uint64_t used, waited;	/* ns; used UINT64_MAX: unknown */
};

/* Sees who is inside; usage: TF_GUARD_SLOTS of them. */
void tf_usage_note(struct tf_usage *usage, pid_t pid, const struct tf_guards *guards, uint64_t now);

/*
 * Whether a call that is late wanted to run, or was stopped, and has had less than a quarter of a processor since it was
 * seen: 1, and it may stay a little longer, but no more than `most` ns in all.
 */
int tf_usage_excuses(const struct tf_usage *usage, pid_t pid, struct tf_guard *guard, uint64_t now, uint64_t most);

/* Bytes of memory that are the process's alone; 0 where it can't be told. */
uint64_t tf_usage_memory(pid_t pid);

/* In the worker's process, before anything of the script's: its signals, its guards, its files. */
void tf_life_begin(struct tf_life *life);

#endif
