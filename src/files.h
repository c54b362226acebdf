/* The files that a script was read from, and those that it read: a change in one is a reason to load it again. */
#ifndef TF_FILES_H
#define TF_FILES_H

#include <stddef.h>

#include "error.h"

#define TF_FILES_SIZE 16384

/* Where names are noted from now on: size bytes, one name after the other, each with its 0; an empty one ends them. */
void tf_files_use(char *names, size_t size);

/*
 * The text of a file of a script's, as it is or as it was kept (kept.h), which the caller frees: one that is neither a
 * device nor endless. 0, or a code with a
 * sentence.
 */
int tf_files_read(char **text, size_t *size, const char *path, struct tf_error *error);

/* Notes one, unless it is there or finds no room. */
void tf_files_note(const char *name);

#endif
