/* Ctrl-C for commands without an event loop: work ends in good order. */
#ifndef TF_INTERRUPT_H
#define TF_INTERRUPT_H

/*
 * From now on the first signal that asks the program to end is remembered, and a read that waits
 * for a pipe or terminal answers UV_EINTR; the second one ends the program as ever. Signals that
 * were ignored stay so.
 */
void tf_interrupt_catch(void);

/* Whether such a signal came. */
int tf_interrupted(void);

#endif
