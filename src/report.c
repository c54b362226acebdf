/* Errors of callbacks and timers, as the person sees them. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "describe.h"
#include "log.h"
#include "script_state.h"

#define REPORT_SECONDS 10

/* The length of the "rules.lua:12" that a message begins with; 0 where it has none. */
static size_t place_of(const char *msg)
{
	for (const char *colon = strchr(msg, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
		size_t digits = strspn(colon + 1, "0123456789");

		if (digits > 0 && colon[1 + digits] == ':')
			return (size_t) (colon + 1 + digits - msg);
	}
	return 0;
}

/* What errors are told apart by: their places; the whole message where it has none. */
static size_t place_length(const char *msg)
{
	size_t length = place_of(msg), most = sizeof(((struct tf_report *) 0)->places[0]) - 1;

	if (length == 0)
		length = strlen(msg);
	return length < most ? length : most;
}

static int place_known(const struct tf_report *report, const char *msg)
{
	size_t length = place_length(msg);

	for (uint32_t i = 0; i < report->place_count; i++)
		if (strncmp(report->places[i], msg, length) == 0 && report->places[i][length] == '\0')
			return 1;
	return report->place_count == TF_REPORT_PLACES;
}

/* Copies a traceback without the library's own frames, which say nothing to a script's author. */
static void keep_traceback(struct tf_report *report, const char *text)
{
	size_t used = 0;

	report->traceback[0] = '\0';
	for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line, '\n')) {
		size_t length = strcspn(++line, "\n");

		if (strncmp(line, "\t[tunfilter]/", 13) == 0 || strncmp(line, "stack traceback:", 16) == 0 ||
		    strncmp(line, "\t[C]: ", 6) == 0)
			continue;
		if (used + length + 2 > sizeof(report->traceback))
			break;
		report->traceback[used++] = '\n';
		memcpy(report->traceback + used, line, length);
		used += length;
		report->traceback[used] = '\0';
	}
}

/* [-1, +1]: the error value becomes a string. */
int tf_report_handler(lua_State *L)
{
	struct tf_script *script;

	lua_getfield(L, LUA_REGISTRYINDEX, "tunfilter");
	script = lua_touserdata(L, -1);
	lua_pop(L, 1);

	if (!lua_isstring(L, 1)) {
		if (luaL_getmetafield(L, 1, "__tostring"))
			lua_pushvalue(L, 1);
		if (lua_gettop(L) == 1 || lua_pcall(L, 1, 1, 0) != 0 || lua_type(L, -1) != LUA_TSTRING)
			lua_pushfstring(L, "the error value is a %s", luaL_typename(L, 1));
		lua_replace(L, 1);
		lua_settop(L, 1);
	}
	script->report.traceback[0] = '\0';
	/* LuaJIT's frames are not whole where compiled code ran out of stack: nobody may walk them then. */
	if (!place_known(&script->report, lua_tostring(L, 1)) &&
	    strstr(lua_tostring(L, 1), "stack overflow") == NULL) {
		luaL_traceback(L, L, "", 1);
		keep_traceback(&script->report, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	return 1;
}

/* Whether the message speaks of a nil where a header of the packet was looked for. */
static int lacks_header(const char *msg)
{
	static const char *const names[] = {"eth", "arp", "ip", "ip4", "ip6", "tcp", "udp", "icmp", "icmp6", "quoted"};
	const char *at = strstr(msg, "attempt to index "), *quote = at != NULL ? strchr(at, '\'') : NULL;
	size_t length = quote != NULL ? strcspn(quote + 1, "'") : 0;

	if (length == 0 || strncmp(quote + 1 + length, "' (a nil value)", 15) != 0)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == length && memcmp(quote + 1, names[i], length) == 0)
			return 1;
	return 0;
}

const char *tf_report_hint(const struct tf_script *script, const char *msg)
{
	static const char *const withheld[] = {"field 'execute'", "field 'getenv'",  "field 'open'",
					       "field 'popen'",	  "field 'remove'",  "field 'rename'",
					       "global 'dofile'", "global 'loadfile'"};

	if (strstr(msg, "global 'tf' (a nil value)") != NULL)
		return "\n\ta script begins with: local tf = require \"tunfilter\"";
	if (lacks_header(msg))
		return "\n\tthis packet has no such header: ask for it first, as in: if pkt.tcp and pkt.tcp.dport == 80";
	if (!script->options->unsafe && strstr(msg, "attempt to call") != NULL)
		for (size_t i = 0; i < sizeof(withheld) / sizeof(withheld[0]); i++)
			if (strstr(msg, withheld[i]) != NULL)
				return "\n\tscripts have the safe part of Lua (--unsafe gives them all of it)";
	return "";
}

void tf_script_warn(const struct tf_script *script)
{
	if (script->L != NULL && script->label_count == 0)
		tf_log(TF_LOG_WARNING, "%s registers no callback (tf.on_packet does): every packet is forwarded",
		       script->options->script);
}

void tf_report_rest(struct tf_script *script)
{
	struct tf_report *report = &script->report;

	if (report->unshown == 0)
		return;
	tf_log(TF_LOG_WARNING, "%llu more error%s in callbacks, the last: %s",
	       (unsigned long long) report->unshown, report->unshown == 1 ? "" : "s", report->latest);
	report->unshown = 0;
}

void tf_report_error(struct tf_script *script, const char *msg, const struct tf_packet *packet, double now)
{
	struct tf_report *report = &script->report;
	char line[512] = "", text[sizeof(report->traceback) + 1024];
	const char *callback = packet != NULL ? tf_script_callback(script, packet->callback) : "", *hint;

	/* Behind `return pkt:u8(99)` Lua no longer knows the line. */
	if (place_of(msg) > 0 || strstr(msg, callback) != NULL)
		callback = "";
	hint = tf_report_hint(script, msg);
	report->total++;
	if (script->listener.error != NULL) {
		snprintf(text, sizeof(text), "%s%s%s%s%s", callback, *callback ? ": " : "", msg, report->traceback, hint);
		script->listener.error(script->listener.arg, text);
		return;
	}
	if (place_known(report, msg)) {
		report->unshown++;
		snprintf(report->latest, sizeof(report->latest), "%.*s", (int) strcspn(msg, "\n"), msg);
		if (now - report->last >= REPORT_SECONDS) {
			report->last = now;
			tf_report_rest(script);
		}
		return;
	}
	snprintf(report->places[report->place_count++], sizeof(report->places[0]), "%.*s",
		 (int) place_length(msg), msg);
	report->last = now;
	if (packet == NULL) {
		tf_log(TF_LOG_ERROR, "%s%s%s%s", msg, report->traceback, hint,
		       script->doing != NULL && strcmp(script->doing, "step") == 0 ? "\n\tin a timer's function" : "");
		return;
	}
	tf_packet_describe(packet, line, sizeof(line));
	tf_log(TF_LOG_ERROR,
	       "%s%s%s%s%s\n\tpacket %.0f from %s, %u bytes: %s\n\tit is %s (--on-error); more errors here are counted",
	       callback, *callback ? ": " : "", msg, report->traceback, hint, packet->number, packet->from == TF_LEFT ? "left" : "right", packet->len,
	       line, packet->verdict == TF_VERDICT_FORWARD ? "forwarded" : "dropped");
}
