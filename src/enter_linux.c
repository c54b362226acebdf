/* `tunfilter enter`: one more command on a host of a running lab. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host_linux.h"
#include "lab.h"
#include "log.h"

#define LABS_MAX 64

/* The namespaces of a lab, in the order in which they are joined. */
enum { USER, PID, MOUNT, NET, NAMESPACES };

static int is_number(const char *word)
{
	return *word && strspn(word, "0123456789") == strlen(word);
}

/*
 * Whether a process is the first of a lab. *parent: who started the lab. A child of it that has
 * not yet become another program has the same name, but is not process 1 of its namespace.
 */
static int is_lab(const char *pid, int *parent)
{
	char path[64], line[256] = "", *last;
	int name = 0, first = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%.16s/status", pid);
	status = fopen(path, "re");
	if (!status)
		return 0;
	while (fgets(line, sizeof(line), status)) {
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "Name:\t" TF_LAB_PROCESS))
			name = 1;
		sscanf(line, "PPid: %d", parent);
		last = strrchr(line, '\t');
		if (!strncmp(line, "NSpid:", 6) && last && !strcmp(last, "\t1"))
			first = 1;
	}
	fclose(status);
	return name && first;
}

/* Opens what enter needs of a lab; 0, or -errno: gone, starting still, or another user's. */
static int open_lab(int fds[NAMESPACES], int pid, int side)
{
	static const char *const names[] = {"user", "pid", "mnt"};
	char path[64];

	for (int i = 0; i < NAMESPACES; i++) {
		if (i == NET)
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, TF_LAB_NETNS_FD(side));
		else
			snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0) {
			int err = -errno;

			while (i-- > 0)
				close(fds[i]);
			return err;
		}
	}
	return 0;
}

/* Finds the lab that is meant and opens it. Its pid, or a negative code. */
static int find_lab(int fds[NAMESPACES], const struct tf_options *options, struct tf_error *error)
{
	int found[LABS_MAX], count = 0, refused = 0, err;
	char list[512] = "";
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	while (proc && count < LABS_MAX && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name), parent = 0;

		if (!is_number(entry->d_name) || !is_lab(entry->d_name, &parent))
			continue;
		/* A person may know the lab by the command that they started. */
		if (options->lab_pid && options->lab_pid != pid && options->lab_pid != parent)
			continue;
		err = open_lab(fds, pid, options->side);
		if (err < 0) {
			refused |= err == -EACCES || err == -EPERM;
			continue;
		}
		found[count++] = pid;
		for (int i = 0; i < NAMESPACES; i++)
			close(fds[i]);
	}
	if (proc)
		closedir(proc);
	if (count > 1) {
		for (int i = 0; i < count; i++) {
			size_t used = strlen(list);

			snprintf(list + used, sizeof(list) - used, " %d", found[i]);
		}
		return tf_error_set(error, -EINVAL, "several labs run:%s; say which with --lab PID",
				    list);
	}
	if (count == 1 && open_lab(fds, found[0], options->side) == 0)
		return found[0];
	if (refused)
		return tf_error_set(error, -EACCES,
				    "the lab that runs is another user's; try with sudo");
	if (options->lab_pid)
		return tf_error_set(error, -ESRCH, "no lab has the process id %d",
				    options->lab_pid);
	return tf_error_set(
		error, -ESRCH,
		"no lab runs; `tunfilter lab RULES.lua` in another terminal starts one");
}

static int same_namespace(int fd, const char *ours)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(ours, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* The one number that a map in /proc has, as seen inside. */
static int mapped(int pid, const char *map, unsigned int *number)
{
	char path[64];
	FILE *file;
	int found;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, map);
	file = fopen(path, "re");
	found = file && fscanf(file, "%u", number) == 1;
	if (file)
		fclose(file);
	return found ? 0 : -EINVAL;
}

/* Root of the machine is nobody in a user's lab, unless it becomes that user. */
static int join_user(int fd, int lab)
{
	unsigned int uid, gid;

	if (mapped(lab, "uid_map", &uid) < 0 || mapped(lab, "gid_map", &gid) < 0)
		return -EINVAL;
	if (setns(fd, CLONE_NEWUSER) < 0)
		return -errno;
	if ((getegid() != gid && setresgid(gid, gid, gid) < 0) ||
	    (geteuid() != uid && setresuid(uid, uid, uid) < 0))
		return -errno;
	return 0;
}

/* The host's own network namespace is joined by tf_host_exec. */
static int join_lab(const int fds[NAMESPACES], int lab, struct tf_error *error)
{
	char *folder = getcwd(NULL, 0);
	int err = 0;

	if (!same_namespace(fds[USER], "/proc/self/ns/user"))
		err = join_user(fds[USER], lab);
	if (err == 0 && (setns(fds[PID], CLONE_NEWPID) < 0 || setns(fds[MOUNT], CLONE_NEWNS) < 0))
		err = -errno;
	/* Joining a mount namespace puts us at its root. */
	if (err == 0 && folder && chdir(folder) < 0)
		tf_log(TF_LOG_WARNING, "%s: %s", folder, strerror(errno));
	free(folder);
	if (err < 0)
		return tf_error_set(error, err, "may not enter the lab: %s%s", strerror(-err),
				    err == -EPERM ? "; a lab of root's takes sudo" : "");
	return 0;
}

int tf_command_enter(const struct tf_options *options)
{
	struct tf_error error = {0};
	struct tf_beside beside;
	int fds[NAMESPACES], lab, status;
	pid_t child;

	lab = find_lab(fds, options, &error);
	if (lab < 0 || join_lab(fds, lab, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		return TF_EXIT_SYSTEM;
	}
	tf_beside_begin(&beside, !options->command_argv);
	child = fork();
	if (child == 0) {
		/* If this command is killed, what it started is told as by a closed terminal. */
		prctl(PR_SET_PDEATHSIG, SIGHUP);
		tf_host_exec(&beside, options->side, fds[NET], options->command_argv);
	}
	if (child < 0) {
		/* The pid namespace takes no processes once its first has ended. */
		tf_log(TF_LOG_ERROR, "cannot start a process in the lab: %s",
		       errno == ENOMEM ? "it has just ended" : strerror(errno));
		tf_beside_end(&beside, 0);
		return TF_EXIT_SYSTEM;
	}
	status = tf_beside_wait(&beside, child);
	tf_beside_end(&beside, WIFSIGNALED(status) || !options->command_argv);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		tf_log(TF_LOG_INFO, "the command was killed, as it is when its lab ends");
	/*
	 * Not through main: new processes of ours are born in the lab's pid namespace, and what
	 * sanitizers do at an exit (a helper process) would wait for ever for one that is.
	 */
	_exit(tf_exit_status(status));
}
