#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "error.h"
#include "log.h"

enum { LONG = 20000 };

static int saved = -1;

/* Puts fd in the place of standard error. */
static void catch_stderr(int fd)
{
	saved = dup(STDERR_FILENO);
	assert_int_not_equal(dup2(fd, STDERR_FILENO), -1);
	close(fd);
}

static void release_stderr(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

/* A socket that keeps every write by itself; the other end to read from. */
static int catch_writes(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	catch_stderr(pair[1]);
	return pair[0];
}

static void expect_write(int fd, const char *text)
{
	static char got[2 * LONG];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	assert_int_not_equal(n, -1);
	got[n] = 0;
	assert_string_equal(got, text);
}

static void writes_a_line_at_once(void **state)
{
	static char text[LONG + 1], line[LONG + 100];
	int fd = catch_writes();
	char byte;

	(void)state;
	memset(text, 'x', LONG);
	tf_log_setup(TF_LOG_DEBUG, 1);
	tf_log(TF_LOG_ERROR, "%s is %d", "it", 42);
	tf_log(TF_LOG_WARNING, "first\n\tsecond");
	tf_log(TF_LOG_INFO, "plain %%");
	tf_log(TF_LOG_DEBUG, "%s", "");
	tf_log(TF_LOG_INFO, "%s", text);
	tf_log(TF_LOG_INFO, "%s", "\033[2J a\rb\a \x7f \xc3\xa4");
	tf_log(TF_LOG_INFO, "%s", "\xc2\x9b[2J \x9b[2J \xe2\x80\xaeok \xe2\x81\xa6 \xd8\x9c \xe2\x82\xac \xc2\xa0 \xf0\x9f\x98\x80 \xe2\x80");
	tf_log_write("a\0b", 3);
	release_stderr();
	expect_write(fd, "tunfilter: error: it is 42\n");
	expect_write(fd, "tunfilter: warning: first\n\tsecond\n");
	expect_write(fd, "tunfilter: plain %\n");
	expect_write(fd, "tunfilter: \n");
	snprintf(line, sizeof(line), "tunfilter: %s\n", text);
	expect_write(fd, line);
	expect_write(fd, "tunfilter: ?[2J a?b? ? \xc3\xa4\n");
	expect_write(fd, "tunfilter: ??[2J ?[2J ???ok ??? ?? \xe2\x82\xac \xc2\xa0 \xf0\x9f\x98\x80 \xe2?\n");
	expect_write(fd, "a");			    /* and two more bytes */
	assert_int_equal(recv(fd, &byte, 1, 0), 0); /* no more */
	assert_false(tf_log_colour());
	close(fd);
}

/* Every length around that of the buffer on the stack. */
static void writes_any_length(void **state)
{
	char text[1101], line[1200];

	(void)state;
	tf_log_setup(TF_LOG_INFO, 0);
	for (int len = 900; len < 1100; len++) {
		int fd = catch_writes();

		memset(text, 'y', (size_t)len);
		text[len] = 0;
		tf_log(TF_LOG_WARNING, "%s", text);
		release_stderr();
		snprintf(line, sizeof(line), "tunfilter: warning: %s\n", text);
		expect_write(fd, line);
		close(fd);
	}
}

static void keeps_to_the_level(void **state)
{
	int fd = catch_writes();
	char byte;

	(void)state;
	tf_log_setup(TF_LOG_WARNING, 0);
	tf_log(TF_LOG_DEBUG, "no");
	tf_log(TF_LOG_INFO, "no");
	tf_log(TF_LOG_WARNING, "yes");
	tf_log(TF_LOG_ERROR, "yes");
	release_stderr();
	expect_write(fd, "tunfilter: warning: yes\n");
	expect_write(fd, "tunfilter: error: yes\n");
	assert_int_equal(recv(fd, &byte, 1, 0), 0); /* no more */
	close(fd);
}

static void colours_terminals_only(void **state)
{
	static const struct {
		const char *no_color;
		int wanted, coloured;
	} cases[] = {{NULL, 1, 1}, {"", 1, 1}, {"1", 1, 0}, {NULL, 0, 0}};
	char got[200];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int terminal = posix_openpt(O_RDWR | O_NOCTTY), fd;
		ssize_t n;

		assert_int_not_equal(terminal, -1);
		assert_int_equal(grantpt(terminal) || unlockpt(terminal), 0);
		fd = open(ptsname(terminal), O_RDWR | O_NOCTTY);
		assert_int_not_equal(fd, -1);
		catch_stderr(fd);
		unsetenv("NO_COLOR");
		if (cases[i].no_color)
			setenv("NO_COLOR", cases[i].no_color, 1);
		tf_log_setup(TF_LOG_INFO, cases[i].wanted);
		tf_log(TF_LOG_WARNING, "text");
		release_stderr();
		n = read(terminal, got, sizeof(got) - 1);
		assert_true(n > 0);
		got[n] = 0;
		assert_int_equal(tf_log_colour(), cases[i].coloured);
		assert_string_equal(got, cases[i].coloured
						 ? "tunfilter: \033[1;33mwarning: \033[0mtext\r\n"
						 : "tunfilter: warning: text\r\n");
		close(terminal);
	}
	unsetenv("NO_COLOR");
}

static void names_errors(void **state)
{
	static const int own[] = {TF_EBUSY, TF_ENOTREADY, TF_EEXHAUSTED,
				  TF_EGONE, TF_EOPTION,	  TF_ESCRIPT};

	(void)state;
	assert_string_equal(tf_error_name(TF_EBUSY), "device busy");
	assert_string_equal(tf_error_name(UV_ENOENT), uv_strerror(UV_ENOENT));
	assert_non_null(strstr(tf_error_name(-12345), "12345"));
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		assert_null(strstr(tf_error_name(own[i]), "nknown"));
	assert_int_equal(tf_error_exit(0), 0);
	assert_int_equal(tf_error_exit(TF_ESCRIPT), 1);
	assert_int_equal(tf_error_exit(TF_EOPTION), 2);
	assert_int_equal(tf_error_exit(TF_EBUSY), 3);
	assert_int_equal(tf_error_exit(UV_EPERM), 3);
}

static void keeps_errors(void **state)
{
	static char text[LONG + 1];
	struct tf_error error;

	(void)state;
	memset(text, 'z', LONG);
	assert_int_equal(tf_error_set(NULL, UV_EIO, "nobody %s", "hears"), UV_EIO);
	assert_int_equal(tf_error_set(&error, UV_EIO, "line %d", 1), UV_EIO);
	assert_int_equal(error.code, UV_EIO);
	assert_string_equal(error.text, "line 1");
	tf_error_set(&error, TF_ESCRIPT, "before %s behind", error.text);
	assert_string_equal(error.text, "before line 1 behind");
	tf_error_set(&error, TF_ESCRIPT, "%s", text);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

static void finds_the_nearest(void **state)
{
	static const char *const words[] = {"left",	"right",   "stats", "on-error",
					    "on-right", "verbose", NULL};

	(void)state;
	assert_string_equal(tf_error_nearest("lfet", words), "left");
	assert_string_equal(tf_error_nearest("stat", words), "stats");
	assert_string_equal(tf_error_nearest("verb", words), "verbose");
	assert_string_equal(tf_error_nearest("onerror", words), "on-error");
	assert_string_equal(tf_error_nearest("on-rihgt", words), "on-right");
	assert_null(tf_error_nearest("capture", words));
	assert_null(tf_error_nearest("x", words));
	assert_null(tf_error_nearest("", words));
	assert_null(tf_error_nearest("leftleftleftleftleftleftleftleftleft", words));
	assert_null(tf_error_nearest("left", &words[6]));
}

/* As much as there is, at the reader's end. */
static size_t take_all(int fd, char *bytes, size_t size)
{
	size_t used = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((n = read(fd, bytes + used, size - 1 - used)) > 0)
		used += (size_t)n;
	bytes[used] = '\0';
	return used;
}

static int lines_of(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* A pipe can be opened anew, a socket cannot. Whoever else has it still waits. */
static void counts_what_nobody_reads(void **state)
{
	enum { LINES = 20000 };
	static char got[4 << 20];
	_Atomic uint32_t lost;
	unsigned int told;

	(void)state;
	for (int socket = 0; socket < 2; socket++) {
		int ends[2], other;

		atomic_store(&lost, 0);
		assert_int_equal(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends), 0);
		other = dup(ends[1]);
		catch_stderr(ends[1]);
		tf_log_live(&lost);
		for (int i = 0; i < LINES; i++)
			tf_log(TF_LOG_ERROR, "%0100d", i);
		assert_false(fcntl(other, F_GETFL) & O_NONBLOCK);
		assert_true(atomic_load(&lost) > 0);
		take_all(ends[0], got, sizeof(got));
		told = (unsigned int)lines_of(got) + atomic_load(&lost);
		assert_true(told == LINES);
		told = atomic_load(&lost);
		tf_log(TF_LOG_ERROR, "the end");
		assert_int_equal(atomic_load(&lost), 0);
		release_stderr();
		take_all(ends[0], got, sizeof(got));
		assert_non_null(strstr(got, "lines were lost here: nobody read them\ntunfilter: error: the end\n"));
		assert_int_equal(strtoul(strstr(got, "tunfilter: ") + 11, NULL, 10), told);
		close(other);
		close(ends[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_line_at_once), cmocka_unit_test(writes_any_length),
		cmocka_unit_test(keeps_to_the_level),	 cmocka_unit_test(colours_terminals_only),
		cmocka_unit_test(names_errors),		 cmocka_unit_test(keeps_errors),
		cmocka_unit_test(finds_the_nearest),	 cmocka_unit_test(counts_what_nobody_reads), /* the last: it stays so */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
