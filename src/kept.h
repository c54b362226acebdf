/*
 * The texts of the files that a script was read from: whoever starts it afresh has it as it was, whatever was saved
 * since. They pass through memory that processes share, and are read with care.
 */
#ifndef TF_KEPT_H
#define TF_KEPT_H

#include <stddef.h>
#include <stdint.h>

#define TF_KEPT_SIZE (48u << 20) /* bytes; memory is taken as it is used. What finds no room is read from its file */

struct tf_kept_texts {
	uint64_t used; /* bytes */
	uint8_t bytes[TF_KEPT_SIZE - sizeof(uint64_t)];
};

/* Where texts are kept from now on; NULL: nowhere. */
void tf_kept_use(struct tf_kept_texts *texts);

/* Keeps one, the first of its name. */
void tf_kept_add(const char *name, const char *text, size_t size);

/* What was kept by another process: it is read instead of the files. The caller's, as long as there are scripts. */
void tf_kept_restore(const uint8_t *bytes, size_t size);

/* The text that is to be read instead of a file, or NULL: the file itself. */
const char *tf_kept_find(const char *name, size_t *size);

#endif
