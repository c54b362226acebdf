/* A packet in one line, as tcpdump prints it, and in hex. */
#ifndef TF_DESCRIBE_H
#define TF_DESCRIBE_H

#include <stddef.h>

#include "packet.h"

/* cdef: begin */
/*
 * Writes at most size bytes, the final 0 included, and returns the length that was written without it.
 * The text is what `tcpdump -n -t -S` prints for the packet (with -e's VLAN part on tagged frames
 * left to us), with "malformed: why" behind it where it is. Any bytes are safe.
 */
TF_EXPORT uint32_t tf_packet_describe(const struct tf_packet *packet, char *text, uint32_t size);

/*
 * Offsets, hex and text, 16 bytes a line, as `tcpdump -XX` lays it out, every line ending in a newline.
 * Returns the length needed without the final 0; at most size bytes are written, the 0 included.
 */
TF_EXPORT uint32_t tf_packet_hexdump(const struct tf_packet *packet, char *text, uint32_t size);
/* cdef: end */

#endif
