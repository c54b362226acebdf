/* The C functions that the Lua library calls through the plain Lua interface: nothing a packet. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "embedded.h"
#include "files.h"
#include "kept.h"
#include "log.h"
#include "script_state.h"
#include "system.h"
#include "text.h"

static struct tf_script *script_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* What is between the stack's place at the beginning and now; within what any system has. */
#define STACK_MAX (1 << 20)

/* Raises an error where C's stack is too deep for one more call back into Lua. */
static void check_stack(lua_State *L)
{
	intptr_t used = (intptr_t) script_of(L)->stack - (intptr_t) __builtin_frame_address(0);

	if (used > STACK_MAX || used < -STACK_MAX)
		luaL_error(L, "stack overflow: functions call each other without an end");
}

/* check_stack(): for what C calls back. */
static int binding_check_stack(lua_State *L)
{
	check_stack(L);
	return 0;
}

/* call(f, …): calls f, which cannot yield: for code that holds a packet meanwhile. */
static int binding_call(lua_State *L)
{
	check_stack(L);
	lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
	return lua_gettop(L);
}

/* The time of day in ns since the epoch; of captures, the packets' own. */
static int64_t time_of(const struct tf_script *script)
{
	uv_timeval64_t now = { 0, 0 };

	if (script->captures)
		return script->context.packet != NULL ? script->context.packet->stamp
						      : script->epoch + (int64_t) (script->context.now * 1e9);
	uv_gettimeofday(&now);
	return now.tv_sec * 1000000000 + now.tv_usec * 1000;
}

/* "12:00:01.123 ", local time. */
static void add_time(luaL_Buffer *buffer, int64_t stamp)
{
	struct tm tm = { 0 };
	char text[32];

	tf_system_local_time(stamp / 1000000000, &tm);
	snprintf(text, sizeof(text), "%02d:%02d:%02d.%03d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (int) (stamp % 1000000000 / 1000000));
	luaL_addstring(buffer, text);
}

/* log(...): the arguments as print shows them, on one line with the time; what a terminal would obey is escaped. */
static int binding_log(lua_State *L)
{
	const struct tf_script *script = script_of(L);
	const struct tf_listener *listener = &script->listener;
	int count = lua_gettop(L);
	luaL_Buffer buffer;
	size_t length;

	check_stack(L); /* a __tostring may log */
	lua_getglobal(L, "tostring");
	for (int i = 1; i <= count; i++) {
		lua_pushvalue(L, -1);
		lua_pushvalue(L, i);
		lua_call(L, 1, 1);
		if (lua_type(L, -1) != LUA_TSTRING)
			return luaL_error(L, "argument %d has a __tostring that gives no string", i);
		lua_replace(L, i);
	}
	luaL_buffinit(L, &buffer);
	if (listener->log == NULL)
		add_time(&buffer, time_of(script));
	for (int i = 1; i <= count; i++) {
		const char *text = lua_tolstring(L, i, &length);

		if (i > 1)
			luaL_addchar(&buffer, '\t');
		for (size_t at = 0, next; at < length; at = next) {
			int n = tf_text_next(text + at, length - at);

			next = at + (size_t) (n < 0 ? -n : n);
			if (n > 0)
				luaL_addlstring(&buffer, text + at, (size_t) n);
			for (size_t j = at; j < next && n < 0; j++) {
				char escaped[8];

				snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned char) text[j]);
				luaL_addstring(&buffer, escaped);
			}
		}
	}
	if (listener->log == NULL)
		luaL_addchar(&buffer, '\n');
	luaL_pushresult(&buffer);
	{
		const char *line = lua_tolstring(L, -1, &length);

		if (listener->log == NULL)
			tf_log_write(line, length);
		else
			listener->log(listener->arg, line, length);
	}
	return 0;
}

enum { EXPRESSION_SIZE = 1024, EXPRESSION_GROWTH = 8 }; /* bytes, and bytes for each of its text */

/* expression(text): its number, from 0; or nil and a message. */
static int binding_expression(lua_State *L)
{
	struct tf_script *script = script_of(L);
	struct tf_expression **grown;
	struct tf_error error = { 0 };
	size_t length;
	const char *text = luaL_checklstring(L, 1, &length);

	if (strlen(text) != length) {
		lua_pushnil(L);
		lua_pushliteral(L, "the expression has a zero byte in it");
		return 2;
	}
	grown = realloc(script->expressions, (script->expression_count + 1) * sizeof(struct tf_expression *));
	if (grown == NULL)
		return luaL_error(L, "out of memory");
	script->expressions = grown;
	if ((script->captures ? tf_expression_compile_any : tf_expression_compile)(
		    &grown[script->expression_count], text, script->link, &error) < 0) {
		lua_pushnil(L);
		lua_pushstring(L, error.text);
		return 2;
	}
	/* About what libpcap's program and ours take: a script may register as many as it likes. */
	tf_allocator_count(&script->allocator, 0, EXPRESSION_SIZE + EXPRESSION_GROWTH * length);
	lua_pushinteger(L, (lua_Integer) script->expression_count++);
	return 1;
}

/* link(): TF_LINK_… of the devices. */
static int binding_link(lua_State *L)
{
	lua_pushinteger(L, script_of(L)->link);
	return 1;
}

/* note_file(path): that the script depends on it. */
static int binding_note_file(lua_State *L)
{
	tf_files_note(luaL_checkstring(L, 1));
	return 0;
}

/* kept(path): the text that is to be read instead of the script's file, which is noted then; or nil. */
static int binding_kept(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1), *text;
	size_t size;

	text = tf_kept_find(path, &size);
	if (text == NULL)
		return 0;
	tf_files_note(path);
	lua_pushlstring(L, text, size);
	return 1;
}

/* keep(path, text): what the script's file is, for who starts it afresh. */
static int binding_keep(lua_State *L)
{
	size_t size;
	const char *text = luaL_checklstring(L, 2, &size);

	tf_kept_add(luaL_checkstring(L, 1), text, size);
	return 0;
}

/* clock(): seconds, monotonic, at this moment. */
static int binding_clock(lua_State *L)
{
	lua_pushnumber(L, (lua_Number) uv_hrtime() / 1e9);
	return 1;
}

/* lost_output(): that standard output took nothing. */
static int binding_lost_output(lua_State *L)
{
	(void) L;
	tf_log_lost();
	return 0;
}

/* make_room(): before something is made that is small in Lua and large in C: Lua does not see that it is full. */
static int binding_make_room(lua_State *L)
{
	tf_allocator_make_room(&script_of(L)->allocator, L);
	return 0;
}

/* read_file(path): the text of a script's file; or nil and a message. */
static int binding_read_file(lua_State *L)
{
	struct tf_error error = { 0 };
	size_t size;
	char *text;

	if (tf_files_read(&text, &size, luaL_checkstring(L, 1), &error) < 0) {
		lua_pushnil(L);
		lua_pushstring(L, error.text);
		return 2;
	}
	lua_pushlstring(L, text, size);
	free(text);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "read_file", binding_read_file },
	{ "make_room", binding_make_room },
	{ "note_file", binding_note_file },
	{ "kept", binding_kept },
	{ "clock", binding_clock },
	{ "keep", binding_keep },
	{ "lost_output", binding_lost_output },
	{ "check_stack", binding_check_stack },
	{ "call", binding_call },
	{ "log", binding_log },
	{ "expression", binding_expression },
	{ "link", binding_link },
	{ NULL, NULL },
};

#define SEED_MAX ((UINT64_C(1) << 53) - 1) /* a whole number of Lua's */

/* --seed, or one that nobody knows. */
static uint64_t seed_of(const struct tf_options *options)
{
	uint64_t seed = 0;

	/* Each worker has numbers of its own, which no other seed gives the first one. */
	if (options->seeded)
		return (options->seed ^ options->worker * 0x9e3779b97f4a7c15u) & SEED_MAX;
	if (uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL) != 0)
		seed = uv_hrtime();
	return seed >> 16;
}

/* [-0, +1]: the table `host`. */
static void push_host(lua_State *L, struct tf_script *script)
{
	char folder[4096];

	lua_newtable(L);
	for (const luaL_Reg *reg = functions; reg->name != NULL; reg++) {
		lua_pushlightuserdata(L, script);
		lua_pushcclosure(L, reg->func, 1);
		lua_setfield(L, -2, reg->name);
	}
	lua_pushnumber(L, (lua_Number) seed_of(script->options));
	lua_setfield(L, -2, "seed");
	lua_pushstring(L, script->options->script);
	lua_setfield(L, -2, "script");
	if (tf_system_link_folder(script->options->script, folder, sizeof(folder)) == 0) {
		lua_pushstring(L, folder);
		lua_setfield(L, -2, "link_folder");
	}
	lua_pushinteger(L, (lua_Integer) script->options->worker + 1);
	lua_setfield(L, -2, "worker");
	lua_pushboolean(L, script->options->unsafe);
	lua_setfield(L, -2, "unsafe");
	lua_newtable(L);
	for (size_t i = 0; i < script->options->setting_count; i++) {
		const struct tf_setting *setting = &script->options->settings[i];

		lua_pushlstring(L, setting->key, setting->key_len);
		lua_pushstring(L, setting->value);
		lua_rawset(L, -3);
	}
	lua_setfield(L, -2, "args");
}

const struct tf_embedded *tf_embedded_find(const char *name)
{
	for (const struct tf_embedded *file = tf_embedded_files; file->name != NULL; file++)
		if (strcmp(file->name, name) == 0)
			return file;
	return NULL;
}

/* [-0, +1]: the chunk of a library file. */
static void load_library(lua_State *L, const struct tf_embedded *file)
{
	int status;
#ifdef TF_LUA_DIR
	lua_pushfstring(L, "%s/%s.lua", TF_LUA_DIR, file->name);
	status = luaL_loadfile(L, lua_tostring(L, -1));
	lua_remove(L, -2);
#else
	lua_pushfstring(L, "=[tunfilter]/%s.lua", file->name);
	status = luaL_loadbuffer(L, (const char *) file->text, file->size, lua_tostring(L, -1));
	lua_remove(L, -2);
#endif
	if (status != 0)
		lua_error(L);
}

/* In package.preload: loads a file of the library when it is required, which most scripts do of half of them. */
static int preload(lua_State *L)
{
	load_library(L, lua_touserdata(L, lua_upvalueindex(1)));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* Called protected, with the script as lightuserdata; leaves nothing. */
int tf_binding_open(lua_State *L)
{
	struct tf_script *script = lua_touserdata(L, 1);
	const struct tf_embedded *declarations = tf_embedded_find("declarations");

	script->stack = __builtin_frame_address(0);
	luaL_openlibs(L);
	lua_pushlightuserdata(L, script);
	lua_setfield(L, LUA_REGISTRYINDEX, "tunfilter");

	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	for (const struct tf_embedded *file = tf_embedded_files; file->name != NULL; file++) {
		if (file == declarations)
			continue;
		lua_pushfstring(L, "tunfilter.%s", file->name);
		lua_pushlightuserdata(L, (void *) (uintptr_t) file);
		lua_pushcclosure(L, preload, 1);
		lua_rawset(L, -3);
	}
	lua_pop(L, 1);

	lua_getfield(L, -1, "loaded");
	load_library(L, tf_embedded_find("core"));
	lua_pushlstring(L, (const char *) declarations->text, declarations->size);
	lua_pushlightuserdata(L, &script->context);
	push_host(L, script);
	lua_call(L, 3, 1);
	lua_setfield(L, -2, "tunfilter.core");
	return 0;
}
