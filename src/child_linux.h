/*
 * A worker's process, as the supervisor has it. What they share may be written by its script at any moment, or by a
 * process that a script of --unsafe has left behind: the supervisor reads it in child_linux.c and nowhere else, each
 * value once, and bounds it before it is used.
 */
#ifndef TF_CHILD_LINUX_H
#define TF_CHILD_LINUX_H

#include "supervisor_linux.h"
#include "watch_linux.h"

struct tf_child {
	pid_t pid; /* 0: none */
	int channel; /* -1: it has closed its end */
	enum tf_role role;
	struct tf_page *page;
	int ready;	       /* packets pass by it, or did */
	uint64_t looked, look; /* the last look at its guards, and the next; 0: when it rings */
	uint64_t hung;	       /* ns that its script was given and did not keep to; 0: it is well */
	int still;	       /* it did not do what it was to do: it is killed */
	int heard;	       /* it has ended as it was told to, or had to */
	int greedy;	       /* it has more memory than it may have */
	uint64_t doom;	       /* when it is killed; 0: not */
	struct tf_usage usage[TF_GUARD_SLOTS];
};

/* Forks. 1 in the child, where `channel` is its own end; 0 in the parent; -1, said. */
int tf_child_start(struct tf_child *child, struct tf_page *page, enum tf_role role);

void tf_child_say(const struct tf_child *child, char word);

/* What it has said, of poll's events: so many words, at most `size`. */
size_t tf_child_hear(struct tf_child *child, int events, char *words, size_t size);

/* Of one that has ended: whether that was its last word. */
void tf_child_hear_out(struct tf_child *child);

/*
 * Looks whether its script has come back within `limit` ns, and whether it has more memory than `most` bytes (0: that is
 * all the same); sets `look`, and `hung` or `greedy`. One that hangs is asked what it is at.
 */
void tf_child_look(struct tf_child *child, uint64_t now, uint64_t limit, uint64_t grace, uint64_t most);

/* Whether it ended so that the next one takes its place. */
int tf_child_died(const struct tf_child *child, int status);

/* Says what became of it, with what it said of itself; then: what we do about it. */
void tf_child_report(const struct tf_child *child, int status, const char *script, const char *then);

/* Watches the files that its script was read from. */
void tf_child_watch(const struct tf_child *child, struct tf_watch *watch);

/* Of one that has ended, or will by itself: nothing is there any more. */
void tf_child_forget(struct tf_child *child);

#endif
