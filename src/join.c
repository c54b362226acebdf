#include "join.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bytes.h"
#include "checksum.h"

enum { SLOTS = 4 * TF_JOIN_PACKETS, PROBES = 8 };
enum { FIN = 1, PSH = 8, ACK = 16, ECE = 64, CWR = 128 };

int tf_join_create(struct tf_join **out, uint8_t link, uint8_t kinds)
{
	struct tf_join *join = calloc(1, sizeof(*join));

	if (!join)
		return UV_ENOMEM;
	if (uv_random(NULL, NULL, &join->secret, sizeof(join->secret), 0, NULL) < 0)
		join->secret = uv_hrtime();
	join->secret |= 1;
	join->link = link;
	join->kinds = kinds;
	memset(join->slots, 0xff, sizeof(join->slots));
	*out = join;
	return 0;
}

void tf_join_destroy(struct tf_join *join)
{
	free(join);
}

static inline uint32_t get32(const uint8_t *at)
{
	uint32_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint64_t get64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static inline uint32_t sequence(const struct tf_packet *packet)
{
	const uint8_t *at = packet->data + packet->transport + 4;

	return (uint32_t)tf_get16(at) << 16 | tf_get16(at + 2);
}

/* TF_JOIN_… of a whole TCP or UDP packet, whose ports and addresses are its flow; else 0. */
static inline uint8_t kind_of(const struct tf_packet *packet)
{
	uint32_t headers = packet->headers;

	if (packet->malformed || packet->fragment != TF_WHOLE)
		return 0;
	if (headers & TF_HAS_TCP)
		return headers & TF_HAS_IP4 ? TF_JOIN_TCP4 : TF_JOIN_TCP6;
	if (headers & TF_HAS_UDP)
		return headers & TF_HAS_IP4 ? TF_JOIN_UDP4 : TF_JOIN_UDP6;
	return 0;
}

/* Of two packets of one kind. */
static inline int same_flow(const struct tf_packet *a, const struct tf_packet *b, uint8_t kind)
{
	const uint8_t *x = a->data + a->network, *y = b->data + b->network;

	if (get32(a->data + a->transport) != get32(b->data + b->transport))
		return 0;
	if (kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4))
		return get64(x + 12) == get64(y + 12);
	return !memcmp(x + 8, y + 8, 32);
}

static inline uint32_t hash(const struct tf_join *join, const struct tf_packet *packet,
			    uint8_t kind)
{
	const uint8_t *ip = packet->data + packet->network;
	uint64_t h = (get32(packet->data + packet->transport) + kind) * join->secret;

	if (kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4))
		return (uint32_t)(((h ^ h >> 32 ^ get64(ip + 12)) * join->secret) >> 40);
	for (int i = 8; i < 40; i += 8)
		h = (h ^ h >> 32 ^ get64(ip + i)) * join->secret;
	return (uint32_t)(h >> 40);
}

/* Where the table has the flow, or a free place for it; TF_JOIN_END if it is full just there. */
static inline uint16_t find(const struct tf_join *join, const struct tf_packet *packet,
			    uint8_t kind)
{
	uint32_t h = hash(join, packet, kind);

	for (uint32_t i = 0; i < PROBES; i++) {
		uint16_t slot = (uint16_t)((h + i) % SLOTS), run = join->slots[slot];

		if (run == TF_JOIN_END || (join->runs[run].kind == kind &&
					   same_flow(join->runs[run].first, packet, kind)))
			return slot;
	}
	return TF_JOIN_END;
}

/* Of an IPv4 header without options: its sum is 0xffff. */
static inline int ip4_right(const uint8_t *ip)
{
	uint64_t sum = (uint64_t)get32(ip) + get32(ip + 4) + get32(ip + 8) + get32(ip + 12) +
		       get32(ip + 16);

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return tf_checksum_fold((uint32_t)sum) == 0xffff;
}

/* Whether the packet, of this kind, could be the first or another one of a joined run. */
static inline int joinable(const struct tf_join *join, const struct tf_packet *packet, uint8_t kind)
{
	const uint8_t *ip = packet->data + packet->network;
	const uint8_t *transport = packet->data + packet->transport;

	if (!(join->kinds & kind) || packet->flags & TF_RAW || packet->link != join->link ||
	    packet->end != packet->len || packet->missing || packet->payload >= packet->end ||
	    packet->payload > TF_JOIN_HEADER_MAX)
		return 0;
	/* Options and extension headers are the rare case; the kernel's own joining stops there
	 * too. */
	if (kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4)) {
		if (packet->transport - packet->network != 20 || !ip4_right(ip))
			return 0;
	} else if (packet->transport - packet->network != 40) {
		return 0;
	}
	if (kind & (TF_JOIN_TCP4 | TF_JOIN_TCP6))
		return !(transport[13] & ~(FIN | PSH | ACK | ECE | CWR));
	return packet->flags & TF_PARTIAL || tf_get16(transport + 6) != 0;
}

/* Whether the transport checksum is right, or will be. */
static inline int right(const struct tf_packet *packet)
{
	if (packet->flags & (TF_PARTIAL | TF_VALID))
		return 1;
	return tf_get16(packet->data + tf_checksum_offset(packet)) == tf_checksum_transport(packet);
}

/* Whether all that cutting repeats in each packet is the same in both, of one flow. */
static inline int alike(const struct tf_packet *a, const struct tf_packet *b, uint8_t kind)
{
	const uint8_t *x = a->data + a->network, *y = b->data + b->network;
	uint32_t options = a->payload - a->transport - 20;

	if (a->network != b->network || memcmp(a->data, b->data, a->network))
		return 0;
	if (kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4)) {
		if (x[1] != y[1] || x[6] != y[6] || x[8] != y[8]) /* service, DF, time to live */
			return 0;
	} else if (get32(x) != get32(y) || x[7] != y[7]) { /* class and label, hop limit */
		return 0;
	}
	if (kind & (TF_JOIN_UDP4 | TF_JOIN_UDP6))
		return 1;
	x = a->data + a->transport;
	y = b->data + b->transport;
	return get32(x + 8) == get32(y + 8) && x[12] == y[12] &&
	       !((x[13] ^ y[13]) & ~(FIN | PSH | CWR)) && !(y[13] & CWR) &&
	       tf_get16(x + 14) == tf_get16(y + 14) && tf_get16(x + 18) == tf_get16(y + 18) &&
	       !memcmp(x + 20, y + 20, options);
}

/* Whether cutting will give it the identification that it has, or one that is as good. */
static inline int id_follows(const struct tf_run *run, const struct tf_packet *packet)
{
	const uint8_t *first = run->first->data + run->first->network;
	const uint8_t *ip = packet->data + packet->network;

	return tf_get16(ip + 4) == (uint16_t)(tf_get16(first + 4) + run->count) ||
	       (ip[6] & 0x40 && !(packet->flags & TF_EDITED));
}

/* Adds a joinable packet of the run's flow to it: 1 if that is allowed, and done. */
static inline int append(struct tf_join *join, struct tf_run *run, struct tf_packet *packet)
{
	uint32_t n = packet->end - packet->payload;
	uint16_t member = (uint16_t)join->member_count;
	int tcp = run->kind & (TF_JOIN_TCP4 | TF_JOIN_TCP6);

	if (n > run->size || packet->payload - packet->network + run->payload + n > TF_IP_MAX ||
	    !alike(run->first, packet, run->kind))
		return 0;
	if (tcp ? sequence(packet) != run->next_sequence : run->count == TF_JOIN_UDP_PACKETS)
		return 0;
	if (run->kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4) && !id_follows(run, packet))
		return 0;
	if (!run->verified && !right(run->first))
		return 0;
	run->verified = 1;
	if (!right(packet))
		return 0;
	join->members[run->tail].next = member;
	join->members[member].packet = packet;
	join->members[member].next = TF_JOIN_END;
	join->member_count++;
	run->tail = member;
	run->count++;
	run->payload += n;
	run->bytes += packet->len;
	run->next_sequence += n;
	if (tcp)
		run->last_flags = packet->data[packet->transport + 13] & (PSH | FIN);
	run->open = n == run->size && !run->last_flags;
	return 1;
}

/* A run of this packet alone; the flow's latest if it has a slot. */
static inline struct tf_run *begin(struct tf_join *join, struct tf_packet *packet, uint8_t kind,
				   uint16_t slot)
{
	struct tf_run *run = &join->runs[join->run_count];

	memset(run, 0, sizeof(*run));
	run->first = packet;
	run->count = 1;
	run->bytes = packet->len;
	run->kind = kind;
	run->slot = slot;
	run->head = run->tail = TF_JOIN_END;
	if (slot != TF_JOIN_END)
		join->slots[slot] = (uint16_t)join->run_count;
	join->run_count++;
	return run;
}

static inline void begin_members(struct tf_join *join, struct tf_run *run)
{
	uint16_t member = (uint16_t)join->member_count++;

	join->members[member].packet = run->first;
	join->members[member].next = TF_JOIN_END;
	run->head = run->tail = member;
}

static void add_one(struct tf_join *join, struct tf_packet *packet)
{
	uint8_t kind = kind_of(packet);
	uint16_t slot = TF_JOIN_END, latest;
	struct tf_run *run;
	int can;

	if (!kind) {
		begin_members(join, begin(join, packet, 0, TF_JOIN_END));
		join->floor = join->run_count;
		return;
	}
	can = joinable(join, packet, kind);
	/* Mostly it is of the flow that the one before was of. */
	run = join->run_count > 0 ? &join->runs[join->run_count - 1] : NULL;
	if (run && run->kind == kind && run->slot != TF_JOIN_END &&
	    same_flow(run->first, packet, kind)) {
		slot = run->slot;
	} else {
		slot = find(join, packet, kind);
		latest = slot == TF_JOIN_END ? TF_JOIN_END : join->slots[slot];
		run = latest != TF_JOIN_END && latest >= join->floor ? &join->runs[latest] : NULL;
	}
	if (can && run && run->open && append(join, run, packet))
		return;
	run = begin(join, packet, kind, slot);
	begin_members(join, run);
	if (!can)
		return;
	run->size = run->payload = packet->end - packet->payload;
	if (kind & (TF_JOIN_TCP4 | TF_JOIN_TCP6)) {
		run->next_sequence = sequence(packet) + run->size;
		run->last_flags = packet->data[packet->transport + 13] & (PSH | FIN);
	}
	run->open = !run->last_flags;
}

/* Whether a large packet begins here whose segments are all in the list as they were read. */
static inline int is_whole(const struct tf_join *join, struct tf_packet *const *packets,
			   uint32_t count)
{
	const struct tf_packet *first = packets[0];
	const struct tf_large *large = first->large;

	if (!large || large->first != first || !large->whole || large->count > count ||
	    first->link != join->link || !(join->kinds & kind_of(first)))
		return 0;
	for (uint32_t i = 0; i < large->count; i++)
		if (packets[i] != first + i || first[i].flags & (TF_EDITED | TF_RAW))
			return 0;
	return 1;
}

static void add_whole(struct tf_join *join, struct tf_packet *first)
{
	const struct tf_large *large = first->large;
	uint8_t kind = kind_of(first);
	struct tf_run *run = begin(join, first, kind, find(join, first, kind));

	run->whole = 1;
	run->count = large->count;
	run->size = large->size;
	run->payload = large->len - large->header;
	run->bytes = run->payload + large->count * large->header;
}

uint32_t tf_join(struct tf_join *join, struct tf_packet *const *packets, uint32_t count)
{
	uint32_t i = 0;

	for (uint32_t r = 0; r < join->run_count; r++)
		if (join->runs[r].slot != TF_JOIN_END)
			join->slots[join->runs[r].slot] = TF_JOIN_END;
	join->run_count = join->member_count = join->floor = 0;
	while (i < count && join->run_count < TF_JOIN_PACKETS &&
	       join->member_count < TF_JOIN_PACKETS) {
		if (is_whole(join, packets + i, count - i)) {
			add_whole(join, packets[i]);
			i += packets[i]->large->count;
		} else {
			add_one(join, packets[i++]);
		}
	}
	return i;
}

void tf_join_header(const struct tf_run *run, uint8_t *header)
{
	const struct tf_packet *first = run->first;
	uint8_t *ip = header + first->network, *transport = header + first->transport;
	uint32_t length = first->payload - first->transport + run->payload, sum;
	int tcp = run->kind & (TF_JOIN_TCP4 | TF_JOIN_TCP6);

	memcpy(header, first->data, first->payload);
	sum = length + (tcp ? 6 : 17);
	if (run->kind & (TF_JOIN_TCP4 | TF_JOIN_UDP4)) {
		sum = tf_checksum_add(ip + 12, 8, sum);
		tf_put16(ip + 2, 20 + length);
		tf_put16(ip + 10, 0);
		tf_put16(ip + 10, (uint16_t)~tf_checksum_fold(tf_checksum_add(ip, 20, 0)));
	} else {
		sum = tf_checksum_add(ip + 8, 32, sum);
		tf_put16(ip + 4, length);
	}
	if (tcp) {
		transport[13] |= run->last_flags;
		tf_put16(transport + 16, tf_checksum_fold(sum));
	} else {
		tf_put16(transport + 4, length);
		tf_put16(transport + 6, tf_checksum_fold(sum));
	}
}
