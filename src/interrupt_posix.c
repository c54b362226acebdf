#include "interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "error.h"
#include "log.h"

#define PATIENCE    2	       /* seconds */
#define ONE_WISH_NS 300000000u /* signals within this time are one wish: timeout(1) sends two */

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t interrupted;

struct tf_interrupts {
	pthread_t thread;
	sigset_t taken; /* and SIGALRM, which ends the patience */
	void (*ask)(void *arg);
	void *arg;
	atomic_int heard;
	atomic_int closing;
};

static int is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void tf_interrupt_catch(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] != SIGHUP || !is_ignored(SIGHUP))
			sigaction(signals[i], &action, NULL);
}

int tf_interrupted(void)
{
	return interrupted != 0;
}

static void *take_signals(void *arg)
{
	struct tf_interrupts *interrupts = arg;
	uint64_t asked = 0; /* when; 0: not yet */
	int number;

	while (sigwait(&interrupts->taken, &number) == 0 && !interrupts->closing) {
		if (interrupts->heard && number == SIGALRM)
			continue;
		if (asked == 0 && number != SIGALRM) {
			asked = uv_hrtime();
			interrupts->ask(interrupts->arg);
			alarm(PATIENCE);
		} else if (asked != 0 && uv_hrtime() - asked >= ONE_WISH_NS) {
			tf_log(TF_LOG_ERROR, "the script does not come back: ended without waiting for it");
			_exit(TF_EXIT_SCRIPT);
		}
	}
	return NULL;
}

int tf_interrupts_watch(struct tf_interrupts **out, void (*ask)(void *arg), void *arg)
{
	struct tf_interrupts *interrupts = calloc(1, sizeof(*interrupts));

	if (interrupts == NULL)
		return UV_ENOMEM;
	interrupts->ask = ask;
	interrupts->arg = arg;
	sigemptyset(&interrupts->taken);
	sigaddset(&interrupts->taken, SIGALRM);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i] != SIGHUP || !is_ignored(SIGHUP)) /* nohup */
			sigaddset(&interrupts->taken, signals[i]);
	pthread_sigmask(SIG_BLOCK, &interrupts->taken, NULL);
	if (pthread_create(&interrupts->thread, NULL, take_signals, interrupts) != 0) {
		pthread_sigmask(SIG_UNBLOCK, &interrupts->taken, NULL);
		free(interrupts);
		return UV_EAGAIN;
	}
	*out = interrupts;
	return 0;
}

void tf_interrupts_heard(struct tf_interrupts *interrupts)
{
	interrupts->heard = 1;
}

void tf_interrupts_close(struct tf_interrupts *interrupts)
{
	if (interrupts == NULL)
		return;
	interrupts->closing = 1;
	pthread_kill(interrupts->thread, SIGALRM);
	pthread_join(interrupts->thread, NULL);
	free(interrupts);
}
