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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host_linux.h"
#include "log.h"
#include "privileges.h"
#include "reload_linux.h"

#define NS_PER_MS   1000000u
#define ONE_WISH_NS (300 * (uint64_t)NS_PER_MS) /* signals within this time are one: timeout(1) sends two */
#define PATIENCE_NS (1500 * (uint64_t)NS_PER_MS) /* for a worker to hear that it is to end */
#define WORDS_NS    (100 * (uint64_t)NS_PER_MS)	 /* for a hung one to say what it is at */
#define AGAIN_NS    (1000 * (uint64_t)NS_PER_MS) /* from a worker that could not be started to the next try */
#define SETTLE_NS   (100 * (uint64_t)NS_PER_MS)	 /* from a change of a file on: more may follow */
#define NAP_NS	    20000000L
#define BESIDES_MB  192 /* held packets, a batch, a capture's buffers: what a worker has beside its script's */
#define WAITS_LIMITS 5 /* that packets may wait for a worker that takes none */
#define WORDS	    64 /* are heard of one child before all others have their turn, and signals */
#define SOON_NS     (10000 * (uint64_t)NS_PER_MS) /* and as many time limits */

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

static void finish(struct tf_supervisor *supervisor, int status)
{
	if (!supervisor->done)
		supervisor->status = status;
	supervisor->done = 1;
}

struct tf_kept_texts *tf_supervisor_texts(struct tf_supervisor *supervisor, const struct tf_child *child)
{
	return &supervisor->shared->texts[child->page == &supervisor->shared->page[1]];
}

/* In the child. */
static _Noreturn void live(struct tf_supervisor *supervisor, struct tf_child *child, pid_t parent)
{
	struct tf_life life = {.shared = supervisor->shared,
			       .page = child->page,
			       .texts = tf_supervisor_texts(supervisor, child),
			       .kept = child->role == TF_ROLE_AFRESH ? supervisor->kept : NULL,
			       .kept_size = supervisor->kept_size,
			       .role = child->role,
			       .channel = child->channel};

	struct tf_error error = {0};

	close(supervisor->signals);
	if (supervisor->serving.pid)
		close(supervisor->serving.channel);
	tf_watch_destroy(supervisor->watch);
	tf_life_begin(&life);
	if (tf_privileges_become(supervisor->what->options, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		exit(tf_error_exit(error.code));
	}
	/* What changed the user took this away; the filter of system calls would. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(TF_EXIT_SYSTEM); /* it died before that held */
	tf_privileges_confine(supervisor->what->options, child->role == TF_ROLE_FIRST);
	exit(supervisor->what->live(supervisor->what->arg, &life));
}

/* 0, or -1: it could not be, which was said. */
int tf_supervisor_start(struct tf_supervisor *supervisor, struct tf_child *child, enum tf_role role)
{
	struct tf_page *pages = supervisor->shared->page;
	pid_t parent = getpid();
	int started = tf_child_start(child, &pages[supervisor->serving.page == &pages[0]], role);

	if (started > 0)
		live(supervisor, child, parent);
	return started;
}

/* What was half written to the capture is taken away. */
static void mend_capture(struct tf_supervisor *supervisor)
{
	off_t whole = (off_t)*(volatile uint64_t *)&supervisor->shared->capture;
	int file = supervisor->what->file;
	struct stat now;

	if (file >= 0 && fstat(file, &now) == 0 && whole >= 0 && whole <= now.st_size && ftruncate(file, whole) == 0)
		lseek(file, whole, SEEK_SET);
}

/* The system has not what a worker needs: that may pass. */
static void try_again(struct tf_supervisor *supervisor, enum tf_role role)
{
	if (!supervisor->waiting)
		tf_log(TF_LOG_ERROR, "packets wait until a worker can be started");
	supervisor->waiting = 1;
	supervisor->serving.role = role == TF_ROLE_NEXT ? TF_ROLE_AFRESH : role;
	supervisor->again = uv_hrtime() + AGAIN_NS;
}

static void serve_by(struct tf_supervisor *supervisor, enum tf_role role)
{
	if (role != TF_ROLE_FIRST)
		mend_capture(supervisor);
	tf_reload_enter(supervisor, TF_RESTING, TF_STARTING_LIMITS);
	if (tf_supervisor_start(supervisor, &supervisor->serving, role) == 0) {
		supervisor->again = 0;
		return;
	}
	if (role == TF_ROLE_FIRST)
		finish(supervisor, TF_EXIT_SYSTEM);
	else
		try_again(supervisor, role);
}

/* Whether workers die so often that another one would be of no use. */
static int too_often(struct tf_supervisor *supervisor)
{
	uint64_t first;

	memmove(supervisor->failed + 1, supervisor->failed, sizeof(uint64_t) * (TF_FAILURES - 1));
	supervisor->failed[0] = uv_hrtime();
	first = supervisor->failed[TF_FAILURES - 1];
	return first > 0 && supervisor->failed[0] - first < SOON_NS + TF_FAILURES * supervisor->limit;
}

static void serve_plainly(struct tf_supervisor *supervisor, const char *why)
{
	tf_log(TF_LOG_ERROR, "the script %s: from now on every packet is %s (--on-error)%s", why,
	       supervisor->what->options->on_error == TF_VERDICT_FORWARD ? "forwarded" : "dropped",
	       supervisor->watch ? ", until a change of it does better" : "");
	serve_by(supervisor, TF_ROLE_PLAIN);
}

/* The one that serves has ended by itself, or died: what now. */
static void on_serving_end(struct tf_supervisor *supervisor, int status)
{
	struct tf_child child;
	int died;

	tf_child_hear_out(&supervisor->serving);
	child = supervisor->serving;
	died = tf_child_died(&child, status);

	if (supervisor->reload == TF_HANDING && supervisor->next.pid && !supervisor->done) {
		if (died)
			tf_child_report(&child, status, supervisor->what->options->script, "");
		tf_reload_promote(supervisor);
		supervisor->leaving.pid = 0;
		return;
	}
	tf_child_forget(&supervisor->serving);
	supervisor->serving.page = child.page; /* another one has the other, so that this can be read */
	if (supervisor->done)
		return;
	if (!died && (supervisor->reload != TF_HANDING || supervisor->wished != 0) &&
	    (child.role == TF_ROLE_FIRST || child.ready || supervisor->wished != 0)) {
		finish(supervisor, WEXITSTATUS(status));
		return;
	}
	supervisor->wanted |= supervisor->reload != TF_RESTING && supervisor->reload != TF_HANDING;
	tf_reload_rest(supervisor);
	if (died && (supervisor->wished != 0 || !supervisor->begun)) {
		tf_child_report(&child, status, supervisor->what->options->script, "");
		finish(supervisor, WIFEXITED(status) && WEXITSTATUS(status) == TF_EXIT_REFUSED ? TF_EXIT_SYSTEM : TF_EXIT_SCRIPT);
	} else if (!died && !child.ready && WEXITSTATUS(status) != TF_EXIT_SCRIPT) {
		try_again(supervisor, child.role);
	} else if (!died && !child.ready) {
		serve_plainly(supervisor, "can no longer be loaded");
	} else if (too_often(supervisor)) {
		if (died)
			tf_child_report(&child, status, supervisor->what->options->script, "");
		serve_plainly(supervisor, "failed 5 times in short order and is not started again");
	} else {
		if (died)
			tf_child_report(&child, status, supervisor->what->options->script,
					supervisor->refused && supervisor->kept != NULL
						? "; the script is started afresh, as it was when it was loaded"
						: "; the script is started afresh");
		serve_by(supervisor, TF_ROLE_AFRESH);
	}
}

static void reap(struct tf_supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == supervisor->serving.pid)
			on_serving_end(supervisor, status);
		else if (pid == supervisor->next.pid)
			tf_reload_next_ended(supervisor, status);
		else if (pid == supervisor->leaving.pid)
			tf_child_forget(&supervisor->leaving);
	}
}

/* Somebody wants the run to end. */
static void on_wish(struct tf_supervisor *supervisor)
{
	uint64_t now = uv_hrtime();

	if (supervisor->wished == 0) {
		supervisor->wished = now;
		if (supervisor->reload != TF_HANDING)
			tf_reload_rest(supervisor);
		tf_child_say(&supervisor->serving, TF_SAY_END);
		supervisor->serving.doom = now + PATIENCE_NS;
		if (supervisor->serving.pid == 0)
			finish(supervisor, TF_EXIT_SYSTEM);
	} else if (now - supervisor->wished >= ONE_WISH_NS) {
		supervisor->serving.doom = now;
	}
}

/* A terminal that goes ends the run; a person who sends the signal wants the script loaded anew. */
static void on_hangup(struct tf_supervisor *supervisor, int code)
{
	if (code == SI_KERNEL || !supervisor->watch || (supervisor->had_terminal && !tf_host_has_terminal()))
		on_wish(supervisor);
	else if (tf_watch_unfinished(supervisor->watch, supervisor->what->options->script) != NULL)
		tf_reload_say_empty(supervisor);
	else
		tf_reload_begin(supervisor, 0);
}

static void on_signals(struct tf_supervisor *supervisor)
{
	struct signalfd_siginfo info;

	while (read(supervisor->signals, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(supervisor);
			break;
		case SIGUSR1:
			tf_child_say(&supervisor->serving, TF_SAY_PRINT);
			break;
		case SIGCONT:
			supervisor->grace = uv_hrtime();
			break;
		case SIGHUP:
			on_hangup(supervisor, info.ssi_code);
			break;
		default:
			on_wish(supervisor);
		}
	}
}

static void on_ready(struct tf_supervisor *supervisor, struct tf_child *child)
{
	child->ready = 1;
	supervisor->waiting = 0;
	supervisor->due = 0;
	tf_reload_clear(supervisor);
	if (child->role == TF_ROLE_FIRST)
		tf_reload_keep(supervisor, child);
	tf_child_watch(child, supervisor->watch);
	if (child->role == TF_ROLE_NEXT)
		tf_log(TF_LOG_INFO, "%s is loaded anew", supervisor->what->options->script);
	if (!supervisor->begun && supervisor->what->ready != NULL)
		supervisor->what->ready();
	supervisor->begun = 1;
	if (supervisor->wanted)
		tf_reload_begin(supervisor, 0);
}

static void on_word(struct tf_supervisor *supervisor, struct tf_child *child, char word)
{
	int serves = child == &supervisor->serving;

	if (word == TF_SAY_RING) {
		child->look = child->looked = uv_hrtime();
	} else if (word == TF_SAY_HEARD) {
		child->heard = 1;
		if (supervisor->wished != 0)
			child->doom = 0;
	} else if (word == TF_SAY_READY && serves && !child->ready) {
		on_ready(supervisor, child);
	} else if (word == TF_SAY_SAVED && serves && supervisor->reload == TF_SAVING) {
		tf_reload_try(supervisor, TF_ROLE_NEXT, TF_LOADING);
	} else if (word == TF_SAY_CANNOT && serves && supervisor->reload == TF_SAVING) {
		tf_reload_rest(supervisor);
		tf_reload_refuse(supervisor);
		if (supervisor->wanted)
			tf_reload_begin(supervisor, 0);
	} else if (word == TF_SAY_LOADED && !serves && supervisor->reload == TF_LOADING) {
		tf_reload_keep(supervisor, child);
		tf_reload_enter(supervisor, TF_HANDING, TF_SAVING_LIMITS);
		tf_child_say(&supervisor->serving, TF_SAY_HAND_OVER);
	} else if (word == TF_SAY_SAVED && serves && supervisor->reload == TF_HANDING && supervisor->next.pid) {
		tf_reload_promote(supervisor);
	}
}

static void on_channel(struct tf_supervisor *supervisor, struct tf_child *child, int events)
{
	pid_t pid = child->pid;
	char words[WORDS];
	size_t count = tf_child_hear(child, events, words, sizeof(words));

	for (size_t i = 0; i < count && child->pid == pid; i++)
		on_word(supervisor, child, words[i]);
}

/* Does what is due for a child; when there is more, or UINT64_MAX. */
static uint64_t step(struct tf_supervisor *supervisor, struct tf_child *child, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	int watched = supervisor->limit != 0 && child->hung == 0 && !child->greedy;

	if (child->pid == 0)
		return next;
	if (child->doom != 0 && now >= child->doom) {
		child->doom = 0;
		if (child->hung == 0 && !child->greedy && child == &supervisor->serving) { /* it was to end */
			tf_log(TF_LOG_ERROR, "the script does not come back: ended without waiting for it");
			finish(supervisor, TF_EXIT_SCRIPT);
		}
		kill(child->pid, SIGKILL);
	}
	if (watched && child->look != 0 && now >= child->look)
		tf_child_look(child, now, supervisor->limit, supervisor->grace, supervisor->memory);
	if (watched && (child->hung != 0 || child->greedy))
		child->doom = child->hung != 0 ? now + WORDS_NS : now;
	if (child->doom != 0)
		next = child->doom;
	if (watched && child->look != 0 && child->look < next)
		next = child->look;
	return next;
}

/* The earlier of two times; 0: never. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return b != 0 && b < a ? b : a;
}

/* Whether packets that wait are the worker's to take, and nothing else tells whether it does. */
static int takes_packets(const struct tf_supervisor *supervisor)
{
	const struct tf_child *child = &supervisor->serving;

	return supervisor->limit != 0 && child->pid != 0 && child->ready && child->look == 0 && child->doom == 0 &&
	       !child->still && supervisor->reload != TF_HANDING && supervisor->wished == 0;
}

/* Packets wait: whether they have for too long. */
static void on_waiting(struct tf_supervisor *supervisor)
{
	if (!tf_waits_look(&supervisor->waits, supervisor->shared->stats, supervisor->what->options->workers, uv_hrtime(),
			   supervisor->grace, WAITS_LIMITS * supervisor->limit))
		return;
	supervisor->waits.look = 0;
	supervisor->serving.still = 1;
	kill(supervisor->serving.pid, SIGKILL);
}

/* Does all that is due, and says how long to wait for what is next: milliseconds, or -1. */
static int step_all(struct tf_supervisor *supervisor)
{
	uint64_t now = uv_hrtime(), next;
	int lost;

	if (supervisor->settled != 0 && now >= supervisor->settled) {
		supervisor->settled = 0;
		if (tf_watch_changed(supervisor->watch, &lost))
			tf_reload_changed(supervisor);
		if (lost)
			supervisor->settled = now + AGAIN_NS;
	}
	if (supervisor->empty != 0 && now >= supervisor->empty)
		tf_reload_say_empty(supervisor);
	if (supervisor->tried != 0 && now >= supervisor->tried) {
		supervisor->tried = 0;
		tf_log(TF_LOG_INFO, "%s is being tried: the script that runs goes on meanwhile",
		       supervisor->what->options->script);
	}
	if (!takes_packets(supervisor))
		supervisor->waits.look = supervisor->waits.since = 0;
	else if (supervisor->waits.look != 0 && now >= supervisor->waits.look)
		on_waiting(supervisor);
	if (supervisor->due != 0 && now >= supervisor->due)
		tf_reload_end_overdue(supervisor);
	if (supervisor->again != 0 && now >= supervisor->again)
		serve_by(supervisor, supervisor->serving.role);
	next = sooner(step(supervisor, &supervisor->serving, now), step(supervisor, &supervisor->next, now));
	next = sooner(next, step(supervisor, &supervisor->leaving, now));
	next = sooner(sooner(next, supervisor->settled), supervisor->again);
	next = sooner(next, supervisor->waits.look);
	next = sooner(sooner(sooner(next, supervisor->empty), supervisor->tried), supervisor->due);
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)((next - now) / NS_PER_MS + 1);
}

static void serve(struct tf_supervisor *supervisor)
{
	while (!supervisor->done || supervisor->serving.pid != 0) {
		int wait = step_all(supervisor); /* which may start a child */
		struct pollfd fds[4 + 2 * TF_WORKERS_MAX] = {
			{.fd = supervisor->signals, .events = POLLIN},
			{.fd = supervisor->serving.pid ? supervisor->serving.channel : -1, .events = POLLIN},
			{.fd = supervisor->next.pid ? supervisor->next.channel : -1, .events = POLLIN},
			{.fd = supervisor->watch && !supervisor->settled ? tf_watch_fd(supervisor->watch) : -1,
			 .events = POLLIN},
		};
		unsigned count = 4;
		pid_t serving = supervisor->serving.pid, next = supervisor->next.pid;

		if (takes_packets(supervisor) && supervisor->waits.look == 0)
			count += tf_waits_add(&supervisor->waits, fds + count);
		if (poll(fds, count, wait) < 0) { /* fewer descriptors than these are allowed by now: look at all of them */
			nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
			for (size_t i = 0; i < 4; i++)
				fds[i].revents = POLLIN;
		}
		for (unsigned i = 4; i < count; i++)
			if (fds[i].revents && supervisor->waits.look == 0)
				on_waiting(supervisor);
		if (fds[3].fd >= 0 && fds[3].revents & POLLIN)
			supervisor->settled = uv_hrtime() + SETTLE_NS;
		if (supervisor->serving.pid == serving)
			on_channel(supervisor, &supervisor->serving, fds[1].revents);
		if (supervisor->next.pid == next)
			on_channel(supervisor, &supervisor->next, fds[2].revents);
		on_signals(supervisor);
	}
	tf_reload_rest(supervisor);
}

/* Scripts have their limits; this is for what they forget, and for native code of --unsafe. 0: none. */
static uint64_t most_memory(const struct tf_options *options)
{
	uint64_t megabytes = options->memory_limit;

#ifdef TF_SANITIZED /* they have much of their own */
	megabytes = 0;
#endif
	return megabytes == 0 ? 0 : ((megabytes + megabytes / 2 + BESIDES_MB) << 20) * options->workers;
}

int tf_supervise(const struct tf_supervised *what)
{
	struct tf_supervisor supervisor = {.what = what,
					.limit = (uint64_t)what->options->time_limit * NS_PER_MS,
					.memory = most_memory(what->options),
					.waits = {.fds = what->waits, .count = what->waits_count}};
	struct stat file;
	sigset_t set;

	signal_set(&set);
	supervisor.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	supervisor.shared = mmap(NULL, sizeof(*supervisor.shared), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (supervisor.signals < 0 || supervisor.shared == MAP_FAILED) {
		tf_log(TF_LOG_ERROR, "nothing to watch a script with: %s", strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	signal(SIGTTOU, SIG_IGN); /* a terminal that shows only the foreground's lines would stop us */
	tf_log_live(&supervisor.shared->lost);
	if (what->file >= 0 && fstat(what->file, &file) == 0 && S_ISREG(file.st_mode))
		supervisor.shared->capture = (uint64_t)file.st_size; /* of standard output there may be more */
	supervisor.had_terminal = tf_host_has_terminal();
	if (!what->options->no_reload && (supervisor.watch = tf_watch_create()) == NULL)
		tf_log(TF_LOG_WARNING, "the script's file cannot be watched for changes: %s", strerror(errno));
	serve_by(&supervisor, TF_ROLE_FIRST);
	serve(&supervisor);
	free(supervisor.kept);
	munmap(supervisor.shared, sizeof(*supervisor.shared));
	tf_watch_destroy(supervisor.watch);
	close(supervisor.signals);
	return supervisor.status;
}
