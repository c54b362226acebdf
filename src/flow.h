/*
 * A table of connections: which slot of a script's own belongs to a packet's flow.
 *
 * A flow is a pair of addresses, a protocol, and a pair of ports (the identifier for ICMP echo, else
 * 0), the same for both directions. The number of flows is bounded: the one unused for longest goes
 * first (in a table of more than 4,096, to within some seconds). Looking up makes no garbage, and the table
 * never moves what is in it at once. A flow takes about 75 bytes here.
 */
#ifndef TF_FLOW_H
#define TF_FLOW_H

#include "batch.h"
#include "packet.h"

/* cdef: begin */
struct tf_flows;

enum { TF_FLOW_NONE = 0xffffffff }; /* the packet is of no flow: not IP, or malformed before the addresses */

/*
 * The slot (0 to max - 1) of the packet's flow at this time (seconds, never going back). *fresh is 1 if
 * the slot is a new flow's: then what it had is of another. A flow is new after `idle` seconds
 * without a packet, or 10 (at most idle) after a TCP RST or FINs from both ends, and with a SYN on a
 * connection that has ended; a packet that was read from neither side, as such that a script makes,
 * does none of that. Without memory there are fewer flows than max.
 * batch: the one that the packet is in and whose next packets are likely to be looked up next, so
 * that the memory for them is asked for in time; NULL where there is none.
 */
TF_EXPORT uint32_t tf_flow_find(struct tf_flows *flows, const struct tf_packet *packet,
				const struct tf_batch *batch, double now, double idle, uint8_t *fresh);

/* How many flows there are; some of them may be idle for long. */
TF_EXPORT uint32_t tf_flow_count(const struct tf_flows *flows);

/* What there is of a flow but its slot, to make it anew in another table. */
struct tf_flow_record {
	uint8_t key[38];
	uint8_t closing;
	double last; /* seconds, of the last packet */
};

/* From the flow unused for longest, slot TF_FLOW_NONE, to the newest: the next one's slot, or TF_FLOW_NONE. */
TF_EXPORT uint32_t tf_flow_after(const struct tf_flows *flows, uint32_t slot, struct tf_flow_record *record);

/* Makes the flow as the newest one; its slot, or TF_FLOW_NONE if it is there. */
TF_EXPORT uint32_t tf_flow_restore(struct tf_flows *flows, const struct tf_flow_record *record);

/* A table for at most max (1 to 16,777,216) flows, or NULL without memory. */
TF_EXPORT struct tf_flows *tf_flow_create(uint32_t max);
TF_EXPORT void tf_flow_destroy(struct tf_flows *flows);
/* cdef: end */

#endif
