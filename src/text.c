#include "text.h"

#include <stdarg.h>
#include <stdio.h>

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
