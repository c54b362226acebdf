/*
 * Ctrl-C and its like (SIGINT, SIGTERM, and SIGHUP unless nohup had it ignored): a command that was
 * asked to end does so in good order, also where a script does not come back.
 */
#ifndef TF_INTERRUPT_H
#define TF_INTERRUPT_H

/*
 * For commands without an event loop. From now on the first signal is remembered, and a read that
 * waits for a pipe or terminal answers UV_EINTR; the second one ends the program as ever.
 */
void tf_interrupt_catch(void);

/* Whether such a signal came. */
int tf_interrupted(void);

struct tf_interrupts;

/*
 * For commands with one. A thread takes the signals; the first calls ask, on that thread: it may
 * wake a loop, no more. When tf_interrupts_heard does not follow within two seconds, or another signal
 * comes (and not with the first), the process ends with TF_EXIT_SCRIPT.
 * Before any other thread is made. 0 or a libuv code.
 */
int tf_interrupts_watch(struct tf_interrupts **out, void (*ask)(void *arg), void *arg);

/* The run is ending, and may take its time until another signal comes. */
void tf_interrupts_heard(struct tf_interrupts *interrupts);

/* Ends the thread; signals that come from now on are not taken any more. NULL is fine. */
void tf_interrupts_close(struct tf_interrupts *interrupts);

#endif
