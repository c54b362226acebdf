/*
 * For the tests of joining: lists of packets made from bytes (a random generator's, or a fuzzer's),
 * what each of them is on the wire, and whether what came out is those packets in a right order.
 */
#ifndef TF_TEST_JOIN_PACKETS_H
#define TF_TEST_JOIN_PACKETS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "join.h"
#include "parse.h"

enum { LIST_MAX = 256, ARENA = 4 << 20, VNET = 10 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32, ECE = 64, CWR = 128 };

struct bytes {
	const uint8_t *at, *end;
};

/* A number below a limit; 0 when no bytes are left. */
static inline uint32_t take(struct bytes *bytes, uint32_t limit)
{
	uint32_t value = 0;

	for (int i = 0; i < 2 && bytes->at < bytes->end; i++)
		value = value << 8 | *bytes->at++;
	return value % limit;
}

/* What the next packet of a flow has in its headers. */
struct flow {
	uint8_t link, vlan, v6, udp, df, same_id, ttl, tos, flags, option_len, station;
	uint16_t port, id, window, urgent;
	uint32_t label, sequence, acknowledgment, stamp;
	uint8_t state; /* TF_PARTIAL, TF_VALID, or 0: a checksum that is there */
};

/* What is wrong with one packet, and shall stay so. */
enum {
	BAD_IP = 1,
	BAD_TRANSPORT = 2,
	NO_CHECKSUM = 4,
	PADDED = 8,
	WITH_OPTIONS = 16,
	IP_RESERVED = 32,
	TCP_RESERVED = 64,
	FRAGMENT = 128,
	BAD_LENGTH = 256
};

struct list {
	struct tf_packet packets[LIST_MAX];
	struct tf_packet *pointers[LIST_MAX]; /* count of them: the list to be joined */
	uint32_t count, made;
	struct tf_large larges[LIST_MAX];
	uint32_t large_count;
	size_t used;
	uint8_t *wire[LIST_MAX]; /* what pointers[i] is on the wire */
	uint32_t wire_len[LIST_MAX];
	uint8_t seen[LIST_MAX];
	uint32_t seen_count;
	uint8_t *arena;
};

static inline struct list *list_create(void)
{
	struct list *list = calloc(1, sizeof(*list));

	if (!list || !(list->arena = malloc(ARENA)))
		abort();
	return list;
}

static inline void list_clear(struct list *list)
{
	for (uint32_t i = 0; i < list->count; i++) {
		free(list->wire[i]);
		list->wire[i] = NULL;
	}
	memset(list->packets, 0, sizeof(list->packets));
	memset(list->seen, 0, sizeof(list->seen));
	list->count = list->made = list->large_count = list->seen_count = 0;
	list->used = 0;
}

static inline void list_destroy(struct list *list)
{
	list_clear(list);
	free(list->arena);
	free(list);
}

static inline uint8_t *list_room(struct list *list, size_t n)
{
	uint8_t *at = list->arena + list->used;

	if (n > ARENA - list->used)
		return NULL;
	list->used += (n + 15) & ~(size_t)15;
	return at;
}

/* The plainest Internet checksum, to have one that is not the program's. */
static inline uint16_t sum16(const uint8_t *at, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t transport_sum(const uint8_t *ip, const uint8_t *transport, uint32_t n,
				     int udp)
{
	uint32_t sum =
		sum16(ip + (*ip >> 4 == 6 ? 8 : 12), *ip >> 4 == 6 ? 32 : 8, n + (udp ? 17 : 6));
	uint16_t checksum = (uint16_t)~sum16(transport, n, sum);

	return udp && !checksum ? 0xffff : checksum;
}

static inline void put32(uint8_t *at, uint32_t value)
{
	tf_put16(at, value >> 16);
	tf_put16(at + 2, value);
}

static inline uint32_t get32(const uint8_t *at)
{
	return (uint32_t)tf_get16(at) << 16 | tf_get16(at + 2);
}

/* Writes the headers of a packet with n bytes of payload; where the payload goes. */
static inline uint8_t *put_headers(const struct flow *flow, uint8_t *at, uint32_t n, uint32_t bad,
				   uint8_t **ip_at, uint8_t **transport_at)
{
	uint32_t transport_len = flow->udp ? 8 : 20 + flow->option_len;
	uint8_t *ip;

	if (flow->link == TF_LINK_ETHERNET) {
		memset(at, 2, 12);
		at[5] = flow->station;
		at += 12;
		if (flow->vlan) {
			put32(at, 0x81000000u | flow->vlan);
			at += 4;
		}
		tf_put16(at, flow->v6 ? 0x86dd : 0x0800);
		at += 2;
	}
	ip = *ip_at = at;
	if (flow->v6) {
		put32(ip, 6u << 28 | (uint32_t)flow->tos << 20 | (flow->label & 0xfffff));
		tf_put16(ip + 4, transport_len + n + (bad & WITH_OPTIONS ? 8 : 0) +
					 (bad & BAD_LENGTH ? 3 : 0));
		ip[6] = bad & WITH_OPTIONS ? 60 : flow->udp ? 17 : 6;
		ip[7] = flow->ttl;
		memset(ip + 8, 0, 32);
		tf_put16(ip + 8, 0xfd00);
		tf_put16(ip + 24, 0xfd00);
		ip[23] = 1;
		ip[39] = 2;
		at += 40;
		if (bad & WITH_OPTIONS) {
			put32(at, (flow->udp ? 17u : 6u) << 24 | 0x0104);
			put32(at + 4, 0);
			at += 8;
		}
	} else {
		uint32_t ip_len = bad & WITH_OPTIONS ? 24 : 20;

		ip[0] = (uint8_t)(0x40 | ip_len / 4);
		ip[1] = flow->tos;
		tf_put16(ip + 2, ip_len + transport_len + n + (bad & BAD_LENGTH ? 3 : 0));
		tf_put16(ip + 4, flow->id);
		tf_put16(ip + 6, (flow->df ? 0x4000u : 0) | (bad & IP_RESERVED ? 0x8000 : 0) |
					 (bad & FRAGMENT ? 0x2000 : 0));
		ip[8] = flow->ttl;
		ip[9] = flow->udp ? 17 : 6;
		tf_put16(ip + 10, 0);
		put32(ip + 12, 0x0a000001);
		put32(ip + 16, 0x0a000002);
		if (bad & WITH_OPTIONS)
			put32(ip + 20, 0x0101fefe); /* whose sum is 0 */
		tf_put16(ip + 10, (uint16_t)~sum16(ip, ip_len, 0) + (bad & BAD_IP ? 1 : 0));
		at += ip_len;
	}
	*transport_at = at;
	tf_put16(at, flow->port);
	tf_put16(at + 2, 9);
	if (flow->udp) {
		tf_put16(at + 4, 8 + n);
		tf_put16(at + 6, 0);
		return at + 8;
	}
	put32(at + 4, flow->sequence);
	put32(at + 8, flow->acknowledgment);
	at[12] = (uint8_t)(transport_len / 4 << 4 | (bad & TCP_RESERVED ? 1 : 0));
	at[13] = flow->flags;
	tf_put16(at + 14, flow->window);
	tf_put16(at + 16, 0);
	tf_put16(at + 18, flow->urgent);
	memset(at + 20, 1, flow->option_len);
	if (flow->option_len >= 12) {
		put32(at + 20, 0x0101080a);
		put32(at + 24, flow->stamp);
		put32(at + 28, 7);
	}
	return at + transport_len;
}

/*
 * Adds the flow's next packet, with n bytes of payload: at the packet's place, or (tail) there. The
 * flow goes on behind it. NULL: no room.
 */
static inline struct tf_packet *emit(struct list *list, struct flow *flow, uint32_t n, uint32_t bad,
				     uint8_t *tail)
{
	struct tf_packet *packet = &list->packets[list->made];
	uint32_t padding = bad & PADDED ? 5 : 0;
	uint8_t *room, *ip, *transport, *payload, *field;
	uint16_t checksum;

	if (list->made == LIST_MAX || !(room = list_room(list, TF_HEADROOM + 160 + n)))
		return NULL;
	memset(packet, 0, sizeof(*packet));
	packet->data = room + TF_HEADROOM;
	memset(room, 0xdd, TF_HEADROOM);
	payload = put_headers(flow, packet->data, n, bad, &ip, &transport);
	for (uint32_t i = 0; i < n; i++)
		payload[i] = (uint8_t)(i * 7 + list->made * 31 + (i >> 8));
	memset(payload + n, 0xab, padding);
	packet->len = (uint32_t)(payload - packet->data) + n + padding;
	packet->room = packet->len;
	packet->link = flow->link;
	field = transport + (flow->udp ? 6 : 16);
	checksum = transport_sum(ip, transport, (uint32_t)(payload - transport) + n, flow->udp);
	tf_put16(field, bad & BAD_TRANSPORT ? checksum ^ 0x0100u : checksum);
	if (bad & NO_CHECKSUM && flow->udp)
		tf_put16(field, 0);
	tf_parse(packet);

	list->wire[list->count] = malloc(packet->len);
	memcpy(list->wire[list->count], packet->data, packet->len);
	list->wire_len[list->count] = packet->len;
	list->pointers[list->count++] = packet;
	list->made++;
	if (flow->state == TF_VALID && !(bad & BAD_TRANSPORT))
		packet->flags |= TF_VALID;
	if (flow->state == TF_PARTIAL && !packet->malformed && packet->fragment == TF_WHOLE &&
	    packet->end == packet->len && !(bad & (BAD_TRANSPORT | NO_CHECKSUM))) {
		packet->flags |= TF_PARTIAL;
		tf_put16(field, 0x5555);
		if (tail) {
			packet->flags |= TF_CUT;
			packet->tail = tail;
			memcpy(tail, payload, n);
			memset(payload, 0xee, n);
		}
	}
	flow->sequence += n;
	if (!flow->same_id)
		flow->id++;
	return packet;
}

/* Adds a large packet of so many segments, as cutting leaves it: its segments are in the list. */
static inline void emit_large(struct list *list, struct flow *flow, uint32_t count, uint32_t size,
			      uint32_t last)
{
	struct tf_large *large = &list->larges[list->large_count];
	struct flow first = *flow;
	uint32_t n = (count - 1) * size + last, header;
	uint8_t last_flags = flow->flags & (PSH | FIN), *room, *payload, *ip, *transport;
	uint8_t scratch[256];

	header = (uint32_t)(put_headers(flow, scratch, 0, 0, &ip, &transport) - scratch);
	if (header - (ip - scratch) + n > TF_IP_MAX || list->made + count > LIST_MAX ||
	    ARENA - list->used < 2 * n + (count + 2) * 256 ||
	    !(room = list_room(list, TF_HEADROOM + header + n)))
		return;
	payload = put_headers(&first, room + TF_HEADROOM, n, 0, &ip, &transport);
	tf_put16(transport + (flow->udp ? 6 : 16),
		 sum16(ip + (flow->v6 ? 8 : 12), flow->v6 ? 32 : 8,
		       (uint32_t)(payload - transport) + n + (flow->udp ? 17 : 6)));
	memset(room + TF_HEADROOM - VNET, 0, VNET);
	room[TF_HEADROOM - 10] = 1;
	room[TF_HEADROOM - 9] = flow->udp ? 5 : flow->v6 ? 4 : 1;
	if (!flow->udp && flow->flags & CWR)
		room[TF_HEADROOM - 9] |= 0x80;
	room[TF_HEADROOM - 8] = (uint8_t)header;
	room[TF_HEADROOM - 6] = (uint8_t)size;
	room[TF_HEADROOM - 5] = (uint8_t)(size >> 8);
	room[TF_HEADROOM - 4] = (uint8_t)(transport - room - TF_HEADROOM);
	room[TF_HEADROOM - 2] = flow->udp ? 6 : 16;
	*large = (struct tf_large){.data = room + TF_HEADROOM,
				   .first = &list->packets[list->made],
				   .len = header + n,
				   .count = count,
				   .header = header,
				   .size = size,
				   .whole = 1};
	list->large_count++;
	flow->state = TF_PARTIAL;
	for (uint32_t i = 0; i < count; i++) {
		struct tf_packet *packet;

		flow->flags = (uint8_t)((flow->flags & ~(PSH | FIN | CWR)) |
					(i == 0 ? first.flags & CWR : 0) |
					(i == count - 1 ? last_flags : 0));
		packet = emit(list, flow, i == count - 1 ? last : size, 0, payload + i * size);
		packet->large = large;
	}
	flow->state = first.state;
}

/* Takes the packet at a place out of the list. */
static inline void list_drop(struct list *list, uint32_t place)
{
	uint32_t rest = --list->count - place;

	free(list->wire[place]);
	memmove(list->pointers + place, list->pointers + place + 1, rest * sizeof(*list->pointers));
	memmove(list->wire + place, list->wire + place + 1, rest * sizeof(*list->wire));
	memmove(list->wire_len + place, list->wire_len + place + 1, rest * sizeof(*list->wire_len));
	list->wire[list->count] = NULL;
}

/* As a script's NAT would: another time to live and port, both in the packet and on the wire. */
static inline void list_edit(struct list *list, uint32_t place)
{
	struct tf_packet *packet = list->pointers[place];
	uint8_t *wire = list->wire[place], *ip = wire + packet->network, *field;

	if (packet->malformed || packet->fragment || !(packet->headers & (TF_HAS_TCP | TF_HAS_UDP)))
		return;
	for (int both = 0; both < 2; both++) {
		uint8_t *at = both ? packet->data : wire;

		tf_put16(at + packet->transport, 700);
		if (packet->headers & TF_HAS_IP4) {
			at[packet->network + 8]--;
			tf_put16(at + packet->network + 10, 0);
			tf_put16(at + packet->network + 10,
				 (uint16_t)~sum16(at + packet->network,
						  packet->transport - packet->network, 0));
		}
	}
	field = wire + packet->transport + (packet->headers & TF_HAS_UDP ? 6 : 16);
	if (!(packet->headers & TF_HAS_UDP) || tf_get16(field)) {
		tf_put16(field, 0);
		tf_put16(field, transport_sum(ip, wire + packet->transport,
					      packet->end - packet->transport,
					      !!(packet->headers & TF_HAS_UDP)));
		if (!(packet->flags & TF_PARTIAL))
			memcpy(packet->data + packet->transport, wire + packet->transport,
			       packet->end - packet->transport);
	}
	packet->flags |= TF_EDITED;
}

/* Any byte is another: of what no script has looked at and no kernel has vouched for. */
static inline void list_damage(struct list *list, uint32_t place, uint32_t offset, uint8_t value)
{
	struct tf_packet *packet = list->pointers[place];

	if (packet->flags & (TF_PARTIAL | TF_CUT) || packet->large)
		return;
	packet->data[offset % packet->len] = value;
	list->wire[place][offset % packet->len] = value;
	packet->flags &= (uint8_t)~TF_VALID;
	tf_parse(packet);
}

/* Fills a list for a device of this link type. */
static inline void list_fill(struct list *list, struct bytes *bytes, uint8_t link)
{
	static const uint8_t states[] = {0, TF_PARTIAL, TF_PARTIAL, TF_VALID};
	uint32_t flow_count = 1 + take(bytes, 4), wanted = 1 + take(bytes, 60);
	uint32_t noise = take(bytes, 3) ? 12 : 1000; /* one packet in so many is odd */
	uint32_t sizes[4], tail_room = 0;
	struct flow flows[4];
	uint8_t *tails = NULL;

	list_clear(list);
	for (uint32_t i = 0; i < flow_count; i++) {
		memset(&flows[i], 0, sizeof(flows[i]));
		flows[i].link = link;
		flows[i].vlan = link == TF_LINK_ETHERNET && take(bytes, 2) ? 5 : 0;
		flows[i].v6 = (uint8_t)take(bytes, 2);
		flows[i].udp = (uint8_t)take(bytes, 2);
		flows[i].df = (uint8_t)take(bytes, 2);
		flows[i].same_id = !take(bytes, 4);
		flows[i].ttl = 64;
		flows[i].tos = (uint8_t)take(bytes, 4);
		flows[i].flags = ACK | (take(bytes, 4) ? 0 : ECE);
		flows[i].option_len = take(bytes, 2) ? 12 : 0;
		flows[i].port = (uint16_t)(100 + i);
		flows[i].id =
			(uint16_t)(take(bytes, 2) ? 0xffff - take(bytes, 8) : take(bytes, 65536));
		flows[i].window = 500;
		flows[i].sequence =
			take(bytes, 2) ? 0xffffff00u - take(bytes, 4096) : take(bytes, 65536);
		flows[i].stamp = 1000;
		flows[i].state = states[take(bytes, 4)];
		sizes[i] = take(bytes, 4) == 0	 ? 1 + take(bytes, 4)
			   : take(bytes, 8) == 0 ? 9000 + take(bytes, 24000)
						 : 1 + take(bytes, 1460);
	}
	while (list->made < wanted && bytes->at < bytes->end) {
		uint32_t which = take(bytes, flow_count), bad = 0, place = list->count;
		struct flow *flow = &flows[which], was = *flow;
		uint32_t n = sizes[which];

		if (take(bytes, 12) == 0) {
			uint32_t count = 2 + take(bytes, 40);

			if (take(bytes, 3) == 0)
				flow->flags |= PSH;
			if (take(bytes, 4) == 0)
				flow->flags |= CWR;
			if (n > 1460 || count * n > 60000)
				count = 2;
			was.same_id = flow->same_id;
			flow->same_id = 0; /* how the kernel's own are */
			emit_large(list, flow, count, n, 1 + take(bytes, n));
			flow->flags = was.flags;
			flow->same_id = was.same_id;
			switch (take(bytes, 5)) {
			case 0:
				if (list->count > place)
					list_drop(list, place + take(bytes, list->count - place));
				break;
			case 1:
				for (uint32_t i = place; i < list->count; i++)
					list_edit(list, i);
				break;
			case 2:
				if (list->count > place)
					list_edit(list, place + take(bytes, list->count - place));
				break;
			default:
				break;
			}
			continue;
		}
		switch (take(bytes, noise)) {
		case 0: {
			static const uint32_t bads[] = {BAD_IP,	      BAD_TRANSPORT, NO_CHECKSUM,
							WITH_OPTIONS, IP_RESERVED,   TCP_RESERVED,
							FRAGMENT,     PADDED,	     BAD_LENGTH};
			bad = bads[take(bytes, 9)];
			break;
		}
		case 1: {
			static const uint8_t flags[] = {PSH, FIN, CWR, SYN,
							RST, URG, ECE, FIN | PSH};
			flow->flags ^= flags[take(bytes, 8)];
			break;
		}
		case 2:
			n = 1 + take(bytes, n);
			break;
		case 3:
			n = take(bytes, 2) ? 0 : n + 1;
			break;
		case 4:
			flow->sequence += 1 + take(bytes, 3);
			was.sequence = flow->sequence;
			break;
		case 5:
			flow->id = (uint16_t)(flow->id + take(bytes, 3));
			was.id = flow->id;
			break;
		case 6:
			flow->ttl = 63;
			break;
		case 7:
			flow->acknowledgment = ++was.acknowledgment;
			flow->stamp = was.stamp += take(bytes, 2);
			break;
		case 8:
			flow->window = was.window = (uint16_t)take(bytes, 4);
			flow->urgent = (uint16_t)take(bytes, 2);
			break;
		case 9:
			flow->tos ^= 3;
			flow->label = take(bytes, 2);
			break;
		default:
			break;
		}
		if (tail_room < n) {
			tails = list_room(list, 65536);
			tail_room = tails ? 65536 : 0;
		}
		if (take(bytes, 2) || !tails || tail_room < n) {
			if (!emit(list, flow, n, bad, NULL))
				break;
		} else {
			if (!emit(list, flow, n, bad, tails))
				break;
			tails += n;
			tail_room -= n;
		}
		if (take(bytes, 200) == 0)
			list->pointers[list->count - 1]->flags |= TF_RAW;
		was.sequence = flow->sequence;
		was.id = flow->id;
		*flow = was;
	}
	while (list->count > 0 && take(bytes, 3) == 1)
		list_damage(list, take(bytes, list->count), take(bytes, 80),
			    (uint8_t)take(bytes, 256));
	/* A raw packet's checksum is its own. */
	for (uint32_t i = 0; i < list->count; i++)
		if (list->pointers[i]->flags & TF_RAW)
			list->pointers[i]->flags &= (uint8_t)~TF_VALID;
}

/* What of a packet has to keep its order: the same for packets of one flow. 0: all of them. */
static inline uint32_t key_of(const uint8_t *bytes, uint32_t len, uint8_t link)
{
	struct tf_packet packet = {.data = (uint8_t *)(uintptr_t)bytes, .len = len, .link = link};
	uint32_t key = 2166136261, n, from;

	tf_parse(&packet);
	if (packet.malformed || packet.fragment || !(packet.headers & (TF_HAS_TCP | TF_HAS_UDP)))
		return 0;
	n = packet.headers & TF_HAS_IP4 ? 8 : 32;
	from = packet.network + (n == 8 ? 12 : 8);
	for (uint32_t i = 0; i < n + 4; i++)
		key = (key ^ bytes[i < n ? from + i : packet.transport + i - n]) * 16777619;
	return (key ^ packet.proto) * 16777619 | 1;
}

static inline void hexdump(const char *what, const uint8_t *bytes, uint32_t len)
{
	fprintf(stderr, "%s (%u):", what, len);
	for (uint32_t i = 0; i < len && i < 100; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, "\n");
}

/* A packet came out: NULL if it is the next one that may, else what is wrong. */
static inline const char *list_came(struct list *list, const uint8_t *bytes, uint32_t len,
				    uint8_t link)
{
	uint32_t key = key_of(bytes, len, link), i;
	static uint8_t copy[TF_PACKET_MAX];
	const struct tf_packet *packet;

	for (i = 0; i < list->count; i++)
		if (!list->seen[i] &&
		    (!key || key_of(list->wire[i], list->wire_len[i], link) == key))
			break;
	if (i == list->count)
		return "it is of no flow that is still to come";
	if (!key && i != list->seen_count)
		return "others passed it";
	for (uint32_t j = 0; key && j < i; j++)
		if (!list->seen[j] && !key_of(list->wire[j], list->wire_len[j], link))
			return "it passed one that keeps its place";
	packet = list->pointers[i];
	list->seen[i] = 1;
	list->seen_count++;
	if (len == list->wire_len[i] && !memcmp(bytes, list->wire[i], len))
		return NULL;
	if (len == list->wire_len[i]) {
		memcpy(copy, bytes, len);
		if (packet->headers & TF_HAS_IP4 && copy[packet->network + 6] & 0x40 &&
		    !(packet->flags & TF_EDITED)) {
			memcpy(copy + packet->network + 4, list->wire[i] + packet->network + 4, 2);
			tf_put16(copy + packet->network + 10, 0);
			tf_put16(copy + packet->network + 10,
				 (uint16_t)~sum16(copy + packet->network, 20, 0));
		}
		/* Linux's skb_checksum_help() writes 0xffff for 0, in TCP too. */
		if (packet->headers & TF_HAS_TCP &&
		    tf_get16(copy + packet->transport + 16) == 0xffff &&
		    !tf_get16(list->wire[i] + packet->transport + 16))
			tf_put16(copy + packet->transport + 16, 0);
		if (!memcmp(copy, list->wire[i], len))
			return NULL;
	}
	hexdump("came", bytes, len);
	hexdump("want", list->wire[i], list->wire_len[i]);
	return "it is another packet";
}

#endif
