#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

static struct {
	enum tf_log_level level;
	int colour;
	int transient; /* such a line is shown */
} config = {.level = TF_LOG_INFO};

static const struct {
	const char *word;
	const char *colour; /* of the word, or of the program's name where there is none */
} looks[] = {
	[TF_LOG_ERROR] = {"error: ", "\033[1;31m"},
	[TF_LOG_WARNING] = {"warning: ", "\033[1;33m"},
	[TF_LOG_INFO] = {"", ""},
	[TF_LOG_DEBUG] = {"", "\033[2m"},
};

void tf_log_setup(enum tf_log_level level, int colour)
{
	const char *no_color = getenv("NO_COLOR");

	config.level = level;
	config.colour =
		colour && !(no_color && *no_color) && uv_guess_handle(STDERR_FILENO) == UV_TTY;
}

int tf_log_colour(void)
{
	return config.colour;
}

static void write_all(const char *bytes, unsigned long len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes += n;
		len -= (unsigned long)n;
	}
}

void tf_log_write(const char *bytes, unsigned long len)
{
	if (config.transient)
		tf_log_transient("");
	write_all(bytes, len);
}

void tf_log_transient(const char *line)
{
	char text[160];
	int len = snprintf(text, sizeof(text), "\r\033[K%s", line);

	if (config.transient || *line)
		write_all(text, (unsigned long)len);
	config.transient = *line != 0;
}

void tf_log(enum tf_log_level level, const char *format, ...)
{
	const char *on = config.colour ? looks[level].colour : "";
	const char *off = *on ? "\033[0m" : "";
	char small[1024], *line = small;
	int head, body;
	va_list args;

	if (level > config.level)
		return;
	va_start(args, format);
	body = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (body < 0)
		return;
	/* 64: the name, the word, two colours, a newline and the final 0 */
	if ((size_t)body + 64 > sizeof(small) && !(line = malloc((size_t)body + 64))) {
		line = small;
		body = (int)sizeof(small) - 64;
	}
	head = sprintf(line, "tunfilter: %s%s%s", on, looks[level].word, off);
	va_start(args, format);
	vsnprintf(line + head, (size_t)body + 1, format, args);
	va_end(args);
	for (char *c = line + head; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\n' && *c != '\t') || *c == 0x7f)
			*c = '?';
	line[head + body] = '\n';
	tf_log_write(line, (unsigned long)(head + body) + 1);
	if (line != small)
		free(line);
}
