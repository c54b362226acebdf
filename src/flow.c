#include "flow.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define CHUNK	   4096u /* flows that are allocated at a time */
#define CLOSED_IDLE 10	  /* seconds that a closed TCP connection is kept */
#define NONE	   TF_FLOW_NONE
#define KEY_WORDS  10u

enum { CLOSING_LOW = 1, CLOSING_HIGH = 2, CLOSED = 3 };

/* The two ends in an order of their own, so that both directions have one key; unused bytes are 0. */
struct key {
	uint8_t low[18]; /* address, port */
	uint8_t high[18];
	uint8_t proto;
	uint8_t version; /* 4 or 6 */
};

struct flow {
	struct key key;
	uint32_t next;		/* in its bucket */
	uint32_t newer, older;	/* in the order of use */
	uint32_t hash;
	uint8_t closing;	/* CLOSING_… of the ends that sent a FIN; CLOSED also after a RST */
	double last;		/* seconds, of the last packet */
};

/* Flows stand in chunks that never move; buckets are split one at a time (linear hashing). */
struct tf_flows {
	struct flow **chunks;
	uint32_t **buckets; /* first flow, in chunks as well; bucket_count of them are in use */
	uint32_t bucket_count;
	uint32_t level; /* power of two: buckets below bucket_count - level have been split */
	uint32_t count, max;
	uint32_t newest, oldest;
	uint64_t secret[KEY_WORDS + 1]; /* so that nobody can make all flows fall into one bucket */
};

static struct flow *flow_at(const struct tf_flows *flows, uint32_t slot)
{
	return &flows->chunks[slot / CHUNK][slot % CHUNK];
}

static uint32_t *bucket_at(const struct tf_flows *flows, uint32_t i)
{
	return &flows->buckets[i / CHUNK][i % CHUNK];
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
	uint32_t *link = bucket_at(flows, bucket_of(flows, flow_at(flows, slot)->hash));

	while (*link != slot)
		link = &flow_at(flows, *link)->next;
	*link = flow_at(flows, slot)->next;
}

/* Makes one bucket more, and gives it its share of the flows of the one that it comes from. */
static void split_bucket(struct tf_flows *flows)
{
	uint32_t made = flows->bucket_count, split, slot;

	if (made % CHUNK == 0 && flows->buckets[made / CHUNK] == NULL) {
		flows->buckets[made / CHUNK] = malloc(CHUNK * sizeof(uint32_t));
		if (flows->buckets[made / CHUNK] == NULL)
			return; /* buckets grow longer, nothing else */
	}
	if (made == 2 * flows->level)
		flows->level *= 2;
	split = made - flows->level;
	slot = *bucket_at(flows, split);
	*bucket_at(flows, split) = NONE;
	*bucket_at(flows, made) = NONE;
	flows->bucket_count++;
	while (slot != NONE) {
		struct flow *flow = flow_at(flows, slot);
		uint32_t next = flow->next, *bucket = bucket_at(flows, bucket_of(flows, flow->hash));

		flow->next = *bucket;
		*bucket = slot;
		slot = next;
	}
}

/* A slot for a new flow: one more, or that of the flow unused for longest. NONE without memory. */
static uint32_t new_slot(struct tf_flows *flows)
{
	uint32_t slot = flows->count;

	if (slot < flows->max && slot % CHUNK == 0 && flows->chunks[slot / CHUNK] == NULL)
		flows->chunks[slot / CHUNK] = malloc(CHUNK * sizeof(struct flow));
	if (slot < flows->max && flows->chunks[slot / CHUNK] != NULL) {
		flows->count++;
		if (flows->count > flows->bucket_count)
			split_bucket(flows);
		return slot;
	}
	slot = flows->oldest;
	if (slot != NONE) {
		unlink_bucket(flows, slot);
		unlink_use(flows, flow_at(flows, slot));
	}
	return slot;
}

/* What a TCP packet says of the connection's end. */
static void follow_tcp(struct flow *flow, const struct tf_packet *packet, int swapped)
{
	uint8_t flags;

	if (!(packet->headers & TF_HAS_TCP))
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
	return flow->closing == CLOSED && packet->headers & TF_HAS_TCP &&
	       (packet->data[packet->transport + 13] & 0x16) == 0x02;
}

uint32_t tf_flow_find(struct tf_flows *flows, const struct tf_packet *packet, double now, double idle,
		      uint8_t *fresh)
{
	struct flow *flow;
	struct key key;
	uint32_t hash, slot;
	int swapped;

	*fresh = 0;
	if (!make_key(packet, &key, &swapped))
		return NONE;
	hash = hash_key(flows, &key);
	slot = *bucket_at(flows, bucket_of(flows, hash));
	while (slot != NONE) {
		flow = flow_at(flows, slot);
		if (flow->hash == hash && memcmp(&flow->key, &key, sizeof(key)) == 0)
			break;
		slot = flow->next;
	}
	if (slot != NONE) {
		flow = flow_at(flows, slot);
		if (flow->closing == CLOSED && idle > CLOSED_IDLE)
			idle = CLOSED_IDLE;
		*fresh = now - flow->last > idle || begins_anew(flow, packet);
		unlink_use(flows, flow);
	} else {
		uint32_t *bucket;

		slot = new_slot(flows);
		if (slot == NONE)
			return NONE;
		flow = flow_at(flows, slot);
		flow->key = key;
		flow->hash = hash;
		bucket = bucket_at(flows, bucket_of(flows, hash));
		flow->next = *bucket;
		*bucket = slot;
		*fresh = 1;
	}
	if (*fresh)
		flow->closing = 0;
	flow->last = now;
	link_newest(flows, flow, slot);
	follow_tcp(flow, packet, swapped);
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
	if (flows->chunks == NULL || flows->buckets == NULL)
		goto fail;
	flows->buckets[0] = malloc(CHUNK * sizeof(uint32_t));
	if (flows->buckets[0] == NULL)
		goto fail;
	flows->bucket_count = 1;
	flows->level = 1;
	*bucket_at(flows, 0) = NONE;
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
	for (uint32_t i = 0; flows->chunks != NULL && i <= flows->max / CHUNK; i++)
		free(flows->chunks[i]);
	for (uint32_t i = 0; flows->buckets != NULL && i <= flows->max / CHUNK; i++)
		free(flows->buckets[i]);
	free(flows->chunks);
	free(flows->buckets);
	free(flows);
}
