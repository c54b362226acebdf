#include "privileges_linux.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guard.h"
#include "log.h"
#include "system.h"
#include "user.h"

/* Sanitizers write files, look at processes and start them. */
#ifdef TF_SANITIZED
#define CONFINES 0
#else
#define CONFINES 1
#endif

/* Descriptors that were open before ours; more than these stay open. */
static int inherited[256], inherited_count;

void tf_privileges_begin(void)
{
	DIR *open_files = opendir("/proc/self/fd");
	const struct dirent *entry;

	while (open_files != NULL && (entry = readdir(open_files)) != NULL) {
		int fd = atoi(entry->d_name); /* 0 for "." and ".." */

		if (fd > STDERR_FILENO && fd != dirfd(open_files) &&
		    inherited_count < (int)(sizeof(inherited) / sizeof(inherited[0])))
			inherited[inherited_count++] = fd;
	}
	if (open_files != NULL)
		closedir(open_files);
}

static void close_inherited(void)
{
	while (inherited_count > 0)
		close(inherited[--inherited_count]);
}

/* What exec may give at most: nothing. Takes a right that goes with the user. */
static void bound_capabilities(void)
{
	for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static int drop_capabilities(struct tf_error *error)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) < 0)
		return tf_error_set(error, -errno, "cannot give capabilities up: %s", strerror(errno));
	return 0;
}

/* The folder that a script lies in. */
static void folder_of(const char *script, char *folder, size_t size)
{
	const char *slash = strrchr(script, '/');

	snprintf(folder, size, "%.*s", slash == NULL ? 1 : slash == script ? 1 : (int)(slash - script),
		 slash == NULL ? "." : script);
}

int tf_privileges_become(const struct tf_options *options, struct tf_error *error)
{
	int err;

	tzset(); /* while its file can be read */
	bound_capabilities();
	err = tf_user_become(error);
	if (err == 0)
		err = drop_capabilities(error);
	if (err == 0 && !options->unsafe && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		err = tf_error_set(error, -errno, "cannot do without new rights: %s", strerror(errno));
	return err;
}

static int limit_files(const struct tf_options *options)
{
	int rules = tf_landlock_begin();
	char folder[4096];

	if (rules < 0)
		return rules;
	folder_of(options->script, folder, sizeof(folder));
	tf_landlock_allow(rules, folder);
	if (tf_system_link_folder(options->script, folder, sizeof(folder)) == 0)
		tf_landlock_allow(rules, folder);
	for (int i = 0; i < options->test_count; i++) {
		folder_of(options->tests[i], folder, sizeof(folder));
		tf_landlock_allow(rules, folder);
	}
	return tf_landlock_end(rules);
}

/* files, calls: 0 where they are limited, or why they are not. */
static void say(const struct tf_options *options, const char *user, int files, int calls)
{
	char folder[4096];

	folder_of(options->script, folder, sizeof(folder));
	if (options->verbose)
		tf_log(TF_LOG_INFO, "the script runs as %s, without capabilities; files: %s%s; system calls: %s", user,
		       files == 0 ? "to read, below " : "as this user", files == 0 ? folder : "",
		       calls == 0 ? "those of a run" : "all");
	if (options->unsafe) {
		tf_log(TF_LOG_WARNING, "--unsafe: the script can do all that this user can");
		return;
	}
	if (CONFINES && files < 0)
		tf_log(TF_LOG_WARNING, "Landlock is not in force (%s): only Lua keeps the script from this user's files",
		       strerror(-files));
	if (CONFINES && calls < 0)
		tf_log(TF_LOG_WARNING, "seccomp is not in force (%s): only Lua keeps the script from system calls",
		       strerror(-calls));
}

/* timed: see tf_seccomp_only. */
static void confine(const struct tf_options *options, int timed, int aloud)
{
	/* While the file can be read. */
	const struct passwd *self = aloud && options->verbose ? getpwuid(geteuid()) : NULL;
	int limits = CONFINES && !options->unsafe;
	int files = limits ? limit_files(options) : -ENOSYS;
	int calls = limits ? tf_seccomp_only(timed) : -ENOSYS;

	if (limits)
		close_inherited();
	if (aloud)
		say(options, self != NULL ? self->pw_name : "this user", files, calls);
}

void tf_privileges_confine(const struct tf_options *options, int aloud)
{
	/* Other commands have no supervisor. */
	confine(options, options->command != TF_COMMAND_RUN && options->command != TF_COMMAND_LAB, aloud);
}

int tf_privileges_drop(const struct tf_options *options, struct tf_error *error)
{
	int err = tf_privileges_become(options, error);

	if (err == 0)
		tf_privileges_confine(options, 1);
	return err;
}

static _Noreturn void do_apart(const struct tf_options *options, int (*what)(void *arg), void *arg)
{
	struct tf_error error = {0};
	int status;

	if (tf_privileges_become(options, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		_exit(tf_error_exit(error.code));
	}
	confine(options, 1, 0);
	tf_guard_alarm(options->time_limit, NULL);
	status = what(arg);
	fflush(NULL);
	_exit(status);
}

/* Its exit status, or -1 - the number of the signal that ended it. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return TF_EXIT_SYSTEM;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1 - WTERMSIG(status);
}

int tf_privileges_apart(const struct tf_options *options, int (*what)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		do_apart(options, what, arg);
	if (pid < 0) {
		tf_log(TF_LOG_ERROR, "cannot start a process: %s", strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	status = wait_for(pid);
	if (status >= 0)
		return status;
	tf_log(TF_LOG_ERROR, "%s: reading it was ended by signal %d (%s)", options->script, -1 - status,
	       strsignal(-1 - status));
	return TF_EXIT_SCRIPT;
}

void tf_privileges_try(int *files, int *calls)
{
	enum { FILES = 1, CALLS = 2 };
	int rules, status, done = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		rules = tf_landlock_begin();
		if (rules >= 0 && tf_landlock_end(rules) == 0)
			done |= FILES;
		if (tf_seccomp_only(0) == 0)
			done |= CALLS;
		_exit(done);
	}
	status = pid < 0 ? 0 : wait_for(pid);
	*files = CONFINES && status > 0 && status & FILES ? 0 : -1;
	*calls = CONFINES && status > 0 && status & CALLS ? 0 : -1;
}
