/* The files that a command is about to write over: whether they are somebody's work. */
#ifndef TF_OUTPUTS_H
#define TF_OUTPUTS_H

#include "options.h"

/*
 * Before any of them is open. 0, or TF_EOPTION with a sentence where one is the script, a file of scenarios, what is
 * read, or another output; or where it is there, not empty, and no capture (no XML, for --junit).
 */
int tf_outputs_check(const struct tf_options *options, struct tf_error *error);

#endif
