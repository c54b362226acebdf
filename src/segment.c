#include "segment.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"

enum { FIN_PSH = 0x09, CWR = 0x80 };

static inline uint32_t aligned(uint32_t n)
{
	return (n + TF_ALIGN - 1) & ~(uint32_t)(TF_ALIGN - 1);
}

void tf_settle_payload(struct tf_packet *packet)
{
	if (!(packet->flags & TF_CUT))
		return;
	memcpy(packet->data + packet->payload, packet->tail, packet->len - packet->payload);
	packet->flags &= (uint8_t)~TF_CUT;
}

void tf_settle_all(struct tf_packet *packet)
{
	tf_settle_payload(packet);
	if (!(packet->flags & TF_PARTIAL))
		return;
	tf_put16(packet->data + tf_checksum_offset(packet), tf_checksum_transport(packet));
	packet->flags &= (uint8_t)~TF_PARTIAL;
}

void tf_settle_range(struct tf_packet *packet, uint32_t offset, uint32_t n)
{
	uint32_t field;

	if (!(packet->flags & (TF_CUT | TF_PARTIAL)))
		return;
	field = tf_checksum_offset(packet);
	if (packet->flags & TF_PARTIAL && offset < field + 2 && offset + n > field)
		tf_settle_all(packet);
	else if (offset + n > packet->payload)
		tf_settle_payload(packet);
}

/* Whether two sums are the same in one's complement, which has two zeros. */
static int same_sum(uint16_t a, uint16_t b)
{
	return a % 0xffff == b % 0xffff;
}

static int is_whole(const struct tf_packet *packet)
{
	return !packet->malformed && packet->fragment == TF_WHOLE && packet->end == packet->len;
}

/* Whether what the offload speaks of is the transport checksum of the parsed packet. */
static int is_its_checksum(const struct tf_packet *packet, const struct tf_offload *offload)
{
	return packet->headers & (TF_HAS_TCP | TF_HAS_UDP) && offload->start == packet->transport &&
	       (uint32_t)offload->start + offload->field == tf_checksum_offset(packet);
}

void tf_offload_take(struct tf_packet *packet, const struct tf_offload *offload)
{
	uint32_t field = (uint32_t)offload->start + offload->field;
	uint16_t checksum;

	if (!offload->partial) {
		packet->flags |= offload->valid ? TF_VALID : 0;
		return;
	}
	tf_parse(packet);
	if (is_whole(packet) && is_its_checksum(packet, offload) &&
	    same_sum(tf_get16(packet->data + field), tf_checksum_pseudo(packet))) {
		packet->flags |= TF_PARTIAL;
	} else if (field + 2 <= packet->len) {
		/* As the kernel's skb_checksum_help() does: no protocol minds 0xffff for 0. */
		checksum = (uint16_t)~tf_checksum_fold(tf_checksum_add(
			packet->data + offload->start, packet->len - offload->start, 0));
		tf_put16(packet->data + field, checksum ? checksum : 0xffff);
	}
}

/* Whether a parsed large packet is what it is said to be, of segments that can be packets. */
static int is_large(const struct tf_packet *packet, const struct tf_offload *offload)
{
	uint32_t ip = packet->headers & (TF_HAS_IP4 | TF_HAS_IP6);
	uint32_t transport = packet->headers & (TF_HAS_TCP | TF_HAS_UDP);

	if (offload->kind == TF_GSO_TCP4   ? ip != TF_HAS_IP4 || transport != TF_HAS_TCP
	    : offload->kind == TF_GSO_TCP6 ? ip != TF_HAS_IP6 || transport != TF_HAS_TCP
					   : offload->kind != TF_GSO_UDP || transport != TF_HAS_UDP)
		return 0;
	return offload->size > 0 && packet->payload <= TF_CUT_HEADER && is_whole(packet) &&
	       (!offload->partial || is_its_checksum(packet, offload));
}

/* Puts the lengths of a segment with n bytes of payload into headers. */
static void set_lengths(const struct tf_packet *packet, uint8_t *header, uint32_t n)
{
	uint32_t len = packet->payload + n;

	if (packet->headers & TF_HAS_IP4)
		tf_put16(header + packet->network + 2, len - packet->network);
	else
		tf_put16(header + packet->network + 4, len - packet->network - 40);
	if (packet->headers & TF_HAS_UDP)
		tf_put16(header + packet->transport + 4, len - packet->transport);
}

int tf_cut_begin(struct tf_cut *cut, uint8_t *data, uint32_t len, uint8_t link,
		 const struct tf_offload *offload)
{
	struct tf_packet *first = &cut->first;
	uint8_t *ip = cut->header, *tcp = cut->header;

	memset(first, 0, sizeof(*first));
	first->data = data;
	first->len = len;
	first->link = link;
	tf_parse(first);
	if (!is_large(first, offload))
		return -1;
	first->flags = TF_CUT | TF_PARTIAL;
	cut->size = offload->size;
	cut->at = cut->done = 0;
	cut->partial = tf_get16(data + tf_checksum_offset(first));
	cut->foreign = offload->partial && !same_sum(cut->partial, tf_checksum_pseudo(first));
	memcpy(cut->header, data, first->payload);
	ip += first->network;
	tcp += first->transport;
	set_lengths(first, cut->header, cut->size);
	if (first->headers & TF_HAS_IP4) {
		cut->id = tf_get16(ip + 4);
		tf_put16(ip + 4, 0);
		tf_put16(ip + 10, 0);
		cut->sum =
			tf_checksum_fold(tf_checksum_add(ip, first->transport - first->network, 0));
	}
	if (first->headers & TF_HAS_TCP) {
		cut->sequence = (uint32_t)tf_get16(tcp + 4) << 16 | tf_get16(tcp + 6);
		tcp[13] &= (uint8_t) ~(FIN_PSH | CWR);
	}
	return 0;
}

/* The flags and lengths that the first and the last segment have of their own. */
static void end_piece(struct tf_cut *cut, struct tf_packet *packet, uint32_t n, int last)
{
	const uint8_t *tcp = cut->first.data + packet->transport;
	uint8_t mask = (uint8_t)((cut->at ? 0 : CWR) | (last ? FIN_PSH : 0));

	if (packet->headers & TF_HAS_TCP)
		packet->data[packet->transport + 13] |= tcp[13] & mask;
	if (n == cut->size)
		return;
	set_lengths(packet, packet->data, n);
	if (packet->headers & TF_HAS_IP4) {
		uint8_t *ip = packet->data + packet->network;
		uint32_t sum = (uint32_t)(uint16_t)~tf_get16(ip + 10) + tf_get16(ip + 2) +
			       (uint16_t)~tf_get16(cut->header + packet->network + 2);

		tf_put16(ip + 10, (uint16_t)~tf_checksum_fold(sum));
	}
}

/* The checksum from the sum that the field had, as the kernel would: it is none of ours. */
static void complete(struct tf_cut *cut, struct tf_packet *packet)
{
	uint32_t field = tf_checksum_offset(packet), sum;
	uint16_t checksum;

	tf_settle_payload(packet);
	sum = cut->partial + (uint32_t)(uint16_t) ~(cut->first.len - packet->transport) +
	      packet->len - packet->transport;
	tf_put16(packet->data + field, 0);
	sum = tf_checksum_add(packet->data + packet->transport, packet->len - packet->transport,
			      tf_checksum_fold(sum));
	checksum = (uint16_t)~tf_checksum_fold(sum);
	tf_put16(packet->data + field,
		 checksum || packet->headers & TF_HAS_TCP ? checksum : 0xffff);
	packet->flags &= (uint8_t)~TF_PARTIAL;
}

/* Copies headers 16 bytes at a time, for there is room: memcpy() would be a call a packet. */
static inline void copy_header(uint8_t *to, const uint8_t *from, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += 16)
		memcpy(to + i, from + i, 16);
}

void tf_cut_into(struct tf_cut *cut, struct tf_batch *batch)
{
	const uint32_t total = cut->first.len - cut->first.payload, header = cut->first.payload;
	const uint32_t network = cut->first.network, transport = cut->first.transport;
	const int is_ip4 = cut->first.headers & TF_HAS_IP4;
	const int is_tcp = cut->first.headers & TF_HAS_TCP;
	const uint32_t whole = !cut->at;
	struct tf_large *large = NULL;
	struct tf_packet template = cut->first;

	template.from = batch->from;
	while (!cut->done && batch->count < batch->capacity) {
		uint32_t n = total - cut->at < cut->size ? total - cut->at : cut->size;
		uint32_t room = aligned(header + n);
		struct tf_packet *packet = &batch->packets[batch->count];
		uint8_t *data = batch->arena + batch->used + TF_HEADROOM;

		if (batch->arena_size - batch->used < TF_HEADROOM + room)
			break;
		if (!large) {
			large = &batch->larges[batch->large_count++];
			large->data = cut->first.data;
			large->first = packet;
			large->len = cut->first.len;
			large->header = header;
			large->size = cut->size;
			large->count = 0;
			template.large = large;
		}
		*packet = template;
		packet->data = data;
		packet->len = packet->end = header + n;
		packet->room = room;
		packet->tail = cut->first.data + header + cut->at;
		copy_header(data, cut->header, header);
		if (is_ip4) {
			uint8_t *ip = data + network;

			tf_put16(ip + 4, cut->id);
			tf_put16(ip + 10, (uint16_t)~tf_checksum_fold(cut->sum + cut->id));
			cut->id++;
		}
		if (is_tcp) {
			uint32_t sequence = cut->sequence + cut->at;

			tf_put16(data + transport + 4, sequence >> 16);
			tf_put16(data + transport + 6, sequence);
		}
		cut->done = cut->at + n == total;
		if (!cut->at || cut->done)
			end_piece(cut, packet, n, (int)cut->done);
		if (cut->foreign)
			complete(cut, packet);
		cut->at += n;
		batch->used += TF_HEADROOM + room;
		batch->count++;
		large->count++;
	}
	if (large)
		large->whole = whole && cut->done;
}
