/* Linux network namespaces: finding one by name or pid, and being inside one for a moment. */
#ifndef TF_NETNS_H
#define TF_NETNS_H

#include <stddef.h>

#include "error.h"

#define TF_NETNS_NAMES "/var/run/netns" /* where `ip netns` keeps the names */

/*
 * Opens the namespace that a word names: a name of `ip netns`, a pid, or a path with a slash.
 * A descriptor (close it), or a code with a sentence. where gets "namespace blue" and the like.
 */
int tf_netns_open(const char *word, char *where, size_t where_size, struct tf_error *error);

/*
 * Moves this thread into the namespace; *back gets a descriptor to return with. 0, or a code.
 * Between the two calls nothing but socket and device opening may be done.
 */
int tf_netns_enter(int fd, int *back, struct tf_error *error);
void tf_netns_return(int back);

#endif
