/*
 * Linux network interfaces through netlink (libmnl): addresses, MTU, up and down, counters.
 * A handle belongs to the network namespace in which it was opened and stays with it.
 * Interfaces are given by index. Functions return 0 or a negative libuv code, with a sentence.
 */
#ifndef TF_LINK_H
#define TF_LINK_H

#include <stdint.h>

#include "device.h"
#include "error.h"

struct tf_links;

int tf_links_open(struct tf_links **out, struct tf_error *error);
void tf_links_close(struct tf_links *links); /* NULL is fine */

/* What the kernel says of one interface. */
struct tf_link_state {
	int index;
	char name[16];	     /* as it is called now */
	char kind[16];	     /* "tun" (tap too), "veth", …; empty for hardware and loopback */
	int up;		     /* IFF_UP */
	uint32_t mtu;	     /* bytes */
	uint64_t tx_dropped; /* packets the kernel dropped on the way to us: our queue was full */
	uint64_t rx_dropped;
	int tap;	 /* tun only: it carries Ethernet */
	int multi_queue; /* tun only: made with IFF_MULTI_QUEUE */
	uint32_t queues; /* tun only: how many a program holds; told of multi_queue devices only */
};

/* UV_ENODEV when there is none of that name; alternative names count. */
int tf_link_index(struct tf_links *links, const char *name, int *index, struct tf_error *error);
int tf_link_state(struct tf_links *links, int index, struct tf_link_state *state,
		  struct tf_error *error);
int tf_link_up(struct tf_links *links, int index, struct tf_error *error);

/* MTU in bytes and queue length in packets; 0 leaves one as it is. */
int tf_link_tune(struct tf_links *links, int index, uint32_t mtu, uint32_t queue,
		 struct tf_error *error);

/* No link-local address and no router solicitations: what the system would send by itself. Before
 * up. */
int tf_link_quiet(struct tf_links *links, int index, struct tf_error *error);

/* Usable at once: no duplicate address detection. An address that is there already is fine. */
int tf_link_add_address(struct tf_links *links, int index, const struct tf_prefix *address,
			struct tf_error *error);

/* A default route (family 4 or 6) out of this interface, without a gateway. */
int tf_link_add_default(struct tf_links *links, int index, int family, struct tf_error *error);

/* Whether the interface has an address; those that the system makes up by itself (fe80::) don't
 * count. */
int tf_link_has_address(struct tf_links *links, int index, int *has, struct tf_error *error);

/*
 * From now on *fd, which stays the handle's, is readable when an interface of the namespace
 * changed. tf_links_changed reads what came: whether it may concern this index (or news were lost).
 */
int tf_links_watch(struct tf_links *links, int *fd, struct tf_error *error);
int tf_links_changed(struct tf_links *links, int index);

#endif
