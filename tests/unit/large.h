/*
 * Random large packets as segmentation offload has them, for tests: TCP and UDP over IPv4 and IPv6,
 * with options, extension headers, VLAN tags, all flags, any size of segments; and, with size 0,
 * packets that only lack their checksum. The same ones every time.
 */
#ifndef TF_TEST_LARGE_H
#define TF_TEST_LARGE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "packet.h"

struct large {
	uint8_t *data; /* TF_PACKET_MAX bytes */
	uint32_t len;
	uint32_t network;
	uint32_t transport;
	uint32_t header;  /* bytes before the payload */
	uint32_t field;	  /* of the checksum, from transport on */
	uint32_t size;	  /* of a segment, 0: not large */
	uint8_t gso_type; /* VIRTIO_NET_HDR_GSO_… */
	uint8_t tags;	  /* VLAN */
	uint8_t ip6;
	uint8_t udp;
	uint32_t number; /* which one */
};

static uint64_t large_seed = 88172645463325252u;

static inline uint32_t large_random(uint32_t below)
{
	large_seed ^= large_seed << 13;
	large_seed ^= large_seed >> 7;
	large_seed ^= large_seed << 17;
	return (uint32_t)(large_seed >> 32) % below;
}

static inline int large_chance(uint32_t one_in)
{
	return large_random(one_in) == 0;
}

static inline const char *large_text(const struct large *large)
{
	static char text[160];

	snprintf(
		text, sizeof(text),
		"packet %u (%s over IPv%d, network %u, transport %u, header %u, %u bytes, size %u)",
		large->number, large->udp ? "UDP" : "TCP", large->ip6 ? 6 : 4, large->network,
		large->transport, large->header, large->len, large->size);
	return text;
}

static inline uint32_t large_segments(const struct large *large)
{
	return large->size ? (large->len - large->header + large->size - 1) / large->size : 1;
}

/* An extension header or options of n bytes, all padding. */
static inline void large_pad(uint8_t *at, uint32_t n)
{
	uint32_t i = 0;

	while (i + 2 <= n) { /* PadN, as in RFC 8200, 4.2 */
		uint32_t body = n - i - 2 < 40 ? n - i - 2 : 40;

		at[i] = 1;
		at[i + 1] = (uint8_t)body;
		memset(at + i + 2, 0, body);
		i += 2 + body;
	}
	if (i < n)
		at[i] = 0;
}

static inline uint32_t large_ip4(struct large *large, uint8_t *ip)
{
	uint32_t header = 20 + (large_chance(4) ? 4 * large_random(11) : 0);

	for (uint32_t i = 0; i < 20; i++)
		ip[i] = (uint8_t)large_random(256);
	memset(ip + 20, 1, header - 20); /* NOP */
	ip[0] = (uint8_t)(0x40 | header / 4);
	tf_put16(ip + 4, large_chance(4) ? 0xffff - large_random(3) : large_random(65536));
	tf_put16(ip + 6, large_chance(2) ? 0x4000 : 0);
	ip[9] = large->udp ? 17 : 6;
	ip[12] = 10;
	ip[16] = 10;
	return header;
}

static inline uint32_t large_ip6(struct large *large, uint8_t *ip)
{
	static const uint8_t order[] = {0, 60, 43, 60}; /* hop-by-hop, destination, routing */
	uint32_t header = 40;
	uint8_t *next = ip + 6;

	for (uint32_t i = 0; i < 40; i++)
		ip[i] = (uint8_t)large_random(256);
	ip[0] = (uint8_t)(0x60 | (ip[0] & 15));
	ip[8] = ip[24] = 0xfd;
	for (uint32_t i = 0; i < sizeof(order); i++) {
		uint32_t n = 8 * (1 + large_random(4));

		if (!large_chance(6))
			continue;
		*next = order[i];
		next = ip + header;
		next[1] = (uint8_t)(n / 8 - 1);
		if (order[i] == 43) { /* no segments left */
			memset(next + 2, 0, n - 2);
			next[2] = 253;
		} else {
			large_pad(next + 2, n - 2);
		}
		header += n;
	}
	*next = large->udp ? 17 : 6;
	return header;
}

static inline uint32_t large_tcp(uint8_t *tcp)
{
	uint32_t header = 20 + (large_chance(2) ? 12 : 4 * large_random(11));

	for (uint32_t i = 0; i < 20; i++)
		tcp[i] = (uint8_t)large_random(256);
	memset(tcp + 20, 1, header - 20);
	if (large_chance(4)) /* the sequence goes over its end */
		memset(tcp + 4, 0xff, 3);
	tcp[12] = (uint8_t)(header / 4 << 4 | (tcp[12] & 15));
	tcp[13] &= 0xf9; /* neither SYN nor RST */
	if (large_chance(2))
		tcp[13] = (uint8_t)(0x10 | (tcp[13] & 8));
	return header;
}

static inline uint32_t large_udp(uint8_t *udp)
{
	for (uint32_t i = 0; i < 8; i++)
		udp[i] = (uint8_t)large_random(256);
	return 8;
}

static inline void large_sizes(struct large *large, uint32_t most)
{
	uint32_t n;

	switch (large_random(8)) {
	case 0: /* tiny segments */
		large->size = 1 + large_random(4);
		n = large->size + 1 + large_random(400);
		break;
	case 1: /* as long as can be */
		n = most;
		large->size = 1000 + large_random(n - 1000);
		break;
	case 2: /* whole segments only */
		large->size = 500 + large_random(1000);
		n = large->size * (2 + large_random(20));
		break;
	case 3: /* two, the last of one byte */
		large->size = 1 + large_random(30000);
		n = large->size + 1;
		break;
	case 4: /* not large */
		large->size = 0;
		n = large_random(1400);
		break;
	default:
		large->size = 400 + large_random(1100);
		n = large->size + 1 + large_random(most - 2000);
	}
	if (n > most)
		n = most;
	if (large->udp && large->size && n > 100 * large->size) /* the kernel has a bound of 128 */
		n = 100 * large->size;
	large->len = large->header + n;
}

static inline void large_make(struct large *large, int tap, int uso)
{
	struct tf_packet packet = {.link = tap ? TF_LINK_ETHERNET : TF_LINK_IP};
	uint8_t *data = large->data ? large->data : malloc(TF_PACKET_MAX);
	uint32_t most;

	*large = (struct large){.data = data, .number = large->number + 1};
	large->ip6 = (uint8_t)large_random(2);
	large->udp = (uint8_t)(uso && large_chance(3));
	if (tap) {
		uint32_t tags = large_chance(2) ? 0 : 1 + large_random(2);

		large->tags = (uint8_t)tags;
		for (uint32_t i = 0; i < 12; i++)
			data[i] = (uint8_t)large_random(256);
		large->network = 14 + 4 * tags;
		for (uint32_t i = 0; i < tags; i++) {
			tf_put16(data + 12 + 4 * i, tags == 2 && i == 0 ? 0x88a8 : 0x8100);
			tf_put16(data + 14 + 4 * i, large_random(65536));
		}
		tf_put16(data + large->network - 2, large->ip6 ? 0x86dd : 0x0800);
	}
	large->transport = large->network + (large->ip6 ? large_ip6(large, data + large->network)
							: large_ip4(large, data + large->network));
	large->header = large->transport + (large->udp ? large_udp(data + large->transport)
						       : large_tcp(data + large->transport));
	large->field = large->udp ? 6 : 16;
	most = TF_IP_MAX - (large->header - large->network);
	large_sizes(large, most);
	for (uint32_t i = large->header; i < large->len; i++)
		data[i] = (uint8_t)large_random(256);
	if (large->ip6)
		tf_put16(data + large->network + 4, large->len - large->network - 40);
	else
		tf_put16(data + large->network + 2, large->len - large->network);
	if (large->udp)
		tf_put16(data + large->transport + 4, large->len - large->transport);
	if (large->size)
		large->gso_type = large->udp ? 5 : large->ip6 ? 4 : 1;
	if (large->size && !large->udp && data[large->transport + 13] & 0x80)
		large->gso_type |= 0x80;

	packet.data = data;
	packet.len = packet.room = packet.end = large->len;
	packet.network = large->network;
	packet.transport = large->transport;
	packet.headers = (uint16_t)((large->ip6 ? TF_HAS_IP6 : TF_HAS_IP4) |
				    (large->udp ? TF_HAS_UDP : TF_HAS_TCP));
	if (!large->ip6)
		tf_put16(data + large->network + 10, tf_checksum_ip4(&packet));
	tf_put16(data + large->transport + large->field, tf_checksum_pseudo(&packet));
}

#endif
