#include "user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS 65536 /* the kernel has no more */

static struct {
	int is_other; /* the rest is about somebody else than who we are */
	int is_named; /* by --user */
	uid_t uid;
	gid_t gid;
	char name[256], text[300];
} user;

static struct {
	gid_t *groups;
	int count; /* -1: nothing is lent */
} lent = {.count = -1};

/* Whether there is such a user where we are: in a user namespace only few may be. */
static int is_mapped(uid_t uid)
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

static int take(const struct passwd *entry, int is_named)
{
	user.is_other = entry->pw_uid != geteuid();
	user.is_named = is_named;
	user.uid = entry->pw_uid;
	user.gid = entry->pw_gid;
	snprintf(user.name, sizeof(user.name), "%s", entry->pw_name);
	snprintf(user.text, sizeof(user.text), " as user %s", user.name);
	return 0;
}

/* Digits and nothing else, of a number that a user can have. */
static int read_uid(const char *text, uid_t *uid)
{
	char *after;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &after, 10);
	*uid = (uid_t)number;
	return *text >= '0' && *text <= '9' && *after == '\0' && errno == 0 && *uid == number && *uid != (uid_t)-1;
}

/* Whom a program that made us root says it did that for. */
static int choose_caller(struct tf_error *error)
{
	static const struct {
		const char *variable;
		int is_name;
	} callers[] = {{"SUDO_UID", 0}, {"PKEXEC_UID", 0}, {"DOAS_USER", 1}};
	const struct passwd *entry = NULL;
	const char *value = NULL;
	size_t i = 0;
	uid_t uid;

	for (; i < sizeof(callers) / sizeof(callers[0]) && value == NULL; i++)
		value = getenv(callers[i].variable);
	if (value == NULL)
		return 0;
	i--;
	if (callers[i].is_name)
		entry = getpwnam(value);
	else if (read_uid(value, &uid) && !is_mapped(uid))
		return 0;
	else if (read_uid(value, &uid))
		entry = getpwuid(uid);
	if (entry == NULL)
		return tf_error_set(error, TF_EOPTION,
				    "%s is %.40s, whom the system does not know: say with --user as whom the script "
				    "is to run",
				    callers[i].variable, value);
	return is_mapped(entry->pw_uid) ? take(entry, 0) : 0;
}

int tf_user_choose(const char *name, struct tf_error *error)
{
	const struct passwd *entry;

	if (name == NULL)
		return geteuid() == 0 ? choose_caller(error) : 0;
	entry = getpwnam(name);
	if (entry == NULL)
		return tf_error_set(error, TF_EOPTION, "--user: there is no user '%.80s'", name);
	if (geteuid() != 0 && entry->pw_uid != geteuid())
		return tf_error_set(error, TF_EOPTION, "--user: only root can become '%.80s'", name);
	return take(entry, 1);
}

/* A lab's user namespace may have nobody but us. */
static int is_to_change(void)
{
	return user.is_other && geteuid() == 0 && (user.is_named || is_mapped(user.uid));
}

int tf_user_lend(void)
{
	int err;

	if (!is_to_change())
		return 0;
	if (lent.groups == NULL && (lent.groups = malloc(GROUPS * sizeof(gid_t))) == NULL)
		return -ENOMEM;
	lent.count = getgroups(GROUPS, lent.groups);
	if (lent.count < 0)
		return -errno;
	/* With the user go the capabilities in force; they come back with root. */
	if (initgroups(user.name, user.gid) == 0 && setegid(user.gid) == 0 && seteuid(user.uid) == 0)
		return 0;
	err = -errno;
	tf_user_return();
	return err;
}

void tf_user_return(void)
{
	if (lent.count < 0)
		return;
	if (seteuid(getuid()) < 0 || setegid(getgid()) < 0 || setgroups((size_t)lent.count, lent.groups) < 0)
		abort(); /* what we are now would be nobody's intention */
	lent.count = -1;
}

int tf_user_become(struct tf_error *error)
{
	if (!is_to_change())
		return 0;
	if (initgroups(user.name, user.gid) < 0 || setresgid(user.gid, user.gid, user.gid) < 0 ||
	    setresuid(user.uid, user.uid, user.uid) < 0)
		return tf_error_set(error, -errno, "cannot become user %s: %s", user.name, strerror(errno));
	return 0;
}

const char *tf_user_text(void)
{
	return user.is_other ? user.text : "";
}
