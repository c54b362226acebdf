/* Finds a packet's headers. Reads nothing outside data[0..len). */
#ifndef TF_PARSE_H
#define TF_PARSE_H

#include "packet.h"

/*
 * Sets headers, offsets, vlan, proto, fragment and malformed from the bytes and link type.
 *
 * IPv4 with options (RFC 791), IPv6 with hop-by-hop, routing, fragment, destination options,
 * authentication (RFC 8200, RFC 4302), mobility, HIP and shim6 headers; up to two VLAN tags
 * (802.1Q, 802.1ad); ARP for Ethernet and IPv4 (RFC 826); TCP, UDP, ICMP, ICMPv6. A header's bit
 * is set only if all of it, options included, lies inside the packet and inside what the lengths
 * before it allow. IPv6 payload length 0 with a hop-by-hop header (jumbograms) is malformed. Bytes
 * behind the IP length (Ethernet padding), or behind the UDP length of a whole datagram, are
 * outside end; what follows ARP is its payload. Later fragments have no transport header.
 *
 * Where a length is wrong (TF_BAD_IP_LEN, TF_BAD_UDP_LEN) the header is there all the same, and
 * what follows is taken up to the packet's end. transport and payload stand behind the last header
 * that is whole. A packet of TF_LINK_OTHER has no headers and is all payload.
 */
/* cdef: begin */
TF_EXPORT void tf_parse(struct tf_packet *packet);

/* In words, what a TF_BAD_… code means; NULL for TF_WELL_FORMED and unknown codes. */
TF_EXPORT const char *tf_malformed_text(uint8_t code);

/*
 * Length in bytes of the IPv6 extension header of this type, from its first two bytes; 0 if no
 * extension header has this type.
 */
TF_EXPORT uint32_t tf_ip6_extension(uint8_t type, const uint8_t *header);
/* cdef: end */

#endif
