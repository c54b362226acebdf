/*
 * Random programs over the documented interface: a script may fail in any way, but memory stays
 * safe.
 *
 * The input chooses, byte by byte, how a program is put together from templates in which $e stands
 * for an expression, $p for a packet, $s for a statement, $n for a number, $t for a string; then
 * come packets for it (on_stage.h). Loops are bounded by their templates.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "on_stage.h"

enum { PROGRAM_MAX = 16384, DEPTH = 5 };

struct program {
	char text[PROGRAM_MAX];
	size_t length;
	struct fuzz *fuzz;
};

static const char *const statements[] = {
	"pkt.payload = $e",
	"pkt.raw = $e",
	"pkt:set_u8($n, $e)",
	"pkt:set_u16($n, $e)",
	"pkt:set_u32($n, $e)",
	"pkt:replace($t, $t, $e)",
	"$p.ip.src = $e",
	"$p.ip.dst = $e",
	"$p.ip.ttl = $e",
	"$p.ip.dscp = $e",
	"$p.ip.ecn = $e",
	"$p.ip.proto = $e",
	"$p.ip.len = $e",
	"$p.ip4.id = $e",
	"$p.ip4.offset = $e",
	"$p.ip4.mf = $e",
	"$p.ip4.checksum = $e",
	"$p.ip6.flow_label = $e",
	"$p.ip6.next_header = $e",
	"$p.tcp.flags = $t",
	"$p.tcp.flags.syn = $e",
	"$p.tcp.seq = $e",
	"$p.tcp.checksum = $e",
	"$p.tcp.dport = $e",
	"$p.tcp.options.mss = $e",
	"$p.tcp.options.timestamp = $e",
	"$p.tcp.options = $e",
	"$p.udp.sport = $e",
	"$p.udp.len = $e",
	"$p.udp.checksum = $e",
	"$p.icmp.type = $e",
	"local f = load(\"if getfenv then getfenv(0).require 'ffi'.cast('int *', 8)[0] = 1 end\", 'x', "
	"'t', $e) if f then f() end",
	"$p.eth.dst = $e",
	"$p.eth.vlan = $e",
	"$p.eth.type = $e",
	"stream.rewrite{ function() $s coroutine.yield() $s return $e end, from = tf.left }($p)",
	"$p.arp.spa = $e",
	"kept[#kept % 8 + 1] = $p",
	"kept[#kept % 8 + 1] = $p:copy()",
	"kept[#kept % 8 + 1] = $p.tcp",
	"kept[#kept % 8 + 1] = $p.ip",
	"kept[#kept % 8 + 1] = $p.ip.src",
	"kept[#kept % 8 + 1] = $p.tcp.flags",
	"kept[#kept % 8 + 1] = tf.flow(pkt)",
	"kept[#kept % 8 + 1] = $e",
	"tf.flow($p).x = $e",
	"tf.send($e, $p)",
	"tf.send(tf.left, $t)",
	"tf.send(tf.right, tf.packet{ ip = { src = $e, dst = $e, ttl = $e }, udp = { sport = $e }, "
	"payload = $e })",
	"tf.send(tf.left, tf.packet{ ip6 = { src = '::1', dst = $e }, tcp = { flags = $t, options "
	"= $e } })",
	"tf.send(tf.left, tf.packet{ ip4 = { src = '1.2.3.4', dst = '5.6.7.8', len = $e }, icmp = "
	"{ type = $e }, raw = true })",
	"tf.after($n / 100, function() $s end)",
	"local t = tf.every(0.1 + $n, function() $s end) t:cancel()",
	"pcall(function() $s end)",
	"for i = 1, 3 do $s end",
	"for i = 1, 70 do $s end",
	"if $e then $s else $s end",
	"counter:add($e)",
	"set:add($e)",
	"set:remove($e)",
	"words:add($e)",
	"tf.keep.x = $e",
	"collectgarbage()",
	"coroutine.wrap(function() $s coroutine.yield() $s end)()",
	"error($e)",
	"if tf.random() < 0.5 then return $v end",
	"do return $v end",
	"$s $s",
	"stream.replace{ $t, $t, from = tf.left }($p)",
	"dns.answer($p, { { type = 'A', data = $e } })",
	"local ok, m = pcall(dns.build, $e) if ok then pkt.payload = m end",
	"setmetatable(kept, { __index = function() $s end })",
	"string.rep = $e",
	"tostring = $e",
	"rawset(tf, 'drop', $e)",
	"getmetatable('').__index = $e",
	"tf.on_packet(function(pkt) $s end)",
};

static const char *const verdicts[] = {"tf.drop",     "tf.forward", "tf.reply", "$p:hold($n / 50)",
				       "$p:reject()", "$e",	    "nil"};

static const char *const packets[] = {
	"pkt",		"pkt",	      "pkt",	       "kept[1]",
	"kept[$n % 8]", "pkt:copy()", "tf.packet($t)", "tf.packet(pkt:bytes())"};

static const char *const expressions[] = {
	"$n",
	"load($t, 'x', 't', $e)",
	"$t",
	"coroutine.resume(kept[$n % 8])",
	"nil",
	"true",
	"{}",
	"$p",
	"kept",
	"-$n",
	"$n * 1e9",
	"0/0",
	"1e308",
	"2^53",
	"$p.payload",
	"$p:bytes()",
	"$p:bytes($n, $e)",
	"$p:u8($e)",
	"$p:u16($n)",
	"$p:u32($n)",
	"#$p",
	"$p.len",
	"tostring($p)",
	"$p:hexdump()",
	"$p.number",
	"$p.time",
	"$p.malformed",
	"$p.from",
	"$p.to",
	"$p.ip",
	"$p.ip.src",
	"$p.ip.dst",
	"$p.ip.proto",
	"$p.ip4.checksum",
	"$p.ip6.flow_label",
	"$p.tcp",
	"$p.tcp.flags",
	"$p.tcp.options",
	"$p.tcp.options.timestamp",
	"$p.tcp.options.sack",
	"$p.tcp.checksum",
	"$p.udp.checksum",
	"$p.icmp.id",
	"$p.eth.src",
	"$p.arp.spa",
	"$p.udp == $p.udp",
	"$p.ip.src == $t",
	"$p.tcp.flags == $t",
	"tf.ip($t)",
	"tf.ip '10.0.0.1'",
	"tf.net '10.0.0.0/8'",
	"tf.mac '02:00:00:00:00:01'",
	"tf.net '10.0.0.0/8':contains($e)",
	"tf.left",
	"tf.right",
	"tf.now()",
	"tf.random($n)",
	"tf.limiter{ rate = $n, burst = $e }:allow($e)",
	"set:contains($e)",
	"set:match($e)",
	"words:match($e)",
	"#set",
	"dns.parse($e)",
	"tls.server_name($e)",
	"tls.client_hello($e)",
	"http.request($e)",
	"http.response($e)",
	"tf.flow($e)",
	"('x'):rep($n % 1e6)", /* the memory limit ends the process, as it should */
	"$t .. $t",
	"string.format($t, $e)",
	"($t):find($t, 1, true)",
	"($t):gsub($t, $t)",
	"select($n, $e, $e)",
	"next($e)",
	"pairs($e)",
	"rawget($e, $e)",
	"type($e)",
	"kept[$n % 8]",
	"function() $s end",
	"getmetatable($e)",
	"unpack({ $e, $e })",
	"loadstring($t)",
	"load(function() return nil end)",
	"string.dump",
	"newproxy",
	"coroutine.create(function() $s end)",
	"tf.args",
};

static const char *const strings[] = {
	"''",
	"'a'",
	"'SA'",
	"'10.0.0.9'",
	"'fd00::9'",
	"'not an address'",
	"'\\0\\1\\2\\255'",
	"('GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')",
	"('y'):rep(1500)",
	"('z'):rep(65535)",
	"'example.org'",
	"'%d %s'",
	"'Hello'",
	"'tcp port 80'",
	"'\\69\\0\\0\\28\\0\\0\\0\\0\\64\\1\\0\\0\\1\\1\\1\\1\\2\\2\\2\\2'",
};

#define CHOOSE(list) (list)[fuzz_take(program->fuzz, 1) % (sizeof(list) / sizeof(*(list)))]

static void put(struct program *program, const char *format, ...)
{
	size_t room = sizeof(program->text) - program->length;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(program->text + program->length, room, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < room)
		program->length += (size_t)n;
}

static void expand(struct program *program, const char *template, int depth)
{
	for (; *template; template ++) {
		if (*template != '$') {
			put(program, "%c", *template);
			continue;
		}
		switch (*++template) {
		case 's':
			if (depth > 0)
				expand(program, CHOOSE(statements), depth - 1);
			break;
		case 'e':
			expand(program, depth > 0 ? CHOOSE(expressions) : "7", depth - 1);
			break;
		case 'p':
			expand(program, depth > 0 ? CHOOSE(packets) : "pkt", depth - 1);
			break;
		case 'v':
			expand(program, CHOOSE(verdicts), depth - 1);
			break;
		case 't':
			put(program, "%s", CHOOSE(strings));
			break;
		default: { /* n: mostly small, sometimes not */
			uint32_t n = fuzz_take(program->fuzz, 1);

			put(program, "%u", n > 250 ? fuzz_take(program->fuzz, 4) : n);
			break;
		}
		}
	}
}

static void write_program(struct program *program)
{
	uint32_t callbacks = 1 + fuzz_take(program->fuzz, 1) % 3;

	put(program,
	    "local tf = require 'tunfilter' local dns, tls, http, stream = require "
	    "'tunfilter.dns', "
	    "require 'tunfilter.tls', require 'tunfilter.http', require 'tunfilter.stream'\n"
	    "local function try(f) local ok, v = pcall(f) if ok then return v end end\n"
	    "local kept, counter, set, words = {}, tf.counter 'c', tf.nets { '10.0.0.0/8' }, "
	    "tf.names { 'example.org' }\n");
	for (uint32_t i = 0; i < callbacks; i++) {
		uint32_t count = 1 + fuzz_take(program->fuzz, 1) % 4;

		put(program, "tf.on_packet(%sfunction(pkt)\n",
		    i == 1 ? "'ip or ip6 or arp', " : "");
		for (uint32_t k = 0; k < count; k++) {
			size_t before = program->length;

			expand(program,
			       fuzz_take(program->fuzz, 1) %
					       4 /* an error mostly ends one of them only */
				       ? "do local v = try(function() $s end) if v ~= nil then "
					 "return v end end\n"
				       : "do $s end\n",
			       DEPTH);
			if (program->length + 200 > sizeof(program->text)) /* it was cut off */
				program->length = before;
		}
		put(program, "end)\n");
	}
}

static void run(const struct program *program, struct fuzz *fuzz)
{
	struct tf_options options;
	struct tf_error error = {0};
	struct tf_stage *stage = NULL;
	int file = memfd_create("script", MFD_CLOEXEC);
	char path[64], *argv[] = {(char *)"tunfilter", (char *)"check", path};

	if (file < 0 || write(file, program->text, program->length) != (ssize_t)program->length)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (getenv("FUZZ_SHOW"))
		fprintf(stderr, "%s\n", program->text);
	if (tf_options_parse(&options, 3, argv, &error) < 0)
		abort();
	if (tf_stage_create(&stage, &options, (uint8_t)(fuzz_take(fuzz, 1) % 2), &error) == 0) {
		fuzz_packets(stage, fuzz);
		tf_stage_advance(stage, 5);
		tf_stage_stop(stage);
		tf_stage_destroy(stage);
	} else {
		fuzz_check(*error.text, "an error has its sentence");
	}
	tf_options_free(&options);
	close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct program program;
	uint32_t half = (uint32_t)(size / 2);
	struct fuzz choices = {bytes, bytes + half}, rest = {bytes + half, bytes + size};

	tf_log_setup(TF_LOG_ERROR, 0);
	program.length = 0;
	program.fuzz = &choices;
	write_program(&program);
	run(&program, &rest);
	return 0;
}
