/*
 * Ctrl-C and its like (SIGINT, SIGTERM, and SIGHUP unless nohup had it ignored): a command that was
 * asked to end does so in good order, also where a script does not come back.
 */
#ifndef TF_INTERRUPT_H
#define TF_INTERRUPT_H

#include <uv.h>

/*
 * For commands without an event loop. From now on the first signal is remembered, and a read that
 * waits for a pipe or terminal answers UV_EINTR; the second one ends the program as ever, and so does a script that does
 * not come back within two seconds, where tf_guard_alarm watches it.
 */
void tf_interrupt_catch(void);

/* Whether such a signal came. */
int tf_interrupted(void);

/*
 * For commands with one. The first signal calls ask, in the signal's handler: it may call
 * uv_async_send, no more. When tf_interrupt_heard does not follow within two seconds, or another
 * signal comes (and not with the first), the process ends with TF_EXIT_SCRIPT.
 *
 * No thread: in a process with several every read and write of a packet costs some 5% more.
 */
void tf_interrupt_watch(void (*ask)(void *arg), void *arg);

/* Starts a thread that no signal interrupts, but a fault of its own; for uv_thread_join. 0, or a libuv code. */
int tf_interrupt_thread(uv_thread_t *thread, void (*run)(void *arg), void *arg);

/* The run is ending, and may take its time until another signal comes. */
void tf_interrupt_heard(void);

/* From now on the signals mean nothing. */
void tf_interrupt_ignore(void);

#endif
