#include "pace.h"

#include <stdint.h>
#include <uv.h>

/* A collection takes so many slices or more: none takes longer than SLICE_TIME, in nanoseconds. */
enum { SLICES = 32, SLICE_TIME = 200000, STEP = 2048 /* bytes: LuaJIT's own */ };

/*
 * LuaJIT begins by itself when MOST percent of what was left by the last collection is in use, and collects twice what is
 * allocated meanwhile; earlier and faster near the limit.
 */
enum { MOST = 275, LEAST = 105, STEPS = 200 };

static size_t in_use(lua_State *L)
{
	return (size_t) lua_gc(L, LUA_GCCOUNT, 0) << 10;
}

/* A collection has ended: so much is left. */
static void plan(struct tf_pace *pace, lua_State *L)
{
	struct tf_allocator *allocator = pace->allocator;
	size_t now = in_use(L), free = allocator->limit > allocator->used ? allocator->limit - allocator->used : 0;
	size_t percent = now / 100 + 1, more = percent * (MOST - 100), steps;

	if (more > free / 2)
		more = free / 2;
	if (more < percent * (LEAST - 100))
		more = percent * (LEAST - 100);
	steps = (now + more) / (free / 800 + 1); /* to be done within an eighth of what is free */
	lua_gc(L, LUA_GCSETPAUSE, 100 + (int) (more / percent));
	lua_gc(L, LUA_GCSETSTEPMUL, steps < STEPS ? STEPS : steps > TF_HURRY ? TF_HURRY : (int) steps);
	allocator->hurry = free > more ? allocator->used + more + (free - more) / 4 : SIZE_MAX;
	pace->begin = now + more / 8 * 7;
	pace->collecting = 0;
}

static int ended(lua_State *L);

/* [+0] A piece of garbage: when it is collected, a collection has come to its end. */
static void lay_out(struct tf_pace *pace, lua_State *L)
{
	*(struct tf_pace **) lua_newuserdata(L, sizeof(struct tf_pace *)) = pace;
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, ended);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
}

static int ended(lua_State *L)
{
	struct tf_pace *pace = *(struct tf_pace **) lua_touserdata(L, 1);

	plan(pace, L);
	lay_out(pace, L);
	return 0;
}

void tf_pace_start(struct tf_pace *pace, struct tf_allocator *allocator)
{
	pace->allocator = allocator;
	plan(pace, allocator->L);
	lay_out(pace, allocator->L);
}

static int collect(lua_State *L)
{
	struct tf_pace *pace = lua_touserdata(L, 1);
	uint64_t until = uv_hrtime() + SLICE_TIME;

	for (size_t done = 0; pace->collecting && done < pace->slice && uv_hrtime() < until; done += STEP)
		lua_gc(L, LUA_GCSTEP, 0);
	return 0;
}

void tf_pace_go_on(struct tf_pace *pace)
{
	lua_State *L = pace->allocator->L;

	if (!pace->collecting) {
		size_t now = in_use(L);

		if (now < pace->begin)
			return;
		pace->collecting = 1;
		pace->slice = now / SLICES;
	}
	if (lua_cpcall(L, collect, pace) != 0)
		lua_pop(L, 1);
}
