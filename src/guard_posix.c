/* A process that watches itself, by a timer and its signal: for commands that have no supervisor. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

#include "error.h"
#include "guard.h"
#include "log.h"
#include "script.h"
#include "text.h"

#define HURRY_NS 2000000000u /* to come back in, once the process was asked to end */

static struct tf_guards guards;
static uint64_t limit_ns, looked;
static volatile sig_atomic_t watching;
static uint64_t hurried; /* when it was asked, of uv_hrtime(); 0: it was not */
static void (*last_call)(const char *what);

/* The signal comes after so many nanoseconds. */
static void set_timer(uint64_t ns)
{
	struct itimerval timer = {0};

	timer.it_value.tv_sec = (time_t)(ns / 1000000000);
	timer.it_value.tv_usec = (suseconds_t)(ns % 1000000000 / 1000 + 1);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void ring(void)
{
	set_timer(limit_ns == 0 || (hurried > 0 && HURRY_NS < limit_ns) ? HURRY_NS : limit_ns);
}

/* What went wrong in `end` itself: what has been said has to do. */
static void on_fault(int number)
{
	(void)number;
	_exit(TF_EXIT_SCRIPT);
}

static void expect_faults(void)
{
	static const int faults[] = {SIGALRM, SIGSEGV, SIGBUS, SIGABRT};
	struct sigaction action = {.sa_handler = on_fault};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		sigaction(faults[i], &action, NULL);
		sigaddset(&set, faults[i]);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	set_timer(1000000000);
}

/* What is not safe in a handler is done only here, where the process ends. */
static void end(unsigned int slot, const char *what)
{
	struct tf_script *script = tf_guard_script(slot);
	char text[2048] = "the script", place[256], line[2560];
	int length, first;

	if (last_call != NULL)
		last_call(what);
	if (script != NULL)
		tf_script_last_words(script, text, sizeof(text));
	first = (int)strcspn(text, "\n");
	length = snprintf(line, sizeof(line), "tunfilter: error: %.*s %s%s\n", first, text, what, text + first);
	tf_text_clean(line, (size_t)length);
	tf_log_write(line, (unsigned long)length);
	expect_faults();
	if (script != NULL)
		tf_script_last_place(script, place, sizeof(place));
	if (script != NULL && place[0] != '\0') {
		length = snprintf(line, sizeof(line), "\tit was last seen at %s\n", place);
		tf_log_write(line, (unsigned long)length);
	}
	_exit(TF_EXIT_SCRIPT);
}

static void exhausted(unsigned int slot, int refused)
{
	end(slot, refused ? TF_GUARD_REFUSED : TF_GUARD_EXHAUSTED);
}

/* Those that were inside when the process was asked to end. */
static void end_hurried(void)
{
	for (unsigned int i = 0; i < TF_GUARD_SLOTS; i++) {
		uint64_t entered = atomic_load(&guards.slot[i].entered);

		if (entered != 0 && entered <= hurried && entered != atomic_load(&guards.slot[i].left))
			end(i, "did not come back when it was interrupted");
	}
	hurried = 0;
}

static void on_alarm(int number)
{
	uint64_t now = uv_hrtime(), next = 0, until;

	(void)number;
	if (limit_ns > 0)
		next = tf_guards_end_late(&guards, now, limit_ns, looked, end);
	looked = now;
	until = hurried > 0 ? hurried + HURRY_NS : 0;
	if (until > 0 && until <= now)
		end_hurried();
	else if (until > 0 && (next == 0 || next > until))
		next = until;
	if (next > 0)
		set_timer(next > now ? next - now : 0);
}

void tf_guard_alarm(uint32_t limit, void (*last)(const char *what))
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

	last_call = last;
	tf_guard_use(&guards, ring, exhausted);
	sigaction(SIGALRM, &action, NULL);
	limit_ns = (uint64_t)limit * 1000000;
	watching = 1;
	if (limit > 0)
		atomic_store(&guards.asleep, 1);
}

void tf_guard_hurry(void)
{
	hurried = uv_hrtime();
	if (watching)
		ring();
}
