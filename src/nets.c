#include "nets.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "device.h"
#include "owned.h"

#define FIRST_SIZE 64u /* entries; a power of two, as all sizes are */
#define INDEX_SIZE 65536u
#define PAGE	   4096u /* bytes */
#define WORDS6	   5 /* of 32 bits: lengths 0 to 128 */

enum { EMPTY = 0, GONE = 255 }; /* an entry's version where there is no network */

struct tf_nets {
	struct tf_net *entries; /* size of them, open addressing */
	uint32_t size;
	uint32_t used; /* not EMPTY */
	uint32_t count;
	uint32_t secret;
	uint32_t touched;	    /* bytes of the following two, at most */
	uint64_t *lengths4;	    /* INDEX_SIZE: bit n is set if a network of length n may begin so */
	uint32_t (*lengths6)[WORDS6]; /* INDEX_SIZE, likewise */
	uint32_t short6;	    /* lengths below 32 of IPv6, which are not in lengths6 */
};

static void clear_behind(struct tf_net *net, uint32_t length)
{
	uint32_t whole = length / 8;

	net->length = (uint8_t) length;
	if (net->version == 4 && length <= 32) {
		uint32_t mask = length > 0 ? UINT32_MAX << (32 - length) : 0;
		const uint8_t kept[4] = { (uint8_t) (mask >> 24), (uint8_t) (mask >> 16), (uint8_t) (mask >> 8),
					  (uint8_t) mask };
		uint32_t bits, network_mask;

		memcpy(&bits, net->bytes, 4);
		memcpy(&network_mask, kept, 4);
		bits &= network_mask;
		memcpy(net->bytes, &bits, 4);
		memset(net->bytes + 4, 0, 12);
		return;
	}
	if (whole >= 16)
		return;
	net->bytes[whole] &= (uint8_t) (0xff00 >> length % 8);
	memset(net->bytes + whole + 1, 0, 15 - whole);
}

static uint32_t hash_net(const struct tf_nets *nets, const struct tf_net *net)
{
	uint64_t high, low, h;

	memcpy(&high, net->bytes, 8);
	memcpy(&low, net->bytes + 8, 8);
	h = (high ^ nets->secret) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 32 ^ low) * 0xd6e8feb86659fd93u;
	h = (h ^ h >> 32 ^ net->length ^ (uint64_t) net->version << 8) * 0xd6e8feb86659fd93u;
	return (uint32_t) (h >> 32);
}

static int same(const struct tf_net *a, const struct tf_net *b)
{
	return a->version == b->version && a->length == b->length && memcmp(a->bytes, b->bytes, 16) == 0;
}

/* The entry that has the network, or the EMPTY one at which the search ends. */
static struct tf_net *find(const struct tf_nets *nets, const struct tf_net *net)
{
	uint32_t i = hash_net(nets, net) & (nets->size - 1);

	while (nets->entries[i].version != EMPTY && !same(&nets->entries[i], net))
		i = (i + 1) & (nets->size - 1);
	return &nets->entries[i];
}

static uint32_t index4(const struct tf_net *net)
{
	return (uint32_t) net->bytes[0] << 8 | net->bytes[1];
}

static uint32_t index6(const struct tf_net *net)
{
	uint32_t first;

	memcpy(&first, net->bytes, 4);
	return first * 0x9e3779b1u >> 16;
}

/* Notes that networks of this length begin so. */
static void note_length(struct tf_nets *nets, const struct tf_net *net)
{
	if (net->version == 6) {
		if (net->length < 32)
			nets->short6 |= 1u << net->length;
		else
			nets->lengths6[index6(net)][net->length / 32] |= 1u << net->length % 32;
		return;
	}
	for (uint32_t i = 0; i < (net->length < 16 ? 1u << (16 - net->length) : 1u); i++)
		nets->lengths4[index4(net) + i] |= (uint64_t) 1 << net->length;
}

/* The index is large, and has memory only where it is written. */
static void count_touched(struct tf_nets *nets, const struct tf_net *net)
{
	uint32_t all = INDEX_SIZE * (uint32_t) (sizeof(*nets->lengths4) + sizeof(*nets->lengths6));
	uint32_t more = net->version == 6 || net->length >= 16 ? PAGE : 8u << (16 - net->length);

	if (more < PAGE)
		more = PAGE;
	if (more > all - nets->touched)
		more = all - nets->touched;
	nets->touched += more;
	if (more > 0)
		tf_owned_add(nets, more);
}

static int resize(struct tf_nets *nets, uint32_t size)
{
	struct tf_net *old = nets->entries, *entries = tf_owned_calloc(size, sizeof(*entries));
	uint32_t old_size = nets->size;

	if (entries == NULL)
		return -1;
	nets->entries = entries;
	nets->size = size;
	nets->used = nets->count;
	for (uint32_t i = 0; i < old_size; i++)
		if (old[i].version != EMPTY && old[i].version != GONE)
			*find(nets, &old[i]) = old[i];
	tf_owned_free(old);
	return 0;
}

struct tf_nets *tf_nets_create(void)
{
	struct tf_nets *nets = tf_owned_calloc(1, sizeof(*nets));

	if (nets == NULL)
		return NULL;
	nets->lengths4 = calloc(INDEX_SIZE, sizeof(*nets->lengths4));
	nets->lengths6 = calloc(INDEX_SIZE, sizeof(*nets->lengths6));
	if (nets->lengths4 == NULL || nets->lengths6 == NULL || resize(nets, FIRST_SIZE) < 0) {
		tf_nets_destroy(nets);
		return NULL;
	}
	if (uv_random(NULL, NULL, &nets->secret, sizeof(nets->secret), 0, NULL) != 0)
		nets->secret = (uint32_t) uv_hrtime();
	return nets;
}

void tf_nets_destroy(struct tf_nets *nets)
{
	if (nets == NULL)
		return;
	tf_owned_free(nets->entries);
	free(nets->lengths4);
	free(nets->lengths6);
	tf_owned_free(nets);
}

uint32_t tf_nets_count(const struct tf_nets *nets)
{
	return nets->count;
}

int tf_nets_add(struct tf_nets *nets, const struct tf_net *net)
{
	struct tf_net key = *net, *entry;

	clear_behind(&key, net->length);
	if (find(nets, &key)->version != EMPTY)
		return 0;
	/* At most three quarters full; where many were removed, the same size may do. */
	if (nets->used >= nets->size / 4 * 3 &&
	    resize(nets, nets->count >= nets->size / 2 ? nets->size * 2 : nets->size) < 0)
		return -1;
	entry = find(nets, &key);
	*entry = key;
	nets->used++;
	nets->count++;
	note_length(nets, &key);
	count_touched(nets, &key);
	return 1;
}

int tf_nets_remove(struct tf_nets *nets, const struct tf_net *net)
{
	struct tf_net key = *net, *entry;

	clear_behind(&key, net->length);
	entry = find(nets, &key);
	if (entry->version == EMPTY)
		return 0;
	entry->version = GONE;
	nets->count--;
	return 1;
}

static int try_length(const struct tf_nets *nets, const struct tf_net *address, uint32_t length,
		      struct tf_net *match)
{
	struct tf_net key = *address;

	clear_behind(&key, length);
	if (find(nets, &key)->version == EMPTY)
		return 0;
	if (match != NULL)
		*match = key;
	return 1;
}

/* Tries the lengths whose bits are set, the longest first; they are counted from base. */
static int try_word(const struct tf_nets *nets, const struct tf_net *address, uint64_t word, uint32_t base,
		    struct tf_net *match)
{
	while (word != 0) {
		uint32_t bit = 63 - (uint32_t) __builtin_clzll(word);

		if (try_length(nets, address, base + bit, match))
			return 1;
		word &= ~((uint64_t) 1 << bit);
	}
	return 0;
}

int tf_nets_match(const struct tf_nets *nets, const struct tf_net *address, struct tf_net *match)
{
	const uint32_t *words;

	if (address->version == 4)
		return try_word(nets, address, nets->lengths4[index4(address)], 0, match);
	words = nets->lengths6[index6(address)];
	for (int i = WORDS6 - 1; i > 0; i--)
		if (words[i] != 0 && try_word(nets, address, words[i], (uint32_t) i * 32, match))
			return 1;
	return nets->short6 != 0 && try_word(nets, address, nets->short6, 0, match);
}

int tf_nets_read(struct tf_nets *nets, const char *text, size_t size)
{
	const char *end = text + size;

	for (int line = 1; text < end; line++) {
		const char *stop = memchr(text, '\n', (size_t) (end - text));
		const char *next = stop ? stop + 1 : end, *comment;
		struct tf_prefix prefix;
		struct tf_net net;
		char word[64];

		if (stop == NULL)
			stop = end;
		comment = memchr(text, '#', (size_t) (stop - text));
		if (comment != NULL)
			stop = comment;
		while (text < stop && (*text == ' ' || *text == '\t'))
			text++;
		while (stop > text && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
			stop--;
		if (stop > text) {
			if ((size_t) (stop - text) >= sizeof(word))
				return line;
			memcpy(word, text, (size_t) (stop - text));
			word[stop - text] = '\0';
			if (strlen(word) != (size_t) (stop - text) || tf_prefix_parse(&prefix, word) != 0)
				return line;
			memcpy(net.bytes, prefix.bytes, sizeof(net.bytes));
			net.length = prefix.length;
			net.version = prefix.family;
			if (tf_nets_add(nets, &net) < 0)
				return -1;
		}
		text = next;
	}
	return 0;
}
