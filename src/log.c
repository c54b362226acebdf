#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "system.h"
#include "text.h"

#define PIECE 4096 /* what tf_system_takes speaks of */

static struct {
	enum tf_log_level level;
	int colour;
	int transient; /* such a line is shown */
	_Atomic uint32_t *lost; /* lines; NULL: none is, whoever writes waits */
	int patience;  /* ms */
	int free;      /* no write waits */
	_Atomic int cut; /* half a line was taken */
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

/* 0, or -1: the rest was not taken. */
static int write_all(const char *bytes, unsigned long len)
{
	while (len) {
		int wary = config.lost != NULL && !config.free;
		ssize_t n;

		if (wary && !tf_system_takes(STDERR_FILENO, config.patience))
			return -1;
		n = write(STDERR_FILENO, bytes, wary && len > PIECE ? PIECE : len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && config.patience > 0 && tf_system_takes(STDERR_FILENO, config.patience))
			continue;
		if (n < 0 && errno == EAGAIN)
			return -1;
		if (n <= 0)
			return 0;
		bytes += n;
		len -= (unsigned long)n;
		if (config.lost != NULL)
			atomic_store(&config.cut, bytes[-1] != '\n');
	}
	return 0;
}

static uint32_t lines_of(const char *bytes, unsigned long len)
{
	uint32_t lines = 0;

	for (unsigned long i = 0; i < len; i++)
		lines += bytes[i] == '\n';
	return lines ? lines : 1;
}

/* Says how many were lost before; 0, or -1: it is not taken either. */
static int say_lost(void)
{
	uint32_t lost = atomic_exchange(config.lost, 0);
	char line[96];

	if (lost == 0)
		return 0;
	snprintf(line, sizeof(line), "%stunfilter: %u line%s lost here: nobody read %s\n",
		 atomic_load(&config.cut) ? "\n" : "", lost, lost == 1 ? " was" : "s were", lost == 1 ? "it" : "them");
	if (write_all(line, strlen(line)) == 0)
		return 0;
	atomic_fetch_add(config.lost, lost);
	return -1;
}

static void write_line(const char *bytes, unsigned long len)
{
	if (config.lost == NULL)
		write_all(bytes, len);
	else if (say_lost() < 0 || write_all(bytes, len) < 0)
		atomic_fetch_add(config.lost, lines_of(bytes, len));
}

void tf_log_live(_Atomic uint32_t *lost)
{
	config.free = tf_system_unblock(STDERR_FILENO);
	tf_system_unblock(STDOUT_FILENO);
	config.lost = lost;
}

void tf_log_patience(int ms)
{
	config.patience = ms;
}

void tf_log_lost(void)
{
	if (config.lost != NULL)
		atomic_fetch_add(config.lost, 1);
}

void tf_log_write(const char *bytes, unsigned long len)
{
	if (config.transient)
		tf_log_transient("");
	write_line(bytes, len);
}

void tf_log_transient(const char *line)
{
	char text[160];
	int len = snprintf(text, sizeof(text), "\r\033[K%s", line);

	if ((config.transient || *line) && write_all(text, (unsigned long)len) < 0)
		return;
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
	tf_text_clean(line + head, (size_t)body);
	line[head + body] = '\n';
	tf_log_write(line, (unsigned long)(head + body) + 1);
	if (line != small)
		free(line);
}
