/*
 * Who is inside Lua, and since when: what it takes to notice a script that does not come back.
 *
 * Every script has a slot; entering and leaving it is a store or two a batch, and no system call.
 * Whoever watches the slots, another process or a signal's handler in this one, looks once a time
 * limit while packets come, and sleeps without a clock while none do: the next entry rings.
 */
#ifndef TF_GUARD_H
#define TF_GUARD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TF_GUARD_SLOTS 64

/* Loading, on_start and on_stop may take so many times the limit of a batch. */
#define TF_GUARD_PATIENCE 10

struct tf_script;

/* Lies in memory that several processes share where one watches another: it holds no pointer. */
struct tf_guard {
	_Alignas(64) _Atomic uint64_t entered; /* when, the last time: ns, the clock of uv_hrtime() */
	_Atomic uint64_t left;		       /* the `entered` of the last call that came back */
	_Atomic uint32_t times;		       /* limits that this call may take */
	_Atomic uint32_t thread;	       /* the system's number of the one it runs on; 0: the first */
	/* The watcher's: the call that was entered at `excused` may stay until then at least. */
	_Atomic uint64_t excused, until;
};

struct tf_guards {
	struct tf_guard slot[TF_GUARD_SLOTS];
	_Alignas(64) _Atomic uint32_t asleep; /* the watcher waits for a ring */
};

/*
 * This process's scripts enter here from now on; ring is called, on the thread that enters, when the
 * watcher is asleep; exhausted when one that is inside wants more memory than it may have, or
 * than the system gives (refused): it does not return. Before there is a script. Without this call nobody watches.
 */
void tf_guard_use(struct tf_guards *guards, void (*ring)(void), void (*exhausted)(unsigned int slot, int refused));

/* A slot for a script, or NULL when all are taken: such a script is not watched. */
struct tf_guard *tf_guard_take(struct tf_script *script);
void tf_guard_give(struct tf_guard *guard); /* NULL is fine */

/* The scripts that have a slot, for a signal's handler: NULL where there is none. */
struct tf_script *tf_guard_script(unsigned int slot);

void tf_guard_ring(void);
void tf_guard_exhausted(const struct tf_guard *guard, int refused); /* does not return; NULL is fine */

/* Lua is entered at this time, for at most so many limits; NULL is fine. */
static inline void tf_guard_enter(struct tf_guard *guard, uint64_t now, uint32_t times)
{
	extern struct tf_guards *tf_guards_in_use;

	if (guard == NULL)
		return;
	atomic_store_explicit(&guard->times, times, memory_order_relaxed);
	/* In this order for both: one of us sees what the other wrote. */
	atomic_store(&guard->entered, now);
	if (atomic_load(&tf_guards_in_use->asleep))
		tf_guard_ring();
}

static inline void tf_guard_leave(struct tf_guard *guard)
{
	if (guard != NULL)
		atomic_store_explicit(&guard->left, atomic_load_explicit(&guard->entered, memory_order_relaxed),
				      memory_order_release);
}

/* What tf_guards_look found. */
struct tf_look {
	uint64_t next;	/* when to look again; 0: not before a ring */
	int hung;	/* the slot that has been inside for longer than it may, or -1 */
	uint64_t limit; /* ns that it was given */
};

/*
 * For the watcher, who looked last at `before`. Times are in ns. Calls that began before `grace` count
 * from there: the watcher itself was stopped until then.
 */
struct tf_look tf_guards_look(struct tf_guards *guards, uint64_t now, uint64_t limit, uint64_t before,
			      uint64_t grace);

/*
 * For a process that watches itself: looks, and has `end` say what a script did that is late; it does not return then.
 * When to look again; 0: not before a ring.
 */
uint64_t tf_guards_end_late(struct tf_guards *guards, uint64_t now, uint64_t limit, uint64_t before,
			    void (*end)(unsigned int slot, const char *what));

/* What `end` is told of one that wants too much memory. */
#define TF_GUARD_EXHAUSTED "wants more memory than the script may have (--memory-limit)"
#define TF_GUARD_REFUSED   "wants more memory than the system gives"

/*
 * A process that watches itself: a script that is inside for longer than `limit` ms ends the process
 * with a message and TF_EXIT_SCRIPT; `last` (or NULL) is called before, in a signal's handler, with what it did
 * ("did not come back …"). 0 ms: it does not.
 */
void tf_guard_alarm(uint32_t limit, void (*last)(const char *what));

/*
 * In such a process, in a signal's handler: it has been asked to end, and a script that is inside has two seconds to
 * come back. Where there are signals (guard_posix.c).
 */
void tf_guard_hurry(void);

#endif
