/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). */
#ifndef TF_CHECKSUM_H
#define TF_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* Adds len bytes, taken as 16-bit network-order words (an odd one padded with 0), to sum. */
uint32_t tf_checksum_add(const void *bytes, size_t len, uint32_t sum);

/* Folds a sum to 16 bits; the checksum is its complement. */
static inline uint16_t tf_checksum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/*
 * Checksum (network order value as a number) of the transport segment of a parsed packet with its
 * pseudo-header, taking the checksum field as 0. Needs one of TCP, UDP, ICMP, ICMPv6. For UDP a
 * result of 0 is given as 0xffff (RFC 768).
 */
uint16_t tf_checksum_transport(const struct tf_packet *packet);

/* The folded sum of the pseudo-header of a parsed packet with TCP, UDP or ICMPv6. */
uint16_t tf_checksum_pseudo(const struct tf_packet *packet);

/* cdef: begin */
/* Whether the transport checksum of a whole, parsed packet with a TCP header is right: 1 or 0. */
TF_EXPORT int tf_checksum_tcp_right(const struct tf_packet *packet);
/* cdef: end */

/* Likewise of the IPv4 header. */
uint16_t tf_checksum_ip4(const struct tf_packet *packet);

/* Offset of the transport checksum field, or 0 without a transport header. */
static inline uint32_t tf_checksum_offset(const struct tf_packet *packet)
{
	if (packet->headers & TF_HAS_TCP)
		return packet->transport + 16;
	if (packet->headers & TF_HAS_UDP)
		return packet->transport + 6;
	if (packet->headers & (TF_HAS_ICMP | TF_HAS_ICMP6))
		return packet->transport + 2;
	return 0;
}

/*
 * Offset of the destination address that the pseudo-header has: the IP header's, or, where an IPv6
 * routing header (types 0, 2 and 4) has segments left, the last one of the route (RFC 8200, 8.1).
 * Compressed routes (type 3), IPv4 source routes and home address options are not looked into.
 */
uint32_t tf_checksum_destination(const struct tf_packet *packet);

#endif
