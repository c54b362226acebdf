/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). */
#ifndef TF_CHECKSUM_H
#define TF_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "packet.h"

/* Adds len bytes, taken as 16-bit network-order words (an odd one padded with 0), to sum. */
uint32_t tf_checksum_add(const void *bytes, size_t len, uint32_t sum);

/* Folds a sum to 16 bits; the checksum is its complement. */
uint16_t tf_checksum_fold(uint32_t sum);

/*
 * Checksum (network order value as a number) of the transport segment of a parsed packet with its
 * pseudo-header, taking the checksum field as 0. Needs one of TCP, UDP, ICMP, ICMPv6. For UDP a
 * result of 0 is given as 0xffff (RFC 768).
 */
uint16_t tf_checksum_transport(const struct tf_packet *packet);

/* Likewise of the IPv4 header. */
uint16_t tf_checksum_ip4(const struct tf_packet *packet);

/* Offset of the transport checksum field, or 0 without a transport header. */
uint32_t tf_checksum_offset(const struct tf_packet *packet);

#endif
