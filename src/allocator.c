#include "allocator.h"

#include <stdint.h>

static _Thread_local struct tf_allocator *in_use;

void tf_allocator_use(struct tf_allocator *allocator)
{
	in_use = allocator;
}

struct tf_allocator *tf_allocator_in_use(void)
{
	return in_use;
}

void tf_allocator_count(struct tf_allocator *allocator, size_t before, size_t after)
{
	if (allocator == NULL)
		return;
	if (after > before && (allocator->used > allocator->limit ||
			       after - before > allocator->limit - allocator->used))
		allocator->exhausted(allocator->arg, 0);
	allocator->used += after - before;
	if (allocator->used > allocator->hurry) {
		allocator->hurry = SIZE_MAX;
		lua_gc(allocator->L, LUA_GCSETSTEPMUL, TF_HURRY); /* only sets a number, and may be called anywhere */
	}
}

static void *allocate(void *arg, void *block, size_t before, size_t after)
{
	struct tf_allocator *allocator = arg;
	void *result;

	tf_allocator_count(allocator, before, after);
	result = allocator->next(allocator->next_arg, block, before, after);
	if (result == NULL && after > 0)
		allocator->exhausted(allocator->arg, 1);
	return result;
}

void tf_allocator_install(struct tf_allocator *allocator, lua_State *L, unsigned int megabytes)
{
	allocator->L = L;
	allocator->next = lua_getallocf(L, &allocator->next_arg);
	allocator->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
	allocator->limit = megabytes > 0 ? (size_t)megabytes << 20 : SIZE_MAX;
	allocator->hurry = SIZE_MAX;
	allocator->collect = megabytes > 0 ? allocator->limit / 8 * 7 : SIZE_MAX;
	lua_setallocf(L, allocate, allocator);
}

static int collect(lua_State *L)
{
	lua_gc(L, LUA_GCCOLLECT, 0);
	return 0;
}

/* Not again before three quarters of what is left have gone too. */
static void set_next(struct tf_allocator *allocator)
{
	allocator->collect = allocator->used / 4 + allocator->limit / 4 * 3;
}

void tf_allocator_collect(struct tf_allocator *allocator)
{
	if (lua_cpcall(allocator->L, collect, NULL) != 0)
		lua_pop(allocator->L, 1);
	set_next(allocator);
}

void tf_allocator_make_room(struct tf_allocator *allocator, lua_State *L)
{
	if (allocator->used < allocator->collect)
		return;
	lua_gc(L, LUA_GCCOLLECT, 0);
	set_next(allocator);
}

void tf_allocator_remove(const struct tf_allocator *allocator)
{
	if (in_use == allocator)
		in_use = NULL;
	lua_setallocf(allocator->L, allocator->next, allocator->next_arg);
}
