/*
 * A set of domain names; a name is in it if it or a domain above it was added. Look-ups take a hash a
 * label and do not slow down as the set grows.
 */
#ifndef TF_NAMES_H
#define TF_NAMES_H

#include <stddef.h>

#include "packet.h"

/* cdef: begin */
struct tf_names;

/* Names are at most 253 bytes long; case and a final dot do not matter. */
enum { TF_NAME_MAX = 253 };

/* NULL without memory. */
TF_EXPORT struct tf_names *tf_names_create(void);
TF_EXPORT void tf_names_destroy(struct tf_names *names);

/* How many names are in it. */
TF_EXPORT uint32_t tf_names_count(const struct tf_names *names);

/* Adds a name: 1, 0 if it is there already, -1 without memory, -2 for what is no name. */
TF_EXPORT int tf_names_add(struct tf_names *names, const char *name, size_t size);

/* Removes it: 1, or 0 if it is not there. */
TF_EXPORT int tf_names_remove(struct tf_names *names, const char *name, size_t size);

/*
 * The entry that covers a name, the longest first: the number of bytes at the name's end that it is
 * (without the final dot), or 0 for none.
 */
TF_EXPORT uint32_t tf_names_match(const struct tf_names *names, const char *name, size_t size);

/*
 * Adds what a file's text lists: a domain a line, or lines of a hosts file (an address, then names;
 * the names of the machine itself are left out), with # comments. 0; -1 without memory; or the
 * number of the first line that is neither, with all before it added.
 */
TF_EXPORT int tf_names_read(struct tf_names *names, const char *text, size_t size);
/* cdef: end */

#endif
