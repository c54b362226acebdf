#include "flow.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "owned.h"

#define CHUNK	   4096u /* flows that are allocated at a time */
#define CLOSED_IDLE 10	  /* seconds that a closed TCP connection is kept */
#define NONE	   TF_FLOW_NONE
#define KEY_WORDS  10u
#define LINE	   64 /* bytes that memory gives at a time */
#define ENTRIES	   7u /* flows that a bucket has room for */
#define LOAD	   3u /* and has on average */
#define RELINK	   8  /* seconds: in larger tables, a flow's place in the order of use is that old */
#define SPARED	   8  /* flows that a new one passes over because they were used since */
#define FAR	   16 /* packets from the one looked up to the one whose bucket is asked for */
#define NEARER	   8  /* and to the one whose flow is */

enum { CLOSING_LOW = 1, CLOSING_HIGH = 2, CLOSED = 3 };

/* The two ends in an order of their own, so that both directions have one key; unused bytes are 0. */
struct key {
	uint8_t low[18]; /* address, port */
	uint8_t high[18];
	uint8_t proto;
	uint8_t version; /* 4 or 6 */
};

/* One line of memory: looking a flow up takes its bucket and this. */
struct flow {
	struct key key;
	uint8_t closing;       /* CLOSING_… of the ends that sent a FIN; CLOSED also after a RST */
	uint32_t next;	       /* in its bucket's `more` */
	uint32_t newer, older; /* in the order of use */
	uint32_t hash;
	double last; /* seconds, of the last packet */
};

_Static_assert(sizeof(struct flow) == LINE, "a flow is one line");

/*
 * An entry has a flow's slot in its low 24 bits and a tag, of its hash, above them: so hardly another
 * flow's memory is looked at than that which is meant.
 */
struct bucket {
	uint32_t entries[ENTRIES]; /* NONE: free */
	uint32_t more;		   /* slot of the first of those for which there was no room; NONE */
};

/* Flows stand in chunks that never move; buckets are split one at a time (linear hashing). */
struct tf_flows {
	struct flow **chunks;
	struct bucket **buckets; /* in chunks as well; bucket_count of them are in use */
	void **blocks;		 /* block_count blocks of memory, which chunks lie in */
	uint32_t block_count;
	uint32_t bucket_count;
	uint32_t level; /* power of two: buckets below bucket_count - level have been split */
	uint32_t count, max;
	uint32_t newest, oldest;
	uint64_t secret[KEY_WORDS + 1]; /* so that nobody can make all flows fall into one bucket */
	double batch;			/* number of the first packet of the batch that was looked ahead in */
	uint32_t far, nearer;		/* packets of it before which all were asked for */
	uint32_t ahead[FAR + 1];	/* their hashes, by place modulo FAR + 1 */
};

static struct flow *flow_at(const struct tf_flows *flows, uint32_t slot)
{
	return &flows->chunks[slot / CHUNK][slot % CHUNK];
}

static struct bucket *bucket_at(const struct tf_flows *flows, uint32_t i)
{
	return &flows->buckets[i / CHUNK][i % CHUNK];
}

/* Never NONE, as no tag has all its bits. */
static uint32_t entry_of(uint32_t slot, uint32_t hash)
{
	return (hash >> 24) % 255 << 24 | slot;
}

static uint32_t slot_of(uint32_t entry)
{
	return entry & 0xffffff;
}

static uint32_t bucket_of(const struct tf_flows *flows, uint32_t hash)
{
	uint32_t i = hash & (2 * flows->level - 1);

	return i < flows->bucket_count ? i : i - flows->level;
}

/*
 * A sum of products with secret factors ("multilinear hashing"): whatever the packets are, two keys have the same
 * bits with no more than chance, as long as the secret is one.
 */
static uint32_t hash_key(const struct tf_flows *flows, const struct key *key)
{
	uint32_t words[KEY_WORDS] = { 0 };
	uint64_t sum = flows->secret[KEY_WORDS];

	_Static_assert(sizeof(struct key) <= sizeof(words), "every byte of the key counts");
	memcpy(words, key, sizeof(*key));
	for (unsigned i = 0; i < KEY_WORDS; i++)
		sum += flows->secret[i] * words[i];
	return (uint32_t) (sum >> 32);
}

/* 1 with the key, or 0 for a packet of no flow. *swapped: the packet comes from the high end. */
static int make_key(const struct tf_packet *packet, struct key *key, int *swapped)
{
	const uint8_t *ip = packet->data + packet->network, *transport = packet->data + packet->transport;
	uint8_t from[18] = { 0 }, to[18] = { 0 };

	memset(key, 0, sizeof(*key));
	if (packet->headers & TF_HAS_IP4) {
		key->version = 4;
		memcpy(from, ip + 12, 4);
		memcpy(to, ip + 16, 4);
	} else if (packet->headers & TF_HAS_IP6) {
		key->version = 6;
		memcpy(from, ip + 8, 16);
		memcpy(to, ip + 24, 16);
	} else {
		return 0;
	}
	key->proto = packet->proto;
	if (packet->headers & (TF_HAS_TCP | TF_HAS_UDP)) {
		memcpy(from + 16, transport, 2);
		memcpy(to + 16, transport + 2, 2);
	} else if ((packet->headers & TF_HAS_ICMP && (transport[0] == 8 || transport[0] == 0)) ||
		   (packet->headers & TF_HAS_ICMP6 && (transport[0] == 128 || transport[0] == 129))) {
		memcpy(from + 16, transport + 4, 2);
		memcpy(to + 16, transport + 4, 2);
	}
	*swapped = memcmp(from, to, sizeof(from)) > 0;
	memcpy(key->low, *swapped ? to : from, sizeof(key->low));
	memcpy(key->high, *swapped ? from : to, sizeof(key->high));
	return 1;
}

static void unlink_use(struct tf_flows *flows, struct flow *flow)
{
	if (flow->newer != NONE)
		flow_at(flows, flow->newer)->older = flow->older;
	else
		flows->newest = flow->older;
	if (flow->older != NONE)
		flow_at(flows, flow->older)->newer = flow->newer;
	else
		flows->oldest = flow->newer;
}

static void link_newest(struct tf_flows *flows, struct flow *flow, uint32_t slot)
{
	flow->newer = NONE;
	flow->older = flows->newest;
	if (flows->newest != NONE)
		flow_at(flows, flows->newest)->newer = slot;
	else
		flows->oldest = slot;
	flows->newest = slot;
}

static void unlink_bucket(struct tf_flows *flows, uint32_t slot)
{
	const struct flow *flow = flow_at(flows, slot);
	struct bucket *bucket = bucket_at(flows, bucket_of(flows, flow->hash));
	uint32_t *link = &bucket->more;

	for (unsigned i = 0; i < ENTRIES; i++) {
		if (bucket->entries[i] == entry_of(slot, flow->hash)) {
			bucket->entries[i] = NONE;
			return;
		}
	}
	while (*link != slot)
		link = &flow_at(flows, *link)->next;
	*link = flow->next;
}

static void link_bucket(struct tf_flows *flows, uint32_t slot)
{
	struct flow *flow = flow_at(flows, slot);
	struct bucket *bucket = bucket_at(flows, bucket_of(flows, flow->hash));

	flow->next = NONE;
	for (unsigned i = 0; i < ENTRIES; i++) {
		if (bucket->entries[i] == NONE) {
			bucket->entries[i] = entry_of(slot, flow->hash);
			return;
		}
	}
	flow->next = bucket->more;
	bucket->more = slot;
}

static void clear_bucket(struct bucket *bucket)
{
	memset(bucket, 0xff, sizeof(*bucket));
}

/* Memory for a chunk, where a line begins; NULL if there is none. */
static void *allocate(struct tf_flows *flows, size_t size)
{
	uint8_t *block = tf_owned_malloc(size + LINE);

	if (block == NULL)
		return NULL;
	flows->blocks[flows->block_count++] = block;
	return block + (LINE - (uintptr_t) block % LINE);
}

/* Makes one bucket more, and gives it its share of the flows of the one that it comes from. */
static void split_bucket(struct tf_flows *flows)
{
	uint32_t made = flows->bucket_count, slot;
	struct bucket split, *from;

	if (made % CHUNK == 0 && flows->buckets[made / CHUNK] == NULL) {
		flows->buckets[made / CHUNK] = allocate(flows, CHUNK * sizeof(struct bucket));
		if (flows->buckets[made / CHUNK] == NULL)
			return; /* buckets grow longer, nothing else */
	}
	if (made == 2 * flows->level)
		flows->level *= 2;
	from = bucket_at(flows, made - flows->level);
	split = *from;
	clear_bucket(from);
	clear_bucket(bucket_at(flows, made));
	flows->bucket_count++;
	for (unsigned i = 0; i < ENTRIES; i++)
		if (split.entries[i] != NONE)
			link_bucket(flows, slot_of(split.entries[i]));
	for (slot = split.more; slot != NONE;) {
		uint32_t next = flow_at(flows, slot)->next;

		link_bucket(flows, slot);
		slot = next;
	}
}

/* A slot for a new flow: one more, or that of the flow unused for longest, also where memory is short. */
static uint32_t new_slot(struct tf_flows *flows)
{
	uint32_t slot = flows->count;

	if (slot < flows->max && slot % CHUNK == 0 && flows->chunks[slot / CHUNK] == NULL)
		flows->chunks[slot / CHUNK] = allocate(flows, CHUNK * sizeof(struct flow));
	if (slot < flows->max && flows->chunks[slot / CHUNK] != NULL) {
		flows->count++;
		if (flows->count > LOAD * flows->bucket_count)
			split_bucket(flows);
		return slot;
	}
	slot = flows->oldest;
	/* Where use does not move a flow at once, the oldest may have been used after the next one. */
	for (int i = 0; i < SPARED && slot != NONE; i++) {
		struct flow *flow = flow_at(flows, slot);

		if (flow->newer == NONE || flow->last <= flow_at(flows, flow->newer)->last)
			break;
		unlink_use(flows, flow);
		link_newest(flows, flow, slot);
		slot = flows->oldest;
	}
	if (slot != NONE) {
		unlink_bucket(flows, slot);
		unlink_use(flows, flow_at(flows, slot));
	}
	return slot;
}

/* A TCP packet that somebody has sent: what an ICMP error quotes begins and ends nothing. */
static int speaks(const struct tf_packet *packet)
{
	return packet->headers & TF_HAS_TCP && packet->from <= TF_RIGHT;
}

/* What a TCP packet says of the connection's end. */
static void follow_tcp(struct flow *flow, const struct tf_packet *packet, int swapped)
{
	uint8_t flags;

	if (!speaks(packet))
		return;
	flags = packet->data[packet->transport + 13];
	if (flags & 0x04)
		flow->closing = CLOSED;
	else if (flags & 0x01)
		flow->closing |= swapped ? CLOSING_HIGH : CLOSING_LOW;
}

/* A SYN on a closed connection begins another one with the same ports. */
static int begins_anew(const struct flow *flow, const struct tf_packet *packet)
{
	return flow->closing == CLOSED && speaks(packet) &&
	       (packet->data[packet->transport + 13] & 0x16) == 0x02;
}

/* Asks for the memory that the batch's packets behind this one will need, for all of them at a time. */
static void look_ahead(struct tf_flows *flows, const struct tf_packet *packet, const struct tf_batch *batch)
{
	uint32_t at = (uint32_t) (packet - batch->packets), count = batch->count;

	if (flows->batch != batch->packets->number || at > flows->far) {
		flows->batch = batch->packets->number;
		flows->far = flows->nearer = at;
	}
	for (; flows->far < count && flows->far < at + FAR; flows->far++) {
		uint32_t *hash = &flows->ahead[flows->far % (FAR + 1)];
		struct key key;
		int swapped;

		*hash = make_key(&batch->packets[flows->far], &key, &swapped) ? hash_key(flows, &key) : 0;
		__builtin_prefetch(bucket_at(flows, bucket_of(flows, *hash)));
	}
	for (; flows->nearer < flows->far && flows->nearer < at + NEARER; flows->nearer++) {
		uint32_t hash = flows->ahead[flows->nearer % (FAR + 1)];
		const struct bucket *bucket = bucket_at(flows, bucket_of(flows, hash));

		for (unsigned i = 0; i < ENTRIES; i++)
			if (entry_of(slot_of(bucket->entries[i]), hash) == bucket->entries[i])
				__builtin_prefetch(flow_at(flows, slot_of(bucket->entries[i])), 1);
	}
}

static uint32_t find_key(const struct tf_flows *flows, const struct key *key, uint32_t hash)
{
	const struct bucket *bucket = bucket_at(flows, bucket_of(flows, hash));
	uint32_t slot;

	for (unsigned i = 0; i < ENTRIES; i++) {
		slot = slot_of(bucket->entries[i]);
		if (bucket->entries[i] == entry_of(slot, hash) && memcmp(&flow_at(flows, slot)->key, key, sizeof(*key)) == 0)
			return slot;
	}
	for (slot = bucket->more; slot != NONE; slot = flow_at(flows, slot)->next)
		if (flow_at(flows, slot)->hash == hash && memcmp(&flow_at(flows, slot)->key, key, sizeof(*key)) == 0)
			return slot;
	return NONE;
}

uint32_t tf_flow_find(struct tf_flows *flows, const struct tf_packet *packet, const struct tf_batch *batch,
		      double now, double idle, uint8_t *fresh)
{
	struct flow *flow;
	struct key key;
	uint32_t hash, slot;
	int swapped, linked = 0;

	*fresh = 0;
	if (batch != NULL && flows->count > CHUNK)
		look_ahead(flows, packet, batch);
	if (!make_key(packet, &key, &swapped))
		return NONE;
	hash = hash_key(flows, &key);
	slot = find_key(flows, &key, hash);
	if (slot != NONE) {
		flow = flow_at(flows, slot);
		if (flow->closing == CLOSED && idle > CLOSED_IDLE)
			idle = CLOSED_IDLE;
		*fresh = now - flow->last > idle || begins_anew(flow, packet);
		linked = flows->max > CHUNK && (int64_t) (now / RELINK) == (int64_t) (flow->last / RELINK);
		if (!linked)
			unlink_use(flows, flow);
	} else {
		slot = new_slot(flows);
		if (slot == NONE)
			return NONE;
		flow = flow_at(flows, slot);
		flow->key = key;
		flow->hash = hash;
		link_bucket(flows, slot);
		*fresh = 1;
	}
	if (*fresh)
		flow->closing = 0;
	flow->last = now;
	if (!linked)
		link_newest(flows, flow, slot);
	follow_tcp(flow, packet, swapped);
	return slot;
}

uint32_t tf_flow_after(const struct tf_flows *flows, uint32_t slot, struct tf_flow_record *record)
{
	const struct flow *flow;

	slot = slot == NONE ? flows->oldest : flow_at(flows, slot)->newer;
	if (slot == NONE)
		return NONE;
	flow = flow_at(flows, slot);
	_Static_assert(sizeof(record->key) == sizeof(flow->key), "all of it");
	memcpy(record->key, &flow->key, sizeof(record->key));
	record->closing = flow->closing;
	record->last = flow->last;
	return slot;
}

uint32_t tf_flow_restore(struct tf_flows *flows, const struct tf_flow_record *record)
{
	struct flow *flow;
	struct key key;
	uint32_t hash, slot;

	memcpy(&key, record->key, sizeof(key));
	hash = hash_key(flows, &key);
	if (find_key(flows, &key, hash) != NONE || (slot = new_slot(flows)) == NONE)
		return NONE;
	flow = flow_at(flows, slot);
	flow->key = key;
	flow->hash = hash;
	flow->closing = record->closing & CLOSED;
	flow->last = record->last;
	link_bucket(flows, slot);
	link_newest(flows, flow, slot);
	return slot;
}

uint32_t tf_flow_count(const struct tf_flows *flows)
{
	return flows->count;
}

struct tf_flows *tf_flow_create(uint32_t max)
{
	struct tf_flows *flows = calloc(1, sizeof(*flows));
	uint32_t chunks = max / CHUNK + 1;

	if (flows == NULL)
		return NULL;
	flows->max = max;
	flows->newest = flows->oldest = NONE;
	flows->chunks = calloc(chunks, sizeof(*flows->chunks));
	flows->buckets = calloc(chunks + 1, sizeof(*flows->buckets));
	flows->blocks = calloc(2 * chunks + 1, sizeof(*flows->blocks));
	if (flows->chunks == NULL || flows->buckets == NULL || flows->blocks == NULL)
		goto fail;
	flows->buckets[0] = allocate(flows, CHUNK * sizeof(struct bucket));
	flows->chunks[0] = allocate(flows, CHUNK * sizeof(struct flow)); /* so that there is always a slot */
	if (flows->buckets[0] == NULL || flows->chunks[0] == NULL)
		goto fail;
	flows->bucket_count = 1;
	flows->level = 1;
	clear_bucket(bucket_at(flows, 0));
	/* Without a source of chance: odd numbers, so that the hash is a hash at least. */
	if (uv_random(NULL, NULL, flows->secret, sizeof(flows->secret), 0, NULL) != 0)
		for (unsigned i = 0; i <= KEY_WORDS; i++)
			flows->secret[i] = (uv_hrtime() + i) * 0x9e3779b97f4a7c15u | 1;
	return flows;

fail:
	tf_flow_destroy(flows);
	return NULL;
}

void tf_flow_destroy(struct tf_flows *flows)
{
	if (flows == NULL)
		return;
	for (uint32_t i = 0; i < flows->block_count; i++)
		tf_owned_free(flows->blocks[i]);
	free(flows->blocks);
	free(flows->chunks);
	free(flows->buckets);
	free(flows);
}
