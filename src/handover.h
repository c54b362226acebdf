/*
 * What passes from the scripts of one process to those of the next, through memory that both share: for
 * each worker in turn the script's own (tf_script_save), then the packets that it holds. Whoever wrote it may
 * have been in the hands of a script, so that it is read with care.
 */
#ifndef TF_HANDOVER_H
#define TF_HANDOVER_H

#include <stddef.h>
#include <stdint.h>

#define TF_HANDOVER_SIZE (256u << 20) /* bytes; memory is taken as it is used */

struct tf_script;
struct tf_pipeline;

struct tf_handover {
	uint64_t used; /* bytes */
	uint64_t full; /* what came last found no room, and is not there */
	uint8_t bytes[TF_HANDOVER_SIZE - 2 * sizeof(uint64_t)];
};

/*
 * Adds a worker's: all that there is, packets as well; or with pipeline NULL the script's alone, as it is now. 0, or
 * TF_ESCRIPT where not all of it is there, which was said.
 */
int tf_handover_save(struct tf_handover *handover, struct tf_script *script, struct tf_pipeline *pipeline);

/*
 * Takes a worker's from *at on, which moves on behind it. With pipeline NULL it is for a script that is not
 * loaded yet (tf_script_begin), else for one that is to go on.
 */
void tf_handover_take(const struct tf_handover *handover, size_t *at, struct tf_script *script,
		      struct tf_pipeline *pipeline);

#endif
