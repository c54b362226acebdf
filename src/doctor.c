#include "doctor_parts.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <pcap/pcap.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

void tf_doctor_say(enum tf_doctor_mark mark, const char *what, const char *format, ...)
{
	static const char *const words[] = {"ok", "hint", "warning", "missing"};
	static const char *const colours[] = {"32", "36", "33", "31"};
	const char *no_colour = getenv("NO_COLOR");
	int colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
	va_list args;

	if (colour)
		printf("\033[1;%sm%-8s\033[0m", colours[mark], words[mark]);
	else
		printf("%-8s", words[mark]);
	printf("%-12s", what);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void check_luajit(void)
{
	lua_State *L = luaL_newstate();

	if (!L) {
		tf_doctor_say(TF_DOCTOR_MISSING, "LuaJIT", "it does not start: out of memory");
		return;
	}
	luaL_openlibs(L);
	if (luaL_dostring(L, "return jit.version, jit.arch == 'x64' and jit.version_num <= 20100, "
			     "(jit.status())") == 0 &&
	    lua_toboolean(L, -1))
		tf_doctor_say(TF_DOCTOR_OK, "LuaJIT", "%s, compiler on%s", lua_tostring(L, -3),
			      lua_toboolean(L, -2)
				      ? "; pairs() is not compiled, as an old fault of it asks"
				      : "");
	else
		tf_doctor_say(TF_DOCTOR_WARNING, "LuaJIT",
			      LUAJIT_VERSION
			      ", compiler off: scripts run, but 30 to 100 times slower");
	lua_close(L);
}

void tf_doctor_libraries(void)
{
	check_luajit();
	tf_doctor_say(TF_DOCTOR_OK, "libuv", "%s", uv_version_string());
	tf_doctor_say(TF_DOCTOR_OK, "libpcap", "%s", pcap_lib_version());
}
