/* `tunfilter replay`: a script on a capture, without a device, on the capture's own clock. */
#ifndef TF_REPLAY_H
#define TF_REPLAY_H

#include "options.h"

/* The command, whole: messages printed, exit status returned. */
int tf_command_replay(const struct tf_options *options);

#endif
