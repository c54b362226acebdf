/* `tunfilter check --jit`: what of a script runs compiled, by showing it packets. */
#ifndef TF_CHECK_JIT_H
#define TF_CHECK_JIT_H

#include "options.h"

/* The command, whole: the report on standard output, messages printed, exit status returned. */
int tf_command_check_jit(const struct tf_options *options);

#endif
