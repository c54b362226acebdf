/* A process that watches itself, by a thread: where there is no signal for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "error.h"
#include "guard.h"
#include "log.h"
#include "script.h"

static struct tf_guards guards;
static uint64_t limit_ns;
static void (*last_call)(const char *what);
static uv_sem_t rung;

static void ring(void)
{
	uv_sem_post(&rung);
}

/* The script's thread runs on meanwhile, in its loop: what it was last seen at cannot be asked. */
static void end(unsigned int slot, const char *what)
{
	struct tf_script *script = tf_guard_script(slot);
	char text[2048] = "the script";
	int first;

	if (last_call != NULL)
		last_call(what);
	if (script != NULL)
		tf_script_last_words(script, text, sizeof(text));
	first = (int)strcspn(text, "\n");
	tf_log(TF_LOG_ERROR, "%.*s %s%s", first, text, what, text + first);
	_Exit(TF_EXIT_SCRIPT);
}

static void exhausted(unsigned int slot, int refused)
{
	end(slot, refused ? TF_GUARD_REFUSED : TF_GUARD_EXHAUSTED);
}

static void watch(void *arg)
{
	uint64_t looked = 0;

	(void)arg;
	for (;;) {
		uint64_t now = uv_hrtime(), next = tf_guards_end_late(&guards, now, limit_ns, looked, end);

		looked = now;
		if (next == 0)
			uv_sem_wait(&rung);
		else if (next > now)
			uv_sleep((unsigned int)((next - now) / 1000000 + 1));
	}
}

void tf_guard_alarm(uint32_t limit, void (*last)(const char *what))
{
	uv_thread_t thread;

	last_call = last;
	if (uv_sem_init(&rung, 0) < 0)
		return;
	tf_guard_use(&guards, ring, exhausted);
	if (limit == 0)
		return;
	limit_ns = (uint64_t)limit * 1000000;
	if (uv_thread_create(&thread, watch, NULL) < 0)
		tf_log(TF_LOG_WARNING, "nobody watches over the time limit: no thread");
}
