/*
 * Large packets: what a kernel with segmentation offload hands over, and the wire packets in it.
 *
 * A wire packet that was cut from a large one has its own copy of the headers at data, with lengths,
 * identification, sequence number and flags as the network would have them; what follows the headers
 * stays in the large packet (TF_CUT) until somebody touches it, and the transport checksum is not
 * computed (TF_PARTIAL) until somebody reads it. tf_settle makes both good. Whoever reads bytes behind
 * the headers, or a transport checksum, or copies a whole packet, settles it first; headers can be
 * read and edited as they are.
 */
#ifndef TF_SEGMENT_H
#define TF_SEGMENT_H

#include "packet.h"

/* cdef: begin */
/* Brings the payload to data: TF_CUT is gone. There is room for it by construction. */
TF_EXPORT void tf_settle_payload(struct tf_packet *packet);

/* The same, and the transport checksum in its field: TF_PARTIAL is gone too. */
TF_EXPORT void tf_settle_all(struct tf_packet *packet);
/* cdef: end */

/* A packet whose every byte is there. */
static inline void tf_settle(struct tf_packet *packet)
{
	if (packet->flags & (TF_CUT | TF_PARTIAL))
		tf_settle_all(packet);
}

#endif
