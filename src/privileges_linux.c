#include "privileges_linux.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "log.h"

/* Sanitizers write files, look at processes and start them. */
#ifdef TF_SANITIZED
#define CONFINES 0
#else
#define CONFINES 1
#endif

/* Whether there is such a user where we are: in a user namespace only few may be. */
static int is_mapped(unsigned long uid)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	unsigned long first, count;
	int found = file == NULL;

	while (file != NULL && !found && fscanf(file, "%lu %*u %lu", &first, &count) == 2)
		found = uid >= first && uid - first < count;
	if (file != NULL)
		fclose(file);
	return found;
}

/* Who the script is to be; NULL: who we are. */
static int find_user(const struct tf_options *options, struct passwd **out, struct tf_error *error)
{
	const char *sudo = getenv("SUDO_UID");

	*out = NULL;
	if (options->user != NULL) {
		*out = getpwnam(options->user);
		if (*out == NULL)
			return tf_error_set(error, TF_EOPTION, "--user: there is no user '%.80s'", options->user);
		if (geteuid() != 0 && (*out)->pw_uid != geteuid())
			return tf_error_set(error, TF_EOPTION, "--user: only root can become '%.80s'", options->user);
	} else if (sudo != NULL && geteuid() == 0 && is_mapped(strtoul(sudo, NULL, 10))) {
		*out = getpwuid((uid_t)strtoul(sudo, NULL, 10));
		if (*out == NULL)
			return tf_error_set(error, TF_EOPTION,
					    "SUDO_UID is %.20s, whom the system does not know: say with --user "
					    "as whom the script is to run",
					    sudo);
	}
	return 0;
}

static int become(const struct passwd *user, struct tf_error *error)
{
	if (user == NULL || user->pw_uid == geteuid())
		return 0;
	if (initgroups(user->pw_name, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return tf_error_set(error, -errno, "cannot become user %s: %s", user->pw_name, strerror(errno));
	return 0;
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

int tf_privileges_drop(const struct tf_options *options, int aloud, struct tf_error *error)
{
	const struct passwd *self;
	char folder[4096];
	struct passwd *user;
	int err, files = -1, calls = -1;

	tzset(); /* while its file can be read */
	folder_of(options->script, folder, sizeof(folder));
	err = find_user(options, &user, error);
	bound_capabilities();
	if (err == 0)
		err = become(user, error);
	if (err == 0)
		err = drop_capabilities(error);
	if (err < 0)
		return err;
	self = options->verbose ? getpwuid(geteuid()) : NULL;
	if (!options->unsafe && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return tf_error_set(error, -errno, "cannot do without new rights: %s", strerror(errno));
	if (!options->unsafe && CONFINES) {
		files = tf_landlock_only(folder);
		calls = tf_seccomp_only(0);
	}
	if (options->verbose && aloud)
		tf_log(TF_LOG_INFO, "the script runs as %s, without capabilities; files: %s%s; system calls: %s",
		       self != NULL ? self->pw_name : "this user", files == 0 ? "to read, below " : "as this user",
		       files == 0 ? folder : "", calls == 0 ? "those of a run" : "all");
	if (options->unsafe && aloud)
		tf_log(TF_LOG_WARNING, "--unsafe: the script can do all that this user can");
	return 0;
}
