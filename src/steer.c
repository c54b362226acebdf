#include "steer.h"

#include <string.h>
#include <uv.h>

#include "bytes.h"
#include "options.h"
#include "parse.h"

/*
 * An entry, from its high bits on: a tag of 40 bits, the first of which is set; the worker, 6; when it was used last,
 * 18. Set and tag are 57 bits of the hash: a flow that has those of another goes to that one's worker in
 * both directions, and of a thousand million flows beside a million entries one hardly does.
 */
enum { TAG_SHIFT = 24, WORKER_SHIFT = 18, WORKER_MASK = 63, TIME_MASK = (1 << 18) - 1 };
enum { TICK = 4 /* seconds */, LASTS = 16 /* ticks until what is used is marked as such again */ };

_Static_assert(TF_WORKERS_MAX - 1 <= WORKER_MASK, "a worker's number fits into an entry");

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58 };

/* What a hash is of, beside the two addresses. */
struct key {
	uint16_t port[2];
	uint8_t proto;
	uint8_t later;		 /* a fragment without ports: only its datagram's are its kin */
	uint32_t identification; /* of that */
};

void tf_steer_begin(struct tf_steer *steer)
{
	if (steer->secret[0])
		return;
	if (uv_random(NULL, NULL, steer->secret, sizeof(steer->secret), 0, NULL) < 0)
		steer->secret[1] = uv_hrtime();
	steer->secret[0] |= 1;
}

/* Every bit of x has its say in nearly every bit of the result. */
static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static inline uint64_t hash_end(const struct tf_steer *steer, const uint8_t *address, uint32_t size, uint64_t port)
{
	uint64_t words[2] = {0, 0};

	memcpy(words, address, size);
	return mix(mix(words[0] ^ steer->secret[0]) + (words[1] ^ port << 48) + (port << 16));
}

/* The same for both directions. Never 0. */
static uint64_t hash(const struct tf_steer *steer, const struct tf_packet *packet, const struct key *key)
{
	const uint8_t *ip = packet->data + packet->network;
	uint32_t size = packet->headers & TF_HAS_IP4 ? 4 : 16, at = size == 4 ? 12 : 8;
	uint64_t ends = hash_end(steer, ip + at, size, key->port[0]) +
			hash_end(steer, ip + at + size, size, key->port[1]);
	uint64_t rest = (uint64_t)key->identification << 16 | key->later << 8 | key->proto;

	return mix(ends + (rest ^ steer->secret[1])) | 1ull << 63;
}

/* Of an IPv6 fragment: its header is one of those before the transport's. */
static uint32_t identification6(const struct tf_packet *packet)
{
	const uint8_t *header = packet->data + packet->network + 40, *end = packet->data + packet->transport;
	uint8_t type = packet->data[packet->network + 6];

	while (end - header >= 8 && type != PROTO_FRAGMENT) {
		uint32_t n = tf_ip6_extension(type, header);

		if (!n || n > (uint32_t)(end - header))
			return 0;
		type = header[0];
		header += n;
	}
	return end - header < 8 ? 0 : (uint32_t)tf_get16(header + 4) << 16 | tf_get16(header + 6);
}

/* 0 for a packet of no flow. The datagram's as a whole for a first fragment, that of its later ones with `later`. */
static uint64_t hash_packet(const struct tf_steer *steer, const struct tf_packet *packet, int later)
{
	const uint8_t *at = packet->data + packet->transport;
	uint32_t there = packet->end - packet->transport;
	struct key key = {.proto = packet->proto};

	if (!(packet->headers & (TF_HAS_IP4 | TF_HAS_IP6)))
		return 0;
	if (later) {
		key.later = 1;
		key.identification = packet->headers & TF_HAS_IP4 ? tf_get16(packet->data + packet->network + 4)
								   : identification6(packet);
	} else if ((key.proto == PROTO_TCP || key.proto == PROTO_UDP) && there >= 4) {
		key.port[0] = tf_get16(at);
		key.port[1] = tf_get16(at + 2);
	} else if (there >= 6 && ((key.proto == PROTO_ICMP && (at[0] == 8 || at[0] == 0)) ||
				  (key.proto == PROTO_ICMP6 && (at[0] == 128 || at[0] == 129)))) {
		key.port[0] = key.port[1] = tf_get16(at + 4); /* echo: the identifier */
	}
	return hash(steer, packet, &key);
}

/* The packet that an ICMP error is about, or what there is of it: 1 if it is one. */
static int quoted(struct tf_packet *inner, const struct tf_packet *packet)
{
	uint8_t type;

	if (!(packet->headers & (TF_HAS_ICMP | TF_HAS_ICMP6)))
		return 0;
	type = packet->data[packet->transport];
	if (packet->headers & TF_HAS_ICMP6 ? type >= 128 : type < 3 || type > 12 || (type > 5 && type < 11))
		return 0;
	*inner = (struct tf_packet){.data = packet->data + packet->payload,
				    .len = packet->end - packet->payload,
				    .link = TF_LINK_IP};
	tf_parse(inner);
	return 1;
}

static inline uint32_t ticks(double now)
{
	return (uint32_t)(uint64_t)(now / TICK) & TIME_MASK;
}

static inline uint32_t age(uint64_t entry, double now)
{
	return (ticks(now) - (uint32_t)entry) & TIME_MASK;
}

static inline _Atomic uint64_t *set_of(struct tf_steer *steer, uint64_t hash)
{
	return steer->entries[hash & (TF_STEER_SETS - 1)];
}

static inline int is_of(uint64_t entry, uint64_t hash)
{
	return entry >> TAG_SHIFT == hash >> TAG_SHIFT;
}

static void enter(struct tf_steer *steer, uint64_t hash, unsigned int worker, double now)
{
	_Atomic uint64_t *set = set_of(steer, hash), *place = set;
	uint32_t oldest = 0;
	uint64_t entry = hash >> TAG_SHIFT << TAG_SHIFT | (uint64_t)worker << WORKER_SHIFT | ticks(now);

	for (int i = 0; i < TF_STEER_WAYS; i++) {
		uint64_t there = atomic_load_explicit(&set[i], memory_order_relaxed);
		uint32_t unused = there ? age(there, now) : TIME_MASK + 1;

		if (there == entry)
			return;
		if (is_of(there, hash)) {
			place = &set[i];
			break;
		}
		if (unused > oldest) {
			oldest = unused;
			place = &set[i];
		}
	}
	atomic_store_explicit(place, entry, memory_order_release);
	if (!tf_steer_used(steer))
		atomic_store(&steer->used, 1);
}

void tf_steer_enter(struct tf_steer *steer, const struct tf_packet *packet, unsigned int worker, double now)
{
	struct tf_packet inner;
	uint64_t flow;

	/* Later fragments follow from what comes; an ICMP error may come from anywhere and says nothing of its flow. */
	if (packet->fragment == TF_FRAGMENT_LATER || quoted(&inner, packet))
		return;
	flow = hash_packet(steer, packet, 0);
	if (flow)
		enter(steer, flow, worker, now);
}

static int find(struct tf_steer *steer, uint64_t hash, double now)
{
	_Atomic uint64_t *set = set_of(steer, hash);

	for (int i = 0; i < TF_STEER_WAYS; i++) {
		uint64_t entry = atomic_load_explicit(&set[i], memory_order_acquire);

		if (!is_of(entry, hash))
			continue;
		if (age(entry, now) >= LASTS)
			atomic_compare_exchange_strong(&set[i], &entry, (entry & ~(uint64_t)TIME_MASK) | ticks(now));
		return (int)(entry >> WORKER_SHIFT & WORKER_MASK);
	}
	return -1;
}

int tf_steer_find(struct tf_steer *steer, const struct tf_packet *packet, double now)
{
	struct tf_packet inner;
	uint64_t flow;
	int worker;

	if (quoted(&inner, packet)) {
		flow = hash_packet(steer, &inner, inner.fragment == TF_FRAGMENT_LATER);
		return flow ? find(steer, flow, now) : -1;
	}
	flow = hash_packet(steer, packet, packet->fragment == TF_FRAGMENT_LATER);
	worker = flow ? find(steer, flow, now) : -1;
	if (worker >= 0 && packet->fragment == TF_FRAGMENT_FIRST)
		enter(steer, hash_packet(steer, packet, 1), (unsigned int)worker, now);
	return worker;
}
