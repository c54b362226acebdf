#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

int tf_error_set(struct tf_error *error, int code, const char *format, ...)
{
	char text[sizeof(error->text)]; /* the arguments may point into error->text */
	va_list args;

	if (!error)
		return code;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error->code = code;
	memcpy(error->text, text, sizeof(text));
	return code;
}

const char *tf_error_name(int code)
{
	static _Thread_local char text[128];

	switch (code) {
	case 0:
		return "no error";
	case TF_EBUSY:
		return "device busy";
	case TF_ENOTREADY:
		return "device not ready";
	case TF_EEXHAUSTED:
		return "no free device";
	case TF_EGONE:
		return "device gone";
	case TF_EOPTION:
		return "bad command line";
	case TF_ESCRIPT:
		return "bad script";
	default:
		return uv_strerror_r(code, text, sizeof(text));
	}
}

int tf_error_exit(int code)
{
	switch (code) {
	case 0:
		return TF_EXIT_OK;
	case TF_ESCRIPT:
		return TF_EXIT_SCRIPT;
	case TF_EOPTION:
		return TF_EXIT_USAGE;
	default:
		return TF_EXIT_SYSTEM;
	}
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; large where either is long. */
static unsigned int distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	unsigned int row[LONGEST + 1][LONGEST + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > LONGEST || b_len > LONGEST)
		return LONGEST;
	for (size_t i = 0; i <= a_len; i++) {
		for (size_t j = 0; j <= b_len; j++) {
			unsigned int best, change;

			if (!i || !j) {
				row[i][j] = (unsigned int)(i + j);
				continue;
			}
			change = row[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = row[i - 1][j] < row[i][j - 1] ? row[i - 1][j] + 1
							     : row[i][j - 1] + 1;
			if (change < best)
				best = change;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    row[i - 2][j - 2] + 1 < best)
				best = row[i - 2][j - 2] + 1;
			row[i][j] = best;
		}
	}
	return row[a_len][b_len];
}

const char *tf_error_nearest(const char *word, const char *const *words)
{
	size_t len = strlen(word);
	unsigned int best = len < 3 ? 2 : (unsigned int)len / 4 + 2;
	const char *nearest = NULL;

	for (; *words; words++) {
		unsigned int d = distance(word, *words);

		/* The beginning of a word is nearer than any misspelling. */
		if (len > 2 && !strncmp(*words, word, len))
			d = 0;
		if (d < best) {
			best = d;
			nearest = *words;
		}
	}
	return nearest;
}
