/* Lines for the person, on standard error. One write a line, so that lines never mix. */
#ifndef TF_LOG_H
#define TF_LOG_H

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
 * A newline is added. The text may hold what came from a script or a packet: control bytes other
 * than newline and tab are shown as '?'.
 */
void tf_log(enum tf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Shows a line without a newline, for a terminal: the next line, or the next of these, takes its
 * place. "" only takes it away.
 */
void tf_log_transient(const char *line);

/* Writes len bytes to standard error as they are, in one call where the system can. */
void tf_log_write(const char *bytes, unsigned long len);

#endif
