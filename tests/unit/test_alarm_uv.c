/* The alarm of systems without timerfd; the program here has Linux's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define tf_alarm_create alarm_create
#define tf_alarm_set	alarm_set
#define tf_alarm_close	alarm_close
#include "../../src/alarm_uv.c"

static uv_loop_t loop;
static int rung;

static void on_ring(void *arg)
{
	(void)arg;
	rung++;
}

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

static void run_until(double time)
{
	while (now() < time)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void rings_once_and_never_early(void **state)
{
	struct tf_alarm *alarm = NULL;
	double due;

	(void)state;
	assert_int_equal(alarm_create(&alarm, &loop, on_ring, NULL), 0);
	for (int i = 0; i < 50; i++) {
		rung = 0;
		due = now() + i * 0.00037;
		alarm_set(alarm, due);
		while (!rung)
			uv_run(&loop, UV_RUN_ONCE);
		assert_true(now() >= due);
	}
	run_until(now() + 0.02);
	assert_int_equal(rung, 1);
	alarm_close(alarm);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void the_last_call_counts(void **state)
{
	struct tf_alarm *alarm = NULL;

	(void)state;
	assert_int_equal(alarm_create(&alarm, &loop, on_ring, NULL), 0);
	rung = 0;
	alarm_set(alarm, now() + 0.01);
	alarm_set(alarm, 1e300); /* not at all */
	run_until(now() + 0.03);
	assert_int_equal(rung, 0);
	alarm_set(alarm, 1e300);
	alarm_set(alarm, 0); /* long past */
	uv_run(&loop, UV_RUN_ONCE);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(rung, 1);
	alarm_set(alarm, now() + 1e12); /* further off than any clock goes */
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(rung, 1);
	alarm_close(alarm);
	uv_run(&loop, UV_RUN_DEFAULT);
	alarm_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_once_and_never_early),
		cmocka_unit_test(the_last_call_counts),
	};
	int failed;

	uv_loop_init(&loop);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed || uv_loop_close(&loop) < 0;
}
