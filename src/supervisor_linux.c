/*
 * The supervisor: holds the devices and waits, for signals, for a word of the worker's, for a time
 * limit. No loop of libuv's, no thread, no Lua: there is little in it that could fail.
 */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host_linux.h"
#include "log.h"
#include "privileges_linux.h"
#include "supervisor_linux.h"
#include "watch_linux.h"

#define NS_PER_MS   1000000u
#define ONE_WISH_NS (300 * (uint64_t)NS_PER_MS) /* signals within this time are one: timeout(1) sends two */
#define PATIENCE_NS (1500 * (uint64_t)NS_PER_MS) /* for a worker to hear that it is to end */
#define WORDS_NS    (100 * (uint64_t)NS_PER_MS)	 /* for a hung one to say what it is at */
#define SETTLE_NS   (100 * (uint64_t)NS_PER_MS)	 /* from a change of a file on: more may follow */
#define FAILURES    5 /* so many in a row, each soon after the one before, and we try no more */
#define STARVED	    4 /* so many limits more for a call that the machine gave too little time */
#define SOON_NS     (10000 * (uint64_t)NS_PER_MS) /* and as many time limits */

struct child {
	pid_t pid; /* 0: none */
	int channel;
	enum tf_role role;
	struct tf_page *page;
	int ready;	       /* packets pass by it, or did */
	uint64_t looked, look; /* the last look at its guards, and the next; 0: when it rings */
	uint64_t hung;	       /* ns that its script was given and did not keep to; 0: it is well */
	uint64_t doom;	       /* when it is killed; 0: not */
	struct tf_usage usage[TF_GUARD_SLOTS];
};

/* How far a reload has come. `next` is the child that it is about, but for SAVING. */
enum reload {
	RESTING,
	TRYING, /* a trial runs */
	SAVING, /* the one that serves writes down what its script keeps, for the next one to begin with */
	LOADING,
	HANDING /* it writes down all there is, and ends */
};

struct supervisor {
	const struct tf_supervised *what;
	struct tf_shared *shared;
	int signals;	       /* signalfd */
	struct tf_watch *watch; /* NULL without reload */
	int had_terminal;
	struct child serving, next;
	enum reload reload;
	int wanted;	  /* a reload, when this one is over */
	uint64_t settled; /* when what changed will have settled; 0: nothing has */
	int begun;	  /* packets have passed */
	uint64_t grace;	  /* we were stopped until then */
	uint64_t limit;	  /* ns, 0: none */
	uint64_t wished;  /* when somebody asked us to end; 0: not yet */
	uint64_t failed[FAILURES]; /* when workers failed, the newest first */
	int status;
	int done;
};

static uint64_t now_ns(void)
{
	return uv_hrtime();
}

/* Those that end a run or print its table, and what else wakes us; not SIGHUP where nohup had it ignored. */
static void signal_set(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGCONT};
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] != SIGHUP || sigaction(SIGHUP, NULL, &action) != 0 ||
		    action.sa_handler != SIG_IGN)
			sigaddset(set, signals[i]);
}

void tf_supervise_begin(void)
{
	sigset_t set;

	signal(SIGCHLD, SIG_DFL); /* ignored, workers' statuses would be lost */
	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void say(const struct child *child, char word)
{
	/* One that does not hear is about to be reaped. */
	if (child->pid && send(child->channel, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void finish(struct supervisor *supervisor, int status)
{
	if (!supervisor->done)
		supervisor->status = status;
	supervisor->done = 1;
}

/* In the child. */
static _Noreturn void live(struct supervisor *supervisor, struct child *child, pid_t parent)
{
	struct tf_life life = {.shared = supervisor->shared,
			       .page = child->page,
			       .role = child->role,
			       .channel = child->channel};

	struct tf_error error = {0};

	close(supervisor->signals);
	if (supervisor->serving.pid)
		close(supervisor->serving.channel);
	tf_watch_destroy(supervisor->watch);
	tf_life_begin(&life);
	if (tf_privileges_drop(supervisor->what->options, child->role == TF_ROLE_FIRST, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		exit(tf_error_exit(error.code));
	}
	/* What changed the user took this away. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(TF_EXIT_SYSTEM); /* it died before that held */
	exit(supervisor->what->live(supervisor->what->arg, &life));
}

/* Forgets a child that has ended, or will by itself. */
static void forget(struct child *child)
{
	if (child->pid && child->channel >= 0)
		close(child->channel);
	*child = (struct child){0};
}

static int start_child(struct supervisor *supervisor, struct child *child, enum tf_role role)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	*child = (struct child){.role = role};
	child->page = &supervisor->shared->page[supervisor->serving.page == &supervisor->shared->page[0]];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		tf_log(TF_LOG_ERROR, "no channel to a worker: %s", strerror(errno));
		return -1;
	}
	memset(child->page, 0, sizeof(*child->page));
	atomic_store(&child->page->guards.asleep, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		child->channel = ends[1];
		live(supervisor, child, parent);
	}
	close(ends[1]);
	if (pid < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a worker: %s", strerror(errno));
		close(ends[0]);
		return -1;
	}
	child->pid = pid;
	child->channel = ends[0];
	return 0;
}

static void serve_by(struct supervisor *supervisor, enum tf_role role)
{
	/* What was half written to the capture is taken away. */
	if (role != TF_ROLE_FIRST && supervisor->what->file >= 0 &&
	    ftruncate(supervisor->what->file, (off_t)supervisor->shared->capture) == 0)
		lseek(supervisor->what->file, (off_t)supervisor->shared->capture, SEEK_SET);
	if (start_child(supervisor, &supervisor->serving, role) < 0)
		finish(supervisor, TF_EXIT_SYSTEM);
}

/* Whether workers die so often that another one would be of no use. */
static int too_often(struct supervisor *supervisor)
{
	uint64_t first;

	memmove(supervisor->failed + 1, supervisor->failed, sizeof(uint64_t) * (FAILURES - 1));
	supervisor->failed[0] = now_ns();
	first = supervisor->failed[FAILURES - 1];
	return first > 0 && supervisor->failed[0] - first < SOON_NS + FAILURES * supervisor->limit;
}

/* What became of a child, in words, with what it said of itself; then: what we do about it. */
static void report(const struct supervisor *supervisor, const struct child *child, int status, const char *then)
{
	struct tf_page *page = child->page;
	const char *words = page->words[0] ? page->words : supervisor->what->options->script;
	char what[128];
	int first;

	page->words[sizeof(page->words) - 1] = page->place[sizeof(page->place) - 1] = '\0';
	first = (int)strcspn(words, "\n");
	if (child->hung != 0)
		snprintf(what, sizeof(what), " did not come back within %llu ms (--time-limit)",
			 (unsigned long long)(child->hung / NS_PER_MS));
	else if (WIFEXITED(status))
		snprintf(what, sizeof(what), " " TF_GUARD_EXHAUSTED);
	else
		snprintf(what, sizeof(what), ": the worker was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	tf_log(TF_LOG_ERROR, "%.*s%s%s%s%s%s", first, words, what, then, words + first,
	       page->place[0] ? "\n\tit was last seen at " : "", page->place);
}

static int has_died(const struct child *child, int status)
{
	return WIFSIGNALED(status) || child->hung != 0 || WEXITSTATUS(status) == TF_EXIT_MEMORY;
}

static void serve_plainly(struct supervisor *supervisor, const char *why)
{
	tf_log(TF_LOG_ERROR, "the script %s: from now on every packet is %s (--on-error)%s", why,
	       supervisor->what->options->on_error == TF_VERDICT_FORWARD ? "forwarded" : "dropped",
	       supervisor->watch ? ", until a change of it does better" : "");
	serve_by(supervisor, TF_ROLE_PLAIN);
}

/* Gives a reload up. */
static void rest(struct supervisor *supervisor)
{
	if (supervisor->next.pid)
		kill(supervisor->next.pid, SIGKILL);
	forget(&supervisor->next);
	supervisor->reload = RESTING;
}

static void try_next(struct supervisor *supervisor, enum tf_role role, enum reload reload)
{
	supervisor->reload = reload;
	if (start_child(supervisor, &supervisor->next, role) < 0)
		rest(supervisor);
}

static void begin_reload(struct supervisor *supervisor)
{
	supervisor->wanted = supervisor->reload != RESTING;
	if (supervisor->wanted || supervisor->wished != 0 || !supervisor->serving.ready)
		return;
	/* What an unsafe script does when it is loaded is done once. */
	if (supervisor->what->options->unsafe) {
		supervisor->reload = SAVING;
		say(&supervisor->serving, TF_SAY_SAVE);
	} else {
		try_next(supervisor, TF_ROLE_TRIAL, TRYING);
	}
}

/* The one that served has nothing more to do with packets: the next one has its place. */
static void promote(struct supervisor *supervisor)
{
	forget(&supervisor->serving);
	supervisor->serving = supervisor->next;
	supervisor->next = (struct child){0};
	supervisor->reload = RESTING;
	memset(supervisor->failed, 0, sizeof(supervisor->failed));
	say(&supervisor->serving, TF_SAY_GO);
	if (supervisor->wished != 0)
		say(&supervisor->serving, TF_SAY_END);
}

/* A trial, or one that was to take over. */
static void on_next_end(struct supervisor *supervisor, int status)
{
	struct child child = supervisor->next;
	enum reload reload = supervisor->reload;

	if (has_died(&child, status))
		report(supervisor, &child, status, "");
	if (supervisor->watch) /* mending one of its files is a reason to try again */
		tf_watch_add(supervisor->watch, child.page->files, sizeof(child.page->files));
	forget(&supervisor->next);
	if (reload == HANDING) /* the one that serves is ending: another has to follow it */
		return;
	supervisor->reload = RESTING;
	if (reload == TRYING && !has_died(&child, status) && WEXITSTATUS(status) == TF_EXIT_OK) {
		supervisor->reload = SAVING;
		say(&supervisor->serving, TF_SAY_SAVE);
	} else {
		tf_log(TF_LOG_WARNING, "%s is not loaded anew: the script that runs goes on",
		       supervisor->what->options->script);
		if (supervisor->wanted)
			begin_reload(supervisor);
	}
}

/* The one that serves has ended by itself, or died: what now. */
static void on_serving_end(struct supervisor *supervisor, int status)
{
	struct child child = supervisor->serving;
	int died = has_died(&child, status);

	if (supervisor->reload == HANDING && supervisor->next.pid) {
		if (died)
			report(supervisor, &child, status, "");
		promote(supervisor);
		return;
	}
	forget(&supervisor->serving);
	supervisor->serving.page = child.page; /* another one has the other, so that this can be read */
	if (supervisor->done)
		return;
	if (!died && (supervisor->reload != HANDING || supervisor->wished != 0) &&
	    (child.role != TF_ROLE_AFRESH || child.ready || WEXITSTATUS(status) != TF_EXIT_SCRIPT)) {
		finish(supervisor, WEXITSTATUS(status));
		return;
	}
	rest(supervisor);
	if (died && (supervisor->wished != 0 || !supervisor->begun)) {
		report(supervisor, &child, status, "");
		finish(supervisor, TF_EXIT_SCRIPT);
	} else if (!died && !child.ready) {
		serve_plainly(supervisor, "can no longer be loaded");
	} else if (too_often(supervisor)) {
		if (died)
			report(supervisor, &child, status, "");
		serve_plainly(supervisor, "failed 5 times in short order and is not started again");
	} else {
		if (died)
			report(supervisor, &child, status, "; the script is started afresh");
		serve_by(supervisor, TF_ROLE_AFRESH);
	}
}

static void reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == supervisor->serving.pid)
			on_serving_end(supervisor, status);
		else if (pid == supervisor->next.pid)
			on_next_end(supervisor, status);
	}
}

/* Somebody wants the run to end. */
static void on_wish(struct supervisor *supervisor)
{
	uint64_t now = now_ns();

	if (supervisor->wished == 0) {
		supervisor->wished = now;
		if (supervisor->reload != HANDING)
			rest(supervisor);
		say(&supervisor->serving, TF_SAY_END);
		supervisor->serving.doom = now + PATIENCE_NS;
	} else if (now - supervisor->wished >= ONE_WISH_NS) {
		supervisor->serving.doom = now;
	}
}

/* A terminal that goes ends the run; a person who sends the signal wants the script loaded anew. */
static void on_hangup(struct supervisor *supervisor, int code)
{
	if (code == SI_KERNEL || !supervisor->watch || (supervisor->had_terminal && !tf_host_has_terminal()))
		on_wish(supervisor);
	else
		begin_reload(supervisor);
}

static void on_signals(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;

	while (read(supervisor->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(supervisor);
			break;
		case SIGUSR1:
			say(&supervisor->serving, TF_SAY_PRINT);
			break;
		case SIGCONT:
			supervisor->grace = now_ns();
			break;
		case SIGHUP:
			on_hangup(supervisor, info.ssi_code);
			break;
		default:
			on_wish(supervisor);
		}
	}
}

static void on_ready(struct supervisor *supervisor, struct child *child)
{
	child->ready = 1;
	if (supervisor->watch)
		tf_watch_add(supervisor->watch, child->page->files, sizeof(child->page->files));
	if (child->role == TF_ROLE_NEXT)
		tf_log(TF_LOG_INFO, "%s is loaded anew", supervisor->what->options->script);
	if (!supervisor->begun && supervisor->what->ready != NULL)
		supervisor->what->ready();
	supervisor->begun = 1;
	if (supervisor->wanted)
		begin_reload(supervisor);
}

static void on_word(struct supervisor *supervisor, struct child *child, char word)
{
	int serves = child == &supervisor->serving;

	if (word == TF_SAY_RING) {
		child->look = child->looked = now_ns();
	} else if (word == TF_SAY_HEARD) {
		if (supervisor->wished != 0)
			child->doom = 0;
	} else if (word == TF_SAY_READY) {
		on_ready(supervisor, child);
	} else if (word == TF_SAY_SAVED && serves && supervisor->reload == SAVING) {
		try_next(supervisor, TF_ROLE_NEXT, LOADING);
	} else if (word == TF_SAY_LOADED && !serves && supervisor->reload == LOADING) {
		supervisor->reload = HANDING;
		say(&supervisor->serving, TF_SAY_HAND_OVER);
	} else if (word == TF_SAY_SAVED && serves && supervisor->reload == HANDING && supervisor->next.pid) {
		promote(supervisor);
	}
}

static void on_channel(struct supervisor *supervisor, struct child *child, int events)
{
	pid_t pid = child->pid;
	ssize_t got = -1;
	char word;

	if (events & POLLIN) /* at the end of the channel, too */
		while (pid && child->pid == pid && (got = recv(child->channel, &word, 1, MSG_DONTWAIT)) > 0)
			on_word(supervisor, child, word);
	else if (events != 0)
		got = 0;
	if (got == 0 && child->pid == pid && child->channel >= 0) { /* what is left to hear is its end */
		close(child->channel);
		child->channel = -1;
	}
}

/* Looks whether a child's script has come back. */
static void look(struct supervisor *supervisor, struct child *child, uint64_t now)
{
	struct tf_guards *guards = &child->page->guards;
	struct tf_guard *late;
	struct tf_look seen;
	uint64_t end;

	tf_usage_note(child->usage, child->pid, guards, now);
	do {
		seen = tf_guards_look(guards, now, supervisor->limit, child->looked, supervisor->grace);
		late = &guards->slot[seen.hung < 0 ? 0 : seen.hung];
		end = atomic_load(&late->entered) + seen.limit + STARVED * supervisor->limit;
	} while (seen.hung >= 0 && tf_usage_excuses(&child->usage[seen.hung], child->pid, late, now, end));
	child->looked = now;
	child->look = seen.next;
	if (seen.hung < 0)
		return;
	child->hung = seen.limit;
	child->doom = now + WORDS_NS;
	atomic_store(&child->page->hung, seen.hung + 1);
	if (syscall(SYS_tgkill, child->pid, (pid_t)atomic_load(&late->thread), TF_SIGNAL_HUNG) < 0)
		kill(child->pid, TF_SIGNAL_HUNG);
}

/* Does what is due for a child; when there is more, or UINT64_MAX. */
static uint64_t step(struct supervisor *supervisor, struct child *child, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	int watched = supervisor->limit != 0 && child->hung == 0;

	if (child->pid == 0)
		return next;
	if (child->doom != 0 && now >= child->doom) {
		child->doom = 0;
		if (child->hung == 0) { /* it was to end */
			tf_log(TF_LOG_ERROR, "the script does not come back: ended without waiting for it");
			finish(supervisor, TF_EXIT_SCRIPT);
		}
		kill(child->pid, SIGKILL);
	}
	if (watched && child->look != 0 && now >= child->look)
		look(supervisor, child, now);
	if (child->doom != 0)
		next = child->doom;
	if (watched && child->look != 0 && child->look < next)
		next = child->look;
	return next;
}

/* Does all that is due, and says how long to wait for what is next: milliseconds, or -1. */
static int step_all(struct supervisor *supervisor)
{
	uint64_t now = now_ns(), next, other;

	if (supervisor->settled != 0 && now >= supervisor->settled) {
		supervisor->settled = 0;
		if (tf_watch_changed(supervisor->watch))
			begin_reload(supervisor);
	}
	next = step(supervisor, &supervisor->serving, now);
	other = step(supervisor, &supervisor->next, now);
	if (other < next)
		next = other;
	if (supervisor->settled != 0 && supervisor->settled < next)
		next = supervisor->settled;
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)((next - now) / NS_PER_MS + 1);
}

static void serve(struct supervisor *supervisor)
{
	while (!supervisor->done || supervisor->serving.pid != 0) {
		int wait = step_all(supervisor); /* which may start a child */
		struct pollfd fds[] = {
			{.fd = supervisor->signals, .events = POLLIN},
			{.fd = supervisor->serving.pid ? supervisor->serving.channel : -1, .events = POLLIN},
			{.fd = supervisor->next.pid ? supervisor->next.channel : -1, .events = POLLIN},
			{.fd = supervisor->watch && !supervisor->settled ? tf_watch_fd(supervisor->watch) : -1,
			 .events = POLLIN},
		};
		pid_t serving = supervisor->serving.pid, next = supervisor->next.pid;

		if (poll(fds, 4, wait) < 0)
			continue;
		if (fds[3].revents & POLLIN)
			supervisor->settled = now_ns() + SETTLE_NS;
		if (supervisor->serving.pid == serving)
			on_channel(supervisor, &supervisor->serving, fds[1].revents);
		if (supervisor->next.pid == next)
			on_channel(supervisor, &supervisor->next, fds[2].revents);
		on_signals(supervisor);
	}
	rest(supervisor);
}

int tf_supervise(const struct tf_supervised *what)
{
	struct supervisor supervisor = {.what = what, .limit = (uint64_t)what->options->time_limit * NS_PER_MS};
	sigset_t set;

	signal_set(&set);
	supervisor.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	supervisor.shared = mmap(NULL, sizeof(*supervisor.shared), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (supervisor.signals < 0 || supervisor.shared == MAP_FAILED) {
		tf_log(TF_LOG_ERROR, "nothing to watch a script with: %s", strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	supervisor.had_terminal = tf_host_has_terminal();
	if (!what->options->no_reload && (supervisor.watch = tf_watch_create()) == NULL)
		tf_log(TF_LOG_WARNING, "the script's file cannot be watched for changes: %s", strerror(errno));
	serve_by(&supervisor, TF_ROLE_FIRST);
	serve(&supervisor);
	munmap(supervisor.shared, sizeof(*supervisor.shared));
	tf_watch_destroy(supervisor.watch);
	close(supervisor.signals);
	return supervisor.status;
}
