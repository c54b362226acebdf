/* The parts of `tunfilter lab` on Linux. */
#ifndef TF_LAB_LINUX_H
#define TF_LAB_LINUX_H

#include <arpa/inet.h>

#include "options.h"

/*
 * What the person asked for with the gaps filled: names, addresses, namespaces. 0, or TF_EOPTION.
 */
int tf_lab_options(struct tf_options *lab, const struct tf_options *asked, struct tf_error *error);

/*
 * Puts the lab's hosts file and its like over the machine's, and a new /proc over the old, in the
 * mount namespace that we are in (one of our own). What can't be done is warned of.
 */
void tf_lab_files(const struct tf_options *lab);

/* The process that filters; its exit status. ready is called when packets can pass. */
int tf_lab_filter(const struct tf_options *lab, void (*ready)(void));

/* Whether something on the host that we are on waits for packets: a server has come up. */
int tf_lab_listens(void);

/* "10.77.0.1" in text, which is returned. */
const char *tf_address_text(const struct tf_prefix *address, char text[INET6_ADDRSTRLEN]);

#endif
