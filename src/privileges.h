/*
 * What a process that runs a script may do: little, before anything of the script's runs in it, or is read. On systems
 * without these means (privileges_none.c) it may do what it could before.
 */
#ifndef TF_PRIVILEGES_H
#define TF_PRIVILEGES_H

#include "error.h"
#include "options.h"

/* Once, before a file is open: what is inherited from who started the program is nothing to a script. */
void tf_privileges_begin(void);

/*
 * For good, in this process and all that comes of it: the rights of user.h's user, no capabilities, and but for --unsafe
 * none to be had. 0, or a code with a sentence.
 */
int tf_privileges_become(const struct tf_options *options, struct tf_error *error);

/*
 * After that, likewise, but for --unsafe: no system calls but those that a run needs, and of files only the folders of the
 * script and of scenarios, to read; what was inherited is closed. Whatever else is written or read has to be open by now. Threads that run already
 * are left as they are. With aloud it says what cannot be put in force, that --unsafe is, and with -v what is in force.
 */
void tf_privileges_confine(const struct tf_options *options, int aloud);

/* Both, aloud. 0, or a code with a sentence. */
int tf_privileges_drop(const struct tf_options *options, struct tf_error *error);

/*
 * Has `what` done by a process that has dropped its rights, as a script is read before this one drops its own; its
 * exit status.
 */
int tf_privileges_apart(const struct tf_options *options, int (*what)(void *arg), void *arg);

#endif
