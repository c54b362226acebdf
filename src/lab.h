/* `tunfilter lab` and `tunfilter enter`: two hosts on one machine, joined only by the filter. */
#ifndef TF_LAB_H
#define TF_LAB_H

#include "options.h"

/*
 * The commands, whole: messages printed, exit status returned. lab makes the namespaces, opens the
 * devices in them, runs the script and the commands; its status is that of the left command
 * (128 + signal where one ended it), or TF_EXIT_…. enter joins a lab of the same user.
 */
int tf_command_lab(const struct tf_options *options);
int tf_command_enter(const struct tf_options *options);

#endif
