/*
 * What fails below us: memory, at each allocation in turn, the devices, the clock. No crash, no leak (the sanitizers look), a sentence where something does not start, and a count where a packet is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <lauxlib.h>

#include "device/memory.h"
#include "handover.h"
#include "log.h"
#include "pipeline.h"
#include "stage.h"

/* The linker gives us all calls of the program's (--wrap); Lua's own memory is not of malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
lua_State *__real_luaL_newstate(void);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
lua_State *__wrap_luaL_newstate(void);
int __wrap_uv_gettimeofday(uv_timeval64_t *now);

static long until; /* the next allocation that fails; 0: none any more */
static int failed; /* one has */

static int fails(void)
{
	if (until == 0 || --until != 0)
		return 0;
	failed = 1;
	return 1;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return fails() ? NULL : __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

lua_State *__wrap_luaL_newstate(void)
{
	return fails() ? NULL : __real_luaL_newstate();
}

static int64_t wall; /* seconds since the epoch, by the system */

int __wrap_uv_gettimeofday(uv_timeval64_t *now)
{
	*now = (uv_timeval64_t){.tv_sec = wall};
	return 0;
}

/* Calls attempt with the first allocation failing, then the second, until none is left to fail; how many there are. */
static long each_failure(void (*attempt)(void))
{
	for (long n = 1;; n++) {
		until = n;
		failed = 0;
		attempt();
		until = 0;
		if (!failed)
			return n - 1;
		assert_true(n < 100000);
	}
}

static char path[] = "/tmp/tf-faults-XXXXXX";
static struct tf_options options;
static uint8_t out[TF_PACKET_MAX];

static void write_script(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* A UDP packet over IPv4 from port 7 to this one, with four bytes of payload; no checksums. */
static const uint8_t *packet_to(uint8_t port)
{
	static uint8_t bytes[] = {0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
				  0, 7, 0, 0, 0, 12, 0, 0, 't', 'e', 's', 't'};

	bytes[23] = port;
	return bytes;
}

enum { PACKET = 32, PORTS = 8 };

static const char everything[] =
	"local tf = require 'tunfilter'\n"
	"local netem = require 'tunfilter.netem'\n"
	"local private, names = tf.nets{ '10.0.0.0/8', 'fd00::/8' }, tf.names{ 'example.org', 'one.example' }\n"
	"private:add '192.168.0.0/16' names:add 'two.example'\n"
	"local limiter, kept = tf.limiter{ rate = 10, burst = 5 }, nil\n"
	"tf.on_packet('udp dst port 1', function(pkt) pkt.payload = ('x'):rep(3000) end)\n"
	"tf.on_packet('udp dst port 2 or (tcp and ip[8] > 3)', function(pkt) return pkt:hold(1) end)\n"
	"tf.on_packet('udp dst port 3', function(pkt) kept = pkt:copy() tf.send(pkt.to, kept) end)\n"
	"tf.on_packet('udp dst port 4', function(pkt)\n"
	"   local flow = tf.flow(pkt) flow.n = (flow.n or 0) + 1 tf.counter 'seen':add()\n"
	"   private:contains(pkt.ip.src) names:contains 'a.example.org' limiter:allow()\n"
	"end)\n"
	"tf.on_packet('udp dst port 5', function(pkt)\n"
	"   tf.send(tf.left, tf.packet{ ip = { src = '10.0.0.9', dst = '10.0.0.1' }, udp = { sport = 1, dport = 2 } })\n"
	"end)\n"
	"tf.on_packet('udp dst port 6', function(pkt) return pkt:reject() end)\n"
	"tf.on_packet{ 'udp dst port 7', netem{ delay = 0.1, rate = '1mbit', limit = 5 } }\n"
	"tf.after(2, function() tf.send(tf.right, tf.packet{ ip = { src = '10.0.0.9', dst = '10.0.0.1' }, icmp = { type = 8 } }) end)\n"
	"tf.on_stop(function() tf.log(('long'):rep(300)) end)\n";

static void run_everything(void)
{
	struct tf_error error = {0};
	struct tf_stage *stage = NULL;
	const struct tf_note *notes;
	uint32_t count;
	double time;

	if (tf_stage_create(&stage, &options, TF_LINK_IP, &error) < 0) {
		if (!failed)
			fail_msg("%s", error.text);
		if (!strstr(error.text, "memory"))
			fail_msg("no word of memory: %s", error.text);
		return;
	}
	for (uint8_t port = 1; port <= PORTS; port++)
		for (int side = TF_LEFT; side <= TF_RIGHT; side++)
			tf_stage_inject(stage, side, packet_to(port), PACKET);
	tf_stage_advance(stage, 5);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		while (tf_stage_take(stage, side, out, &time) > 0)
			;
	tf_stage_stop(stage);
	notes = tf_stage_notes(stage, &count);
	for (uint32_t i = 0; i < count; i++)
		if (notes[i].error && !(failed && strstr(notes[i].text, "memory")))
			fail_msg("%s", notes[i].text);
	tf_stage_destroy(stage);
}

static void memory_fails_in_a_run(void **state)
{
	long count;

	(void)state;
	write_script(everything);
	count = each_failure(run_everything);
	assert_true(count > 60);
}

/* Nothing is dropped or sent: what goes in comes out or is counted. */
static const char accountable[] =
	"local tf = require 'tunfilter'\n"
	"tf.on_packet('udp dst port 1', function(pkt) pkt.payload = ('x'):rep(3000) end)\n"
	"tf.on_packet('udp dst port 2', function(pkt) return pkt:hold(1) end)\n"
	"tf.on_packet('udp dst port 4', function(pkt) tf.flow(pkt).n = 1 end)\n";

static void account(void)
{
	struct tf_error error = {0};
	struct tf_stage *stage = NULL;
	long put = 0, came = 0;
	long saved = until;
	double time;

	until = 0; /* starting is another test's */
	assert_int_equal(tf_stage_create(&stage, &options, TF_LINK_IP, &error), 0);
	until = saved;
	for (uint8_t port = 1; port <= PORTS; port++)
		put += tf_stage_inject(stage, TF_LEFT, packet_to(port), PACKET) == 0;
	tf_stage_advance(stage, 5);
	until = 0;
	while (tf_stage_take(stage, TF_RIGHT, out, &time) > 0)
		came++;
	assert_int_equal(came + (long)tf_stage_refused(stage), put);
	assert_true(put == PORTS || failed);
	tf_stage_destroy(stage);
}

static void a_packet_that_memory_was_short_for_is_counted(void **state)
{
	(void)state;
	options.on_error = TF_VERDICT_FORWARD;
	write_script(accountable);
	assert_true(each_failure(account) > 2 * PORTS);
	options.on_error = TF_VERDICT_DROP;
}

/* A script between two memory devices, online but for the loop. */
struct side_by_side {
	struct tf_device *device[2];
	struct tf_script *script;
	struct tf_pipeline *pipeline;
	int online; /* the clocks are the system's */
	int gone, code; /* calls of gone, and what the last one said */
};

static void on_gone(void *arg, struct tf_device *device, int code)
{
	struct side_by_side *run = arg;

	(void)device;
	run->gone++;
	run->code = code;
}

static void open_sides(struct side_by_side *run)
{
	struct tf_device_spec spec = {.kind = "memory", .netns_fd = -1, .link = TF_LINK_IP};
	struct tf_error error = {0};

	*run = (struct side_by_side){0};
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		assert_int_equal(tf_device_open(&run->device[side], &spec, &error), 0);
}

/* With what there is to begin with, or NULL. 0, or a code with a sentence. */
static int start_script(struct side_by_side *run, const struct tf_handover *handover, size_t at, struct tf_error *error)
{
	struct tf_pipeline_config config = {.device = {run->device[0], run->device[1]}, .offline = !run->online, .gone = on_gone, .arg = run};
	struct tf_side sides[2] = {{"left", "memory", 1500}, {"right", "memory", 1500}};
	int err = tf_script_create(&run->script, &options, error);

	if (err < 0)
		return err;
	if (!run->online)
		tf_script_offline(run->script, 0);
	if (handover)
		tf_handover_take(handover, &at, run->script, NULL);
	err = tf_script_load(run->script, sides, TF_LINK_IP, error);
	if (err < 0)
		return err;
	config.script = run->script;
	err = tf_pipeline_create(&run->pipeline, &config);
	if (err < 0)
		return tf_error_set(error, err, "out of memory");
	return tf_script_start(run->script, error);
}

static void end_script(struct side_by_side *run)
{
	tf_pipeline_destroy(run->pipeline);
	tf_script_destroy(run->script);
	run->pipeline = NULL;
	run->script = NULL;
}

static void close_sides(struct side_by_side *run)
{
	end_script(run);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		tf_device_close(run->device[side]);
}

static uint64_t lost(struct side_by_side *run)
{
	return tf_pipeline_stats(run->pipeline)->direction[TF_LEFT].lost;
}

static struct tf_handover handover;

/* The one script holds packets, the next one begins where that ends. */
static void reload(void)
{
	struct side_by_side run;
	struct tf_error error = {0};
	long saved = until, came = 0;
	size_t at = 0;

	until = 0;
	handover.used = handover.full = 0;
	open_sides(&run);
	assert_int_equal(start_script(&run, NULL, 0, &error), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(2), PACKET), 0);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 1);
	}
	until = saved;
	tf_handover_save(&handover, run.script, run.pipeline);
	end_script(&run);
	if (start_script(&run, &handover, 0, &error) < 0) {
		assert_true(failed && *error.text);
	} else {
		tf_handover_take(&handover, &at, run.script, run.pipeline);
		until = 0;
		tf_pipeline_advance(run.pipeline, 5);
		while (tf_memory_take(run.device[TF_RIGHT], out) > 0)
			came++;
		assert_int_equal(came + (long)lost(&run), 3);
		assert_true(came == 3 || failed);
	}
	close_sides(&run);
}

static void memory_fails_in_a_reload(void **state)
{
	(void)state;
	write_script("local tf = require 'tunfilter'\n"
		     "tf.flow.keep = true\n"
		     "tf.keep.n = (tf.keep.n or 0) + 1\n"
		     "tf.on_packet('udp', function(pkt) tf.flow(pkt).n = tf.keep.n return pkt:hold(1) end)\n");
	assert_true(each_failure(reload) > 20);
}

static void what_a_write_answers_is_counted(void **state)
{
	static const struct {
		int code;
		int invalid;
	} answers[] = {{UV_EIO, 0}, {UV_ENOBUFS, 0}, {UV_EAGAIN, 0}, {TF_ENOTREADY, 0}, {UV_ENODEV, 0}, {UV_EMSGSIZE, 0}, {UV_EINVAL, 1}};
	struct side_by_side run;
	struct tf_error error = {0};
	uint64_t expected = 0, invalid = 0;
	const struct tf_direction *direction;

	(void)state;
	write_script("local tf = require 'tunfilter'\ntf.on_packet(function() end)\n");
	open_sides(&run);
	assert_int_equal(start_script(&run, NULL, 0, &error), 0);
	direction = &tf_pipeline_stats(run.pipeline)->direction[TF_LEFT];
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (int n = 0; n < 3; n++)
			assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), PACKET), 0);
		tf_memory_fault(run.device[TF_RIGHT], 0, answers[i].code);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 3);
		*(answers[i].invalid ? &invalid : &expected) += 3;
		assert_int_equal(direction->lost, expected);
		assert_int_equal(direction->invalid, invalid);
		/* What the far side has is not in the way of the other direction, nor of what comes next. */
		assert_int_equal(tf_memory_inject(run.device[TF_RIGHT], packet_to(9), PACKET), 0);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_RIGHT), 1);
		assert_int_equal(tf_memory_take(run.device[TF_LEFT], out), PACKET);
	}
	tf_memory_fault(run.device[TF_RIGHT], 0, 0);
	assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), PACKET), 0);
	assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 1);
	assert_int_equal(tf_memory_take(run.device[TF_RIGHT], out), PACKET);
	assert_int_equal(run.gone, 0);
	for (uint64_t n = 1; n <= 2; n++) { /* one that is no more: told once, counted each time */
		tf_memory_fault(run.device[TF_RIGHT], 0, TF_EGONE);
		assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), PACKET), 0);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 1);
		assert_int_equal(run.gone, 1);
		assert_int_equal(run.code, TF_EGONE);
		assert_int_equal(direction->lost, expected + n);
	}
	assert_int_equal(direction->in.packets, direction->forwarded.packets);
	close_sides(&run);
}

/* On a loop: not being ready is waited for, all else is said once, and the other direction goes on. */
static void what_a_read_answers(void **state)
{
	static const int codes[] = {TF_ENOTREADY, UV_EIO, UV_ENOBUFS, UV_ENODEV, TF_EGONE};

	(void)state;
	write_script("local tf = require 'tunfilter'\ntf.on_packet(function() end)\n");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		int final = codes[i] != TF_ENOTREADY;
		struct side_by_side run;
		struct tf_error error = {0};
		uv_loop_t loop;

		open_sides(&run);
		assert_int_equal(uv_loop_init(&loop), 0);
		assert_int_equal(start_script(&run, NULL, 0, &error), 0);
		assert_int_equal(tf_pipeline_start(run.pipeline, &loop), 0);
		tf_memory_fault(run.device[TF_LEFT], codes[i], 0);
		assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), PACKET), 0);
		assert_int_equal(tf_memory_inject(run.device[TF_RIGHT], packet_to(9), PACKET), 0);
		for (int turn = 0; turn < 5; turn++)
			uv_run(&loop, UV_RUN_NOWAIT);
		assert_int_equal(run.gone, final);
		assert_int_equal(run.code, final ? codes[i] : 0);
		assert_int_equal(tf_memory_take(run.device[TF_RIGHT], out), 0);
		if (codes[i] != TF_EGONE) {
			assert_int_equal(tf_memory_take(run.device[TF_LEFT], out), PACKET);
			tf_memory_fault(run.device[TF_LEFT], 0, 0);
			for (int turn = 0; turn < 5; turn++)
				uv_run(&loop, UV_RUN_NOWAIT);
			assert_int_equal(tf_memory_take(run.device[TF_RIGHT], out), PACKET);
		}
		tf_pipeline_stop(run.pipeline);
		uv_run(&loop, UV_RUN_NOWAIT);
		close_sides(&run);
		assert_int_equal(uv_loop_close(&loop), 0);
	}
}

/* No read gives a part of a packet; if one did, it would be malformed, counted and harmless. */
static void a_packet_that_was_cut_short(void **state)
{
	struct side_by_side run;
	struct tf_error error = {0};
	const struct tf_direction *direction;

	(void)state;
	options.on_error = TF_VERDICT_FORWARD;
	write_script("local tf = require 'tunfilter'\n"
		     "tf.on_packet(function(pkt) if pkt.udp then pkt.udp.dport = 5 end pkt.payload = 'xyz' end)\n");
	open_sides(&run);
	assert_int_equal(start_script(&run, NULL, 0, &error), 0);
	direction = &tf_pipeline_stats(run.pipeline)->direction[TF_LEFT];
	for (uint32_t len = 1; len < PACKET; len++) {
		assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), len), 0);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 1);
		assert_int_equal(direction->malformed.packets, len);
	}
	assert_int_equal(direction->in.packets, direction->forwarded.packets + direction->errors.packets);
	close_sides(&run);
	options.on_error = TF_VERDICT_DROP;
}

/* Somebody sets the clock, far back and far ahead: no packet is held for longer, and no timer comes twice. */
static void a_clock_that_jumps(void **state)
{
	static const int64_t jumps[] = {1700000000, 0, 1, 4000000000, 1700000000, -1000000};
	struct side_by_side run;
	struct tf_error error = {0};

	(void)state;
	write_script("local tf = require 'tunfilter'\n"
		     "local last, ticks = tf.now(), 0\n"
		     "tf.every(1000, function() ticks = ticks + 1 end)\n"
		     "tf.on_packet(function(pkt)\n"
		     "   assert(tf.now() >= last and tf.now() - last < 900 and ticks == 0)\n"
		     "   last = tf.now()\n"
		     "   return pkt:hold(0.001)\n"
		     "end)\n");
	open_sides(&run);
	run.online = 1;
	wall = jumps[0];
	assert_int_equal(start_script(&run, NULL, 0, &error), 0);
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		uint32_t len = 0;

		wall = jumps[i];
		assert_int_equal(tf_memory_inject(run.device[TF_LEFT], packet_to(9), PACKET), 0);
		assert_int_equal(tf_pipeline_pump(run.pipeline, TF_LEFT), 1);
		for (int n = 0; n < 10000 && len == 0; n++) {
			uv_sleep(1);
			tf_pipeline_tick(run.pipeline);
			len = tf_memory_take(run.device[TF_RIGHT], out);
		}
		assert_int_equal(len, PACKET);
		assert_true(tf_memory_taken(run.device[TF_RIGHT]) / 1000000000 - wall < 900);
	}
	assert_int_equal(tf_pipeline_stats(run.pipeline)->callback_errors, 0);
	close_sides(&run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_fails_in_a_run),
		cmocka_unit_test(a_packet_that_memory_was_short_for_is_counted),
		cmocka_unit_test(memory_fails_in_a_reload),
		cmocka_unit_test(what_a_write_answers_is_counted),
		cmocka_unit_test(what_a_read_answers),
		cmocka_unit_test(a_packet_that_was_cut_short),
		cmocka_unit_test(a_clock_that_jumps),
	};
	char *argv[] = {(char *)"tunfilter", (char *)"check", path};
	struct tf_error error = {0};
	int file = mkstemp(path), failures;

	if (file < 0 || tf_options_parse(&options, 3, argv, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	tf_log_setup(TF_LOG_ERROR, 0);
	close(file);
	failures = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	tf_options_free(&options);
	return failures;
}
