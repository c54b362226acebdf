#include "child_linux.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define NS_PER_MS 1000000u
#define STARVED	  4 /* so many limits more for a call that the machine gave too little time */

int tf_child_start(struct tf_child *child, struct tf_page *page, enum tf_role role)
{
	int ends[2];
	pid_t pid;

	*child = (struct tf_child){.role = role, .page = page};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		tf_log(TF_LOG_ERROR, "no channel to a worker: %s", strerror(errno));
		return -1;
	}
	memset(page, 0, sizeof(*page));
	atomic_store(&page->guards.asleep, 1);
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a worker: %s", strerror(errno));
		close(ends[0]);
		close(ends[1]);
		return -1;
	}
	close(ends[pid == 0 ? 0 : 1]);
	child->channel = ends[pid == 0 ? 1 : 0];
	child->pid = pid;
	return pid == 0;
}

void tf_child_say(const struct tf_child *child, char word)
{
	/* One that does not hear is about to be reaped. */
	if (child->pid && send(child->channel, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

size_t tf_child_hear(struct tf_child *child, int events, char *words, size_t size)
{
	ssize_t got = 0;

	if (child->pid == 0 || child->channel < 0 || events == 0)
		return 0;
	if (events & POLLIN) /* at the end of the channel, too */
		got = recv(child->channel, words, size, MSG_DONTWAIT);
	if (got == 0) { /* what is left to hear is its end */
		close(child->channel);
		child->channel = -1;
	}
	return got > 0 ? (size_t)got : 0;
}

void tf_child_hear_out(struct tf_child *child)
{
	char words[64];
	size_t count;

	while ((count = tf_child_hear(child, POLLIN, words, sizeof(words))) > 0)
		child->heard |= memchr(words, TF_SAY_HEARD, count) != NULL;
}

void tf_child_look(struct tf_child *child, uint64_t now, uint64_t limit, uint64_t grace, uint64_t most)
{
	struct tf_guards *guards = &child->page->guards;
	struct tf_guard *late;
	struct tf_look seen;
	int excused = 0;

	tf_usage_note(child->usage, child->pid, guards, now);
	do {
		seen = tf_guards_look(guards, now, limit, child->looked, grace);
		if (seen.hung < 0)
			break;
		late = &guards->slot[seen.hung];
	} while (excused++ < TF_GUARD_SLOTS && /* who takes back what is written here is late all the same */
		 tf_usage_excuses(&child->usage[seen.hung], child->pid, late, now, seen.limit + STARVED * limit));
	child->looked = now;
	child->look = seen.next;
	child->greedy = most != 0 && tf_usage_memory(child->pid) > most;
	if (seen.hung < 0)
		return;
	child->hung = seen.limit;
	atomic_store(&child->page->hung, seen.hung + 1);
	if (syscall(SYS_tgkill, child->pid, (pid_t)atomic_load(&late->thread), TF_SIGNAL_HUNG) < 0)
		kill(child->pid, TF_SIGNAL_HUNG);
}

int tf_child_died(const struct tf_child *child, int status)
{
	/* Native code may end the process; and this one is not to end before it was told to. */
	if (WIFEXITED(status) && child->role != TF_ROLE_TRIAL && !child->heard &&
	    (child->ready || WEXITSTATUS(status) == TF_EXIT_OK))
		return 1;
	return WIFSIGNALED(status) || child->hung != 0 || WEXITSTATUS(status) == TF_EXIT_MEMORY ||
	       WEXITSTATUS(status) == TF_EXIT_REFUSED;
}

/* Out of shared memory, into a text that nobody else changes. */
static void copy_text(char *text, const volatile char *shared, size_t size)
{
	for (size_t i = 0; i < size; i++)
		text[i] = shared[i];
	text[size - 1] = '\0';
}

void tf_child_report(const struct tf_child *child, int status, const char *script, const char *then)
{
	char said[sizeof(child->page->words)], place[sizeof(child->page->place)], what[128];
	const char *words = said;
	int first;

	copy_text(said, child->page->words, sizeof(said));
	copy_text(place, child->page->place, sizeof(place));
	if (said[0] == '\0')
		words = script;
	first = (int)strcspn(words, "\n");
	if (child->hung != 0)
		snprintf(what, sizeof(what), " did not come back within %llu ms (--time-limit)",
			 (unsigned long long)(child->hung / NS_PER_MS));
	else if (child->still)
		snprintf(what, sizeof(what), ": the worker stood still, and was ended");
	else if (WIFEXITED(status) && WEXITSTATUS(status) != TF_EXIT_MEMORY && WEXITSTATUS(status) != TF_EXIT_REFUSED)
		snprintf(what, sizeof(what), ": the worker ended, which nobody had asked for, with exit status %d",
			 WEXITSTATUS(status));
	else if (child->greedy || WIFEXITED(status))
		snprintf(what, sizeof(what), " %s",
			 WIFEXITED(status) && WEXITSTATUS(status) == TF_EXIT_REFUSED ? TF_GUARD_REFUSED : TF_GUARD_EXHAUSTED);
	else
		snprintf(what, sizeof(what), ": the worker was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	tf_log(TF_LOG_ERROR, "%.*s%s%s%s%s%s", first, words, what, then, words + first,
	       place[0] ? "\n\tit was last seen at " : "", place);
}

void tf_child_watch(const struct tf_child *child, struct tf_watch *watch)
{
	char files[TF_FILES_SIZE];

	if (watch == NULL)
		return;
	copy_text(files, child->page->files, sizeof(files));
	tf_watch_add(watch, files, sizeof(files));
}

void tf_child_forget(struct tf_child *child)
{
	if (child->pid && child->channel >= 0)
		close(child->channel);
	*child = (struct tf_child){0};
}
