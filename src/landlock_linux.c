/* Landlock: which files a process may open. Its system calls have no wrappers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privileges_linux.h"

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* Versions of Landlock: each can forbid more, and refuses to be asked for what later ones can. */
enum { REFER = 2, TRUNCATE = 3, NETWORK = 4, DEVICES = 5, SCOPES = 6 };

#define JIT_NAMES(folder) folder "/share/luajit-2.1/jit/vmdef.lua"

/* As the kernel has it; a system's header may be older than its kernel. */
struct rules {
	uint64_t files, network, scoped;
};

static uint64_t all_of_files(int version)
{
	return ((UINT64_C(1) << 13) - 1) | /* what the first one knows, by number */
	       (version >= REFER ? UINT64_C(1) << 13 : 0) | (version >= TRUNCATE ? UINT64_C(1) << 14 : 0) |
	       (version >= DEVICES ? UINT64_C(1) << 15 : 0);
}

int tf_landlock_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

static void allow(int rules, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return;
	syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

int tf_landlock_begin(void)
{
	/*
	 * Where the names of an expression stand ("port http", "host left"), the time zone of a log's line, and the
	 * words of check --jit.
	 */
	static const char *const names[] = {"/etc/services", "/etc/protocols", "/etc/hosts", "/etc/networks",
					    "/etc/ethers", "/etc/nsswitch.conf", "/etc/host.conf",
					    "/etc/localtime", JIT_NAMES("/usr"), JIT_NAMES("/usr/local")};
	int version = tf_landlock_version(), rules;
	/* To bind and to connect; signals and abstract sockets of others. */
	struct rules all = {all_of_files(version), 3, 3};
	size_t size = version >= SCOPES	   ? sizeof(all)
		      : version >= NETWORK ? offsetof(struct rules, scoped)
					   : offsetof(struct rules, network);

	rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (rules < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		allow(rules, names[i], LANDLOCK_ACCESS_FS_READ_FILE); /* not all are there */
	/* A trial's output goes there. */
	allow(rules, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
#ifdef TF_LUA_DIR
	allow(rules, TF_LUA_DIR, READING);
#endif
	return rules;
}

void tf_landlock_allow(int rules, const char *folder)
{
	allow(rules, folder, READING);
}

int tf_landlock_end(int rules)
{
	int err = syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;

	close(rules);
	return err;
}
