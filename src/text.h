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

/*
 * How many of the n bytes (n > 0) are one character, for which no terminal does anything but show it: not a control
 * character but newline and tab, alone or in UTF-8, and not one that turns the direction of writing. Negative: as many
 * bytes that a terminal could obey.
 */
int tf_text_next(const char *bytes, size_t n);

/* Puts '?' in the place of those. */
void tf_text_clean(char *bytes, size_t n);

#endif
