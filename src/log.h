/* Lines for the person, on standard error. One write a line, so that lines never mix. */
#ifndef TF_LOG_H
#define TF_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum tf_log_level { TF_LOG_ERROR, TF_LOG_WARNING, TF_LOG_INFO, TF_LOG_DEBUG };

/*
 * Sets what is shown: this level and what is more severe (info until it is called). With colour,
 * lines are coloured where standard error is a terminal and NO_COLOR is unset or empty; 0: never.
 */
void tf_log_setup(enum tf_log_level level, int colour);

/* Whether lines are coloured. */
int tf_log_colour(void);

/*
 * "tunfilter: warning: …"; errors and warnings carry their word, the rest only the program's name.
 * A newline is added. The text may hold what came from a script or a packet: what a terminal
 * would obey (tf_text_clean) is shown as '?'.
 */
void tf_log(enum tf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Shows a line without a newline, for a terminal: the next line, or the next of these, takes its
 * place. "" only takes it away.
 */
void tf_log_transient(const char *line);

/*
 * From now on nobody waits for who reads what is written here: packets wait meanwhile. A line that is not taken is lost,
 * and counted; the next one that is taken follows on a line that says how many. The count may be shared by processes.
 */
void tf_log_live(_Atomic uint32_t *lost);

/* How long a line may wait after all, in milliseconds; packets wait no more. Without effect before tf_log_live. */
void tf_log_patience(int ms);

/* Counts a line that was lost elsewhere. */
void tf_log_lost(void);

/* Writes len bytes to standard error as they are, in one call where the system can. */
void tf_log_write(const char *bytes, unsigned long len);

#endif
