/*
 * Memory of C's that a script's objects take: it counts as Lua's own does (--memory-limit), for the script that this
 * thread was in last (tf_allocator_use). Where there is none, nobody counts.
 */
#ifndef TF_OWNED_H
#define TF_OWNED_H

#include <stddef.h>

/* As malloc and calloc; a script that wants too much does not come back from here. */
void *tf_owned_malloc(size_t size);
void *tf_owned_calloc(size_t count, size_t size);

/* So many bytes more belong to this block, until it is freed. */
void tf_owned_add(void *block, size_t more);

/* NULL is fine. */
void tf_owned_free(void *block);

#endif
