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
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "supervisor_linux.h"

#define NS_PER_MS   1000000u
#define ONE_WISH_NS (300 * (uint64_t)NS_PER_MS) /* signals within this time are one: timeout(1) sends two */
#define PATIENCE_NS (1500 * (uint64_t)NS_PER_MS) /* for a worker to hear that it is to end */
#define WORDS_NS    (100 * (uint64_t)NS_PER_MS)	 /* for a hung one to say what it is at */
#define FAILURES    5 /* so many in a row, each soon after the one before, and we try no more */
#define SOON_NS     (10000 * (uint64_t)NS_PER_MS) /* and as many time limits */

struct supervisor {
	const struct tf_supervised *what;
	struct tf_shared *shared;
	int signals; /* signalfd */
	pid_t worker; /* 0: none */
	int channel;  /* to it */
	int begun;    /* packets have passed */
	uint64_t looked, look; /* the last look at the guards, and the next; 0: when it rings */
	uint64_t grace;	       /* we were stopped until then */
	uint64_t limit;	       /* ns, 0: none */
	uint64_t doom;	       /* when the worker is killed; 0: not */
	uint64_t wished;       /* when somebody asked us to end; 0: not yet */
	uint64_t hung;	       /* ns that the script was given and did not keep to; 0: it is well */
	uint64_t failed[FAILURES]; /* when workers failed, the newest first */
	int status;
	int done;
};

static uint64_t now_ns(void)
{
	return uv_hrtime();
}

/* Those that end a run or print its table, and what else wakes us; not what nohup has ignored. */
static void signal_set(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGCONT};
	struct sigaction action;

	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &action) != 0 || action.sa_handler != SIG_IGN ||
		    signals[i] == SIGCHLD)
			sigaddset(set, signals[i]);
}

void tf_supervise_begin(void)
{
	sigset_t set;

	signal(SIGCHLD, SIG_DFL); /* ignored, workers' statuses would be lost */
	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void say(const struct supervisor *supervisor, char word)
{
	if (supervisor->worker && send(supervisor->channel, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		tf_log(TF_LOG_DEBUG, "the worker cannot be told: %s", strerror(errno));
}

static void finish(struct supervisor *supervisor, int status)
{
	if (!supervisor->done)
		supervisor->status = status;
	supervisor->done = 1;
}

/* In the child. */
static _Noreturn void live(struct supervisor *supervisor, int channel, pid_t parent, enum tf_role role)
{
	struct tf_life life = {.shared = supervisor->shared, .role = role, .channel = channel};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(TF_EXIT_SYSTEM); /* it died before that held */
	close(supervisor->signals);
	tf_life_begin(&life);
	exit(supervisor->what->live(supervisor->what->arg, &life));
}

static void start_worker(struct supervisor *supervisor, enum tf_role role)
{
	pid_t parent = getpid(), pid;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		tf_log(TF_LOG_ERROR, "no channel to a worker: %s", strerror(errno));
		finish(supervisor, TF_EXIT_SYSTEM);
		return;
	}
	memset(supervisor->shared->words, 0, sizeof(supervisor->shared->words));
	memset(supervisor->shared->place, 0, sizeof(supervisor->shared->place));
	atomic_store(&supervisor->shared->hung, 0);
	atomic_store(&supervisor->shared->guards.asleep, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		live(supervisor, ends[1], parent, role);
	}
	close(ends[1]);
	if (pid < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a worker: %s", strerror(errno));
		close(ends[0]);
		finish(supervisor, TF_EXIT_SYSTEM);
		return;
	}
	supervisor->worker = pid;
	supervisor->channel = ends[0];
	
	supervisor->doom = supervisor->hung = supervisor->look = 0;
}

/* Whether workers die so often that another one would be of no use. */
static int too_often(struct supervisor *supervisor, uint64_t now)
{
	uint64_t first = supervisor->failed[FAILURES - 1];

	return first > 0 && now - first < SOON_NS + FAILURES * supervisor->limit;
}

static void note_failure(struct supervisor *supervisor, uint64_t now)
{
	memmove(supervisor->failed + 1, supervisor->failed, sizeof(uint64_t) * (FAILURES - 1));
	supervisor->failed[0] = now;
}

/* What became of the worker, in words, with what it said of itself; then: what we do about it. */
static void report(const struct supervisor *supervisor, int status, const char *then)
{
	struct tf_shared *shared = supervisor->shared;
	const char *words = shared->words[0] ? shared->words : supervisor->what->options->script;
	int first = (int)strcspn(words, "\n");
	char what[128];

	shared->words[sizeof(shared->words) - 1] = shared->place[sizeof(shared->place) - 1] = '\0';
	if (supervisor->hung != 0)
		snprintf(what, sizeof(what), " did not come back within %llu ms (--time-limit)",
			 (unsigned long long)(supervisor->hung / NS_PER_MS));
	else if (WIFEXITED(status))
		snprintf(what, sizeof(what), " wants more memory than the script may have (--memory-limit)");
	else
		snprintf(what, sizeof(what), ": the worker was ended by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	tf_log(TF_LOG_ERROR, "%.*s%s%s%s%s%s", first, words, what, then, words + first,
	       shared->place[0] ? "\n\tit was last seen at " : "", shared->place);
}

static void try_again(struct supervisor *supervisor, int status)
{
	uint64_t now = now_ns();

	note_failure(supervisor, now);
	if (!too_often(supervisor, now)) {
		report(supervisor, status, "; the script is started afresh");
		start_worker(supervisor, TF_ROLE_AFRESH);
		return;
	}
	report(supervisor, status, "");
	tf_log(TF_LOG_ERROR, "the script failed %d times in short order and is not started again: from now on every packet is %s "
	       "(--on-error)",
	       FAILURES, supervisor->what->options->on_error == TF_VERDICT_FORWARD ? "forwarded" : "dropped");
	start_worker(supervisor, TF_ROLE_PLAIN);
}

/* The worker has ended by itself, or died: what now. */
static void on_worker_end(struct supervisor *supervisor, int status)
{
	int died = WIFSIGNALED(status) || supervisor->hung != 0 || WEXITSTATUS(status) == TF_EXIT_MEMORY;

	supervisor->worker = 0;
	if (supervisor->channel >= 0)
		close(supervisor->channel);
	if (supervisor->done)
		return;
	if (!died) {
		finish(supervisor, WEXITSTATUS(status));
	} else if (supervisor->wished != 0 || !supervisor->begun) {
		report(supervisor, status, "");
		finish(supervisor, TF_EXIT_SCRIPT);
	} else {
		try_again(supervisor, status);
	}
}

static void reap(struct supervisor *supervisor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == supervisor->worker)
			on_worker_end(supervisor, status);
}

/* Somebody wants the run to end. */
static void on_wish(struct supervisor *supervisor)
{
	uint64_t now = now_ns();

	if (supervisor->wished == 0) {
		supervisor->wished = now;
		say(supervisor, TF_SAY_END);
		supervisor->doom = now + PATIENCE_NS;
	} else if (now - supervisor->wished >= ONE_WISH_NS) {
		supervisor->doom = now;
	}
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
			say(supervisor, TF_SAY_PRINT);
			break;
		case SIGCONT:
			supervisor->grace = now_ns();
			break;
		default:
			on_wish(supervisor);
		}
	}
}

static void on_channel(struct supervisor *supervisor)
{
	char word;

	while (supervisor->worker && recv(supervisor->channel, &word, 1, MSG_DONTWAIT) > 0) {
		if (word == TF_SAY_RING) {
			supervisor->look = supervisor->looked = now_ns();
		} else if (word == TF_SAY_HEARD) {
			if (supervisor->wished != 0)
				supervisor->doom = 0;
		} else if (word == TF_SAY_READY) {
			if (!supervisor->begun && supervisor->what->ready != NULL)
				supervisor->what->ready();
			supervisor->begun = 1;
		}
	}
}

/* Looks whether the script has come back. */
static void look(struct supervisor *supervisor, uint64_t now)
{
	struct tf_look seen = tf_guards_look(&supervisor->shared->guards, now, supervisor->limit,
					     supervisor->looked, supervisor->grace);

	supervisor->looked = now;
	supervisor->look = seen.next;
	if (seen.hung < 0)
		return;
	supervisor->hung = seen.limit;
	supervisor->doom = now + WORDS_NS;
	atomic_store(&supervisor->shared->hung, seen.hung + 1);
	kill(supervisor->worker, TF_SIGNAL_HUNG);
}

/* Does what is due, and says how long to wait for what is next: milliseconds, or -1. */
static int step(struct supervisor *supervisor)
{
	uint64_t now = now_ns(), next = UINT64_MAX;

	if (supervisor->worker == 0)
		return -1;
	if (supervisor->doom != 0 && now >= supervisor->doom) {
		supervisor->doom = 0;
		if (supervisor->hung == 0) { /* it was to end */
			tf_log(TF_LOG_ERROR, "the script does not come back: ended without waiting for it");
			finish(supervisor, TF_EXIT_SCRIPT);
		}
		kill(supervisor->worker, SIGKILL);
	}
	if (supervisor->limit != 0 && supervisor->hung == 0 && supervisor->look != 0 &&
	    now >= supervisor->look)
		look(supervisor, now);
	if (supervisor->doom != 0)
		next = supervisor->doom;
	if (supervisor->limit != 0 && supervisor->hung == 0 && supervisor->look != 0 &&
	    supervisor->look < next)
		next = supervisor->look;
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)((next - now) / NS_PER_MS + 1);
}

static void serve(struct supervisor *supervisor)
{
	while (!supervisor->done || supervisor->worker != 0) {
		struct pollfd fds[] = {{.fd = supervisor->signals, .events = POLLIN},
				       {.fd = supervisor->worker ? supervisor->channel : -1, .events = POLLIN}};

		if (poll(fds, 2, step(supervisor)) < 0)
			continue;
		if (fds[1].revents & POLLIN) {
			on_channel(supervisor);
		} else if (fds[1].revents != 0) { /* what is left to hear is its end */
			close(supervisor->channel);
			supervisor->channel = -1;
		}
		on_signals(supervisor);
	}
}

int tf_supervise(const struct tf_supervised *what)
{
	struct supervisor supervisor = {.what = what, .limit = (uint64_t)what->options->time_limit * NS_PER_MS};
	sigset_t set;

	signal_set(&set);
	supervisor.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	supervisor.shared = mmap(NULL, sizeof(*supervisor.shared), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (supervisor.signals < 0 || supervisor.shared == MAP_FAILED) {
		tf_log(TF_LOG_ERROR, "nothing to watch a script with: %s", strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	start_worker(&supervisor, TF_ROLE_FIRST);
	serve(&supervisor);
	munmap(supervisor.shared, sizeof(*supervisor.shared));
	close(supervisor.signals);
	return supervisor.status;
}
