/*
 * A set of IPv4 and IPv6 networks whose look-up does not slow down as it grows.
 *
 * One hash table holds the networks of every length; in front of it, for every 16-bit beginning of an
 * IPv4 address and a hash of the first 32 bits of an IPv6 one, stand the lengths that occur there, so
 * that usually one or two are looked for.
 */
#ifndef TF_NETS_H
#define TF_NETS_H

#include <stddef.h>

#include "packet.h"

/* cdef: begin */
struct tf_nets;

/* An address or network; of IPv4 the first 4 bytes, the others 0. */
struct tf_net {
	uint8_t bytes[16]; /* network order; bits behind length are 0 in networks that are kept */
	uint8_t length;	   /* bits */
	uint8_t version;   /* 4 or 6 */
};

/* NULL without memory. */
TF_EXPORT struct tf_nets *tf_nets_create(void);
TF_EXPORT void tf_nets_destroy(struct tf_nets *nets);

/* How many networks are in it. */
TF_EXPORT uint32_t tf_nets_count(const struct tf_nets *nets);

/* Adds a network: 1, 0 if it is there already, -1 without memory. Bits behind length are cleared. */
TF_EXPORT int tf_nets_add(struct tf_nets *nets, const struct tf_net *net);

/* Removes it: 1, or 0 if it is not there. */
TF_EXPORT int tf_nets_remove(struct tf_nets *nets, const struct tf_net *net);

/*
 * The longest network that the address (length ignored) is in, into *match (may be NULL): 1, or 0
 * for none.
 */
TF_EXPORT int tf_nets_match(const struct tf_nets *nets, const struct tf_net *address, struct tf_net *match);

/*
 * Adds what a file's text lists, an address or network a line, with # comments. 0; -1 without
 * memory; or the number of the first line that is neither, with all before it added.
 */
TF_EXPORT int tf_nets_read(struct tf_nets *nets, const char *text, size_t size);
/* cdef: end */

#endif
