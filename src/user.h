/*
 * Whose rights a script has, and whose the files are that are written for it: who called sudo, doas or pkexec, or who
 * --user names. For who is root; everybody else is who they are. A system of which nobody has said how (user_none.c)
 * leaves all as it is.
 */
#ifndef TF_USER_H
#define TF_USER_H

#include "error.h"

/* Looks who that is; name: --user's, or NULL. Once, before the others. 0, or TF_EOPTION with a sentence. */
int tf_user_choose(const char *name, struct tf_error *error);

/* What is opened between the two is opened, and made, with that user's rights. Before there are threads. */
int tf_user_lend(void); /* 0 or a code: it would have been opened with ours */
void tf_user_return(void);

/* For good. 0, or a code with a sentence. */
int tf_user_become(struct tf_error *error);

/* " as user NAME", or "" where it is who we were: for messages. */
const char *tf_user_text(void);

#endif
