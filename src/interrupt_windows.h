/* What else than the console interrupts a command. */
#ifndef TF_INTERRUPT_WINDOWS_H
#define TF_INTERRUPT_WINDOWS_H

/* As if Ctrl-C were pressed; in any thread, and returns at once. */
void tf_interrupt_now(void);

#endif
