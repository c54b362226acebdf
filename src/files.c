#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kept.h"
#include "user.h"

enum { TEXT_MAX = 16 << 20 }; /* bytes; LuaJIT compiles about 10 MB a second */

static char *list;
static size_t room;

void tf_files_use(char *names, size_t size)
{
	list = names;
	room = size;
	memset(names, 0, size);
}

void tf_files_note(const char *name)
{
	size_t length = strlen(name) + 1, used = 0;

	if (list == NULL || length == 1)
		return;
	for (; list[used] != '\0'; used += strlen(list + used) + 1)
		if (strcmp(list + used, name) == 0)
			return;
	if (room - used > length)
		memcpy(list + used, name, length);
}

int tf_files_read(char **text, size_t *size, const char *path, struct tf_error *error)
{
	const char *kept = tf_kept_find(path, size);
	struct stat found;
	FILE *file = NULL;
	char longer[1024];

	if (stat(path, &found) < 0 && errno == ENOENT) {
		int there;

		snprintf(longer, sizeof(longer), "%s.lua", path);
		there = stat(longer, &found) == 0;
		return tf_error_set(error, TF_ESCRIPT, "%s: %s%s%s%s", path, strerror(ENOENT),
				    there ? " (did you mean " : "", there ? longer : "", there ? "?)" : "");
	}
	if (kept != NULL) {
		*text = malloc(*size ? *size : 1);
		if (*text == NULL)
			return tf_error_set(error, TF_ESCRIPT, "%s: out of memory", path);
		memcpy(*text, kept, *size);
		return 0;
	}
	if (stat(path, &found) < 0 || (S_ISREG(found.st_mode) && (file = fopen(path, "rb")) == NULL))
		return errno == EACCES ? tf_error_set(error, TF_ESCRIPT, "%s: it cannot be read%s: %s", path,
						      tf_user_text(), strerror(errno))
				       : tf_error_set(error, TF_ESCRIPT, "%s: %s", path, strerror(errno));
	if (file == NULL)
		return tf_error_set(error, TF_ESCRIPT, "%s: it is %s, not a file", path,
				    S_ISDIR(found.st_mode) ? "a folder" : "a device or a pipe");
	/* One byte more shows whether there is more; a file may grow, or say a length that it has not. */
	*text = malloc(TEXT_MAX + 1);
	*size = *text != NULL ? fread(*text, 1, TEXT_MAX + 1, file) : 0;
	fclose(file);
	if (*text != NULL && *size <= TEXT_MAX) {
		tf_kept_add(path, *text, *size);
		return 0;
	}
	free(*text);
	return *text == NULL ? tf_error_set(error, TF_ESCRIPT, "%s: out of memory", path)
			     : tf_error_set(error, TF_ESCRIPT, "%s: it is longer than the %d MB that a script may have",
					    path, TEXT_MAX >> 20);
}
