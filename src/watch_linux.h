/*
 * Whether files have changed. Their folders are watched, not they: an editor saves by writing another
 * file and giving it the name.
 */
#ifndef TF_WATCH_LINUX_H
#define TF_WATCH_LINUX_H

#include <stddef.h>

struct tf_watch;

/* NULL where the system has no more watches. */
struct tf_watch *tf_watch_create(void);
void tf_watch_destroy(struct tf_watch *watch); /* NULL is fine */

/* Readable when something happened in one of the folders. */
int tf_watch_fd(const struct tf_watch *watch);

/* Also watches these: names as files.h has them, at most size bytes. A name that is there no longer counts as well. */
void tf_watch_add(struct tf_watch *watch, const char *names, size_t size);

/*
 * Whether a file is another one than it was when it was added, or when this was last asked. *lost: a folder is gone; this
 * is to be asked again, as nobody wakes us when there is another one.
 */
int tf_watch_changed(struct tf_watch *watch, int *lost);

/* A file that is empty and was not, or a script that is gone: whoever is writing it may not be done. Or NULL. */
const char *tf_watch_unfinished(const struct tf_watch *watch, const char *script);

#endif
