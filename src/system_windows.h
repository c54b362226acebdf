/* Windows' own texts, for files that are Windows' own. */
#ifndef TF_SYSTEM_WINDOWS_H
#define TF_SYSTEM_WINDOWS_H

#include <stddef.h>
#include <wchar.h>

/* As much of a wide text as fits, in UTF-8, without the newlines at its end. */
void tf_system_utf8(char *text, size_t size, const wchar_t *wide);

/* "Access is denied (error 5)". Returns text. */
const char *tf_system_error(unsigned long code, char *text, size_t size);

/* Whether this process has an administrator's rights, not only an administrator's name. */
int tf_system_is_administrator(void);

#endif
