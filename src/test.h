/* `tunfilter test`: scenarios for a script, with memory devices and virtual time. */
#ifndef TF_TEST_H
#define TF_TEST_H

#include "options.h"

/* The command, whole: results printed, exit status returned (0: all passed, 1: not). */
int tf_command_test(const struct tf_options *options);

#endif
