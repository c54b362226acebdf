/* The Lua library's files inside the program (src/cmake/embed.cmake makes the C file). */
#ifndef TF_EMBEDDED_H
#define TF_EMBEDDED_H

#include <stddef.h>

struct tf_embedded {
	const char *name;	   /* "packet" for lua/tunfilter/packet.lua; "declarations" for the cdef text */
	const unsigned char *text; /* size bytes and a 0 */
	size_t size;
};

/* Ends with a name of NULL. */
extern const struct tf_embedded tf_embedded_files[];

/* The file of that name, or NULL. */
const struct tf_embedded *tf_embedded_find(const char *name);

#endif
