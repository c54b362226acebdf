/* The parts of privileges_linux.c. */
#ifndef TF_PRIVILEGES_LINUX_H
#define TF_PRIVILEGES_LINUX_H

#include "privileges.h"

/* Whether Landlock and the filter can be put in force here, as a child finds out: 0, or a negative code. */
void tf_privileges_try(int *files, int *calls);

/* The version of Landlock that the kernel has, 0: none. */
int tf_landlock_version(void);

/* No files but those that are allowed between the two. A descriptor, or a negative code: it cannot be. */
int tf_landlock_begin(void);

/* What is below this folder may be read. One that is not there gives nothing. */
void tf_landlock_allow(int rules, const char *folder);

/* 0, or a negative code: not in force. */
int tf_landlock_end(int rules);

/*
 * No system calls but those that a run needs; others fail with EPERM. timed: setitimer, too, for who watches
 * over its own script. 0, or a negative code: not in force.
 */
int tf_seccomp_only(int timed);

#endif
