/* Writing text into a buffer of fixed size: what does not fit is cut off, never written past. */
#ifndef TF_TEXT_H
#define TF_TEXT_H

#include <stddef.h>

struct tf_text {
	char *start; /* always 0-terminated when size > 0 */
	size_t size; /* bytes at start */
	size_t len;  /* written, without the final 0; below size, or 0 */
};

/* Begins an empty text in these size bytes; size 0 is fine and takes nothing. */
void tf_text_begin(struct tf_text *text, char *start, size_t size);

/* Appends as printf does, as much as fits. */
void tf_text_add(struct tf_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
