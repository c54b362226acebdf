#include "guard.h"

#include <stdio.h>
#include <stdlib.h>

#include "error.h"
#include "log.h"

static struct tf_guards own;
static struct tf_script *scripts[TF_GUARD_SLOTS];
static void (*ring_watcher)(void);
static void (*no_memory)(unsigned int slot, int refused);
struct tf_guards *tf_guards_in_use = &own;

void tf_guard_use(struct tf_guards *guards, void (*ring)(void), void (*exhausted)(unsigned int slot, int refused))
{
	for (int i = 0; i < TF_GUARD_SLOTS; i++)
		tf_guard_leave(&guards->slot[i]);
	ring_watcher = ring;
	no_memory = exhausted;
	tf_guards_in_use = guards;
}

/* Scripts are made and ended on one thread. */
struct tf_guard *tf_guard_take(struct tf_script *script)
{
	for (int i = 0; i < TF_GUARD_SLOTS; i++) {
		if (scripts[i] != NULL)
			continue;
		scripts[i] = script;
		return &tf_guards_in_use->slot[i];
	}
	return NULL;
}

void tf_guard_give(struct tf_guard *guard)
{
	if (guard == NULL)
		return;
	tf_guard_leave(guard);
	scripts[guard - tf_guards_in_use->slot] = NULL;
}

struct tf_script *tf_guard_script(unsigned int slot)
{
	return slot < TF_GUARD_SLOTS ? scripts[slot] : NULL;
}

void tf_guard_ring(void)
{
	if (atomic_exchange(&tf_guards_in_use->asleep, 0) && ring_watcher != NULL)
		ring_watcher();
}

void tf_guard_exhausted(const struct tf_guard *guard, int refused)
{
	if (no_memory != NULL)
		no_memory(guard != NULL ? (unsigned int)(guard - tf_guards_in_use->slot) : TF_GUARD_SLOTS, refused);
	tf_log(TF_LOG_ERROR, "the script %s", refused ? TF_GUARD_REFUSED : TF_GUARD_EXHAUSTED);
	_Exit(refused ? TF_EXIT_SYSTEM : TF_EXIT_SCRIPT);
}

/* What there is to see; *recent: when Lua was entered last. */
static struct tf_look look(struct tf_guards *guards, uint64_t now, uint64_t limit, uint64_t grace,
			   uint64_t *recent)
{
	struct tf_look found = {.hung = -1};

	*recent = 0;
	for (int i = 0; i < TF_GUARD_SLOTS; i++) {
		uint64_t entered = atomic_load(&guards->slot[i].entered), due, until;
		uint32_t times;

		if (entered > *recent)
			*recent = entered;
		if (entered == atomic_load(&guards->slot[i].left))
			continue;
		times = atomic_load(&guards->slot[i].times);
		found.limit = limit * (times < 1 ? 1 : times < TF_GUARD_PATIENCE ? times : TF_GUARD_PATIENCE);
		due = (entered > grace ? entered : grace) + found.limit;
		until = atomic_load(&guards->slot[i].until);
		if (entered == atomic_load(&guards->slot[i].excused) && due < until)
			due = until;
		if (due <= now) {
			found.hung = i;
			return found;
		}
		/* Another call, with a shorter time, may follow on this one. */
		if (due > now + limit)
			due = now + limit;
		if (found.next == 0 || due < found.next)
			found.next = due;
	}
	return found;
}

struct tf_look tf_guards_look(struct tf_guards *guards, uint64_t now, uint64_t limit, uint64_t before,
			      uint64_t grace)
{
	uint64_t recent;
	struct tf_look found = look(guards, now, limit, grace, &recent);

	if (found.hung < 0 && found.next == 0 && recent >= before)
		found.next = now + limit;
	if (found.hung >= 0 || found.next > 0)
		return found;
	atomic_store(&guards->asleep, 1);
	found = look(guards, now, limit, grace, &recent); /* who entered before that did not ring */
	if (found.hung < 0 && found.next == 0 && recent >= before)
		found.next = now + limit;
	if (found.hung >= 0 || found.next > 0)
		atomic_store(&guards->asleep, 0);
	return found;
}

uint64_t tf_guards_end_late(struct tf_guards *guards, uint64_t now, uint64_t limit, uint64_t before,
			    void (*end)(unsigned int slot, const char *what))
{
	struct tf_look look = tf_guards_look(guards, now, limit, before, 0);
	char what[80];

	if (look.hung >= 0) {
		snprintf(what, sizeof(what), "did not come back within %u ms (--time-limit)",
			 (unsigned int)(look.limit / 1000000));
		end((unsigned int)look.hung, what);
	}
	return look.next;
}
