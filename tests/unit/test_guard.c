/* What the watcher sees of scripts that enter Lua and leave it; times are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard.h"

enum { LIMIT = 1000 };

static struct tf_guards guards;
static int rings;

static void ring(void)
{
	rings++;
}

static int set_up(void **state)
{
	(void)state;
	guards = (struct tf_guards){0};
	rings = 0;
	tf_guard_use(&guards, ring, NULL);
	return 0;
}

/* Scripts are only names here. */
static struct tf_script *script(uintptr_t number)
{
	return (struct tf_script *)number; // NOLINT
}

static void a_watcher_that_sleeps_is_rung_once(void **state)
{
	struct tf_guard *guard = tf_guard_take(script(1));
	struct tf_look look = tf_guards_look(&guards, 10, LIMIT, 5, 0);

	(void)state;
	assert_int_equal(look.hung, -1);
	assert_int_equal(look.next, 0); /* nobody came: it sleeps */
	tf_guard_enter(guard, 20, 1);
	tf_guard_leave(guard);
	tf_guard_enter(guard, 30, 1);
	tf_guard_leave(guard);
	assert_int_equal(rings, 1);
	tf_guard_give(guard);
}

static void it_does_not_sleep_while_somebody_comes(void **state)
{
	struct tf_guard *guard = tf_guard_take(script(1));

	(void)state;
	tf_guard_enter(guard, 20, 1);
	tf_guard_leave(guard);
	assert_int_equal(tf_guards_look(&guards, 30, LIMIT, 10, 0).next, 30 + LIMIT);
	assert_int_equal(tf_guards_look(&guards, 30 + LIMIT, LIMIT, 30, 0).next, 0);
	tf_guard_give(guard);
}

static void who_stays_for_longer_than_the_limit_is_found_at_once(void **state)
{
	struct tf_guard *first = tf_guard_take(script(1)), *second = tf_guard_take(script(2));
	struct tf_look look;

	(void)state;
	tf_guard_enter(first, 100, 10);
	tf_guard_enter(second, 200, 1);
	look = tf_guards_look(&guards, 300, LIMIT, 50, 0);
	assert_int_equal(look.hung, -1);
	assert_int_equal(look.next, 200 + LIMIT);
	look = tf_guards_look(&guards, 200 + LIMIT, LIMIT, 300, 0);
	assert_int_equal(look.hung, 1);
	assert_int_equal(look.limit, LIMIT);
	assert_ptr_equal(tf_guard_script(1), script(2));
	tf_guard_leave(second);
	/* The first one has long to go, but may leave and come again any time. */
	assert_int_equal(tf_guards_look(&guards, 1300, LIMIT, 300, 0).next, 1300 + LIMIT);
	look = tf_guards_look(&guards, 100 + 10 * LIMIT, LIMIT, 300, 0);
	assert_int_equal(look.hung, 0);
	assert_int_equal(look.limit, 10 * LIMIT);
	tf_guard_give(first);
	tf_guard_give(second);
	assert_null(tf_guard_script(0));
}

static void time_in_which_we_were_stopped_does_not_count(void **state)
{
	struct tf_guard *guard = tf_guard_take(script(1));
	struct tf_look look;

	(void)state;
	tf_guard_enter(guard, 100, 1);
	look = tf_guards_look(&guards, 90000, LIMIT, 50, 89000 + LIMIT / 2);
	assert_int_equal(look.hung, -1);
	assert_int_equal(look.next, 89000 + LIMIT / 2 + LIMIT);
	tf_guard_give(guard);
}

static void who_is_excused_stays_and_hides_nobody(void **state)
{
	struct tf_guard *first = tf_guard_take(script(1)), *second = tf_guard_take(script(2));

	(void)state;
	tf_guard_enter(first, 100, 1);
	tf_guard_enter(second, 150, 1);
	assert_int_equal(tf_guards_look(&guards, 150 + LIMIT, LIMIT, 50, 0).hung, 0);
	first->until = 250 + LIMIT;
	first->excused = 100;
	assert_int_equal(tf_guards_look(&guards, 150 + LIMIT, LIMIT, 50, 0).hung, 1);
	tf_guard_leave(second);
	assert_int_equal(tf_guards_look(&guards, 150 + LIMIT, LIMIT, 50, 0).next, 250 + LIMIT);
	assert_int_equal(tf_guards_look(&guards, 250 + LIMIT, LIMIT, 50, 0).hung, 0);
	tf_guard_enter(first, 120, 1); /* another call */
	assert_int_equal(tf_guards_look(&guards, 120 + LIMIT, LIMIT, 50, 0).hung, 0);
	tf_guard_give(first);
	tf_guard_give(second);
}

static void there_are_slots_for_so_many(void **state)
{
	struct tf_guard *taken[TF_GUARD_SLOTS];

	(void)state;
	for (uintptr_t i = 0; i < TF_GUARD_SLOTS; i++)
		assert_non_null(taken[i] = tf_guard_take(script(i + 1)));
	assert_null(tf_guard_take(script(99)));
	tf_guard_enter(NULL, 1, 1); /* such a script is not watched */
	tf_guard_leave(NULL);
	for (int i = 0; i < TF_GUARD_SLOTS; i++)
		tf_guard_give(taken[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_watcher_that_sleeps_is_rung_once, set_up),
		cmocka_unit_test_setup(it_does_not_sleep_while_somebody_comes, set_up),
		cmocka_unit_test_setup(who_stays_for_longer_than_the_limit_is_found_at_once, set_up),
		cmocka_unit_test_setup(time_in_which_we_were_stopped_does_not_count, set_up),
		cmocka_unit_test_setup(who_is_excused_stays_and_hides_nobody, set_up),
		cmocka_unit_test_setup(there_are_slots_for_so_many, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
