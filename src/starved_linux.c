/* What /proc says of a worker: whether a call is late by its own fault, and how much memory there is. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor_linux.h"

#define WINDOW_NS 50000000u /* what was used in less time than that says nothing */
#define SHARE	  4	    /* who has had this part of a processor was not starved: others have theirs */

/* A file of a process's, as a text; 0 or -1. */
static int read_file(pid_t pid, const char *name, char *text, size_t size)
{
	char path[80], self[16] = "";
	ssize_t n;
	int fd;

	/* A /proc of another namespace numbers others so. */
	if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || atoi(self) != getpid())
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? 0 : -1;
}

/* Likewise, of the thread's. */
static int read_thread(pid_t pid, const struct tf_guard *guard, const char *name, char *text, size_t size)
{
	unsigned int thread = atomic_load(&guard->thread);
	char path[40];

	snprintf(path, sizeof(path), "task/%u/%s", thread ? thread : (unsigned int)pid, name);
	return read_file(pid, path, text, size);
}

/* Nanoseconds of a processor, and *waited for one; UINT64_MAX where it can't be told. */
static uint64_t used_by(pid_t pid, const struct tf_guard *guard, uint64_t *waited)
{
	char text[128], *end;
	uint64_t used;

	*waited = 0;
	if (read_thread(pid, guard, "schedstat", text, sizeof(text)) < 0)
		return UINT64_MAX;
	used = strtoull(text, &end, 10);
	*waited = strtoull(end, NULL, 10);
	return used;
}

/* How it was found at this moment: one that sleeps waits for what is not a processor, or is no more. */
static int sleeps(pid_t pid, const struct tf_guard *guard)
{
	char text[256];
	const char *name_end;

	if (read_thread(pid, guard, "stat", text, sizeof(text)) < 0)
		return 1;
	name_end = strrchr(text, ')');
	return name_end == NULL || strlen(name_end) < 3 || strchr("SZX", name_end[2]) != NULL;
}

void tf_usage_note(struct tf_usage *usage, pid_t pid, const struct tf_guards *guards, uint64_t now)
{
	for (int i = 0; i < TF_GUARD_SLOTS; i++) {
		const struct tf_guard *guard = &guards->slot[i];
		uint64_t entered = atomic_load(&guard->entered);

		if (entered == atomic_load(&guard->left) || entered == usage[i].entered)
			continue;
		usage[i] = (struct tf_usage){.entered = entered, .seen = now};
		usage[i].used = used_by(pid, guard, &usage[i].waited);
	}
}

int tf_usage_excuses(const struct tf_usage *usage, pid_t pid, struct tf_guard *guard, uint64_t now, uint64_t most)
{
	uint64_t window = now - usage->seen, used, waited;
	int asleep;

	if (usage->entered != atomic_load(&guard->entered) || usage->used == UINT64_MAX || now >= usage->entered + most)
		return 0;
	used = used_by(pid, guard, &waited);
	if (used == UINT64_MAX)
		return 0;
	used -= usage->used;
	waited -= usage->waited;
	/* Between two short system calls it may be found asleep, and sleep is its own: all but what it waited for. */
	asleep = sleeps(pid, guard);
	if (asleep)
		used = waited < window ? window - waited : 0;
	if (used >= window / SHARE && (asleep || window >= WINDOW_NS))
		return 0;
	atomic_store(&guard->until, now + WINDOW_NS);
	atomic_store(&guard->excused, usage->entered);
	return 1;
}

uint64_t tf_usage_memory(pid_t pid)
{
	unsigned long long resident, shared;
	char text[128];

	if (read_file(pid, "statm", text, sizeof(text)) < 0 || sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
		return 0;
	return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}
