/* Whether a script would do: it is loaded and started, and sees a packet of each kind, where nothing can come of it. */
#ifndef TF_TRIAL_H
#define TF_TRIAL_H

#include "error.h"
#include "options.h"

/*
 * Reads and compiles it, in a process without rights: none of it runs, and a mistake is said. The exit status.
 */
int tf_trial_read(const struct tf_options *options);

/*
 * In a process of its own, which ends with it. link: TF_LINK_… of the devices. 0, or TF_ESCRIPT with what the
 * script does wrong, and on which packet.
 */
int tf_trial(const struct tf_options *options, uint8_t link, struct tf_error *error);

#endif
