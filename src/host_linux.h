/*
 * What `lab` and `enter` share: rights in a user namespace, standing beside a command (its
 * signals, its terminal, its status), and running a command on one of a lab's two hosts.
 */
#ifndef TF_HOST_LINUX_H
#define TF_HOST_LINUX_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "error.h"

/* The first process of a lab has this name, and holds the hosts' network namespaces open here. */
#define TF_LAB_PROCESS	      "tunfilter-lab"
#define TF_LAB_NETNS_FD(side) (100 + (side))

extern const char *const tf_host_names[2]; /* "left", "right" */

/* Whether this process may make namespaces and network devices as it is: no user namespace needed.
 */
int tf_host_has_rights(void);

/* Whether it may make and set up devices where it is: CAP_NET_ADMIN. */
int tf_host_may_configure(void);

/* The user is the same user in the user namespace just made, and nobody else is. 0 or -errno. */
int tf_host_map_user(uid_t uid, gid_t gid);

/* A process that stands beside a command and is to be as good as not there. */
struct tf_beside {
	sigset_t waits;	     /* blocked, taken by sigwaitinfo; none that our caller had ignored */
	sigset_t before;     /* the mask that commands get back */
	int terminal;	     /* the controlling terminal if its foreground is ours, else -1 */
	struct termios mode; /* of the terminal */
};

/*
 * Blocks the signals and looks at the terminal. interactive: a shell will want the terminal, so as
 * a background job this stops until it is brought to the front.
 */
void tf_beside_begin(struct tf_beside *beside, int interactive);

/*
 * Waits for a child and passes signals on to it: all but those that the terminal itself has sent
 * to the child too. Returns the status as of waitpid.
 */
int tf_beside_wait(const struct tf_beside *beside, pid_t child);

/* Takes the terminal back from a dead group; restore: its modes too. Unblocks. */
void tf_beside_end(struct tf_beside *beside, int restore);

/* The exit status that stands for a waitpid status: 128 + signal for a signal. */
int tf_exit_status(int status);

/* Whether this process has a terminal, and it is there still. */
int tf_host_has_terminal(void);

/* Milliseconds of a clock that only goes forward. */
uint64_t tf_now_ms(void);

/*
 * Becomes a command on a host; for a child just forked. argv NULL: an interactive shell, with a
 * process group and the terminal of its own. Ends with 127 or 126 as a shell does if it can't.
 */
_Noreturn void tf_host_exec(const struct tf_beside *beside, int side, int netns, char *const *argv);

#endif
