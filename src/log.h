/* Lines for the person, on standard error. One write a line, so that lines never mix. */
#ifndef TF_LOG_H
#define TF_LOG_H

enum tf_log_level { TF_LOG_ERROR, TF_LOG_WARNING, TF_LOG_INFO, TF_LOG_DEBUG };

/* Sets what is shown (this level and above) and whether lines are coloured (a terminal, no NO_COLOR). */
void tf_log_setup(enum tf_log_level level, int colour);
int tf_log_colour(void);

/* "tunfilter: warning: …"; errors and warnings carry their word, the rest stands plain. */
void tf_log(enum tf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes len bytes to standard error as they are, in one call where the system can. */
void tf_log_write(const char *bytes, unsigned long len);

#endif
