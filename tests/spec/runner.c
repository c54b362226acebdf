/*
 * Runs specs of the Lua library without devices: runner [--parts] HARNESS.lua SPEC.lua…
 *
 * The library is the one that is in the program, with a context of the runner's own. Specs make a
 * packet the one that a callback sees by live(), and have what harness.lua gives them. With --parts
 * these come as parts of large packets, as a kernel with segmentation offload hands them over.
 * Prints TAP; the exit status is 0 if all tests passed.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "context.h"
#include "embedded.h"
#include "parse.h"
#include "part.h"

static struct tf_context context;
static struct tf_batch *batch;
static double number;
static int as_parts;
static uint32_t part_count; /* packets that came so */

/* live(bytes, link = TF_LINK_IP, from = TF_LEFT, time = 0): its number. */
static int live(lua_State *L)
{
	size_t len;
	const char *bytes = luaL_checklstring(L, 1, &len);
	struct tf_packet *packet;

	luaL_argcheck(L, len >= 1 && len <= TF_PACKET_MAX, 1, "length");
	tf_batch_reset(batch, (uint8_t)luaL_optinteger(L, 3, TF_LEFT),
		       (uint8_t)luaL_optinteger(L, 2, TF_LINK_IP));
	memcpy(tf_batch_room(batch), bytes, len);
	packet = tf_batch_commit(batch, (uint32_t)len);
	packet->number = ++number;
	packet->stamp = (int64_t)(luaL_optnumber(L, 4, 0) * 1e9);
	parts_forget();
	if (as_parts && part_of_large(batch, packet))
		part_count++;
	else
		tf_parse(packet);
	context.batch = batch;
	context.packet = packet;
	context.number = number;
	lua_pushnumber(L, number);
	return 1;
}

/* finish(): the callback has returned. */
static int finish(lua_State *L)
{
	(void)L;
	context.batch = NULL;
	context.packet = NULL;
	context.number = 0;
	return 0;
}

/* [-0, +1] */
static void load(lua_State *L, const char *name)
{
	const struct tf_embedded *file = tf_embedded_files;

	while (strcmp(file->name, name) != 0)
		file++;
	lua_pushfstring(L, "=[tunfilter]/%s.lua", name);
	if (luaL_loadbuffer(L, (const char *)file->text, file->size, lua_tostring(L, -1)) != 0)
		lua_error(L);
	lua_remove(L, -2);
}

/* Protected: the library as src/binding.c sets it up. What the host would do is the harness's. */
static int open_library(lua_State *L)
{
	const struct tf_embedded *declarations = NULL;

	luaL_openlibs(L);
	lua_register(L, "live", live);
	lua_register(L, "finish", finish);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	for (const struct tf_embedded *file = tf_embedded_files; file->name; file++) {
		if (strcmp(file->name, "declarations") == 0) {
			declarations = file;
			continue;
		}
		lua_pushfstring(L, "tunfilter.%s", file->name);
		load(L, file->name);
		lua_rawset(L, -3);
	}
	lua_getfield(L, -2, "loaded");
	load(L, "core");
	lua_pushlstring(L, (const char *)declarations->text, declarations->size);
	lua_pushlightuserdata(L, &context);
	lua_newtable(L);
	lua_call(L, 3, 1);
	lua_setfield(L, -2, "tunfilter.core");
	return 0;
}

/* The harness is run with the names of the specs and gives the number of failures. */
int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	int status = 2;

	if (argc > 1 && strcmp(argv[1], "--parts") == 0) {
		as_parts = 1;
		argc--;
		argv++;
	}
	if (argc < 2 || !L || tf_batch_create(&batch, 4) != 0) {
		fprintf(stderr, "usage: %s [--parts] HARNESS.lua SPEC.lua…\n", argv[0]);
		return 2;
	}
	if (lua_cpcall(L, open_library, NULL) == 0 && luaL_loadfile(L, argv[1]) == 0) {
		for (int i = 2; i < argc; i++)
			lua_pushstring(L, argv[i]);
		if (lua_pcall(L, argc - 2, 1, 0) == 0)
			status = lua_tointeger(L, -1) != 0;
	}
	if (status == 0 && as_parts && part_count == 0) {
		fprintf(stderr, "no packet can have been a part of a large one\n");
		status = 1;
	}
	if (status == 2)
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	lua_close(L);
	parts_forget();
	tf_batch_destroy(batch);
	return status;
}
