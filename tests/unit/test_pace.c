/* The collector between two batches: when it begins, that it comes to an end, and what is left. */
#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pace.h"

static void exhausted(void *arg, int refused)
{
	(void) arg;
	(void) refused;
	fail_msg("out of memory");
}

struct fixture {
	lua_State *L;
	struct tf_allocator allocator;
	struct tf_pace pace;
};

static void open_state(struct fixture *fixture, unsigned int megabytes)
{
	*fixture = (struct fixture){.L = luaL_newstate(), .allocator.exhausted = exhausted};
	assert_non_null(fixture->L);
	luaL_openlibs(fixture->L);
	tf_allocator_install(&fixture->allocator, fixture->L, megabytes);
	tf_pace_start(&fixture->pace, &fixture->allocator);
}

static void close_state(struct fixture *fixture)
{
	tf_allocator_remove(&fixture->allocator);
	lua_close(fixture->L);
}

static void run(struct fixture *fixture, const char *text)
{
	if (luaL_dostring(fixture->L, text))
		fail_msg("%s", lua_tostring(fixture->L, -1));
}

static size_t kilobytes(const struct fixture *fixture)
{
	return (size_t) lua_gc(fixture->L, LUA_GCCOUNT, 0);
}

static const char keep[] = "kept = {} for i = 1, 20000 do kept[i] = { i } end collectgarbage()";
static const char waste[] = "collectgarbage 'stop' for i = 1, 100000 do last = { i } end";

static void nothing_before_it_is_time(void **state)
{
	struct fixture fixture;
	size_t before;

	(void) state;
	open_state(&fixture, 0);
	run(&fixture, keep);
	before = kilobytes(&fixture);
	assert_true(fixture.pace.begin >> 10 > before);
	for (int i = 0; i < 100; i++)
		tf_pace_go_on(&fixture.pace);
	assert_false(fixture.pace.collecting);
	assert_int_equal(kilobytes(&fixture), before);
	close_state(&fixture);
}

static void what_was_kept_is_left(void **state)
{
	struct fixture fixture;
	size_t before;
	int slices = 0;

	(void) state;
	open_state(&fixture, 0);
	run(&fixture, keep);
	before = kilobytes(&fixture);
	for (int turn = 0; turn < 3; turn++) {
		run(&fixture, waste);
		assert_true(kilobytes(&fixture) > fixture.pace.begin >> 10);
		do {
			tf_pace_go_on(&fixture.pace);
			slices++;
		} while (fixture.pace.collecting);
		assert_true(kilobytes(&fixture) < before + before / 8);
		run(&fixture, "for i = 1, 20000 do assert(kept[i][1] == i) end");
	}
	assert_true(slices > 30); /* a piece at a time */
	close_state(&fixture);
}

/* Where there is little room it begins early enough to use it. */
static void near_the_limit(void **state)
{
	struct fixture fixture;

	(void) state;
	open_state(&fixture, 16);
	run(&fixture, "kept = {} for i = 1, 100000 do kept[i] = { i } end collectgarbage()");
	assert_true(fixture.allocator.used > 5u << 20);
	assert_true(fixture.pace.begin > fixture.allocator.used);
	assert_true(fixture.pace.begin < 16u << 20);
	assert_true(fixture.allocator.hurry > fixture.pace.begin && fixture.allocator.hurry < 16u << 20);
	run(&fixture, "for i = 1, 1000000 do last = { i } end"); /* by itself */
	close_state(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_before_it_is_time),
		cmocka_unit_test(what_was_kept_is_left),
		cmocka_unit_test(near_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
