/* A program in Lua selects what libpcap's bpf_filter() selects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pcap/pcap.h>

#include "any_packet.h"
#include "embedded.h"
#include "parse.h"
#include "translate.h"

enum { PACKETS = 200 };

/* What slow(p) is asked of, and how often. */
static const struct bpf_program *current;
static uint32_t asked;

static int by_libpcap(const struct bpf_program *program, const struct tf_packet *packet)
{
	return bpf_filter(program->bf_insns, packet->data, packet->len + packet->missing,
			  packet->len) != 0;
}

/* slow(p): p is the address of a pointer, as C functions get cdata. */
static int slow(lua_State *L)
{
	struct tf_packet *packet;

	memcpy(&packet, lua_topointer(L, 1), sizeof(packet));
	asked++;
	lua_pushboolean(L, by_libpcap(current, packet));
	return 1;
}

/* [-0, +1]: load(source), a function of a packet's address. */
static const char maker[] =
	"local declarations, slow = ...\n"
	"local ffi = require 'ffi'\n"
	"ffi.cdef(declarations)\n"
	"local pointer = ffi.typeof 'struct tf_packet *'\n"
	"return function(source)\n"
	"   local f = assert(loadstring('local band, bor, bxor, lshift, rshift, slow = ...\\nreturn function(p)\\n'\n"
	"      .. source .. 'end'))(bit.band, bit.bor, bit.bxor, bit.lshift, bit.rshift, slow)\n"
	"   return function(address) return f(ffi.cast(pointer, address)) end\n"
	"end\n";

static lua_State *open_lua(void)
{
	const struct tf_embedded *file = tf_embedded_files;
	lua_State *L = luaL_newstate();

	while (strcmp(file->name, "declarations") != 0)
		file++;
	luaL_openlibs(L);
	assert_int_equal(luaL_loadstring(L, maker), 0);
	lua_pushlstring(L, (const char *)file->text, file->size);
	lua_pushcfunction(L, slow);
	if (lua_pcall(L, 2, 1, 0) != 0)
		fail_msg("%s", lua_tostring(L, -1));
	return L;
}

/* -1: it is not translated. */
static int by_lua(lua_State *L, int function, const struct tf_packet *packet)
{
	int selects;

	lua_pushvalue(L, function);
	lua_pushlightuserdata(L, (void *)(uintptr_t)packet);
	if (lua_pcall(L, 1, 1, 0) != 0)
		fail_msg("%s", lua_tostring(L, -1));
	assert_int_equal(lua_type(L, -1), LUA_TBOOLEAN);
	selects = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return selects;
}

static void compare(lua_State *L, pcap_t *pcap, uint8_t link, const char *text, int *translated)
{
	static char source[16384];
	struct bpf_program program;
	size_t n;

	if (pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN))
		return;
	n = tf_translate(&program, source, sizeof(source));
	if (n > 0) {
		assert_int_equal(strlen(source), n);
		assert_int_equal(tf_translate(&program, source, n), 0); /* no room for the zero */
		n = tf_translate(&program, source, sizeof(source));
		current = &program;
		lua_pushvalue(L, 1);
		lua_pushlstring(L, source, n);
		if (lua_pcall(L, 1, 1, 0) != 0)
			fail_msg("%s: %s\n%s", text, lua_tostring(L, -1), source);
		for (int i = 0; i < PACKETS; i++) {
			struct tf_packet packet = make_packet(link);

			if (by_lua(L, 2, &packet) != by_libpcap(&program, &packet))
				fail_msg("%s, packet %d of %u bytes", text, i, packet.len);
			free(packet.data);
		}
		lua_settop(L, 1);
		++*translated;
	}
	pcap_freecode(&program);
}

static void selects_as_libpcap(void **state)
{
	static const uint8_t links[] = {TF_LINK_IP, TF_LINK_ETHERNET};
	int translated = 0;
	lua_State *L = open_lua();

	(void)state;
	for (int i = 0; i < 2; i++) {
		pcap_t *pcap = pcap_open_dead(links[i] == TF_LINK_ETHERNET ? DLT_EN10MB : DLT_RAW, 65535);
		FILE *file = fopen(TF_EXPRESSIONS, "r");
		char text[256];

		assert_non_null(file);
		while (fgets(text, sizeof(text), file)) {
			text[strcspn(text, "\n")] = 0;
			if (text[0] != '#')
				compare(L, pcap, links[i], text, &translated);
		}
		fclose(file);
		pcap_close(pcap);
	}
	assert_true(translated >= 120);
	assert_true(asked > 300);
	lua_close(L);
}

/* Of a packet that was cut only its headers are read here. */
static void leaves_cut_packets_to_c(void **state)
{
	static const struct {
		const char *text;
		uint32_t asks;
	} cases[] = {
		{"tcp port 80", 0}, {"tcp[13] & 2 = 0 and src host 10.0.0.1", 0}, {"tcp[16:2] = 0", 1}, {"tcp[20] = 1", 1},
	};
	static const uint8_t header[40] = {0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
					   0,	 80, 4, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0x50, 16};
	pcap_t *pcap = pcap_open_dead(DLT_RAW, 65535);
	lua_State *L = open_lua();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t bytes[60] = {0};
		struct tf_packet packet = {.data = bytes, .len = 60, .room = 60, .link = TF_LINK_IP};
		struct bpf_program program;
		char source[4096];
		size_t n;

		memcpy(bytes, header, sizeof(header));
		tf_parse(&packet);
		packet.flags = TF_CUT | TF_PARTIAL;
		assert_int_equal(pcap_compile(pcap, &program, cases[i].text, 1, PCAP_NETMASK_UNKNOWN), 0);
		n = tf_translate(&program, source, sizeof(source));
		assert_true(n > 0);
		current = &program;
		asked = 0;
		lua_pushvalue(L, 1);
		lua_pushlstring(L, source, n);
		assert_int_equal(lua_pcall(L, 1, 1, 0), 0);
		by_lua(L, 2, &packet);
		if (asked != cases[i].asks)
			fail_msg("%s: asked %u times", cases[i].text, asked);
		lua_settop(L, 1);
		pcap_freecode(&program);
	}
	pcap_close(pcap);
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selects_as_libpcap),
		cmocka_unit_test(leaves_cut_packets_to_c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
