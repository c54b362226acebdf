#include "allocator.h"

#include <stdint.h>

/*
 * While memory is short. Each time that something is allocated LuaJIT collects some 2 KB, however large
 * the thing was, unless told otherwise; and it begins when twice as much is in use as after the last time.
 * What was made while it marks is marked at once at the end: with 2 KB, that is 7 ms for a script whose flows
 * grow to a million, with 20 KB one or two.
 */
enum { TIGHT_PAUSE = 120, TIGHT_STEPS = 20000, USUAL_PAUSE = 200, USUAL_STEPS = 2000 };

/* These two only set numbers, and may be called anywhere. */
static void set_pace(struct tf_allocator *allocator, int tight)
{
	allocator->tight = tight;
	lua_gc(allocator->L, LUA_GCSETPAUSE, tight ? TIGHT_PAUSE : USUAL_PAUSE);
	lua_gc(allocator->L, LUA_GCSETSTEPMUL, tight ? TIGHT_STEPS : USUAL_STEPS);
}

static void *allocate(void *arg, void *block, size_t before, size_t after)
{
	struct tf_allocator *allocator = arg;
	void *result;

	if (after > before && (allocator->used > allocator->limit ||
			       after - before > allocator->limit - allocator->used))
		allocator->exhausted(allocator->arg);
	result = allocator->next(allocator->next_arg, block, before, after);
	if (result != NULL || after == 0)
		allocator->used += after - before;
	if (allocator->tight != (allocator->used > allocator->limit / 4))
		set_pace(allocator, !allocator->tight);
	return result;
}

void tf_allocator_install(struct tf_allocator *allocator, lua_State *L, unsigned int megabytes)
{
	allocator->L = L;
	allocator->next = lua_getallocf(L, &allocator->next_arg);
	allocator->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
	allocator->limit = megabytes > 0 ? (size_t)megabytes << 20 : SIZE_MAX;
	allocator->collect = megabytes > 0 ? allocator->limit / 2 : SIZE_MAX;
	lua_setallocf(L, allocate, allocator);
}

static int collect(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT, 0);
	return 0;
}

void tf_allocator_collect(struct tf_allocator *allocator)
{
	if (lua_cpcall(allocator->L, collect, NULL) != 0)
		lua_pop(allocator->L, 1);
	/* Not again before half of what is left has gone too. */
	allocator->collect = allocator->used / 2 + allocator->limit / 2;
}

void tf_allocator_remove(const struct tf_allocator *allocator)
{
	lua_setallocf(allocator->L, allocator->next, allocator->next_arg);
}
