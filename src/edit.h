/*
 * Edits to a packet, with checksums and lengths that follow.
 *
 * Unless TF_RAW is set: a write of fields updates the IPv4 header checksum and the transport
 * checksum that cover them incrementally (RFC 1624), so that an edit neither repairs nor breaks a
 * checksum that was wrong before, a first fragment stays right, and a UDP checksum of 0 (none)
 * stays 0. A write that touches a checksum field leaves that checksum as it was written.
 *
 * A write that changes where headers are (type, version, header length, lengths, protocol, fragment
 * offset, TCP data offset) has the packet parsed again. If with it the transport checksum covers
 * other bytes or another pseudo-header, it is computed afresh, provided that the packet was and is
 * a whole datagram and is well-formed; else it stays. With TF_RAW only the bytes change, and the
 * packet is parsed again where needed.
 *
 * All set TF_EDITED and TF_CHANGED when they change anything. None reads or writes outside the packet's room.
 */
#ifndef TF_EDIT_H
#define TF_EDIT_H

#include "packet.h"

/* cdef: begin */
/*
 * Writes value's low width (1, 2 or 4) bytes in network order at an offset.
 * 0, or TF_EDIT_RANGE if the bytes do not lie inside len.
 */
TF_EXPORT int tf_packet_put(struct tf_packet *packet, uint32_t offset, uint32_t width,
			    uint32_t value);

/* Writes n bytes at an offset; the same answers. Addresses (4, 6 or 16 bytes) go this way. */
TF_EXPORT int tf_packet_write(struct tf_packet *packet, uint32_t offset, const uint8_t *bytes,
			      uint32_t n);

/*
 * Replaces data[payload..end) and whatever follows end (padding) by n bytes; IPv4 total length,
 * IPv6 payload length and UDP length follow (unless TF_RAW), the transport checksum is computed
 * afresh (UDP's "none" over IPv4 stays; a first fragment's follows incrementally). A packet without
 * IP counts as too long at the same size. The bytes may lie inside the packet itself.
 * 0, TF_EDIT_ROOM, TF_EDIT_TOO_LONG, or TF_EDIT_FRAGMENT where the length of a fragment would
 * change.
 */
TF_EXPORT int tf_packet_set_payload(struct tf_packet *packet, const uint8_t *bytes, uint32_t n);

/*
 * Replaces up to max occurrences (0: all) of old (old_len at least 1) in the payload, from the
 * front, not looking into what was put in. How often (0 or more), or the codes above with nothing
 * changed. Of the same length, they are put in place as tf_packet_write does; else the payload is
 * replaced as above. `with` and `old` must not lie inside the packet, and not be NULL.
 */
TF_EXPORT int tf_packet_replace(struct tf_packet *packet, const uint8_t *old, uint32_t old_len,
				const uint8_t *with, uint32_t with_len, uint32_t max);

/* cdef: end */

#endif
