/*
 * Large packets: what a kernel with segmentation offload hands over, and the wire packets in it.
 *
 * A wire packet that was cut from a large one has its own copy of the headers at data, with
 * lengths, identification, sequence number and flags as the network would have them; what follows
 * the headers stays in the large packet (TF_CUT) until somebody touches it, and the transport
 * checksum is not computed (TF_PARTIAL) until somebody reads it. tf_settle makes both good. Whoever
 * reads bytes behind the headers, or a transport checksum, or copies a whole packet, settles it
 * first; headers can be read and edited as they are.
 *
 * What holds of them: TF_PARTIAL stands only on a whole, well-formed TCP or UDP datagram that has
 * been parsed, with nothing behind its end; TF_CUT only with TF_PARTIAL. Settling moves no packet.
 */
#ifndef TF_SEGMENT_H
#define TF_SEGMENT_H

#include "batch.h"
#include "packet.h"

/* cdef: begin */
/* Brings the payload to data: TF_CUT is gone. There is room for it by construction. */
TF_EXPORT void tf_settle_payload(struct tf_packet *packet);

/* The same, and the transport checksum in its field: TF_PARTIAL is gone too. */
TF_EXPORT void tf_settle_all(struct tf_packet *packet);

/* What of it is needed to read n bytes at an offset: nothing for headers but the checksum. */
TF_EXPORT void tf_settle_range(struct tf_packet *packet, uint32_t offset, uint32_t n);
/* cdef: end */

/* A packet whose every byte is there. */
static inline void tf_settle(struct tf_packet *packet)
{
	if (packet->flags & (TF_CUT | TF_PARTIAL))
		tf_settle_all(packet);
}

/* The payload (and what follows it), wherever it lies. */
static inline const uint8_t *tf_payload(const struct tf_packet *packet)
{
	return packet->flags & TF_CUT ? packet->tail : packet->data + packet->payload;
}

/* tf_offload.kind */
enum { TF_GSO_NONE = 0, TF_GSO_TCP4, TF_GSO_TCP6, TF_GSO_UDP, TF_GSO_UNKNOWN };

/* What the system says of a packet beside its bytes; believed as far as the bytes bear it out. */
struct tf_offload {
	uint8_t kind;	 /* TF_GSO_…: a large packet, of segments */
	uint8_t partial; /* the checksum at start + field has the pseudo-header's sum only */
	uint8_t valid;	 /* the checksum is right */
	uint16_t size;	 /* payload bytes of a segment */
	uint16_t start;	 /* where the bytes under the partial checksum begin, from data on */
	uint16_t field;	 /* its place, from start on */
};

/*
 * For a packet that was just committed to a batch and is not large: sets TF_PARTIAL or TF_VALID
 * where that is so, and TF_PARTIAL packets are parsed. A partial checksum of any other protocol, or
 * of a packet in a packet, is completed here and now.
 */
void tf_offload_take(struct tf_packet *packet, const struct tf_offload *offload);

enum { TF_CUT_HEADER = 1024 }; /* no headers of a large packet are longer */

/* A large packet on its way into batches. */
struct tf_cut {
	struct tf_packet first; /* the large packet, parsed; what segments' descriptors begin as */
	uint32_t size;		/* payload bytes of a segment */
	uint32_t at;		/* payload bytes that have been cut */
	uint32_t done;		/* nothing is left */
	uint32_t sum;		/* of a full segment's IPv4 header without id and checksum */
	uint32_t sequence;	/* TCP: of the first segment */
	uint16_t id;		/* IPv4: of the next segment */
	uint16_t partial;	/* as read: what the checksum field has */
	uint8_t foreign;	/* which is not the pseudo-header's sum as we know it */
	uint8_t header[TF_CUT_HEADER]; /* of a full segment that is neither first nor last */
};

/*
 * Begins to cut the len bytes at data. 0, or -1 if they are not what the offload says, with nothing
 * done. The bytes stay the caller's, and where they are for as long as the packets cut from them
 * live.
 */
int tf_cut_begin(struct tf_cut *cut, uint8_t *data, uint32_t len, uint8_t link,
		 const struct tf_offload *offload);

/*
 * Adds as many segments to the batch as it has descriptors and room for. cut->done tells whether
 * that were all; else call again with the next batch, until then the bytes may be moved
 * (tf_cut_move).
 */
void tf_cut_into(struct tf_cut *cut, struct tf_batch *batch);

/* The large packet's bytes have been copied to another place. */
static inline void tf_cut_move(struct tf_cut *cut, uint8_t *data)
{
	cut->first.data = data;
}

#endif
