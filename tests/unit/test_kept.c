#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kept.h"

static void gives_back_what_it_got(void **state)
{
	struct tf_kept_texts *texts = calloc(1, sizeof(*texts));
	size_t size = 0;

	(void)state;
	assert_non_null(texts);
	tf_kept_add("a", "nowhere", 7);
	tf_kept_use(texts);
	tf_kept_add("a", "first", 5);
	tf_kept_add("a", "second", 6);
	tf_kept_add("ab", "", 0);
	tf_kept_add("b", "x\0y", 3);
	assert_null(tf_kept_find("a", &size));
	tf_kept_restore(texts->bytes, texts->used);
	assert_memory_equal(tf_kept_find("a", &size), "first", 5);
	assert_int_equal(size, 5);
	assert_non_null(tf_kept_find("ab", &size));
	assert_int_equal(size, 0);
	assert_memory_equal(tf_kept_find("b", &size), "x\0y", 3);
	assert_int_equal(size, 3);
	assert_null(tf_kept_find("", &size));
	tf_kept_use(NULL);
	tf_kept_restore(NULL, 0);
	assert_null(tf_kept_find("a", &size));
	free(texts);
}

static void leaves_out_what_finds_no_room(void **state)
{
	struct tf_kept_texts *texts = calloc(1, sizeof(*texts));
	char *big = calloc(1, TF_KEPT_SIZE);
	size_t size;

	(void)state;
	assert_true(texts != NULL && big != NULL);
	tf_kept_use(texts);
	tf_kept_add("big", big, TF_KEPT_SIZE);
	tf_kept_add("small", "x", 1);
	tf_kept_restore(texts->bytes, texts->used);
	assert_null(tf_kept_find("big", &size));
	assert_non_null(tf_kept_find("small", &size));
	tf_kept_use(NULL);
	tf_kept_restore(NULL, 0);
	free(texts);
	free(big);
}

/* Every length and every byte of it may be another's. */
static void believes_nothing(void **state)
{
	struct tf_kept_texts *texts = calloc(1, sizeof(*texts));
	size_t size = 0;

	(void)state;
	assert_non_null(texts);
	tf_kept_use(texts);
	tf_kept_add("a", "text", 4);
	tf_kept_add("b", "more", 4);
	for (size_t length = 0; length <= texts->used; length++) {
		uint8_t *copy = malloc(length ? length : 1); /* so that a sanitizer sees its end */

		assert_non_null(copy);
		memcpy(copy, texts->bytes, length);
		tf_kept_restore(copy, length);
		tf_kept_find("c", &size);
		for (size_t i = 0; i < length; i++) {
			copy[i] ^= 0xff;
			if (tf_kept_find("b", &size) != NULL)
				assert_true(size <= length);
			copy[i] ^= 0xff;
		}
		tf_kept_restore(NULL, 0);
		free(copy);
	}
	texts->used = UINT64_MAX;
	tf_kept_add("d", "x", 1);
	tf_kept_use(NULL);
	free(texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_back_what_it_got),
		cmocka_unit_test(leaves_out_what_finds_no_room),
		cmocka_unit_test(believes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
