#include "kept.h"

#include <string.h>

/* Before each: its name with the 0 behind it, and the text, follow. */
struct entry {
	uint64_t name_size, size;
};

static struct tf_kept_texts *into;
static const uint8_t *restored;
static size_t restored_size;

void tf_kept_use(struct tf_kept_texts *texts)
{
	into = texts;
	if (texts != NULL)
		texts->used = 0;
}

void tf_kept_restore(const uint8_t *bytes, size_t size)
{
	restored = bytes;
	restored_size = bytes != NULL ? size : 0;
}

static const char *find(const uint8_t *bytes, size_t length, const char *name, size_t *size)
{
	struct entry entry;

	for (size_t at = 0; length - at >= sizeof(entry);) {
		memcpy(&entry, bytes + at, sizeof(entry));
		at += sizeof(entry);
		if (entry.name_size > length - at || entry.size > length - at - entry.name_size)
			return NULL;
		if (entry.name_size == strlen(name) + 1 && memcmp(bytes + at, name, entry.name_size) == 0) {
			*size = entry.size;
			return (const char *)bytes + at + entry.name_size;
		}
		at += entry.name_size + entry.size;
	}
	return NULL;
}

void tf_kept_add(const char *name, const char *text, size_t size)
{
	struct entry entry = {strlen(name) + 1, size};
	size_t room, there;

	if (into == NULL || into->used > sizeof(into->bytes) || find(into->bytes, into->used, name, &there) != NULL)
		return;
	room = sizeof(into->bytes) - into->used;
	if (room < sizeof(entry) + entry.name_size || room - sizeof(entry) - entry.name_size < size)
		return;
	memcpy(into->bytes + into->used, &entry, sizeof(entry));
	memcpy(into->bytes + into->used + sizeof(entry), name, entry.name_size);
	memcpy(into->bytes + into->used + sizeof(entry) + entry.name_size, text, size);
	into->used += sizeof(entry) + entry.name_size + size;
}

const char *tf_kept_find(const char *name, size_t *size)
{
	return find(restored, restored_size, name, size);
}
