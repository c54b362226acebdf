/* test_edit [FILE]: FILE comes from packet_vectors.py edit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "checksum.h"
#include "edit.h"
#include "parse.h"
#include "vector.h"

enum { WORDS_MAX = 10 };

static const char *file;

/* Does what words (from the verb on) say; what the function answered. */
static int act(struct tf_packet *p, char *const words[WORDS_MAX])
{
	uint32_t n = 0, with_n = 0;
	uint8_t *bytes, *with;
	int status = -100;

	if (!strcmp(words[0], "put"))
		return tf_packet_put(p, (uint32_t)atoi(words[1]), (uint32_t)atoi(words[2]),
				     (uint32_t)strtoul(words[3], NULL, 10));
	bytes = vector_bytes(words[0][0] == 'w' ? words[2] : words[1], &n);
	if (!strcmp(words[0], "write")) {
		status = tf_packet_write(p, (uint32_t)atoi(words[1]), bytes, n);
	} else if (!strcmp(words[0], "payload")) {
		status = tf_packet_set_payload(p, bytes, n);
	} else if (!strcmp(words[0], "replace")) {
		with = vector_bytes(words[2], &with_n);
		status = tf_packet_replace(p, bytes, n, with, with_n, (uint32_t)atoi(words[3]));
		free(with);
	}
	free(bytes);
	return status;
}

static int same_parse(const struct tf_packet *p)
{
	struct tf_packet again = *p;

	tf_parse(&again);
	return !memcmp(&again, p, sizeof(again));
}

static void edits_as_scapy_does(void **state)
{
	static char line[800000];
	unsigned count = 0, wrong = 0;
	FILE *in;

	(void)state;
	if (!file)
		skip();
	in = fopen(file, "r");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		char *words[5 + WORDS_MAX] = {NULL};
		uint32_t len, want_len;
		uint8_t *bytes, *want;
		struct tf_packet p;
		int i = 0, expected = 0, status;

		for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
			words[i++] = word;
		assert_in_range(i, 7, 10);
		bytes = vector_bytes(words[3], &len);
		want = vector_bytes(words[4], &want_len);
		if (!strcmp(words[5], "replace"))
			expected = atoi(words[9]);
		if (want_len > len) { /* one byte too few: nothing may happen */
			vector_packet(&p, (uint8_t)atoi(words[2]), bytes, len, want_len - 1);
			tf_parse(&p);
			assert_int_equal(act(&p, words + 5), TF_EDIT_ROOM);
			assert_int_equal(p.len, len);
			assert_memory_equal(p.data, bytes, len);
			assert_int_equal(p.flags, 0);
			free(p.data);
		}
		vector_packet(&p, (uint8_t)atoi(words[2]), bytes, len,
			      len > want_len ? len : want_len);
		tf_parse(&p);
		status = act(&p, words + 5);
		if (status != expected || p.len != want_len || memcmp(p.data, want, want_len)) {
			if (wrong++ < 5) {
				print_error("%s %s %s %s %s: %d\nbefore %s\nwanted %s\ngot    ",
					    words[1], words[5], words[6], words[7] ? words[7] : "",
					    words[8] ? words[8] : "", status, words[3], words[4]);
				for (uint32_t k = 0; k < p.len; k++)
					print_error("%02x", p.data[k]);
				print_error("\n");
			}
		}
		assert_null(vector_broken(&p));
		assert_true(same_parse(&p));
		if (status > 0 || strcmp(words[5], "replace"))
			assert_true(p.flags & TF_EDITED);
		count++;
		free(p.data);
		free(bytes);
		free(want);
	}
	fclose(in);
	assert_int_equal(wrong, 0);
	assert_in_range(count, 5000, 1000000);
	print_message("%u edits\n", count);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edits_as_scapy_does),
	};

	file = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests_name("edit", tests, NULL, NULL);
}
