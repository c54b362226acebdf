/* What `lab` and `enter` share; see the header. */
#include "host_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

const char *const tf_host_names[2] = {"left", "right"};

static int get_capabilities(struct __user_cap_data_struct caps[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capget, &header, caps);
}

static int has_capabilities(uint32_t needed)
{
	struct __user_cap_data_struct caps[2];

	return get_capabilities(caps) == 0 && (caps[0].effective & needed) == needed;
}

/*
 * What the user namespace gives is kept over exec without being root in it. Root would be worse:
 * tcpdump and many servers then try to become somebody else, which a namespace of one user forbids.
 */
static void keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];

	if (get_capabilities(caps) < 0)
		return;
	caps[0].inheritable = caps[0].permitted;
	caps[1].inheritable = caps[1].permitted;
	syscall(SYS_capset, &header, caps);
	for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

int tf_host_has_rights(void)
{
	return has_capabilities(1u << CAP_SYS_ADMIN | 1u << CAP_NET_ADMIN);
}

int tf_host_may_configure(void)
{
	return has_capabilities(1u << CAP_NET_ADMIN);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int tf_host_map_user(uid_t uid, gid_t gid)
{
	char line[64];
	int rc;

	/* Needed before a plain user may write gid_map; the file is absent before Linux 3.19. */
	rc = write_file("/proc/self/setgroups", "deny");
	if (rc < 0 && rc != -ENOENT)
		return rc;
	snprintf(line, sizeof(line), "%u %u 1\n", (unsigned int)uid, (unsigned int)uid);
	rc = write_file("/proc/self/uid_map", line);
	if (rc < 0)
		return rc;
	snprintf(line, sizeof(line), "%u %u 1\n", (unsigned int)gid, (unsigned int)gid);
	return write_file("/proc/self/gid_map", line);
}

int tf_host_has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EMFILE || errno == ENFILE || errno == ENOMEM; /* these say nothing of it */
}

void tf_beside_begin(struct tf_beside *beside, int interactive)
{
	static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
	struct sigaction action;

	sigemptyset(&beside->waits);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		/* What nohup or a shell's "&" had ignored stays ignored, here and in the command.
		 */
		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler == SIG_IGN &&
		    signals[i] != SIGCHLD && signals[i] != SIGUSR2)
			continue;
		sigaddset(&beside->waits, signals[i]);
	}
	signal(SIGCHLD, SIG_DFL); /* ignored, children's statuses would be lost */

	beside->terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (beside->terminal >= 0) {
		if (interactive && isatty(STDIN_FILENO) && tcgetpgrp(beside->terminal) != getpgrp())
			kill(0,
			     SIGTTIN); /* in the background: stop as a shell would, go on with fg */
		if (tcgetpgrp(beside->terminal) != getpgrp() ||
		    tcgetattr(beside->terminal, &beside->mode) < 0) {
			close(beside->terminal);
			beside->terminal = -1;
		}
	}
	sigprocmask(SIG_BLOCK, &beside->waits, &beside->before);
}

int tf_beside_wait(const struct tf_beside *beside, pid_t child)
{
	siginfo_t info;
	int status;

	for (;;) {
		if (sigwaitinfo(&beside->waits, &info) < 0)
			continue;
		switch (info.si_signo) {
		case SIGCHLD:
			if (waitpid(child, &status, WNOHANG) == child)
				return status;
			break;
		case SIGINT:
		case SIGQUIT:
			if (info.si_code == SI_KERNEL)
				break; /* typed: the terminal sends it to the whole group */
				       /* fall through */
		default:
			kill(child, info.si_signo);
		}
	}
}

void tf_beside_end(struct tf_beside *beside, int restore)
{
	sigset_t ttou;
	pid_t front;

	if (beside->terminal >= 0) {
		sigemptyset(&ttou);
		sigaddset(&ttou, SIGTTOU);
		sigprocmask(SIG_BLOCK, &ttou, NULL);
		front = tcgetpgrp(beside->terminal);
		/* A living group in front is our caller's shell, which has us in the background. */
		if (front > 0 && front != getpgrp() && kill(-front, 0) < 0 && errno == ESRCH)
			tcsetpgrp(beside->terminal, getpgrp());
		if (restore && tcgetpgrp(beside->terminal) == getpgrp())
			tcsetattr(beside->terminal, TCSADRAIN, &beside->mode);
		close(beside->terminal);
		beside->terminal = -1;
	}
	sigprocmask(SIG_SETMASK, &beside->before, NULL);
}

int tf_exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

uint64_t tf_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

_Noreturn void tf_host_exec(const struct tf_beside *beside, int side, int netns, char *const *argv)
{
	const char *name = tf_host_names[side];
	const char *shell = getenv("SHELL");
	char *fallback[] = {"/bin/sh", NULL};
	char *interactive[] = {(char *)shell, NULL};
	int missing;

	if (setns(netns, CLONE_NEWNET) < 0 || unshare(CLONE_NEWUTS) < 0 ||
	    sethostname(name, strlen(name)) < 0) {
		tf_log(TF_LOG_ERROR, "cannot become host %s: %s", name, strerror(errno));
		_exit(TF_EXIT_SYSTEM);
	}
	if (geteuid() != 0)
		keep_capabilities();
	signal(SIGPIPE, SIG_DFL);
	if (!argv && beside->terminal >= 0 && isatty(STDIN_FILENO)) {
		/*
		 * A group from outside the pid namespace has the number 0 in here, which confuses
		 * shells with job control; with a group of its own in front a shell is at home.
		 * SIGTTOU is blocked for that moment: we take the terminal from behind.
		 */
		sigset_t ttou;

		sigemptyset(&ttou);
		sigaddset(&ttou, SIGTTOU);
		sigprocmask(SIG_BLOCK, &ttou, NULL);
		setpgid(0, 0);
		tcsetpgrp(beside->terminal, getpid());
	}
	sigprocmask(SIG_SETMASK, &beside->before, NULL);
	if (!argv)
		argv = shell && *shell ? interactive : fallback;
	execvp(argv[0], argv);
	/* A folder of PATH that may not be searched hides "not found". */
	missing = errno == ENOENT || !strchr(argv[0], '/');
	tf_log(TF_LOG_ERROR, "%s: cannot run %s: %s%s", name, argv[0], missing ? "not found" : strerror(errno),
	       missing && strchr(argv[0], ' ') ? "; without quotes it is a command and its words, and sh -c \"...\" is a line of the shell's"
					       : "");
	_exit(missing ? 127 : 126);
}
