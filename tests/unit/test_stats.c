/* The table of counters: a person reads it, and so do the tests, by row name and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device.h"
#include "packet.h"
#include "stats.h"

static struct tf_stats full(void)
{
	struct tf_stats stats = {.callback_errors = 21};
	int side;

	for (side = 0; side < 2; side++) {
		struct tf_direction *direction = &stats.direction[side];

		direction->in = (struct tf_count){1000 + side, 84000 + side};
		direction->forwarded = (struct tf_count){900 + side, 75600 + side};
		direction->dropped = (struct tf_count){80 + side, 6720 + side};
		direction->replied = (struct tf_count){15 + side, 1260 + side};
		direction->errors = (struct tf_count){5 + side, 420 + side};
		direction->sent = (struct tf_count){7 + side, 588 + side};
		direction->malformed = (struct tf_count){3 + side, 252 + side};
		direction->invalid = 31 + (uint64_t)side;
		direction->lost = 41 + (uint64_t)side;
		direction->kernel_dropped = 51 + (uint64_t)side;
	}
	return stats;
}

/* Splits the row of this name into words; how many there are, 0 without such a row. */
static int row(const char *table, const char *name, char words[5][64])
{
	char line[512];
	const char *at = table, *stop;

	for (; *at; at = stop + 1) {
		stop = strchr(at, '\n');
		assert_non_null(stop);
		snprintf(line, sizeof(line), "%.*s", (int)(stop - at), at);
		if (strcspn(line, " ") == strlen(name) && strncmp(line, name, strlen(name)) == 0)
			return sscanf(line, "%63s %63s %63s %63s %63s", words[0], words[1],
				      words[2], words[3], words[4]);
	}
	return 0;
}

static void check_row(const char *table, const char *name, const char *left_packets,
		      const char *left_bytes, const char *right_packets, const char *right_bytes)
{
	char words[5][64];

	assert_int_equal(row(table, name, words), 5);
	assert_string_equal(words[1], left_packets);
	assert_string_equal(words[2], left_bytes);
	assert_string_equal(words[3], right_packets);
	assert_string_equal(words[4], right_bytes);
}

static void check_width(const char *table, size_t most)
{
	const char *at = table, *stop;

	for (; *at; at = stop + 1) {
		stop = strchr(at, '\n');
		assert_non_null(stop);
		assert_in_range(stop - at, 1, most);
	}
}

static void rows_hold_exact_numbers(void **state)
{
	struct tf_stats stats = full();
	char table[4096], words[5][64];
	size_t length;

	(void)state;
	length = tf_stats_table(&stats, "tun0", "tun1", 10, table, sizeof(table));
	assert_int_equal(length, strlen(table));
	check_row(table, "in", "1000", "84000", "1001", "84001");
	check_row(table, "forwarded", "900", "75600", "901", "75601");
	check_row(table, "dropped", "80", "6720", "81", "6721");
	check_row(table, "replied", "15", "1260", "16", "1261");
	check_row(table, "errors", "5", "420", "6", "421");
	check_row(table, "sent", "7", "588", "8", "589");
	check_row(table, "malformed", "3", "252", "4", "253");
	check_row(table, "invalid", "31", "-", "32", "-");
	check_row(table, "lost", "41", "-", "42", "-");
	check_row(table, "kernel-dropped", "51", "-", "52", "-");
	check_row(table, "in/s", "100", "8400", "100", "8400");
	stats.before[TF_LEFT] = (struct tf_count){900, 74000};
	stats.before[TF_RIGHT] = (struct tf_count){1001, 84001};
	stats.since = 8;
	tf_stats_table(&stats, "tun0", "tun1", 10, table, sizeof(table));
	check_row(table, "in/s", "50", "5000", "0", "0");
	assert_int_equal(row(table, "seconds", words), 2);
	assert_string_equal(words[1], "10.0");
	assert_int_equal(row(table, "callback-errors", words), 2);
	assert_string_equal(words[1], "21");
	assert_non_null(strstr(table, " tun0 > tun1 "));
	assert_non_null(strstr(table, " tun1 > tun0\n"));
	check_width(table, 79);
}

static void rows_of_zeros_are_left_out(void **state)
{
	static const char *const rare[] = {"replied",	     "errors",	       "sent",
					   "malformed",	     "invalid",	       "lost",
					   "kernel-dropped", "callback-errors"};
	struct tf_stats stats = {.callback_errors = 0};
	char table[4096], words[5][64];
	size_t i;

	(void)state;
	tf_stats_table(&stats, "a", "b", 1, table, sizeof(table));
	check_row(table, "in", "0", "0", "0", "0");
	check_row(table, "forwarded", "0", "0", "0", "0");
	check_row(table, "dropped", "0", "0", "0", "0");
	for (i = 0; i < sizeof(rare) / sizeof(rare[0]); i++)
		assert_int_equal(row(table, rare[i], words), 0);
	stats.direction[TF_RIGHT].sent.packets = 1;
	stats.direction[TF_LEFT].lost = 2;
	tf_stats_table(&stats, "a", "b", 0, table, sizeof(table));
	check_row(table, "sent", "0", "0", "1", "0");
	check_row(table, "lost", "2", "-", "0", "-");
	assert_int_equal(row(table, "in/s", words), 0); /* no time has passed */
}

static void large_numbers_keep_their_digits(void **state)
{
	struct tf_stats stats = full();
	char table[4096];

	(void)state;
	stats.direction[0].in = (struct tf_count){9999999999999, 99999999999999999};
	tf_stats_table(&stats, "tun0", "tun1", 1e6, table, sizeof(table));
	check_row(table, "in", "9999999999999", "99999999999999999", "1001", "84001");
	check_width(table, 79);
	stats.direction[0].in = (struct tf_count){UINT64_MAX, UINT64_MAX};
	stats.direction[1].in = (struct tf_count){UINT64_MAX, UINT64_MAX};
	tf_stats_table(&stats, "tun0", "tun1", 1e-300, table, sizeof(table));
	check_row(table, "in", "18446744073709551615", "18446744073709551615",
		  "18446744073709551615", "18446744073709551615");
}

/* A name must neither break the layout nor look like a row. */
static void names_of_any_bytes_are_safe(void **state)
{
	struct tf_stats stats = full();
	char longest[TF_NAME_SIZE], table[4096];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	tf_stats_table(&stats, longest, "\033[31m\n\xff%s\t ", 1, table, sizeof(table));
	check_width(table, 79);
	check_row(table, "in", "1000", "84000", "1001", "84001");
	assert_non_null(strstr(table, " xxxxxxxxxxxxx~ > ?[31m??%s?? "));
	assert_null(strpbrk(table, "\033\t\xff"));
	tf_stats_table(&stats, "in", "", 1, table, sizeof(table));
	check_row(table, "in", "1000", "84000", "1001", "84001");
	tf_stats_table(&stats, "fifteen-letters", "fourteen-lettr", 1, table, sizeof(table));
	assert_non_null(strstr(table, " fifteen-lette~ > fourteen-lettr "));
	tf_stats_table(&stats, "fifteen-letters", "thirteen-lett", 1, table, sizeof(table));
	assert_non_null(strstr(table, " fifteen-letters > thirteen-lett "));
	check_width(table, 79);
}

static void sizes_are_kept(void **state)
{
	struct tf_stats stats = full();
	char table[4096];
	size_t length, size;

	(void)state;
	length = tf_stats_table(&stats, "tun0", "tun1", 1, table, sizeof(table));
	for (size = 0; size < length + 2; size++) {
		size_t fits = size == 0 ? 0 : size - 1 < length ? size - 1 : length;
		char *text = malloc(size + 1);

		assert_non_null(text);
		text[size] = 77; /* must stay */
		assert_int_equal(tf_stats_table(&stats, "tun0", "tun1", 1, text, size), fits);
		assert_memory_equal(text, table, fits);
		if (size > 0)
			assert_int_equal(text[fits], 0);
		assert_int_equal(text[size], 77);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_hold_exact_numbers),
		cmocka_unit_test(rows_of_zeros_are_left_out),
		cmocka_unit_test(large_numbers_keep_their_digits),
		cmocka_unit_test(names_of_any_bytes_are_safe),
		cmocka_unit_test(sizes_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
