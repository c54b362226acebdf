/* Reload: a script is tried, loaded beside the one that runs, and has its place; or nothing changes. */
#include "reload_linux.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define NS_PER_MS   1000000u
#define PATIENCE_NS (1500 * (uint64_t)NS_PER_MS) /* for a worker to hear that it is to end */
#define LEAVE_NS    (10000 * (uint64_t)NS_PER_MS) /* for one whose place another one has, to end */
#define OVERDUE_NS  (10000 * (uint64_t)NS_PER_MS) /* that any of them may take on top */
#define TRIED_NS    (1000 * (uint64_t)NS_PER_MS) /* a trial that takes longer is told of; so is a file that stays empty */

enum { TRYING_LIMITS = TF_STARTING_LIMITS + 40 }; /* and its packets on a dry run */

/* Gives memory back that workers share and nobody needs any more. */
static void clear(void *bytes, size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)bytes + page - 1) & -page, end = ((uintptr_t)bytes + size) & -page;

	madvise((void *)first, end - first, MADV_REMOVE);
}

/* What was handed over is of use to nobody any more. */
void tf_reload_clear(struct tf_supervisor *supervisor)
{
	clear(&supervisor->shared->handover, sizeof(supervisor->shared->handover));
}

/* The script that a worker has loaded is the one to start afresh from now on. */
void tf_reload_keep(struct tf_supervisor *supervisor, const struct tf_child *child)
{
	struct tf_kept_texts *texts = tf_supervisor_texts(supervisor, child);
	uint64_t size = *(volatile uint64_t *)&texts->used;

	if (size > sizeof(texts->bytes))
		return;
	free(supervisor->kept);
	supervisor->kept = malloc(size ? size : 1);
	supervisor->kept_size = supervisor->kept != NULL ? size : 0;
	if (supervisor->kept != NULL)
		memcpy(supervisor->kept, texts->bytes, size);
	clear(texts, sizeof(*texts));
	supervisor->refused = 0;
}

/* From here on; limits: so many time limits, of each worker, until it has taken too long. */
void tf_reload_enter(struct tf_supervisor *supervisor, enum tf_reload reload, unsigned int limits)
{
	supervisor->reload = reload;
	supervisor->tried = 0;
	supervisor->due = 0;
	if (limits > 0 && supervisor->limit != 0)
		supervisor->due = uv_hrtime() + OVERDUE_NS + limits * supervisor->what->options->workers * supervisor->limit;
}

/* Gives a reload up. */
void tf_reload_rest(struct tf_supervisor *supervisor)
{
	if (supervisor->next.pid)
		kill(supervisor->next.pid, SIGKILL);
	tf_child_forget(&supervisor->next);
	tf_reload_enter(supervisor, TF_RESTING, 0);
	tf_reload_clear(supervisor);
}

void tf_reload_refuse(struct tf_supervisor *supervisor)
{
	supervisor->refused = 1;
	tf_log(TF_LOG_WARNING, "%s is not loaded anew: the script that runs goes on", supervisor->what->options->script);
}

void tf_reload_try(struct tf_supervisor *supervisor, enum tf_role role, enum tf_reload reload)
{
	uint64_t tried = supervisor->tried;

	tf_reload_enter(supervisor, reload, reload == TF_TRYING ? TRYING_LIMITS : TF_STARTING_LIMITS);
	supervisor->tried = tried;
	if (tf_supervisor_start(supervisor, &supervisor->next, role) == 0)
		return;
	tf_reload_rest(supervisor);
	tf_reload_refuse(supervisor);
}

static void ask_to_save(struct tf_supervisor *supervisor)
{
	uint64_t tried = supervisor->tried;

	tf_reload_enter(supervisor, TF_SAVING, TF_SAVING_LIMITS);
	supervisor->tried = tried;
	tf_child_say(&supervisor->serving, TF_SAY_SAVE);
}

/* changed: the files are others than those that are being tried, if any are. */
void tf_reload_begin(struct tf_supervisor *supervisor, int changed)
{
	if (changed && (supervisor->reload == TF_TRYING || supervisor->reload == TF_LOADING))
		tf_reload_rest(supervisor);
	supervisor->wanted = supervisor->reload != TF_RESTING || !supervisor->serving.ready;
	if (supervisor->wanted || supervisor->wished != 0)
		return;
	supervisor->tried = uv_hrtime() + TRIED_NS;
	/* What an unsafe script does when it is loaded is done once. */
	if (supervisor->what->options->unsafe)
		ask_to_save(supervisor);
	else
		tf_reload_try(supervisor, TF_ROLE_TRIAL, TF_TRYING);
}

/* The files have changed; but an editor may only be about to write one. */
void tf_reload_changed(struct tf_supervisor *supervisor)
{
	supervisor->empty = 0;
	if (tf_watch_unfinished(supervisor->watch, supervisor->what->options->script) != NULL)
		supervisor->empty = uv_hrtime() + TRIED_NS;
	else
		tf_reload_begin(supervisor, 1);
}

void tf_reload_say_empty(struct tf_supervisor *supervisor)
{
	const char *name = tf_watch_unfinished(supervisor->watch, supervisor->what->options->script);

	supervisor->empty = 0;
	if (name == NULL)
		return;
	supervisor->refused = 1;
	tf_log(TF_LOG_WARNING, "%s is empty, or gone: it is not loaded, the script that runs goes on", name);
}

/* What should have come to an end has not: whoever stands still is ended, and the rest follows from that. */
void tf_reload_end_overdue(struct tf_supervisor *supervisor)
{
	int next = supervisor->reload == TF_TRYING || supervisor->reload == TF_LOADING;
	struct tf_child *child = next ? &supervisor->next : &supervisor->serving;

	supervisor->due = 0;
	if (child->pid == 0)
		return;
	supervisor->wanted |= supervisor->reload == TF_SAVING;
	child->still = 1;
	kill(child->pid, SIGKILL);
}

/* The one that served has nothing more to do with packets: the next one has its place. */
void tf_reload_promote(struct tf_supervisor *supervisor)
{
	uint64_t now = uv_hrtime();

	if (supervisor->leaving.pid)
		kill(supervisor->leaving.pid, SIGKILL);
	tf_child_forget(&supervisor->leaving);
	supervisor->leaving.pid = supervisor->serving.pid;
	supervisor->leaving.channel = -1;
	supervisor->leaving.doom = now + LEAVE_NS;
	tf_child_forget(&supervisor->serving);
	supervisor->serving = supervisor->next;
	supervisor->next = (struct tf_child){0};
	tf_reload_enter(supervisor, TF_RESTING, TF_SAVING_LIMITS);
	memset(supervisor->failed, 0, sizeof(supervisor->failed));
	tf_child_say(&supervisor->serving, TF_SAY_GO);
	if (supervisor->wished == 0)
		return;
	tf_child_say(&supervisor->serving, TF_SAY_END);
	supervisor->serving.doom = now + PATIENCE_NS;
}

/* A trial, or one that was to take over. */
void tf_reload_next_ended(struct tf_supervisor *supervisor, int status)
{
	struct tf_child child = supervisor->next;
	enum tf_reload reload = supervisor->reload;

	if (tf_child_died(&child, status))
		tf_child_report(&child, status, supervisor->what->options->script, "");
	tf_child_watch(&child, supervisor->watch); /* mending one of its files is a reason to try again */
	tf_child_forget(&supervisor->next);
	if (reload == TF_HANDING) /* the one that serves is ending: another has to follow it */
		return;
	if (reload == TF_TRYING && !tf_child_died(&child, status) && WEXITSTATUS(status) == TF_EXIT_OK) {
		ask_to_save(supervisor);
	} else {
		tf_reload_enter(supervisor, TF_RESTING, 0);
		tf_reload_clear(supervisor);
		tf_reload_refuse(supervisor);
		if (supervisor->wanted)
			tf_reload_begin(supervisor, 0);
	}
}
