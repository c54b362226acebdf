/*
 * Lua's memory, counted and bounded, with what its objects have of C's (owned.h). A request past the limit, or one that
 * the system refuses, is the end of the process, not an error: LuaJIT's releases up to 2023 can lose their stack where
 * compiled code is refused memory, and a script could catch the error for ever. So that garbage does not count, it is
 * collected in time.
 */
#ifndef TF_ALLOCATOR_H
#define TF_ALLOCATOR_H

#include <lua.h>
#include <stddef.h>

/*
 * The collector's steps when it is behind, in percent of their usual size: each time that something is allocated it goes on
 * by one, however large the thing was.
 */
enum { TF_HURRY = 20000 };

struct tf_allocator {
	lua_Alloc next; /* LuaJIT's own, which does the work: no other one serves it on every system */
	void *next_arg;
	lua_State *L;	/* its main thread */
	size_t used;	/* bytes */
	size_t limit;	/* bytes; SIZE_MAX: none */
	size_t hurry;	/* with so many the collector is behind; pace.c's */
	size_t collect; /* when so many are in use it is time to collect; SIZE_MAX: never */
	void (*exhausted)(void *arg, int refused); /* does not return; refused: by the system */
	void *arg;		      /* for exhausted */
};

/*
 * Counts what the state has and takes from now on. megabytes: 0 for no limit; exhausted and arg have
 * been set.
 */
void tf_allocator_install(struct tf_allocator *allocator, lua_State *L, unsigned int megabytes);

/* Whose script this thread is in from now on; NULL: nobody's. */
void tf_allocator_use(struct tf_allocator *allocator);
struct tf_allocator *tf_allocator_in_use(void);

/* What is in use besides Lua's own has become so much; NULL is fine. */
void tf_allocator_count(struct tf_allocator *allocator, size_t before, size_t after);

/* Between two calls into Lua, where used has reached collect. */
void tf_allocator_collect(struct tf_allocator *allocator);

/* In a call from Lua, of its thread L, that is about to take memory of C's: collects where that is due. */
void tf_allocator_make_room(struct tf_allocator *allocator, lua_State *L);

/* Before the state is closed: LuaJIT gives its memory back at once when it knows it for its own. */
void tf_allocator_remove(const struct tf_allocator *allocator);

#endif
