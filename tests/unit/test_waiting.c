/* How many packets wait, against an array that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "waiting.h"

#define MAX 40

static void random_times_against_an_array(void **state)
{
	struct tf_waiting *waiting = tf_waiting_create(MAX);
	double due[MAX], now = 0;
	int count = 0, refused = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		/* Steps and times that are often equal. */
		double leaves = (now += rand() % 3 / 4.0) + rand() % 120 / 4.0;
		int left = 0;

		for (int j = 0; j < count; j++)
			if (due[j] > now)
				due[left++] = due[j];
		count = left;
		assert_int_equal(tf_waiting_add(waiting, now, leaves), count < MAX);
		if (count < MAX)
			due[count++] = leaves;
		else
			refused++;
	}
	assert_in_range(refused, 1000, 190000);
	tf_waiting_destroy(waiting);
	tf_waiting_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(random_times_against_an_array)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
