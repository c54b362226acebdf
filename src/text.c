#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tf_text_begin(struct tf_text *text, char *start, size_t size)
{
	text->start = start;
	text->size = size;
	text->len = 0;
	if (size > 0)
		start[0] = 0;
}

void tf_text_add(struct tf_text *text, const char *format, ...)
{
	size_t room = text->size - text->len;
	va_list args;
	int needed;

	if (room == 0)
		return;
	va_start(args, format);
	needed = vsnprintf(text->start + text->len, room, format, args);
	va_end(args);
	if (needed < 0)
		return;
	text->len += (size_t)needed < room ? (size_t)needed : room - 1;
}

/* The character at bytes, and its length; one byte where it is no UTF-8. */
static int decode(const unsigned char *bytes, size_t n, unsigned int *character)
{
	int length = bytes[0] < 0xc2 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf5 ? 4 : 1;

	*character = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
	for (int i = 1; i < length; i++) {
		if ((size_t)i == n || (bytes[i] & 0xc0) != 0x80) {
			*character = bytes[0];
			return 1;
		}
		*character = *character << 6 | (bytes[i] & 0x3fu);
	}
	return length;
}

int tf_text_next(const char *bytes, size_t n)
{
	static const struct {
		unsigned int first, last;
	} obeyed[] = {{0, 8},		{11, 31},	  {0x7f, 0x9f},	  {0x61c, 0x61c},
		      {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
	unsigned int character;
	int length = decode((const unsigned char *)bytes, n, &character);

	for (size_t i = 0; i < sizeof(obeyed) / sizeof(obeyed[0]) && character >= obeyed[i].first; i++)
		if (character <= obeyed[i].last)
			return -length;
	return length;
}

void tf_text_clean(char *bytes, size_t n)
{
	for (size_t at = 0; at < n;) {
		int length = tf_text_next(bytes + at, n - at);

		if (length < 0)
			memset(bytes + at, '?', (size_t)-length);
		at += (size_t)(length < 0 ? -length : length);
	}
}
