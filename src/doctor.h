/* `tunfilter doctor`: what this machine has and lacks, and the command that mends it. */
#ifndef TF_DOCTOR_H
#define TF_DOCTOR_H

#include <stddef.h>

/* Prints one line a check on standard output; 0, or TF_EXIT_SYSTEM if `run` or `lab` can't work. */
int tf_command_doctor(void);

/*
 * Why this process may not make a user namespace with rights of its own: one sentence that names
 * the setting and what else works, in text. Called after it failed with this errno.
 */
void tf_doctor_namespaces(int error_number, char *text, size_t size);

/* Why the TUN device node cannot be opened, and the command that mends it. */
void tf_doctor_tun(int error_number, char *text, size_t size);

#endif
