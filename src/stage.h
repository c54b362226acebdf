/*
 * A stage for one scenario of `tunfilter test`: a script of its own between two memory devices, on
 * virtual time that begins at 0. What moves packets is the pipeline, as in every other run.
 */
#ifndef TF_STAGE_H
#define TF_STAGE_H

#include "error.h"
#include "options.h"

struct tf_stage;

/* What the script said: a line of tf.log, or the message and traceback of a callback or timer that
 * threw. */
struct tf_note {
	char *text;
	int error; /* else a log line */
};

/*
 * Loads options->script and starts it between devices of a link type (TF_LINK_…). The options are
 * copied, what they point to has to outlive the stage. 0, TF_ESCRIPT with the message of a script
 * that does not start, or UV_ENOMEM.
 */
int tf_stage_create(struct tf_stage **out, const struct tf_options *options, uint8_t link,
		    struct tf_error *error);

/* A packet arrives on a side now, and goes all its way. 0, or UV_EINVAL for a length that no packet
 * has. */
int tf_stage_inject(struct tf_stage *stage, int side, const void *bytes, uint32_t len);

/*
 * The next packet that came out of a side: its length, its bytes in bytes[0..TF_PACKET_MAX), and
 * when, in seconds; 0 if there is none.
 */
uint32_t tf_stage_take(struct tf_stage *stage, int side, void *bytes, double *time);

/* Lets so many seconds pass, with timers and held packets in their order. */
void tf_stage_advance(struct tf_stage *stage, double seconds);

/* Seconds since the stage was made, on its own clock. */
double tf_stage_now(const struct tf_stage *stage);

/* The run ends: on_stop's functions are called. Once at most. */
void tf_stage_stop(struct tf_stage *stage);

/* Packets that the script let go and that no device took, or that were lost between. */
uint64_t tf_stage_refused(struct tf_stage *stage);

/*
 * The notes since tf_stage_forget, count of them, in order; those beyond TF_NOTES are left out.
 * Valid until the next call of any function here.
 */
#define TF_NOTES 4096
const struct tf_note *tf_stage_notes(const struct tf_stage *stage, uint32_t *count);
void tf_stage_forget(struct tf_stage *stage);

/* NULL is fine. */
void tf_stage_destroy(struct tf_stage *stage);

#endif
