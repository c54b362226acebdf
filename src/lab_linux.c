/*
 * `tunfilter lab`: three processes stand around the commands.
 *
 *   the caller's   in the namespaces where it was started. Makes the next, passes signals on to
 *                  it, takes its status. The kernel kills the next when this one dies.
 *   the lab's      process 1 of a pid namespace: when it ends, for whatever reason, the kernel
 *                  kills all that runs in the lab, and devices and namespaces go with them. Holds
 *                  the hosts' network namespaces (for `enter`), starts everything, reaps.
 *   the filter     devices, script, loop (app.h). A process of its own, so that a script that
 *                  hangs or a crash cannot keep the lab from ending as it should.
 *
 * All that the lab's process hears is a signal, so its loop is one sigtimedwait.
 */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"
#include "host_linux.h"
#include "lab_linux.h"
#include "link.h"
#include "log.h"

#define PATIENCE_MS 2000 /* for what was asked to end */
#define LISTEN_MS   3000 /* for the right command to listen before the left one starts */
#define LOOK_MS	    20	 /* between two looks whether it does */
#define ECHO_MS	    300	 /* a signal to a whole group reaches us twice within this */

enum phase {
	LOADING, /* the filter opens devices and the script */
	WAITING, /* the right command comes up */
	RUNNING, /* the left command runs */
	ENDING	 /* what still runs was asked to end, and is killed at the deadline */
};

struct lab {
	struct tf_options options;
	struct tf_beside beside;
	enum phase phase;
	pid_t filter, left, right; /* 0: not started, or ended */
	int status;		   /* the lab's exit status; -1 before it is known */
	uint64_t deadline;	   /* tf_now_ms() of the next step by time, 0: none */
	uint64_t heard;		   /* tf_now_ms() of the last signal that asked for an end */
	char pid[16];		   /* of the lab's process, as it is numbered outside */
	int had_terminal;
};

/* An interactive shell ignores SIGTERM. */
static int polite(const struct lab *lab)
{
	return lab->options.command_argv ? SIGTERM : SIGHUP;
}

static void end(struct lab *lab, int status)
{
	if (lab->status < 0)
		lab->status = status;
	if (lab->phase == ENDING)
		return;
	lab->phase = ENDING;
	lab->deadline = tf_now_ms() + PATIENCE_MS;
	if (lab->left)
		kill(lab->left, polite(lab));
	if (lab->right)
		kill(-lab->right, SIGTERM);
	if (lab->filter)
		kill(lab->filter, SIGTERM);
}

static pid_t start_command(struct lab *lab, int side)
{
	char *on_right[] = {"/bin/sh", "-c", (char *)lab->options.on_right, NULL};
	char **argv = side == TF_LEFT ? lab->options.command_argv : on_right;
	pid_t pid = fork();

	if (pid < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a process: %s", strerror(errno));
		end(lab, TF_EXIT_SYSTEM);
		return 0;
	}
	if (pid > 0)
		return pid;
	if (side == TF_RIGHT) {
		/* A server in the background: no Ctrl-C and no input from the terminal. */
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		setsid();
		if (null >= 0)
			dup2(null, STDIN_FILENO);
	}
	if (lab->options.capture && !strcmp(lab->options.capture, "-"))
		dup2(STDERR_FILENO, STDOUT_FILENO); /* standard output is the capture's alone */
	tf_host_exec(&lab->beside, side, TF_LAB_NETNS_FD(side), argv);
}

static void filter_ready(void)
{
	kill(getppid(), SIGUSR2);
}

/* In the child: the filter's whole life; its status is returned through main. */
static int filter(struct lab *lab)
{
	setsid(); /* Ctrl-C is for the command */
	sigprocmask(SIG_SETMASK, &lab->beside.before, NULL);
	return tf_lab_filter(&lab->options, filter_ready);
}

static void on_ready(struct lab *lab)
{
	tf_log(TF_LOG_INFO, "lab %s: `tunfilter enter right` in another terminal is a shell there",
	       lab->pid);
	lab->phase = WAITING;
	if (lab->options.on_right) {
		lab->right = start_command(lab, TF_RIGHT);
		lab->deadline = tf_now_ms() + LISTEN_MS;
	}
}

static void on_filter_end(struct lab *lab, int status)
{
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	lab->filter = 0;
	if (lab->phase == ENDING)
		return;
	if (number)
		tf_log(TF_LOG_ERROR, "the filter was ended by signal %d (%s)", number,
		       strsignal(number));
	else if (lab->phase != LOADING)
		tf_log(TF_LOG_WARNING, "the filter has ended, and the lab with it");
	end(lab, number ? TF_EXIT_SYSTEM : WEXITSTATUS(status));
}

static void reap(struct lab *lab)
{
	int status, code;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		code = tf_exit_status(status);
		if (pid == lab->filter) {
			on_filter_end(lab, status);
		} else if (pid == lab->left) {
			lab->left = 0;
			end(lab, code);
		} else if (pid == lab->right) {
			lab->right = 0;
			if (lab->phase != ENDING)
				tf_log(code ? TF_LOG_WARNING : TF_LOG_INFO,
				       "the command on the right ended with status %d", code);
		}
	}
}

/* A person sent it, not a terminal that goes, nor the shell whose terminal that was. */
static int wants_reload(const struct lab *lab, const siginfo_t *info)
{
	return info->si_signo == SIGHUP && info->si_code != SI_KERNEL && !lab->options.no_reload && lab->filter &&
	       (lab->phase == WAITING || lab->phase == RUNNING) && (!lab->had_terminal || tf_host_has_terminal());
}

/* Somebody wants the lab to end, or its command; or the script loaded anew. */
static void on_signal(struct lab *lab, const siginfo_t *info)
{
	int number = info->si_signo, interrupt = number == SIGINT || number == SIGQUIT;
	uint64_t now = tf_now_ms(), since = now - lab->heard;

	if (interrupt && lab->left && info->si_code == SI_KERNEL)
		return; /* typed: the command has it from the terminal */
	if (since < ECHO_MS)
		return;
	lab->heard = now;
	if (wants_reload(lab, info)) {
		kill(lab->filter, SIGHUP);
	} else if (lab->phase == ENDING) {
		lab->deadline = now;
	} else if (!lab->left) {
		end(lab, 128 + number);
	} else if (interrupt) {
		kill(lab->left, number);
	} else if (lab->deadline) { /* asked once already */
		kill(lab->left, SIGKILL);
	} else {
		kill(lab->left, polite(lab) == SIGHUP ? SIGHUP : number);
		lab->deadline = now + PATIENCE_MS;
	}
}

/* What is to be done without a signal; the milliseconds until the next look, or -1. */
static int step(struct lab *lab)
{
	uint64_t now = tf_now_ms();

	if (lab->phase == WAITING && lab->right && now >= lab->deadline && !tf_lab_listens())
		tf_log(TF_LOG_WARNING, "nothing listens on the right after %d s: going on", LISTEN_MS / 1000);
	if (lab->phase == WAITING && (!lab->right || now >= lab->deadline || tf_lab_listens())) {
		lab->phase = RUNNING;
		lab->deadline = 0;
		lab->left = start_command(lab, TF_LEFT);
	}
	if (lab->phase == RUNNING && lab->deadline && now >= lab->deadline) {
		kill(lab->left, SIGKILL);
		lab->deadline = now + PATIENCE_MS;
	}
	if (lab->phase == WAITING)
		return LOOK_MS;
	return lab->deadline ? lab->deadline > now ? (int)(lab->deadline - now) : 0 : -1;
}

static int take_signals(struct lab *lab)
{
	siginfo_t info;

	for (;;) {
		int wait = step(lab);
		struct timespec time = {wait / 1000, wait % 1000 * 1000000L};

		if (lab->phase == ENDING &&
		    (wait == 0 || (!lab->filter && !lab->left && !lab->right))) {
			if (lab->filter)
				tf_log(TF_LOG_WARNING, "the filter did not end by itself and is killed: does a "
						       "callback have a loop without an end?");
			return lab->status;
		}
		if (sigtimedwait(&lab->beside.waits, &info, wait < 0 ? NULL : &time) < 0)
			continue;
		if (info.si_signo == SIGCHLD) {
			reap(lab);
		} else if (info.si_signo == SIGUSR1) {
			if (lab->filter)
				kill(lab->filter, SIGUSR1);
		} else if (info.si_signo == SIGUSR2) {
			if (lab->phase == LOADING && info.si_pid == lab->filter)
				on_ready(lab);
		} else {
			on_signal(lab, &info);
		}
	}
}

/* A network namespace with loopback and nothing else; held open at a number that enter knows. */
static int make_host(int side, struct tf_error *error)
{
	struct tf_links *links;
	int fd, err;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup3(fd, TF_LAB_NETNS_FD(side), O_CLOEXEC) < 0)
		return tf_error_set(error, -errno, "the namespace of %s: %s", tf_host_names[side],
				    strerror(errno));
	close(fd);
	/* A new namespace takes this from the machine's (1 where Docker runs): no router here. */
	fd = open("/proc/sys/net/ipv4/ip_forward", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			tf_log(TF_LOG_WARNING, "host %s may forward packets: %s",
			       tf_host_names[side], strerror(errno));
		close(fd);
	}
	err = tf_links_open(&links, error);
	if (err < 0)
		return err;
	err = tf_link_up(links, 1, error); /* loopback is always the first */
	tf_links_close(links);
	return err;
}

static int fail_namespaces(int code, const char *what)
{
	char text[1024];

	tf_doctor_namespaces(-code, text, sizeof(text));
	tf_log(TF_LOG_ERROR, "cannot make a lab's %s: %s", what, text);
	return TF_EXIT_SYSTEM;
}

/* 0, or the exit status. parent: a pipe whose other end the caller's process holds. */
static int make_lab(int parent, uid_t uid, gid_t gid, int mapped)
{
	struct pollfd alive = {.fd = parent};
	struct tf_error error = {0};
	int err = 0;

	/* For our files in /proc to be ours, also where the program has capabilities of its own. */
	prctl(PR_SET_DUMPABLE, 1);
	if (mapped && (err = tf_host_map_user(uid, gid)) < 0)
		return fail_namespaces(err, "user namespace");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&alive, 1, 0) != 0)
		return TF_EXIT_SYSTEM; /* it died before that held */
	close(parent);

	for (int side = TF_LEFT; side <= TF_RIGHT && err == 0; side++)
		err = make_host(side, &error);
	/* The filter's own, which is empty: it has no business with the machine's. */
	if (err == 0 && unshare(CLONE_NEWNET) < 0)
		err = -errno;
	if (err < 0 && !error.text[0])
		return fail_namespaces(err, "network namespaces");
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		return tf_error_exit(err);
	}
	return 0;
}

/* Process 1. Ends by _exit; only the filter returns. */
static int live(struct lab *lab, int parent, uid_t uid, gid_t gid, int mapped)
{
	int status = make_lab(parent, uid, gid, mapped);

	if (status)
		_exit(status);
	if (readlink("/proc/self", lab->pid, sizeof(lab->pid) - 1) < 0) /* still the one outside */
		strcpy(lab->pid, "?");
	tf_lab_files(&lab->options);
	lab->filter = fork();
	if (lab->filter == 0)
		return filter(lab);
	if (lab->filter < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a process: %s", strerror(errno));
		_exit(TF_EXIT_SYSTEM);
	}
	/* From here we look whether somebody listens on the right. */
	setns(TF_LAB_NETNS_FD(TF_RIGHT), CLONE_NEWNET);
	prctl(PR_SET_NAME, TF_LAB_PROCESS);
	_exit(take_signals(lab));
}

int tf_command_lab(const struct tf_options *options)
{
	struct lab lab = {.phase = LOADING, .status = -1};
	struct tf_error error = {0};
	int flags = CLONE_NEWPID | CLONE_NEWNS | SIGCHLD;
	int mapped = !tf_host_has_rights();
	int status, err, alive[2];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	pid_t pid;

	err = tf_lab_options(&lab.options, options, &error);
	if (err < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		return tf_error_exit(err);
	}
	if (pipe2(alive, O_CLOEXEC) < 0) {
		tf_log(TF_LOG_ERROR, "no pipe: %s", strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	lab.had_terminal = tf_host_has_terminal();
	tf_beside_begin(&lab.beside, !options->command_argv);
	if (mapped)
		flags |= CLONE_NEWUSER;
	pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		close(alive[1]);
		return live(&lab, alive[0], uid, gid, mapped);
	}
	err = -errno;
	close(alive[0]);
	if (pid < 0) {
		close(alive[1]);
		tf_beside_end(&lab.beside, 0);
		return fail_namespaces(err, "namespaces");
	}
	status = tf_beside_wait(&lab.beside, pid);
	close(alive[1]);
	tf_beside_end(&lab.beside, WIFSIGNALED(status) || !options->command_argv);
	if (WIFSIGNALED(status)) {
		tf_log(TF_LOG_ERROR, "the lab was ended by signal %d (%s); all in it is gone",
		       WTERMSIG(status), strsignal(WTERMSIG(status)));
		return TF_EXIT_SYSTEM;
	}
	return WEXITSTATUS(status);
}
