/* For tests that read lines of words made by packet_vectors.py: bytes in hex, exact heap blocks. */
#ifndef TF_TEST_VECTOR_H
#define TF_TEST_VECTOR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

static int vector_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* The bytes of a word of hex ("-": none) in a block of exactly their size; the caller frees. */
static inline uint8_t *vector_bytes(const char *word, uint32_t *len)
{
	uint8_t *bytes;

	*len = *word == '-' ? 0 : (uint32_t)strlen(word) / 2;
	bytes = malloc(*len);
	for (uint32_t i = 0; i < *len; i++)
		bytes[i] =
			(uint8_t)(vector_digit(word[2 * i]) << 4 | vector_digit(word[2 * i + 1]));
	return bytes;
}

/* A packet of these bytes whose block ends where its room does. Free packet->data. */
static inline void vector_packet(struct tf_packet *packet, uint8_t link, const uint8_t *bytes,
				 uint32_t len, uint32_t room)
{
	memset(packet, 0xee, sizeof(*packet));
	packet->data = malloc(room);
	if (len)
		memcpy(packet->data, bytes, len);
	packet->len = len;
	packet->room = room;
	packet->link = link;
	packet->flags = 0;
}

/* What holds for every parsed packet; the text of what does not, or NULL. */
static inline const char *vector_broken(const struct tf_packet *p)
{
	static const uint32_t least[8] = {14, 28, 20, 40, 20, 8, 8, 8};
	uint16_t upper = p->headers & (TF_HAS_TCP | TF_HAS_UDP | TF_HAS_ICMP | TF_HAS_ICMP6);

	if (p->payload > p->end || p->end > p->len || p->len > p->room)
		return "payload <= end <= len <= room";
	if (p->network > p->transport || p->transport > p->payload)
		return "network <= transport <= payload";
	for (int i = 0; i < 8; i++) {
		uint32_t at = i == 0 ? 0 : i < 4 ? p->network : p->transport;

		if (p->headers >> i & 1 && at + least[i] > (i < 4 ? p->len : p->end))
			return "a header is inside the packet";
	}
	if (upper & (upper - 1))
		return "one transport header";
	if (upper && !(p->headers & (TF_HAS_IP4 | TF_HAS_IP6)))
		return "a transport header has an IP header";
	if (upper && p->fragment == TF_FRAGMENT_LATER)
		return "a later fragment has no transport header";
	if (p->malformed >= TF_MALFORMED_COUNT)
		return "a known code";
	return NULL;
}

#endif
