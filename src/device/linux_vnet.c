#include "linux_vnet.h"

#include <linux/virtio_net.h>
#include <string.h>

#include "../bytes.h"
#include "../checksum.h"
#include "../segment.h"

enum {
	COPY_MAX = 1024,  /* payload up to here is cheaper to copy than to hand over as a piece */
	LINEAR_MAX = 2048 /* up to here the kernel is to keep a packet in one piece */
};

static inline void put_le16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
}

/* A virtio_net_hdr. */
static void put_header(uint8_t *at, uint8_t type, uint32_t header_len, uint32_t size,
		       const struct tf_packet *packet)
{
	at[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	at[1] = type;
	put_le16(at + 2, header_len);
	put_le16(at + 4, size);
	put_le16(at + 6, packet->transport);
	put_le16(at + 8, tf_checksum_offset(packet) - packet->transport);
}

/* Whether these bytes stand in memory behind those of the last piece. */
static inline int follows(const struct tf_vnet_write *write, const uint8_t *bytes)
{
	const struct iovec *last = write->pieces + write->count - 1;

	return write->count && (const uint8_t *)last->iov_base + last->iov_len == bytes;
}

static inline void add(struct tf_vnet_write *write, const uint8_t *bytes, size_t n)
{
	write->length += n;
	if (follows(write, bytes)) {
		write->pieces[write->count - 1].iov_len += n;
		return;
	}
	write->pieces[write->count].iov_base = (void *)(uintptr_t)bytes;
	write->pieces[write->count++].iov_len = n;
}

static inline void add_copy(struct tf_vnet_write *write, const uint8_t *bytes, size_t n)
{
	uint8_t *to = write->scratch + write->scratch_len;

	memcpy(to, bytes, n);
	write->scratch_len += n;
	add(write, to, n);
}

/*
 * Adds a packet's payload; next is that of the packet behind it. The last piece that there is room
 * for is in scratch, so that all the rest can be copied there.
 */
static inline void add_payload(struct tf_vnet_write *write, const uint8_t *bytes, size_t n,
			       const uint8_t *next)
{
	if (!follows(write, bytes) &&
	    (write->count >= TF_VNET_PIECES - 1 || (n <= COPY_MAX && bytes + n != next)))
		add_copy(write, bytes, n);
	else
		add(write, bytes, n);
}

void tf_vnet_single(struct tf_vnet_write *write, struct tf_packet *packet)
{
	uint8_t *start = packet->data - TF_VNET_SIZE;

	write->count = 0;
	write->length = 0;
	if (packet->flags & TF_PARTIAL) {
		put_header(start, VIRTIO_NET_HDR_GSO_NONE,
			   packet->len <= LINEAR_MAX ? packet->len : packet->payload, 0, packet);
		tf_put16(packet->data + tf_checksum_offset(packet), tf_checksum_pseudo(packet));
	} else {
		memset(start, 0, TF_VNET_SIZE);
	}
	if (packet->flags & TF_CUT) {
		add(write, start, TF_VNET_SIZE + packet->payload);
		add(write, packet->tail, packet->len - packet->payload);
	} else {
		add(write, start, TF_VNET_SIZE + packet->len);
	}
}

static void whole(struct tf_vnet_write *write, const struct tf_large *large)
{
	write->count = 0;
	write->length = 0;
	add(write, large->data - TF_VNET_SIZE, TF_VNET_SIZE + large->len);
}

static uint8_t gso_type(const struct tf_run *run)
{
	const struct tf_packet *first = run->first;
	uint8_t ecn = 0;

	if (run->kind & (TF_JOIN_UDP4 | TF_JOIN_UDP6))
		return TF_VNET_GSO_UDP;
	if (first->data[first->transport + 13] & 0x80) /* CWR */
		ecn = VIRTIO_NET_HDR_GSO_ECN;
	return ecn |
	       (run->kind == TF_JOIN_TCP4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6);
}

static void joined(struct tf_vnet_write *write, const struct tf_join *join,
		   const struct tf_run *run)
{
	const struct tf_packet *first = run->first;

	put_header(write->scratch, gso_type(run), first->payload, run->size, first);
	tf_join_header(run, write->scratch + TF_VNET_SIZE);
	write->scratch_len = TF_VNET_SIZE + first->payload;
	write->count = 0;
	write->length = 0;
	add(write, write->scratch, write->scratch_len);
	for (uint32_t i = run->head, next; i != TF_JOIN_END; i = next) {
		const struct tf_packet *packet = join->members[i].packet;

		next = join->members[i].next;
		add_payload(write, tf_payload(packet), packet->end - packet->payload,
			    next == TF_JOIN_END ? NULL : tf_payload(join->members[next].packet));
	}
}

void tf_vnet_run(struct tf_vnet_write *write, const struct tf_join *join, const struct tf_run *run)
{
	if (run->whole)
		whole(write, run->first->large);
	else if (run->count > 1)
		joined(write, join, run);
	else
		tf_vnet_single(write, run->first);
}
