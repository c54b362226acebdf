/*
 * Joining: which packets of a list go to a device in one write, as one large packet that the kernel
 * (or who ever it hands it to) cuts again into the same wire packets.
 *
 * A run is packets of one flow in their order. It is one of
 *   whole   a large packet whose every segment is in the list, in order and unedited: what was read
 *   joined  neighbours of a flow whose headers differ only in what cutting works out by itself:
 *           lengths, identification, sequence number, checksums, PSH and FIN of the last, CWR of
 *           the first; all have as much payload as the first but the last, which may have less
 *   single  one packet
 *
 * Cutting gives every packet a right checksum. So only packets are joined whose checksums are
 * right: the kernel said so, or nobody has computed it yet, or it was computed here to compare.
 *
 * Packets of one flow (addresses, protocol, ports) keep their order; other flows may come to stand
 * before or behind them. What is not a whole TCP or UDP packet (fragments, ICMP, ARP, malformed
 * packets…) keeps its place among all others.
 *
 * IPv4 identification: cutting counts it up from the first one's. Packets that may be fragmented
 * are joined only if that is what they have. In one that may not, the number means nothing and
 * nobody may look at it (RFC 6864, 4.1); so it may come out with another one, unless a script has
 * edited it.
 */
#ifndef TF_JOIN_H
#define TF_JOIN_H

#include "packet.h"

/* What a run is of, and what may be joined (bits). */
enum { TF_JOIN_TCP4 = 1, TF_JOIN_TCP6 = 2, TF_JOIN_UDP4 = 4, TF_JOIN_UDP6 = 8 };

enum {
	TF_JOIN_PACKETS = 1024,	  /* that are looked at together; those of whole runs don't count */
	TF_JOIN_UDP_PACKETS = 64, /* of a joined run: older kernels take no more */
	TF_JOIN_HEADER_MAX = 128, /* bytes before the payload in a joined run, at most */
	TF_JOIN_END = 0xffff
};

struct tf_run {
	struct tf_packet *first; /* of a whole one, the others follow it in memory */
	uint32_t count;		 /* wire packets; 1: single, unless whole */
	uint32_t size;		 /* payload bytes of each but the last */
	uint32_t payload;	 /* bytes of it in all */
	uint32_t bytes;		 /* in all the wire packets */
	uint8_t kind;		 /* TF_JOIN_…, or 0 for what is never joined */
	uint8_t whole;		 /* first->large goes out as it was read */
	uint8_t last_flags;	 /* joined TCP: PSH and FIN of the last */
	uint16_t head;		 /* not whole: the first of its members */
	/* For tf_join alone. */
	uint8_t open;	  /* takes more */
	uint8_t verified; /* first's checksum is right */
	uint16_t slot;	  /* its place in the table, or TF_JOIN_END */
	uint16_t tail;	  /* last member */
	uint32_t next_sequence;
};

struct tf_member {
	struct tf_packet *packet;
	uint16_t next; /* of the run, or TF_JOIN_END */
};

struct tf_join {
	struct tf_run runs[TF_JOIN_PACKETS]; /* run_count of them, in the order to write them */
	uint32_t run_count;
	uint32_t member_count;
	uint32_t floor;	 /* runs before this one take no more */
	uint8_t link;	 /* TF_LINK_… of the device */
	uint8_t kinds;	 /* TF_JOIN_… that may be joined, or go out whole */
	uint64_t secret; /* so that nobody can choose packets that meet in the table */
	struct tf_member members[TF_JOIN_PACKETS];
	uint16_t slots[4 * TF_JOIN_PACKETS]; /* by hash of the flow: its latest run, or TF_JOIN_END */
};

/* A joiner for a device of this link type; kinds may change between calls. 0 or UV_ENOMEM. */
int tf_join_create(struct tf_join **out, uint8_t link, uint8_t kinds);
void tf_join_destroy(struct tf_join *join);

/*
 * Sorts packets, in order and each there once, into join->runs. How many of them it took: less than
 * count when there are more than it can look at together; call again with the rest after writing.
 * The packets stay as they are.
 */
uint32_t tf_join(struct tf_join *join, struct tf_packet *const *packets, uint32_t count);

/*
 * Writes the header of a joined run's large packet to header (first->payload bytes), with the sum
 * of the pseudo-header in the transport checksum's field, as segmentation offload wants it.
 */
void tf_join_header(const struct tf_run *run, uint8_t *header);

#endif
