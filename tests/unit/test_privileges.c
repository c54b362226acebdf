/* What a worker's process can do no more, tried by a child that has given it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges_linux.h"

static char folder[] = "/tmp/tunfilter-test-XXXXXX", script[64], outside[] = "/etc/passwd";

static int opens(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void *run_thread(void *arg)
{
	return arg;
}

/* In the child: each line is what went wrong. */
static int try_all(int unsafe)
{
	struct tf_options options = {.script = script, .unsafe = unsafe};
	struct tf_error error = {0};
	char new_file[80], type[] = "x", *argv[] = {"/bin/true", NULL};
	int files = tf_landlock_version() > 0, bad = 0, fd, ends[2], udp = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct rlimit limit;
	pthread_t thread;
	void *came_back = NULL;

#define MUST(what)                                                   \
	do {                                                         \
		if (!(what)) {                                       \
			bad++;                                       \
			fprintf(stderr, "not so: %s\n", #what);      \
		}                                                    \
	} while (0)
	snprintf(new_file, sizeof(new_file), "%s/new", folder);
	MUST(tf_privileges_become(&options, &error) == 0);
	tf_privileges_confine(&options, 0);
	MUST(opens(script, O_RDONLY));
	MUST(geteuid() != 0 || setuid(1) < 0 || unsafe);
	if (unsafe) {
		MUST(opens(outside, O_RDONLY));
		return bad;
	}
	MUST(!files || !opens(outside, O_RDONLY));
	MUST(!files || !opens(new_file, O_WRONLY | O_CREAT));
	MUST(!files || !opens(script, O_WRONLY));
	MUST(execv(argv[0], argv) < 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(fd < 0 && errno == EPERM);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(fd < 0 && errno == EPERM);
	MUST(fork() < 0);
	MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
	MUST(kill(getppid(), 0) < 0);
	MUST(ioctl(STDIN_FILENO, TIOCSTI, type) < 0 && errno == EPERM);
	/* A signal of the kernel's reaches whom one of ours may not: a file of ours is made to send it. */
	MUST(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0 && fcntl(ends[0], F_GETFL) == O_NONBLOCK);
	MUST(fcntl(ends[0], F_SETOWN, getppid()) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_SETOWN_EX, &(struct f_owner_ex){F_OWNER_PID, getppid()}) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_SETSIG, SIGKILL) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_SETFL, O_ASYNC) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_NOTIFY, 0) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_SETLEASE, F_WRLCK) < 0 && errno == EPERM);
	MUST(ioctl(ends[0], FIOASYNC, &(int){1}) < 0 && errno == EPERM);
	MUST(ioctl(ends[0], FIOSETOWN, &(int){getppid()}) < 0 && errno == EPERM);
	MUST(fcntl(ends[0], F_SETFL, 0) == 0 && fcntl(ends[0], F_GETFL) == 0);
	/* Limits of our own are read, and none are set: also where half of the pointer to them is 0. */
	MUST(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) == 0);
	MUST(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL) < 0 && errno == EPERM);
	MUST(syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &limit) < 0 && errno == EPERM);
	MUST(sizeof(long) < 8 || (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 1L << (sizeof(long) * 8 - 20), NULL) < 0 &&
				  errno == EPERM));
	MUST(opens(script, O_RDONLY | O_TRUNC) == 0 && errno == EPERM);
	MUST(sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EPERM);
	MUST(sizeof(long) < 8 || (syscall(SYS_sendto, udp, "x", 1, 0, 1L << (sizeof(long) * 8 - 20), 0) < 0 &&
				  errno == EPERM));
	MUST(sendmsg(udp, &(struct msghdr){.msg_name = &to, .msg_namelen = sizeof(to)}, 0) < 0 && errno == EPERM);
	MUST(inotify_init1(0) < 0 && errno == EPERM);
	MUST(syscall(SYS_setitimer, 0, NULL, NULL) < 0 && errno == EPERM);
	MUST(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWNET, NULL, NULL, NULL, NULL) < 0 &&
	     errno == EPERM);
	MUST(unlink(script) < 0);
	MUST(rename(script, new_file) < 0);
	MUST(mkdir(new_file, 0700) < 0);
	MUST(chmod(script, 0777) < 0);
	MUST(syscall(SYS_unshare, 0) < 0 && errno == EPERM);
	MUST(syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL) < 0);
	MUST(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) < 0 && errno == EPERM);
	MUST(syscall(SYS_bpf, 0, NULL, 0) < 0 && errno == EPERM);
	/* A run needs these. */
	MUST(pthread_create(&thread, NULL, run_thread, &fd) == 0 && pthread_join(thread, &came_back) == 0 &&
	     came_back == &fd);
	MUST(malloc(1 << 24) != NULL);
	return bad;
}

static int in_child(int unsafe)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try_all(unsafe));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_script_can_read_its_folder_and_no_more(void **state)
{
	const char *preloaded = getenv("LD_PRELOAD");

	(void)state;
	if (preloaded && strstr(preloaded, "vgpreload")) /* which needs system calls of its own */
		return;
#ifdef TF_SANITIZED
	return;
#endif
	assert_int_equal(in_child(0), 0);
}

/* What seccomp forbids before that, on kernels that have it. */
static void landlock_alone_keeps_signals_in(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (tf_landlock_version() < 6)
		return;
	pid = fork();
	if (pid == 0)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || kill(getppid(), 0) < 0 ? 1
		      : tf_landlock_end(tf_landlock_begin()) < 0				   ? 2
		      : kill(getppid(), 0) == 0 || errno != EPERM			   ? 3
											   : 0);
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void unsafe_lifts_it(void **state)
{
	(void)state;
	assert_int_equal(in_child(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_script_can_read_its_folder_and_no_more),
		cmocka_unit_test(landlock_alone_keeps_signals_in),
		cmocka_unit_test(unsafe_lifts_it),
	};
	FILE *file;
	int failed;

	if (!mkdtemp(folder))
		return 1;
	snprintf(script, sizeof(script), "%s/rules.lua", folder);
	file = fopen(script, "w");
	if (!file || fclose(file) != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(script);
	rmdir(folder);
	return failed;
}
