/*
 * A file of scenarios, loaded: a script state of its own in which `require "tunfilter.test"` works.
 * What it runs, it runs on a stage of its own (stage.h).
 */
#ifndef TF_SCENARIOS_H
#define TF_SCENARIOS_H

#include "error.h"
#include "options.h"

struct tf_scenarios;

/*
 * Loads a file, which registers its scenarios and runs none. The options are the command's; they
 * have to outlive this. 0, TF_ESCRIPT with the message of a file that does not load, or UV_ENOMEM.
 */
int tf_scenarios_open(struct tf_scenarios **out, const struct tf_options *options, const char *file,
		      struct tf_error *error);

uint32_t tf_scenarios_count(struct tf_scenarios *scenarios);

/* The title of scenario i (from 0) and the line it stands on; valid until close. */
const char *tf_scenarios_title(struct tf_scenarios *scenarios, uint32_t i, int *line);

/* Runs one. 1: it passed; 0: *failure says why not, on many lines, the caller's to free (or NULL).
 */
int tf_scenarios_run(struct tf_scenarios *scenarios, uint32_t i, char **failure);

/* NULL is fine. */
void tf_scenarios_close(struct tf_scenarios *scenarios);

#endif
