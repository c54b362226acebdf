/* Files of scenarios: the C functions that lua/tunfilter/test.lua calls, and the calls into it. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "scenarios.h"
#include "script_state.h"
#include "stage.h"

/* A scenario may take so many limits in all, and between two of its steps as many as a script that loads. */
#define SCENARIO_TIMES 60

struct tf_scenarios {
	struct tf_options options;	  /* the command's, with the file for a script */
	const struct tf_options *command; /* the command's own: the rules */
	struct tf_script *script;
	struct tf_stage *stage;	     /* the running scenario's, or NULL */
	struct tf_setting *settings; /* of the stage's script */
	uint8_t *bytes;		     /* TF_PACKET_MAX, for packets on their way out */
	uint64_t latest;	     /* a step after that gives the running scenario no more time, of uv_hrtime() */
};

static struct tf_scenarios *scenarios_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static struct tf_stage *stage_of(lua_State *L)
{
	struct tf_stage *stage = scenarios_of(L)->stage;

	if (stage == NULL)
		luaL_error(L, "no scenario runs");
	return stage;
}

static void give_time(struct tf_scenarios *scenarios)
{
	uint64_t now = uv_hrtime();

	if (now < scenarios->latest)
		tf_guard_enter(scenarios->script->guard, now, TF_GUARD_PATIENCE);
}

/* After a step. The clock of the scenarios' state shows the stage's time. */
static void go_on(struct tf_scenarios *scenarios)
{
	tf_allocator_use(&scenarios->script->allocator);
	give_time(scenarios);
	scenarios->script->context.now = tf_stage_now(scenarios->stage);
}

/* The command's settings, and behind them those of the array of keys and values at index. */
static void merge_settings(lua_State *L, int index, struct tf_scenarios *scenarios,
			   struct tf_options *options)
{
	size_t more = lua_objlen(L, index) / 2;

	free(scenarios->settings);
	scenarios->settings =
		calloc(options->setting_count + more + 1, sizeof(*scenarios->settings));
	if (scenarios->settings == NULL)
		luaL_error(L, "out of memory");
	if (options->setting_count > 0)
		memcpy(scenarios->settings, options->settings,
		       options->setting_count * sizeof(*options->settings));
	options->settings = scenarios->settings;
	for (size_t i = 0; i < more; i++) {
		struct tf_setting *setting = &options->settings[options->setting_count++];

		lua_rawgeti(L, index, (int)(2 * i + 1));
		lua_rawgeti(L, index, (int)(2 * i + 2));
		setting->key = lua_tolstring(L, -2, &setting->key_len);
		setting->value = lua_tostring(L, -1);
		lua_pop(L, 2); /* the array keeps them, and the scenario the array */
	}
}

/*
 * begin(settings, ethernet, seed, forward): a new stage; settings is an array { key, value, … } of
 * strings that stays, the rest may be nil. Nothing, or why the rules do not start.
 */
static int binding_begin(lua_State *L)
{
	struct tf_scenarios *scenarios = scenarios_of(L);
	struct tf_options options = *scenarios->command;
	struct tf_error error = {0};
	uint8_t link = tf_device_spec_link(&options.device[TF_LEFT]);

	tf_stage_destroy(scenarios->stage);
	scenarios->stage = NULL;
	merge_settings(L, 1, scenarios, &options);
	if (!lua_isnil(L, 2))
		link = lua_toboolean(L, 2) ? TF_LINK_ETHERNET : TF_LINK_IP;
	options.seeded = 1;
	if (!lua_isnil(L, 3))
		options.seed = (uint64_t)lua_tonumber(L, 3);
	if (!lua_isnil(L, 4))
		options.on_error = lua_toboolean(L, 4) ? TF_VERDICT_FORWARD : TF_VERDICT_DROP;
	scenarios->script->link = link;
	scenarios->script->context.now = 0;
	if (tf_stage_create(&scenarios->stage, &options, link, &error) < 0) {
		lua_pushstring(L, error.text);
		return 1;
	}
	go_on(scenarios);
	return 0;
}

/* inject(side, bytes): false for a length that no packet has. */
static int binding_inject(lua_State *L)
{
	size_t length;
	const char *bytes = luaL_checklstring(L, 2, &length);
	int err = tf_stage_inject(stage_of(L), (int)lua_tointeger(L, 1), bytes,
				  length <= TF_PACKET_MAX ? (uint32_t)length : 0);

	go_on(scenarios_of(L));
	lua_pushboolean(L, err == 0);
	return 1;
}

/* take(side): the bytes of the next packet that came out, and when; or nothing. */
static int binding_take(lua_State *L)
{
	struct tf_scenarios *scenarios = scenarios_of(L);
	double time;
	uint32_t length =
		tf_stage_take(stage_of(L), (int)lua_tointeger(L, 1), scenarios->bytes, &time);

	if (length == 0)
		return 0;
	lua_pushlstring(L, (const char *)scenarios->bytes, length);
	lua_pushnumber(L, time);
	return 2;
}

/* advance(seconds) */
static int binding_advance(lua_State *L)
{
	tf_stage_advance(stage_of(L), luaL_checknumber(L, 1));
	go_on(scenarios_of(L));
	return 0;
}

/* stop(): the rules' run ends. */
static int binding_stop(lua_State *L)
{
	tf_stage_stop(stage_of(L));
	go_on(scenarios_of(L));
	return 0;
}

/* refused(): packets that the rules let go and no device took. */
static int binding_refused(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)tf_stage_refused(stage_of(L)));
	return 1;
}

/* notes(): an array { is error, text, … } of what the rules said since the last call. */
static int binding_notes(lua_State *L)
{
	struct tf_stage *stage = stage_of(L);
	const struct tf_note *notes;
	uint32_t count;

	notes = tf_stage_notes(stage, &count);
	lua_createtable(L, (int)(2 * count), 0);
	for (uint32_t i = 0; i < count; i++) {
		lua_pushboolean(L, notes[i].error);
		lua_rawseti(L, -2, (int)(2 * i + 1));
		lua_pushstring(L, notes[i].text);
		lua_rawseti(L, -2, (int)(2 * i + 2));
	}
	tf_stage_forget(stage);
	return 1;
}

static const luaL_Reg functions[] = {
	{"begin", binding_begin}, {"inject", binding_inject},
	{"take", binding_take},	  {"advance", binding_advance},
	{"stop", binding_stop},	  {"refused", binding_refused},
	{"notes", binding_notes}, {NULL, NULL},
};

/* [-0, +1] */
static void push_module(lua_State *L, const char *name)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
}

/* Protected: gives the library its `host.test`. */
static int open_module(lua_State *L)
{
	struct tf_scenarios *scenarios = lua_touserdata(L, 1);

	push_module(L, "tunfilter.core");
	lua_getfield(L, -1, "host");
	lua_newtable(L);
	for (const luaL_Reg *reg = functions; reg->name != NULL; reg++) {
		lua_pushlightuserdata(L, scenarios);
		lua_pushcclosure(L, reg->func, 1);
		lua_setfield(L, -2, reg->name);
	}
	lua_setfield(L, -2, "test");
	lua_getglobal(L, "require");
	lua_pushliteral(L, "tunfilter.test");
	lua_call(L, 1, 0);
	return 0;
}

int tf_scenarios_open(struct tf_scenarios **out, const struct tf_options *options, const char *file,
		      struct tf_error *error)
{
	struct tf_side sides[2] = {{"left", "memory", 1500}, {"right", "memory", 1500}};
	struct tf_scenarios *scenarios = calloc(1, sizeof(*scenarios));
	int err;

	if (scenarios == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	scenarios->command = options;
	scenarios->options = *options;
	scenarios->options.script = file;
	scenarios->bytes = malloc(TF_PACKET_MAX);
	if (scenarios->bytes == NULL) {
		err = tf_error_set(error, UV_ENOMEM, "out of memory");
		goto fail;
	}
	err = tf_script_create(&scenarios->script, &scenarios->options, error);
	if (err < 0)
		goto fail;
	tf_script_offline(scenarios->script, 0);
	if (lua_cpcall(scenarios->script->L, open_module, scenarios) != 0) {
		err = tf_error_set(error, UV_ENOMEM, "the Lua library did not load: %s",
				   lua_tostring(scenarios->script->L, -1));
		goto fail;
	}
	err = tf_script_load(scenarios->script, sides,
			     tf_device_spec_link(&options->device[TF_LEFT]), error);
	if (err < 0)
		goto fail;
	*out = scenarios;
	return 0;

fail:
	tf_scenarios_close(scenarios);
	return err;
}

/* Calls the module's function `name` with i (if it is not negative): the status of lua_pcall, and 2
 * results. */
static int call(struct tf_scenarios *scenarios, const char *name, int64_t i)
{
	lua_State *L = scenarios->script->L;

	push_module(L, "tunfilter.test");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	if (i >= 0)
		lua_pushnumber(L, (lua_Number)i + 1);
	return lua_pcall(L, i >= 0, 2, 0);
}

uint32_t tf_scenarios_count(struct tf_scenarios *scenarios)
{
	lua_State *L = scenarios->script->L;
	int top = lua_gettop(L);
	uint32_t count = 0;

	if (call(scenarios, "count", -1) == 0)
		count = (uint32_t)lua_tonumber(L, -2);
	lua_settop(L, top);
	return count;
}

const char *tf_scenarios_title(struct tf_scenarios *scenarios, uint32_t i, int *line)
{
	lua_State *L = scenarios->script->L;
	int top = lua_gettop(L);
	const char *title = "";

	if (call(scenarios, "title", i) == 0) {
		title = lua_tostring(L, -2); /* the module keeps it */
		*line = (int)lua_tointeger(L, -1);
	}
	lua_settop(L, top);
	return title;
}

int tf_scenarios_run(struct tf_scenarios *scenarios, uint32_t i, char **failure)
{
	lua_State *L = scenarios->script->L;
	int top = lua_gettop(L), status, passed, line;
	const char *text;

	scenarios->script->scenario = tf_scenarios_title(scenarios, i, &line);
	scenarios->latest = uv_hrtime() + (uint64_t)scenarios->command->time_limit * 1000000 * SCENARIO_TIMES;
	tf_allocator_use(&scenarios->script->allocator);
	give_time(scenarios);
	/* Without an error there are two results: whether it passed, and why not. */
	status = call(scenarios, "run", i);
	tf_guard_leave(scenarios->script->guard);
	scenarios->script->scenario = NULL;
	passed = status == 0 && lua_toboolean(L, -2);
	text = lua_tostring(L, -1);
	*failure = passed ? NULL : strdup(text != NULL ? text : "out of memory");
	lua_settop(L, top);
	tf_stage_destroy(scenarios->stage);
	scenarios->stage = NULL;
	return passed;
}

void tf_scenarios_close(struct tf_scenarios *scenarios)
{
	if (scenarios == NULL)
		return;
	tf_stage_destroy(scenarios->stage);
	tf_script_destroy(scenarios->script);
	free(scenarios->settings);
	free(scenarios->bytes);
	free(scenarios);
}
