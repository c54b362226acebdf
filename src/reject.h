/*
 * What tells a sender that its packet was refused.
 *
 * TCP: a segment with RST, with the numbers that RFC 9293, 3.5.2 wants. Else an ICMP or ICMPv6
 * "destination unreachable": for UDP "port unreachable", for what has no ports "administratively
 * prohibited" (IPv4 code 13, IPv6 code 1). It comes from the packet's destination, whose part the
 * filter takes.
 */
#ifndef TF_REJECT_H
#define TF_REJECT_H

#include "packet.h"

/* cdef: begin */
enum {
	TF_REJECT_MAX = 1302
}; /* bytes: the smallest IPv6 MTU behind an Ethernet header and two tags */

/*
 * Writes the answer to a parsed packet, as long as its link type has it, and returns its length.
 * 0 where there is to be none: for what is no IP, malformed, damaged, a later fragment, a RST, an
 * ICMP error or ICMPv6 redirect, from other than one host, or to other than one (IP and Ethernet
 * addresses); see RFC 1122, 3.2.2, RFC 1812, 4.3.2.7 and RFC 4443, 2.4.
 */
TF_EXPORT uint32_t tf_reject(struct tf_packet *packet, uint8_t answer[TF_REJECT_MAX]);
/* cdef: end */

#endif
