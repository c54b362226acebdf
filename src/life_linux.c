/* The worker's side of supervisor_linux.c: orders from the channel, last words in a signal's handler. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "script.h"
#include "supervisor_linux.h"

#define ALTERNATE_STACK 65536

static const int ends[] = {TF_SIGNAL_HUNG, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

/* The one life of this process; signals have no other way to it. */
static struct tf_life *life_of_process;

static void say(const struct tf_life *life, char word)
{
	/* What a full or broken channel does not take is nothing that we could mend. */
	if (send(life->channel, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void ring(void)
{
	say(life_of_process, TF_SAY_RING);
}

/* The channel does not block once a loop watches it. */
static int wait_readable(int channel)
{
	struct pollfd fd = {.fd = channel, .events = POLLIN};

	poll(&fd, 1, -1);
	return 1;
}

static int is_ours(const struct tf_guard *guard)
{
	unsigned int thread = atomic_load(&guard->thread);

	return (pid_t)(thread ? thread : (unsigned int)getpid()) == gettid();
}

/* The slot that is inside Lua on this thread, which has crashed. */
static unsigned int slot_inside(struct tf_guards *guards)
{
	for (unsigned int i = 0; i < TF_GUARD_SLOTS; i++)
		if (atomic_load(&guards->slot[i].entered) != atomic_load(&guards->slot[i].left) &&
		    is_ours(&guards->slot[i]))
			return i;
	return TF_GUARD_SLOTS;
}

/*
 * Hung or crashed: says what the script was at, as far as that can still be found out, and ends. A
 * fault in here ends us as well, with what has been said so far; if it takes long we are killed.
 */
static void on_end(int number)
{
	struct tf_page *page = life_of_process->page;
	int hung = atomic_load(&page->hung);
	unsigned int slot = number == TF_SIGNAL_HUNG && hung > 0 ? (unsigned int)hung - 1
								  : slot_inside(&page->guards);
	struct tf_script *script = tf_guard_script(slot);

	/* A sanitizer's too: Lua may be caught where it cannot be asked for its place. */
	for (int i = 0; i < ENDS; i++)
		signal(ends[i], SIG_DFL);
	if (script != NULL) {
		tf_script_last_words(script, page->words, sizeof(page->words));
		tf_script_last_place(script, page->place, sizeof(page->place));
	}
	if (number == TF_SIGNAL_HUNG)
		_exit(TF_EXIT_SCRIPT);
	raise(number); /* as it would have ended without us */
}

/* In the allocator, on the thread that wants more. */
static void exhausted(unsigned int slot, int refused)
{
	struct tf_page *page = life_of_process->page;
	struct tf_script *script = tf_guard_script(slot);

	if (script != NULL) {
		tf_script_last_words(script, page->words, sizeof(page->words));
		tf_script_last_place(script, page->place, sizeof(page->place));
	}
	_exit(refused ? TF_EXIT_REFUSED : TF_EXIT_MEMORY);
}

static void on_nothing(int number)
{
	(void)number;
}

/* A stack overflow has no room for a handler; a sanitizer has a stack already. */
static void set_stack(void)
{
	static _Thread_local uint8_t memory[ALTERNATE_STACK];
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)}, before;

	if (sigaltstack(NULL, &before) == 0 && before.ss_flags & SS_DISABLE)
		sigaltstack(&stack, NULL);
}

/* The terminal's signals are the supervisor's to hear. A program that a script starts has them again. */
static void set_signals(void)
{
	static const int others[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
	struct sigaction action = {.sa_handler = on_nothing, .sa_flags = SA_RESTART}, before;
	sigset_t none;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (sigaction(others[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(others[i], &action, NULL);
	action.sa_handler = on_end;
	action.sa_flags = (int)SA_RESETHAND | SA_NODEFER | SA_ONSTACK;
	set_stack();
	for (int i = 0; i < ENDS; i++)
		/* A sanitizer has handlers of its own, and more to say. */
		if (ends[i] == TF_SIGNAL_HUNG ||
		    (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL))
			sigaction(ends[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void tf_life_begin(struct tf_life *life)
{
	life_of_process = life;
	tf_guard_use(&life->page->guards, ring, exhausted);
	tf_files_use(life->page->files, sizeof(life->page->files));
	tf_kept_use(life->role == TF_ROLE_FIRST || life->role == TF_ROLE_NEXT ? life->texts : NULL);
	tf_kept_restore(life->kept, life->kept_size);
	set_signals();
}

void tf_life_thread(struct tf_life *life, const struct tf_script *script)
{
	sigset_t hung;

	for (unsigned int i = 0; i < TF_GUARD_SLOTS; i++)
		if (tf_guard_script(i) == script)
			atomic_store(&life->page->guards.slot[i].thread, (unsigned int)gettid());
	set_stack();
	sigemptyset(&hung);
	sigaddset(&hung, TF_SIGNAL_HUNG);
	pthread_sigmask(SIG_UNBLOCK, &hung, NULL);
}

enum tf_role tf_life_role(const struct tf_life *life)
{
	return life->role;
}

struct tf_stats *tf_life_stats(struct tf_life *life, unsigned int i)
{
	return i < TF_WORKERS_MAX ? &life->shared->stats[i] : NULL;
}

struct tf_handover *tf_life_handover(struct tf_life *life)
{
	return &life->shared->handover;
}

struct tf_steer *tf_life_steer(struct tf_life *life)
{
	return &life->shared->steer;
}

uint64_t *tf_life_capture(struct tf_life *life)
{
	return &life->shared->capture;
}

void tf_life_saved(struct tf_life *life)
{
	say(life, TF_SAY_SAVED);
}

void tf_life_cannot(struct tf_life *life)
{
	say(life, TF_SAY_CANNOT);
}

int tf_life_wait(struct tf_life *life)
{
	ssize_t n;
	char word = 0;

	if (life->role != TF_ROLE_NEXT)
		return 0;
	say(life, TF_SAY_LOADED);
	do
		n = recv(life->channel, &word, 1, 0);
	while ((n < 0 && (errno == EINTR || errno == EAGAIN) && wait_readable(life->channel)) ||
	       (n == 1 && word == TF_SAY_PRINT));
	return n == 1 && word == TF_SAY_GO ? 0 : -1;
}

static void prepare_handover(struct tf_life *life, void (*order)(void *arg))
{
	life->shared->handover.used = life->shared->handover.full = 0;
	order(life->orders.arg);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct tf_life *life = poll->data;
	ssize_t n = 0;
	char word;

	(void)events;
	while (status == 0 && (n = recv(life->channel, &word, 1, MSG_DONTWAIT)) > 0) {
		if (word == TF_SAY_PRINT)
			life->orders.print(life->orders.arg);
		else if (word == TF_SAY_SAVE)
			prepare_handover(life, life->orders.save);
		else if (word == TF_SAY_HAND_OVER)
			prepare_handover(life, life->orders.hand_over);
		else if (word == TF_SAY_END)
			life->orders.end(life->orders.arg);
	}
	if (status == 0 && n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	uv_poll_stop(poll); /* the supervisor is no more */
	life->orders.end(life->orders.arg);
}

int tf_life_listen(struct tf_life *life, uv_loop_t *loop, const struct tf_orders *orders)
{
	int err;

	life->orders = *orders;
	life->poll.data = life;
	err = uv_poll_init(loop, &life->poll, life->channel);
	if (err < 0)
		return err;
	life->listening = 1;
	return uv_poll_start(&life->poll, UV_READABLE, on_channel);
}

void tf_life_ready(struct tf_life *life)
{
	say(life, TF_SAY_READY);
}

void tf_life_heard(struct tf_life *life)
{
	say(life, TF_SAY_HEARD);
}

void tf_life_close(struct tf_life *life)
{
	if (life->listening)
		uv_close((uv_handle_t *)&life->poll, NULL);
	life->listening = 0;
}
