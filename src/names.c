#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define FIRST_SIZE 64u	   /* slots; a power of two, as all sizes are */
#define CHUNK	   1048576 /* bytes of text that are allocated at a time */

/* Where no name is: EMPTY ends a search, GONE does not. */
enum { EMPTY = 0, GONE = 1 };

struct slot {
	uint32_t hash;
	uint32_t text; /* EMPTY, GONE, or where the name is: offset + FIRST_TEXT */
};

#define FIRST_TEXT 2

/* A name's text is its length and its bytes, in lower case, in one of the chunks. */
struct tf_names {
	struct slot *slots;
	uint32_t size;
	uint32_t used; /* slots that are not EMPTY */
	uint32_t count;
	uint32_t secret;
	uint8_t **chunks;
	uint32_t chunk_count;
	uint32_t at; /* in the last chunk */
};

static void free_all(struct tf_names *names)
{
	for (uint32_t i = 0; i < names->chunk_count; i++)
		free(names->chunks[i]);
	free(names->chunks);
	free(names->slots);
}

static uint8_t lower(char c)
{
	return (uint8_t) (c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* The hash goes from the name's end to its front, so that one pass meets every domain above it. */
static uint32_t hash_step(uint32_t hash, uint8_t c)
{
	return (hash ^ c) * 0x01000193u;
}

static uint32_t hash_end(uint32_t hash)
{
	hash = (hash ^ hash >> 16) * 0x85ebca6bu;
	return hash ^ hash >> 13;
}

static const uint8_t *text_at(const struct tf_names *names, uint32_t text)
{
	uint32_t offset = text - FIRST_TEXT;

	return names->chunks[offset / CHUNK] + offset % CHUNK;
}

static int is_name(const struct tf_names *names, const struct slot *slot, const char *name, size_t size)
{
	const uint8_t *text = text_at(names, slot->text);

	if (text[0] != size)
		return 0;
	for (size_t i = 0; i < size; i++)
		if (text[1 + i] != lower(name[i]))
			return 0;
	return 1;
}

/* The slot that has the name, or the EMPTY one at which the search ends. */
static struct slot *find(const struct tf_names *names, uint32_t hash, const char *name, size_t size)
{
	uint32_t i = hash & (names->size - 1);

	for (;; i = (i + 1) & (names->size - 1)) {
		struct slot *slot = &names->slots[i];

		if (slot->text == EMPTY || (slot->text != GONE && slot->hash == hash && is_name(names, slot, name, size)))
			return slot;
	}
}

static size_t without_dot(const char *name, size_t size)
{
	return size > 0 && name[size - 1] == '.' ? size - 1 : size;
}

static uint32_t hash_name(const struct tf_names *names, const char *name, size_t size)
{
	uint32_t hash = names->secret;

	for (size_t i = size; i > 0; i--)
		hash = hash_step(hash, lower(name[i - 1]));
	return hash_end(hash);
}

/* Keeps a name's text; where it is, or EMPTY without memory. */
static uint32_t keep_text(struct tf_names *names, const char *name, size_t size)
{
	uint8_t *text;
	uint32_t at;

	if (names->chunk_count == 0 || names->at + size + 1 > CHUNK) {
		uint8_t **chunks = realloc(names->chunks, (names->chunk_count + 1) * sizeof(*chunks));

		if (chunks == NULL)
			return EMPTY;
		names->chunks = chunks;
		if (names->chunk_count >= UINT32_MAX / CHUNK - 1)
			return EMPTY;
		chunks[names->chunk_count] = malloc(CHUNK);
		if (chunks[names->chunk_count] == NULL)
			return EMPTY;
		names->chunk_count++;
		names->at = 0;
	}
	text = names->chunks[names->chunk_count - 1] + names->at;
	text[0] = (uint8_t) size;
	for (size_t i = 0; i < size; i++)
		text[1 + i] = lower(name[i]);
	at = (names->chunk_count - 1) * CHUNK + names->at + FIRST_TEXT;
	names->at += (uint32_t) size + 1;
	return at;
}

/*
 * New slots, and the names that are still there, with their texts, in them: what was removed leaves
 * nothing behind. 0, or -1 without memory, and all is as it was.
 */
static int resize(struct tf_names *names, uint32_t size)
{
	struct tf_names made = { .size = size, .count = names->count, .used = names->count, .secret = names->secret };

	made.slots = calloc(size, sizeof(*made.slots));
	if (made.slots == NULL)
		return -1;
	for (uint32_t i = 0; i < names->size; i++) {
		const struct slot *slot = &names->slots[i];
		uint32_t j = slot->hash & (size - 1);
		const uint8_t *text;

		if (slot->text == EMPTY || slot->text == GONE)
			continue;
		text = text_at(names, slot->text);
		while (made.slots[j].text != EMPTY)
			j = (j + 1) & (size - 1);
		made.slots[j].hash = slot->hash;
		made.slots[j].text = keep_text(&made, (const char *) text + 1, text[0]);
		if (made.slots[j].text == EMPTY) {
			free_all(&made);
			return -1;
		}
	}
	free_all(names);
	*names = made;
	return 0;
}

struct tf_names *tf_names_create(void)
{
	struct tf_names *names = calloc(1, sizeof(*names));

	if (names == NULL || resize(names, FIRST_SIZE) < 0) {
		free(names);
		return NULL;
	}
	if (uv_random(NULL, NULL, &names->secret, sizeof(names->secret), 0, NULL) != 0)
		names->secret = (uint32_t) uv_hrtime();
	return names;
}

void tf_names_destroy(struct tf_names *names)
{
	if (names == NULL)
		return;
	free_all(names);
	free(names);
}

uint32_t tf_names_count(const struct tf_names *names)
{
	return names->count;
}

/* Letters, digits, - and _, and what else stands in names of today: all above space but the hash sign. */
static int is_good(const char *name, size_t size)
{
	if (size == 0 || size > TF_NAME_MAX || name[0] == '.')
		return 0;
	for (size_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t) name[i];

		if (c <= ' ' || c == 127 || c == '#' || c == '/' || c == ':')
			return 0;
		if (c == '.' && i > 0 && name[i - 1] == '.')
			return 0;
	}
	return 1;
}

int tf_names_add(struct tf_names *names, const char *name, size_t size)
{
	uint32_t hash, text;
	struct slot *slot;

	size = without_dot(name, size);
	if (!is_good(name, size))
		return -2;
	hash = hash_name(names, name, size);
	if (find(names, hash, name, size)->text != EMPTY)
		return 0;
	if (names->used >= names->size / 4 * 3 &&
	    resize(names, names->count >= names->size / 2 ? names->size * 2 : names->size) < 0)
		return -1;
	text = keep_text(names, name, size);
	if (text == EMPTY)
		return -1;
	slot = find(names, hash, name, size);
	slot->hash = hash;
	slot->text = text;
	names->used++;
	names->count++;
	return 1;
}

int tf_names_remove(struct tf_names *names, const char *name, size_t size)
{
	struct slot *slot;

	size = without_dot(name, size);
	if (!is_good(name, size))
		return 0;
	slot = find(names, hash_name(names, name, size), name, size);
	if (slot->text == EMPTY)
		return 0;
	slot->text = GONE;
	names->count--;
	return 1;
}

uint32_t tf_names_match(const struct tf_names *names, const char *name, size_t size)
{
	uint32_t hash = names->secret, best = 0;

	size = without_dot(name, size);
	if (size > TF_NAME_MAX)
		return 0;
	for (size_t i = size; i > 0; i--) {
		hash = hash_step(hash, lower(name[i - 1]));
		if (i > 1 && name[i - 2] != '.')
			continue;
		if (find(names, hash_end(hash), name + i - 1, size - i + 1)->text != EMPTY)
			best = (uint32_t) (size - i + 1);
	}
	return best;
}

/* The next word of a line, from *at on; its length, 0 at the end. */
static size_t next_word(const char **at, const char *stop)
{
	const char *start;

	while (*at < stop && (**at == ' ' || **at == '\t' || **at == '\r'))
		++*at;
	start = *at;
	while (*at < stop && **at != ' ' && **at != '\t' && **at != '\r')
		++*at;
	return (size_t) (*at - start);
}

static int is_address(const char *word, size_t size)
{
	char text[64];
	uint8_t bytes[16];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, word, size);
	text[size] = '\0';
	return uv_inet_pton(AF_INET, text, bytes) == 0 || uv_inet_pton(AF_INET6, text, bytes) == 0;
}

/* What hosts files say of the machine itself. */
static int is_own(const char *word, size_t size)
{
	static const char *const own[] = { "localhost", "localhost.localdomain", "local", "broadcasthost",
					   "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix",
					   "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strlen(own[i]) == size && memcmp(own[i], word, size) == 0)
			return 1;
	return 0;
}

int tf_names_read(struct tf_names *names, const char *text, size_t size)
{
	const char *end = text + size;

	for (int line = 1; text < end; line++) {
		const char *stop = memchr(text, '\n', (size_t) (end - text));
		const char *next = stop ? stop + 1 : end, *comment;
		int hosts = 0;

		if (stop == NULL)
			stop = end;
		comment = memchr(text, '#', (size_t) (stop - text));
		if (comment != NULL)
			stop = comment;
		for (int word = 0;; word++) {
			size_t length = next_word(&text, stop);
			const char *start = text - length;
			int added;

			if (length == 0) {
				if (hosts && word == 1)
					return line;
				break;
			}
			if (word == 0 && is_address(start, length)) {
				hosts = 1;
				continue;
			}
			if (word > 0 && !hosts)
				return line;
			if (hosts && is_own(start, length))
				continue;
			added = tf_names_add(names, start, length);
			if (added == -1)
				return -1;
			if (added < 0)
				return line;
		}
		text = next;
	}
	return 0;
}
