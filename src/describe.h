/* A packet in one line, as tcpdump prints it, and in hex. */
#ifndef TF_DESCRIBE_H
#define TF_DESCRIBE_H

#include <stddef.h>

#include "packet.h"

/* cdef: begin */
/*
 * Writes one line without a newline, in printable ASCII: at most size bytes, the final 0 included;
 * what does not fit is cut off. Returns the length that was written, without the 0. The packet was
 * parsed (tf_parse); any bytes are safe.
 *
 * The text is what `tcpdump -n -t -S` prints, with these differences: VLAN tags stand before it as
 * with -e ("vlan 5, p 0, IP …"); what is inside TCP and UDP is not looked into ("UDP, length 30");
 * nor are tunnels and routing protocols ("GRE, length 24"); a frame of unknown type, or with a
 * length for a type, is one line with its addresses; and behind a malformed packet stands
 * "[malformed: why]". tests/unit/describe_vectors.py has the full list.
 */
TF_EXPORT uint32_t tf_packet_describe(const struct tf_packet *packet, char *text, uint32_t size);

/*
 * Offsets, hex and text of all its bytes, 16 a line, as `tcpdump -XX` lays it out: each line begins
 * with a tab and ends in a newline. At most size bytes are written, the final 0 included. Returns
 * the length of the whole, without the 0, which may be more than was written.
 */
TF_EXPORT uint32_t tf_packet_hexdump(struct tf_packet *packet, char *text, uint32_t size);
/* cdef: end */

#endif
