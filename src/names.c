#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "owned.h"
#include "pages.h"

#define FIRST_SIZE 64u	   /* slots; a power of two, as all sizes are */
#define CHUNK	   (8u << 20) /* bytes of text that are allocated at a time */
#define FIRST_ROOM (1u << 20) /* so many at first */

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
	uint64_t secret;
	uint8_t **chunks;
	uint32_t chunk_count;
	uint32_t at; /* in the last chunk */
};

static void free_all(struct tf_names *names)
{
	for (uint32_t i = 0; i < names->chunk_count; i++)
		free(names->chunks[i]);
	free(names->chunks);
	tf_owned_free(names->slots);
}

/* A name as it is asked for: in lower case, and where each domain begins that it is in. */
struct asked {
	uint8_t text[TF_NAME_MAX + 8]; /* so many more can be read */
	size_t size;
	uint32_t count;
	uint8_t starts[TF_NAME_MAX]; /* count of them, from the name's end to its front; */
	uint32_t hashes[TF_NAME_MAX]; /* dots may stand side by side in what is asked for */
};

/* 8 letters at a time: the bytes from 'A' to 'Z' get their bit 5, and no carry leaves a byte. */
static uint64_t lower_word(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101u, low = word & 0x7f * ones;
	uint64_t letters = (low + (0x80 - 'A') * ones) & ~(low + (0x7f - 'Z') * ones) & ~word & 0x80 * ones;

	return word | letters >> 2;
}

static void lower_text(uint8_t *out, const char *name, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = 0;

		if (size - i >= 8)
			memcpy(&word, name + i, 8);
		else
			memcpy(&word, name + i, size - i);
		word = lower_word(word);
		memcpy(out + i, &word, 8);
	}
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a word's first byte is its lowest");

/* The hash of the domain above, and a label below it, 8 bytes at a time. */
static uint64_t hash_label(uint64_t hash, const uint8_t *label, size_t size)
{
	hash ^= size;
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word;

		memcpy(&word, label + i, 8);
		if (size - i < 8)
			word &= UINT64_MAX >> 8 * (8 - (size - i));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash * 0xd6e8feb86659fd93u;
}

/* Takes a name of at most TF_NAME_MAX bytes apart; all: every domain that it is in, else the name alone. */
static void ask(const struct tf_names *names, struct asked *asked, const char *name, size_t size, int all)
{
	uint64_t hash = names->secret;
	size_t end = size;

	asked->size = size;
	asked->count = 0;
	lower_text(asked->text, name, size);
	for (size_t i = size; i > 0; i--) {
		if (i > 1 && asked->text[i - 2] != '.')
			continue;
		hash = hash_label(hash, asked->text + i - 1, end - (i - 1));
		end = i > 1 ? i - 2 : 0;
		if (!all && i > 1)
			continue;
		asked->starts[asked->count] = (uint8_t) (i - 1);
		asked->hashes[asked->count] = (uint32_t) (hash >> 32);
		__builtin_prefetch(&names->slots[asked->hashes[asked->count] & (names->size - 1)]);
		asked->count++;
	}
}

static const uint8_t *text_at(const struct tf_names *names, uint32_t text)
{
	uint32_t offset = text - FIRST_TEXT;

	return names->chunks[offset / CHUNK] + offset % CHUNK;
}

/* The slot that has domain number i of the name, or the EMPTY one at which the search ends. */
static struct slot *find(const struct tf_names *names, const struct asked *asked, uint32_t i)
{
	uint32_t hash = asked->hashes[i], at = hash & (names->size - 1);
	const uint8_t *name = asked->text + asked->starts[i];
	size_t size = asked->size - asked->starts[i];

	for (;; at = (at + 1) & (names->size - 1)) {
		struct slot *slot = &names->slots[at];
		const uint8_t *text;

		if (slot->text == EMPTY)
			return slot;
		if (slot->text == GONE || slot->hash != hash)
			continue;
		text = text_at(names, slot->text);
		if (text[0] == size && memcmp(text + 1, name, size) == 0)
			return slot;
	}
}

static size_t without_dot(const char *name, size_t size)
{
	return size > 0 && name[size - 1] == '.' ? size - 1 : size;
}

/* Keeps a name's text; where it is, or EMPTY without memory. */
static uint32_t keep_text(struct tf_names *names, const uint8_t *name, size_t size)
{
	uint8_t *text;
	uint32_t at;

	if (names->chunk_count == 0 || names->at + size + 1 > (names->chunk_count == 1 ? FIRST_ROOM : CHUNK)) {
		size_t room = names->chunk_count == 0 ? FIRST_ROOM : CHUNK;
		uint8_t **chunks = realloc(names->chunks, (names->chunk_count + 1) * sizeof(*chunks));

		if (chunks == NULL)
			return EMPTY;
		names->chunks = chunks;
		if (names->chunk_count >= UINT32_MAX / CHUNK - 1)
			return EMPTY;
		chunks[names->chunk_count] = malloc(room); /* counted as it is used, below */
		if (chunks[names->chunk_count] == NULL)
			return EMPTY;
		names->chunk_count++;
		names->at = 0;
		tf_pages_large(chunks[names->chunk_count - 1], room);
	}
	text = names->chunks[names->chunk_count - 1] + names->at;
	text[0] = (uint8_t) size;
	memcpy(text + 1, name, size);
	at = (names->chunk_count - 1) * CHUNK + names->at + FIRST_TEXT;
	names->at += (uint32_t) size + 1;
	tf_owned_add(names->slots, size + 1);
	return at;
}

/*
 * New slots, and the names that are still there, with their texts, in them: what was removed leaves
 * nothing behind. 0, or -1 without memory, and all is as it was.
 */
static int resize(struct tf_names *names, uint32_t size)
{
	struct tf_names made = { .size = size, .count = names->count, .used = names->count, .secret = names->secret };

	made.slots = tf_owned_calloc(size, sizeof(*made.slots));
	if (made.slots == NULL)
		return -1;
	tf_pages_large(made.slots, size * sizeof(*made.slots));
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
		made.slots[j].text = keep_text(&made, text + 1, text[0]);
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
		names->secret = uv_hrtime() * 0x9e3779b97f4a7c15u;
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
	struct asked asked;
	struct slot *slot;
	uint32_t text;

	size = without_dot(name, size);
	if (!is_good(name, size))
		return -2;
	ask(names, &asked, name, size, 0);
	if (find(names, &asked, 0)->text != EMPTY)
		return 0;
	if (names->used >= names->size / 4 * 3 &&
	    resize(names, names->count >= names->size / 2 ? names->size * 2 : names->size) < 0)
		return -1;
	text = keep_text(names, asked.text, size);
	if (text == EMPTY)
		return -1;
	slot = find(names, &asked, 0);
	slot->hash = asked.hashes[0];
	slot->text = text;
	names->used++;
	names->count++;
	return 1;
}

int tf_names_remove(struct tf_names *names, const char *name, size_t size)
{
	struct asked asked;
	struct slot *slot;

	size = without_dot(name, size);
	if (!is_good(name, size))
		return 0;
	ask(names, &asked, name, size, 0);
	slot = find(names, &asked, 0);
	if (slot->text == EMPTY)
		return 0;
	slot->text = GONE;
	names->count--;
	return 1;
}

uint32_t tf_names_match(const struct tf_names *names, const char *name, size_t size)
{
	struct asked asked;

	size = without_dot(name, size);
	if (size > TF_NAME_MAX)
		return 0;
	ask(names, &asked, name, size, 1);
	for (uint32_t i = asked.count; i-- > 0;)
		if (find(names, &asked, i)->text != EMPTY)
			return (uint32_t) (size - asked.starts[i]);
	return 0;
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
