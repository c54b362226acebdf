#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>
#include <uv.h>

#include "error.h"
#include "guard.h"
#include "log.h"

#define PATIENCE    2	       /* seconds */
#define ONE_WISH_NS 300000000u /* signals within this time are one wish: timeout(1) sends two */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t interrupted;

/* What tf_interrupt_watch was given; signals have no other way to it. */
static struct {
	void (*ask)(void *arg);
	void *arg;
	uint64_t asked; /* when, of uv_hrtime(); 0: not yet */
	volatile sig_atomic_t heard;
} watch;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
	tf_guard_hurry();
}

/* Has the signals handled so, but SIGHUP where nohup had it ignored. */
static void handle(void (*handler)(int number), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, before;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&action.sa_mask, signals[i]);
	sigaddset(&action.sa_mask, SIGALRM);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] != SIGHUP || sigaction(SIGHUP, NULL, &before) != 0 ||
		    before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

void tf_interrupt_catch(void)
{
	handle(on_signal, (int)SA_RESETHAND);
}

int tf_interrupted(void)
{
	return interrupted != 0;
}

/* Only what a signal's handler may do: the script may be anywhere. */
static void on_wish(int number)
{
	static const char text[] = "tunfilter: error: the script does not come back: ended without "
				   "waiting for it\n";

	if (number == SIGALRM && watch.heard)
		return;
	if (watch.asked == 0) {
		watch.asked = uv_hrtime();
		watch.ask(watch.arg);
		alarm(PATIENCE);
	} else if (uv_hrtime() - watch.asked >= ONE_WISH_NS) {
		tf_log_write(text, sizeof(text) - 1);
		_exit(TF_EXIT_SCRIPT);
	}
}

void tf_interrupt_watch(void (*ask)(void *arg), void *arg)
{
	struct sigaction action = {.sa_handler = on_wish, .sa_flags = SA_RESTART};

	watch.ask = ask;
	watch.arg = arg;
	sigaction(SIGALRM, &action, NULL);
	handle(on_wish, SA_RESTART);
}

int tf_interrupt_thread(uv_thread_t *thread, void (*run)(void *arg), void *arg)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	sigset_t all, before;
	int err;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = uv_thread_create(thread, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

void tf_interrupt_heard(void)
{
	watch.heard = 1;
}

void tf_interrupt_ignore(void)
{
	alarm(0);
	handle(SIG_IGN, 0);
}
