/* IP addresses as text. */
#ifndef TF_ADDRESS_H
#define TF_ADDRESS_H

#include "packet.h"

/* cdef: begin */
enum { TF_IP6_TEXT_MAX = 46 }; /* bytes that the longest text takes, the final 0 included */

/*
 * Writes the canonical text (RFC 5952; IPv4-mapped addresses as ::ffff:1.2.3.4) of the 16 bytes at
 * address, with a final 0, and returns its length without it.
 */
TF_EXPORT uint32_t tf_ip6_text(const uint8_t *address, char text[TF_IP6_TEXT_MAX]);
/* cdef: end */

#endif
