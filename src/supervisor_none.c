/* Where no other process can have the devices: this one runs the script, and ends with it. */
#include <signal.h>

#include "interrupt.h"
#include "supervisor.h"
#include "system.h"

struct tf_life {
	struct tf_stats stats[TF_WORKERS_MAX];
	struct tf_orders orders;
	void (*ready)(void);
	uv_async_t asked; /* to end, by a signal */
	uv_signal_t table_signal;
};

static volatile sig_atomic_t wished;	    /* a signal asked for the end */
static struct tf_life *volatile listening; /* who is to be told */

/* In a signal's handler. */
static void ask_to_end(void *arg)
{
	(void)arg;
	wished = 1;
	if (listening)
		uv_async_send(&listening->asked);
}

void tf_supervise_begin(void)
{
	tf_interrupt_watch(ask_to_end, NULL);
}

int tf_supervise(const struct tf_supervised *what)
{
	static struct tf_life life;
	int status;

	life.ready = what->ready;
	status = what->live(what->arg, &life);
	tf_interrupt_ignore();
	return status;
}

enum tf_role tf_life_role(const struct tf_life *life)
{
	(void)life;
	return TF_ROLE_FIRST;
}

struct tf_stats *tf_life_stats(struct tf_life *life, unsigned int i)
{
	return i < TF_WORKERS_MAX ? &life->stats[i] : NULL;
}

struct tf_handover *tf_life_handover(struct tf_life *life)
{
	(void)life;
	return NULL;
}

struct tf_steer *tf_life_steer(struct tf_life *life)
{
	(void)life;
	return NULL;
}

uint64_t *tf_life_capture(struct tf_life *life)
{
	(void)life;
	return NULL;
}

int tf_life_wait(struct tf_life *life)
{
	(void)life;
	return 0;
}

void tf_life_saved(struct tf_life *life)
{
	(void)life;
}

static void on_asked(uv_async_t *handle)
{
	struct tf_life *life = handle->data;

	life->orders.end(life->orders.arg);
}

static void on_table_signal(uv_signal_t *handle, int number)
{
	struct tf_life *life = handle->data;

	(void)number;
	life->orders.print(life->orders.arg);
}

void tf_life_cannot(struct tf_life *life)
{
	(void)life;
}

int tf_life_listen(struct tf_life *life, uv_loop_t *loop, const struct tf_orders *orders)
{
	int err = uv_async_init(loop, &life->asked, on_asked);

	if (err < 0)
		return err;
	life->orders = *orders;
	uv_signal_init(loop, &life->table_signal);
	life->asked.data = life->table_signal.data = life;
	if (tf_system_table_signal)
		uv_signal_start(&life->table_signal, on_table_signal, tf_system_table_signal);
	listening = life;
	if (wished)
		uv_async_send(&life->asked);
	return 0;
}

void tf_life_thread(struct tf_life *life, const struct tf_script *script)
{
	(void)life;
	(void)script;
}

void tf_life_ready(struct tf_life *life)
{
	if (life->ready)
		life->ready();
}

void tf_life_heard(struct tf_life *life)
{
	(void)life;
	if (wished)
		tf_interrupt_heard();
}

void tf_life_close(struct tf_life *life)
{
	if (!listening)
		return;
	listening = NULL;
	uv_close((uv_handle_t *)&life->asked, NULL);
	uv_close((uv_handle_t *)&life->table_signal, NULL);
}
