/* What passes from a script to the one that takes its place: tf.keep, counters, flows. */
#include "log.h"
#include "script_state.h"

#define COPY_MAX (200u << 20) /* bytes of tf.keep and flows */

/* What may be copied out of Lua: on the way there are up to four copies. */
static size_t room_to_copy(struct tf_allocator *allocator)
{
	if (allocator->limit == SIZE_MAX)
		return COPY_MAX;
	if (allocator->used > allocator->limit / 2)
		tf_allocator_collect(allocator); /* much of it may be garbage */
	return allocator->used < allocator->limit ? (allocator->limit - allocator->used) / 4 : 0;
}

int tf_script_save(struct tf_script *script, void (*put)(void *arg, const void *bytes, size_t n), void *arg)
{
	lua_State *L = script->L;
	const char *text = "", *left_out;
	size_t n = 0;
	int err = 0;

	if (L == NULL) {
		put(arg, "", 0);
		return 0;
	}
	lua_pushnumber(L, script->options->time_limit / 2e3);
	lua_pushnumber(L, (lua_Number) room_to_copy(&script->allocator));
	err = tf_script_call(script, 1, "save", 2, 2);
	if (err != 0) {
		tf_log(TF_LOG_WARNING, "tf.keep is not handed over: %s", lua_tostring(L, -1));
	} else {
		text = lua_tolstring(L, -2, &n);
		left_out = lua_tostring(L, -1);
		if (left_out != NULL)
			tf_log(TF_LOG_WARNING,
			       "tf.keep: '%.80s' is not handed over: only strings, numbers, booleans and tables of them are",
			       left_out);
	}
	put(arg, text, n);
	lua_settop(L, SLOT_TOP);
	return err != 0 ? TF_ESCRIPT : 0;
}

static void hand(struct tf_script *script, uint32_t limits, const char *name, const char *text, size_t n)
{
	lua_State *L = script->L;

	if (L == NULL || n == 0)
		return;
	lua_pushlstring(L, text, n);
	if (tf_script_call(script, limits, name, 1, 0) != 0)
		tf_log(TF_LOG_WARNING, "tf.keep is not taken over: %s", lua_tostring(L, -1));
	lua_settop(L, SLOT_TOP);
}

void tf_script_begin(struct tf_script *script, const char *text, size_t n)
{
	hand(script, TF_GUARD_PATIENCE, "begin", text, n);
}

void tf_script_take(struct tf_script *script, const char *text, size_t n)
{
	hand(script, 1, "take", text, n);
}
