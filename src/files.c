#include "files.h"

#include <string.h>

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
