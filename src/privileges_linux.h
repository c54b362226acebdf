/* What a worker's process may do: little, before anything of the script's runs in it. */
#ifndef TF_PRIVILEGES_LINUX_H
#define TF_PRIVILEGES_LINUX_H

#include "error.h"
#include "options.h"

/*
 * For good, in this process and all that comes of it: the rights of the person who called sudo, or of
 * --user; no capabilities; and but for --unsafe no new ones, no system calls but those that a run needs, and of files
 * only the script's folder, to read. With aloud it says that --unsafe is, and with -v what is in force. 0, or a code with a sentence.
 */
int tf_privileges_drop(const struct tf_options *options, int aloud, struct tf_error *error);

/* The version of Landlock that the kernel has, 0: none. */
int tf_landlock_version(void);

/* No files but those below folder, to read. 0, or a negative code: not in force. */
int tf_landlock_only(const char *folder);

/*
 * No system calls but those that a run needs; others fail with EPERM. timed: setitimer, too, for who watches
 * over its own script. Likewise.
 */
int tf_seccomp_only(int timed);

#endif
