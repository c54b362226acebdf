/* What the describe_*.c files share: safe reading of a packet's bytes, and their entry points. */
#ifndef TF_DESCRIBE_PARTS_H
#define TF_DESCRIBE_PARTS_H

#include "packet.h"
#include "text.h"

/* Where the bytes end that the packet's own lengths speak of. */
static inline uint32_t tf_limit(const struct tf_packet *packet)
{
	return packet->end < packet->len ? packet->end : packet->len;
}

/* Whether count bytes from at on lie before that end. */
static inline int tf_inside(const struct tf_packet *packet, uint32_t at, uint32_t count)
{
	uint32_t limit = tf_limit(packet);

	return at <= limit && count <= limit - at;
}

/* Fields in network order at an offset; bytes outside the packet read as 0. */
static inline uint8_t tf_peek8(const struct tf_packet *packet, uint32_t at)
{
	return at < packet->len ? packet->data[at] : 0;
}

static inline uint16_t tf_peek16(const struct tf_packet *packet, uint32_t at)
{
	return (uint16_t)(tf_peek8(packet, at) << 8 | tf_peek8(packet, at + 1));
}

static inline uint32_t tf_peek32(const struct tf_packet *packet, uint32_t at)
{
	return (uint32_t)tf_peek16(packet, at) << 16 | tf_peek16(packet, at + 2);
}

/* "10.0.0.1", "fd77::1": the address at an offset. */
void tf_describe_ip4_address(struct tf_text *text, const struct tf_packet *packet, uint32_t at);
void tf_describe_ip6_address(struct tf_text *text, const struct tf_packet *packet, uint32_t at);

/* "0a0b…": count bytes at an offset. */
void tf_describe_hex(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
		     uint32_t count);

/* What stands behind "source > destination: "; the packet has the header of that name. */
void tf_describe_tcp(struct tf_text *text, const struct tf_packet *packet);
void tf_describe_icmp(struct tf_text *text, const struct tf_packet *packet);
void tf_describe_icmp6(struct tf_text *text, const struct tf_packet *packet);

#endif
