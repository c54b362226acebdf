#include "script.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "log.h"
#include "script_state.h"

#define NEVER	       1e300
#define TICK_TIMERS    1000 /* timers that one turn of the loop runs; the rest have the next */
#define STEPS_MAX      2000 /* functions for several callbacks: a MiB or two of text, bytecode and machine code */

static double clock_now(void)
{
	return (double) uv_hrtime() / 1e9;
}

/* Whose fault it is: a script cannot help what the system has not got. */
static int code_of(const char *text)
{
	static const char *const lacks[] = {"no memory for ", "out of memory", "not enough memory", ": Cannot allocate memory",
					    ": Too many open files"};

	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++)
		if (strstr(text, lacks[i]) != NULL)
			return UV_ENOMEM;
	return TF_ESCRIPT;
}

/* Puts message and traceback on top of the stack into error, and empties the stack to its slots. */
static int take_error(struct tf_script *script, struct tf_error *error)
{
	const char *text = lua_tostring(script->L, -1), *hint = text != NULL ? tf_report_hint(script, text) : "";

	int code = text != NULL ? code_of(text) : UV_ENOMEM;

	tf_error_set(error, code, "%s%s%s", text ? text : "out of memory", script->report.traceback, hint);
	script->report.traceback[0] = '\0';
	lua_settop(script->L, SLOT_TOP);
	return code;
}

static void set_clock(struct tf_script *script)
{
	if (!script->context.offline)
		script->context.now = clock_now();
}

/* Everything that runs code of the script's stands between these two. */
static void enter(struct tf_script *script, const char *doing, uint64_t now, uint32_t times)
{
	script->doing = doing;
	tf_allocator_use(&script->allocator);
	tf_guard_enter(script->guard, now, times);
}

static void come_back(struct tf_script *script)
{
	script->doing = NULL;
	if (script->allocator.used >= script->allocator.collect)
		tf_allocator_collect(&script->allocator);
	else
		tf_pace_go_on(&script->pace);
	tf_guard_leave(script->guard);
}

/* In the allocator. */
static void exhausted(void *arg, int refused)
{
	tf_guard_exhausted(((struct tf_script *) arg)->guard, refused);
}

int tf_script_call(struct tf_script *script, uint32_t limits, const char *name, int args, int results)
{
	lua_State *L = script->L;
	int status;

	set_clock(script);
	lua_getfield(L, SLOT_RUNTIME, name);
	lua_insert(L, -1 - args);
	enter(script, name, uv_hrtime(), limits);
	status = lua_pcall(L, args, results, SLOT_HANDLER);
	come_back(script);
	return status;
}

/* Where no packet waits. */
static int call(struct tf_script *script, const char *name, int args, int results)
{
	return tf_script_call(script, TF_GUARD_PATIENCE, name, args, results);
}

/* Protected: fills the slots. */
static int open_runtime(lua_State *L)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "tunfilter.runtime");
	lua_call(L, 1, 1);
	return 1;
}

int tf_script_create(struct tf_script **out, const struct tf_options *options, struct tf_error *error)
{
	struct tf_script *script = calloc(1, sizeof(*script));
	lua_State *L;
	int err;

	if (script == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	script->options = options;
	script->context.due = NEVER;
	script->outbox = tf_outbox_create();
	script->guard = tf_guard_take(script);
	script->L = L = script->outbox != NULL ? luaL_newstate() : NULL;
	if (L == NULL) {
		err = tf_error_set(error, UV_ENOMEM, "out of memory");
		goto fail_state;
	}

	script->allocator.exhausted = exhausted;
	script->allocator.arg = script;
	tf_allocator_install(&script->allocator, L, options->memory_limit);
	tf_pace_start(&script->pace, &script->allocator);
	lua_pushcfunction(L, tf_report_handler);
	if (lua_cpcall(L, tf_binding_open, script) != 0)
		goto fail_library;
	lua_pushcfunction(L, open_runtime);
	if (lua_pcall(L, 0, 1, SLOT_HANDLER) != 0)
		goto fail_library;

	lua_pushstring(L, options->script);
	lua_pushboolean(L, options->unsafe);
	if (call(script, "compile", 2, 2) != 0)
		goto fail_library;
	if (lua_isnil(L, SLOT_CHUNK)) {
		err = tf_error_set(error, code_of(lua_tostring(L, -1)), "%s", lua_tostring(L, -1));
		goto fail_state;
	}
	lua_settop(L, SLOT_TOP);
	*out = script;
	return 0;

fail_library:
	err = tf_error_set(error, UV_ENOMEM, "the Lua library did not load: %s", lua_tostring(L, -1));
fail_state:
	tf_script_destroy(script);
	return err;
}

void tf_script_here(struct tf_script *script)
{
	script->stack = __builtin_frame_address(0);
}

int tf_script_plain(struct tf_script **out, const struct tf_options *options, struct tf_error *error)
{
	struct tf_script *script = calloc(1, sizeof(*script));

	if (script != NULL)
		script->outbox = tf_outbox_create();
	if (script == NULL || script->outbox == NULL) {
		free(script);
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	}
	script->options = options;
	script->context.due = NEVER;
	*out = script;
	return 0;
}

/* Without a script. */
static void run_plain(const struct tf_script *script, struct tf_batch *batch)
{
	for (; batch->cursor < batch->count; batch->cursor++) {
		batch->packets[batch->cursor].verdict = (uint8_t) script->options->on_error;
		batch->packets[batch->cursor].flags |= TF_FAILED;
	}
}

static int keep_labels(struct tf_script *script)
{
	lua_State *L = script->L;
	uint32_t count = (uint32_t) lua_objlen(L, -1);

	script->labels = calloc(count ? count : 1, sizeof(char *));
	if (script->labels == NULL)
		return UV_ENOMEM;
	for (; script->label_count < count; script->label_count++) {
		char *label;

		lua_rawgeti(L, -1, (int) script->label_count + 1);
		lua_rawgeti(L, -1, 1);
		label = strdup(lua_tostring(L, -1));
		lua_pop(L, 2);
		if (label == NULL)
			return UV_ENOMEM;
		script->labels[script->label_count] = label;
	}
	return 0;
}

int tf_script_follow_mtu(struct tf_script *script, int side, const void *now, struct tf_error *error)
{
	if (script->L == NULL)
		return 0;
	lua_pushinteger(script->L, side);
	lua_pushlightuserdata(script->L, (void *) (uintptr_t) now);
	return call(script, "follow_mtu", 2, 0) != 0 ? take_error(script, error) : 0;
}

int tf_script_load(struct tf_script *script, const struct tf_side sides[2], uint8_t link,
		   struct tf_error *error)
{
	lua_State *L = script->L;
	int status;

	if (script->L == NULL)
		return 0;
	script->link = link;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		lua_pushinteger(L, side);
		lua_pushstring(L, sides[side].name);
		lua_pushstring(L, sides[side].kind);
		lua_pushnumber(L, sides[side].mtu);
		if (call(script, "describe_side", 4, 0) != 0)
			return take_error(script, error);
	}
	set_clock(script);
	lua_pushvalue(L, SLOT_CHUNK);
	enter(script, "load", uv_hrtime(), TF_GUARD_PATIENCE);
	status = lua_pcall(L, 0, 0, SLOT_HANDLER);
	come_back(script);
	return status != 0 ? take_error(script, error) : 0;
}

void tf_script_list(struct tf_script *script, void (*line)(void *arg, const char *text), void *arg)
{
	lua_State *L = script->L;

	if (script->L == NULL)
		return;
	if (call(script, "callbacks", 0, 1) != 0) {
		lua_settop(L, SLOT_TOP);
		return;
	}
	for (int i = 1; i <= (int) lua_objlen(L, -1); i++) {
		char text[1024];
		const char *label, *expression, *from, *where;

		lua_rawgeti(L, SLOT_TOP + 1, i);
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		lua_rawgeti(L, -3, 3);
		lua_rawgeti(L, -4, 4);
		label = lua_tostring(L, -4);
		expression = lua_tostring(L, -3);
		from = lua_tostring(L, -2);
		where = lua_tostring(L, -1);
		snprintf(text, sizeof(text), "%s%s%s%s: %s%s%s", label, where ? " (" : "", where ? where : "",
			 where ? ")" : "", expression ? expression : "every packet", from ? ", from " : "",
			 from ? from : "");
		line(arg, text);
		lua_settop(L, SLOT_TOP + 1);
	}
	lua_settop(L, SLOT_TOP);
}

void tf_script_counters(struct tf_script *script, void (*counter)(void *arg, const char *name, double value),
			void *arg)
{
	lua_State *L = script->L;

	if (script->L == NULL)
		return;
	if (tf_script_call(script, 1, "counters", 0, 1) != 0) {
		lua_settop(L, SLOT_TOP);
		return;
	}
	for (int i = 1; i <= (int) lua_objlen(L, -1); i++) {
		lua_rawgeti(L, SLOT_TOP + 1, i);
		lua_rawgeti(L, -1, 1);
		lua_rawgeti(L, -2, 2);
		counter(arg, lua_tostring(L, -2), lua_tonumber(L, -1));
		lua_settop(L, SLOT_TOP + 1);
	}
	lua_settop(L, SLOT_TOP);
}

int tf_script_start(struct tf_script *script, struct tf_error *error)
{
	lua_State *L = script->L;
	int more;

	if (script->L == NULL)
		return 0;
	do {
		if (call(script, "on_start", 0, 1) != 0)
			return take_error(script, error);
		more = lua_toboolean(L, -1);
		lua_pop(L, 1);
	} while (more);

	if (call(script, "callbacks", 0, 1) != 0)
		return take_error(script, error);
	if (keep_labels(script) != 0)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	lua_pop(L, 1);

	if (call(script, "seal", 0, 1) != 0)
		return take_error(script, error);
	lua_replace(L, SLOT_RUN);
	lua_getfield(L, SLOT_RUNTIME, "step");
	lua_replace(L, SLOT_STEP);
	return 0;
}

/* What every entry from the loop leaves behind. */
static void leave(struct tf_script *script)
{
	script->context.packet = NULL;
	script->context.number = 0;
	script->context.callback = 0;
}

/*
 * The batch's next callback that is to see a packet, counted from 1, with the context set for it, and those that
 * may follow (choose.h); packets that no callback takes any more are forwarded on the way. 0 when the batch is done,
 * or has to wait for a timer.
 */
static uint32_t next_callback(struct tf_script *script, uint32_t *mask)
{
	struct tf_context *context = &script->context;
	struct tf_batch *batch = context->batch;

	for (;;) {
		struct tf_packet *packet = context->packet;

		if (packet == NULL) {
			if (batch->cursor == batch->count)
				return 0;
			packet = &batch->packets[batch->cursor];
			if (context->offline) {
				if (context->due <= packet->clock)
					return 0;
				context->now = packet->clock;
			}
			context->packet = packet;
			context->number = packet->number;
			context->callback = 0;
		}
		if (packet->verdict == TF_VERDICT_PENDING) {
			context->callback = tf_choice_next(script->choice, packet, context->callback, mask);
			if (context->callback != 0)
				return context->callback;
			packet->verdict = TF_VERDICT_FORWARD;
		}
		context->packet = NULL;
		context->number = 0;
		batch->cursor++;
	}
}

/*
 * [+1] The function that calls the callbacks of a block, or the first of them alone where too many functions have
 * been made. 0, or lua_pcall's status with the message on top.
 */
static int push_step(struct tf_script *script, uint32_t callback, uint32_t mask)
{
	lua_State *L = script->L;
	uint32_t block = (callback - 1) / TF_CHOICE_BLOCK, alone = mask & -mask;
	int key = (int) (block << TF_CHOICE_BLOCK | mask), status;

	lua_rawgeti(L, SLOT_RUN, key);
	if (lua_isnil(L, -1) && mask != alone && script->step_count >= STEPS_MAX) {
		lua_pop(L, 1);
		mask = alone;
		key = (int) (block << TF_CHOICE_BLOCK | mask);
		lua_rawgeti(L, SLOT_RUN, key);
	}
	if (!lua_isnil(L, -1))
		return 0;
	lua_pop(L, 1);
	lua_rawgeti(L, SLOT_RUN, 0);
	lua_pushinteger(L, (lua_Integer) (block * TF_CHOICE_BLOCK));
	lua_pushinteger(L, (lua_Integer) mask);
	status = lua_pcall(L, 2, 1, SLOT_HANDLER);
	if (status != 0)
		return status;
	script->step_count++;
	lua_pushvalue(L, -1);
	lua_rawseti(L, SLOT_RUN, key);
	return 0;
}

/* Shows the batch's packets to the callbacks. 0, or lua_pcall's status where one of them threw. */
static int show_packets(struct tf_script *script)
{
	lua_State *L = script->L;
	uint32_t callback, mask = 0;
	int status = 0;

	if (script->choice == NULL) {
		lua_pushvalue(L, SLOT_RUN);
		return lua_pcall(L, 0, 0, SLOT_HANDLER);
	}
	while (status == 0 && (callback = next_callback(script, &mask)) != 0) {
		status = push_step(script, callback, mask);
		if (status == 0)
			status = lua_pcall(L, 0, 0, SLOT_HANDLER);
	}
	return status;
}

void tf_script_run(struct tf_script *script, struct tf_batch *batch)
{
	struct tf_context *context = &script->context;
	lua_State *L = script->L;

	if (L == NULL) {
		run_plain(script, batch);
		return;
	}
	context->batch = batch;
	context->now = batch->packets[batch->cursor].clock;
	enter(script, "", context->offline ? uv_hrtime() : (uint64_t) (context->now * 1e9), 1);
	while (batch->cursor < batch->count) {
		struct tf_packet *packet;
		const char *message;

		if (show_packets(script) == 0)
			break;
		packet = &batch->packets[batch->cursor++];
		packet->verdict = (uint8_t) script->options->on_error;
		packet->flags |= TF_FAILED;
		packet->callback = context->callback;
		leave(script);
		message = lua_tostring(L, -1);
		tf_report_error(script, message ? message : "out of memory", packet, context->now);
		lua_settop(L, SLOT_TOP);
	}
	come_back(script);
	context->batch = NULL;
	leave(script);
}

void tf_script_offline(struct tf_script *script, int captures)
{
	script->captures = (uint8_t) captures;
	script->context.offline = 1;
	script->context.now = 0;
}

void tf_script_epoch(struct tf_script *script, int64_t epoch)
{
	script->epoch = epoch;
}

void tf_script_listen(struct tf_script *script, const struct tf_listener *listener)
{
	script->listener = *listener;
}

void tf_script_tick(struct tf_script *script, double now)
{
	lua_State *L = script->L;

	for (int i = 0; (i < TICK_TIMERS || script->context.offline) && script->context.due <= now; i++) {
		int status;

		script->context.now = now;
		lua_pushvalue(L, SLOT_STEP);
		enter(script, "step", script->context.offline ? uv_hrtime() : (uint64_t) (now * 1e9), 1);
		status = lua_pcall(L, 0, 0, SLOT_HANDLER);
		if (status != 0) {
			const char *message = lua_tostring(L, -1);

			tf_report_error(script, message ? message : "out of memory", NULL, now);
			lua_settop(L, SLOT_TOP);
		}
		come_back(script);
	}
	script->context.now = now;
}

double tf_script_due(const struct tf_script *script)
{
	return script->context.due;
}

uint32_t tf_script_once(const struct tf_script *script)
{
	return script->context.once;
}

void tf_script_stop(struct tf_script *script, uint32_t limits)
{
	lua_State *L = script->L;
	int more = 1;

	if (script->L == NULL)
		return;
	set_clock(script);
	enter(script, "on_stop", uv_hrtime(), limits); /* all of them together */
	while (more) {
		lua_getfield(L, SLOT_RUNTIME, "on_stop");
		if (lua_pcall(L, 0, 1, SLOT_HANDLER) != 0) {
			const char *message = lua_tostring(L, -1);

			tf_report_error(script, message ? message : "out of memory", NULL, script->context.now);
			lua_settop(L, SLOT_TOP);
			continue;
		}
		more = lua_toboolean(L, -1);
		lua_pop(L, 1);
	}
	come_back(script);
	tf_report_rest(script);
}

uint64_t tf_script_errors(const struct tf_script *script)
{
	return script->report.total;
}

struct tf_outbox *tf_script_outbox(struct tf_script *script)
{
	return script->outbox;
}

const char *tf_script_callback(const struct tf_script *script, uint32_t callback)
{
	return callback >= 1 && callback <= script->label_count ? script->labels[callback - 1] : "";
}

int tf_script_jit(struct tf_script *script, const char *step, uint32_t passes, uint32_t packets,
		  void (*take)(void *arg, const char *text, size_t length), void *arg, struct tf_error *error)
{
	lua_State *L = script->L;

	lua_pushstring(L, step);
	lua_pushnumber(L, passes);
	lua_pushnumber(L, packets);
	script->pace.begin = SIZE_MAX; /* its steps collect, and see how much there was */
	if (call(script, "jit", 3, 1) != 0)
		return take_error(script, error);
	for (int i = 1; i <= (int) lua_objlen(L, -1); i++) {
		const char *text;
		size_t length;

		lua_rawgeti(L, -1, i);
		text = lua_tolstring(L, -1, &length);
		take(arg, text, length);
		lua_pop(L, 1);
	}
	lua_settop(L, SLOT_TOP);
	return 0;
}

void tf_script_destroy(struct tf_script *script)
{
	if (script == NULL)
		return;
	if (script->L != NULL) {
		tf_allocator_remove(&script->allocator);
		lua_close(script->L);
	}
	tf_guard_give(script->guard);
	tf_choice_destroy(script->choice);
	for (uint32_t i = 0; i < script->expression_count; i++)
		tf_expression_free(script->expressions[i]);
	free(script->expressions);
	for (uint32_t i = 0; i < script->label_count; i++)
		free(script->labels[i]);
	free(script->labels);
	tf_outbox_destroy(script->outbox);
	free(script);
}
