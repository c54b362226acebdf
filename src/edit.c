#include "edit.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"

/* A write: n bytes that go to an offset. The bytes may lie in the packet. */
struct write {
	const uint8_t *bytes;
	uint32_t offset;
	uint32_t n;
};

static inline int overlaps(const struct write *write, uint32_t from, uint32_t to)
{
	return write->offset < to && write->offset + write->n > from;
}

/* Whether the write changes bits of the mask (NULL: any) in the count bytes at `from`. */
static inline int changes(const struct tf_packet *packet, const struct write *write, uint32_t from,
			  const uint8_t *mask, uint32_t count)
{
	uint32_t at = write->offset > from ? write->offset : from;
	uint32_t to = write->offset + write->n;

	if (to > from + count)
		to = from + count;
	for (; at < to; at++) {
		uint8_t differs = packet->data[at] ^ write->bytes[at - write->offset];

		if (differs & (mask ? mask[at - from] : 0xff))
			return 1;
	}
	return 0;
}

/* Whether tf_parse may come to another answer behind the write. */
static inline int restructures(const struct tf_packet *packet, const struct write *write)
{
	/* IPv4: version, header length; total length; MF and fragment offset; protocol. */
	static const uint8_t ip4[10] = {0xff, 0, 0xff, 0xff, 0, 0, 0x3f, 0xff, 0, 0xff};
	/* IPv6: version; payload length, next header. */
	static const uint8_t ip6[7] = {0xf0, 0, 0, 0, 0xff, 0xff, 0xff};
	static const uint8_t tcp_offset[1] = {0xf0};
	uint32_t network = packet->network, transport = packet->transport;

	if (packet->malformed)
		return 1;
	if (write->offset < network && changes(packet, write, 12, NULL, network - 12))
		return 1;
	if (packet->headers & TF_HAS_IP4) {
		if (write->offset < network + 10 &&
		    changes(packet, write, network, ip4, sizeof(ip4)))
			return 1;
	} else if (packet->headers & TF_HAS_IP6) {
		if (changes(packet, write, network, ip6, sizeof(ip6)) ||
		    changes(packet, write, network + 40, NULL, transport - network - 40))
			return 1;
	} else if (packet->headers & TF_HAS_ARP) {
		return changes(packet, write, network, NULL, 6);
	}
	if (packet->headers & TF_HAS_TCP)
		return changes(packet, write, transport + 12, tcp_offset, sizeof(tcp_offset));
	if (packet->headers & TF_HAS_UDP)
		return changes(packet, write, transport + 4, NULL, 2);
	return 0;
}

/* Sum of those of the bytes, standing at the write's place, that fall into [from, to). */
static inline uint32_t sum_within(const struct write *write, const uint8_t *bytes, uint32_t from,
				  uint32_t to)
{
	uint32_t first = write->offset > from ? write->offset : from;
	uint32_t last = write->offset + write->n;
	uint32_t sum;

	if (last > to)
		last = to;
	if (first >= last)
		return 0;
	bytes += first - write->offset;
	if (last - first == 2)
		sum = tf_get16(bytes);
	else if (last - first == 4)
		sum = (uint32_t)tf_get16(bytes) + tf_get16(bytes + 2);
	else
		sum = tf_checksum_add(bytes, last - first, 0);
	sum = tf_checksum_fold(sum);
	/* At an odd place high bytes are low ones (RFC 1071, 2 B). */
	return (first - from) & 1 ? (sum >> 8 | sum << 8) & 0xffff : sum;
}

/* Likewise, as often as each counts in the transport checksum. `destination` as in checksum.h. */
static inline uint32_t sum_transport(const struct tf_packet *packet, const struct write *write,
				     const uint8_t *bytes, uint32_t destination)
{
	uint32_t network = packet->network, transport = packet->transport;
	uint32_t sum = 0;

	if (write->offset + write->n > transport) {
		sum = sum_within(write, bytes, transport, packet->end);
		if (packet->headers & TF_HAS_UDP) /* the length, once more in the pseudo-header */
			sum += sum_within(write, bytes, transport + 4, transport + 6);
	}
	if (write->offset >= transport || packet->headers & TF_HAS_ICMP)
		return sum;
	if (packet->headers & TF_HAS_IP4)
		return sum + sum_within(write, bytes, network + 12, network + 20);
	return sum + sum_within(write, bytes, network + 8, network + 24) +
	       sum_within(write, bytes, destination, destination + 16);
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static inline void adjust(uint8_t *field, uint32_t old, uint32_t new, int udp)
{
	uint16_t checksum = tf_get16(field), before = tf_checksum_fold(old);

	if (before == tf_checksum_fold(new) || (udp && !checksum))
		return;
	checksum = (uint16_t)~tf_checksum_fold((uint16_t)~checksum + (uint16_t)~before + new);
	tf_put16(field, udp && !checksum ? 0xffff : checksum);
}

static inline int is_udp(const struct tf_packet *packet)
{
	return packet->headers & TF_HAS_UDP;
}

/* Computes the transport checksum afresh where the whole segment is here; UDP's "none" stays. */
static void refresh_transport(struct tf_packet *packet)
{
	uint32_t field = tf_checksum_offset(packet);

	if (!field || packet->fragment != TF_WHOLE || packet->malformed)
		return;
	if (is_udp(packet) && packet->headers & TF_HAS_IP4 && !tf_get16(packet->data + field))
		return;
	tf_put16(packet->data + field, tf_checksum_transport(packet));
}

/*
 * A write behind which the packet is parsed again. Where the transport checksum still covers the
 * same bytes it is updated like any other; otherwise the old one says nothing about the new packet.
 */
static void edit_structure(struct tf_packet *packet, const struct write *write)
{
	const struct tf_packet was = *packet;
	uint32_t field = tf_checksum_offset(packet), destination = 0, old = 0, new = 0;
	uint16_t ip4 = packet->headers & TF_HAS_IP4 ? tf_checksum_ip4(packet) : 0;

	if (field) {
		destination = tf_checksum_destination(packet);
		old = sum_transport(packet, write, packet->data + write->offset, destination);
		new = sum_transport(packet, write, write->bytes, destination);
	}
	memmove(packet->data + write->offset, write->bytes, write->n);
	tf_parse(packet);

	if (was.headers & packet->headers & TF_HAS_IP4 && was.network == packet->network &&
	    !overlaps(write, packet->network + 10, packet->network + 12))
		adjust(packet->data + packet->network + 10, (uint16_t)~ip4,
		       (uint16_t)~tf_checksum_ip4(packet), 0);

	field = tf_checksum_offset(packet);
	if (!field || overlaps(write, field, field + 2))
		return;
	if (was.headers == packet->headers && was.network == packet->network &&
	    was.transport == packet->transport &&
	    ((was.fragment == TF_FRAGMENT_FIRST && packet->fragment == TF_FRAGMENT_FIRST) ||
	     (was.end == packet->end && was.malformed == packet->malformed &&
	      destination == tf_checksum_destination(packet))))
		adjust(packet->data + field, old, new, is_udp(packet));
	else if (was.fragment == TF_WHOLE)
		refresh_transport(packet);
}

static inline int edit(struct tf_packet *packet, uint32_t offset, const uint8_t *bytes, uint32_t n)
{
	const struct write write = {bytes, offset, n};
	uint8_t *data = packet->data, *at = data + offset;
	uint32_t network = packet->network, field;
	uint32_t ip4_old = 0, ip4_new = 0, old = 0, new = 0;
	int structure;

	if (offset > packet->len || n > packet->len - offset)
		return TF_EDIT_RANGE;
	if (!n)
		return 0;
	packet->flags |= TF_EDITED;
	structure = restructures(packet, &write);
	if (packet->flags & TF_RAW) {
		memmove(at, bytes, n);
		if (structure)
			tf_parse(packet);
		return 0;
	}
	if (structure) {
		edit_structure(packet, &write);
		return 0;
	}
	if (packet->headers & TF_HAS_IP4 && offset < packet->transport &&
	    !overlaps(&write, network + 10, network + 12)) {
		ip4_old = sum_within(&write, at, network, packet->transport);
		ip4_new = sum_within(&write, bytes, network, packet->transport);
	}
	field = tf_checksum_offset(packet);
	if (field && !overlaps(&write, field, field + 2)) {
		uint32_t destination = tf_checksum_destination(packet);

		old = sum_transport(packet, &write, at, destination);
		new = sum_transport(packet, &write, bytes, destination);
	}
	memmove(at, bytes, n);
	if (ip4_old != ip4_new)
		adjust(data + network + 10, ip4_old, ip4_new, 0);
	if (old != new)
		adjust(data + field, old, new, is_udp(packet));
	return 0;
}

int tf_packet_put(struct tf_packet *packet, uint32_t offset, uint32_t width, uint32_t value)
{
	uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			    (uint8_t)value};

	return width <= 4 ? edit(packet, offset, bytes + 4 - width, width) : TF_EDIT_RANGE;
}

int tf_packet_write(struct tf_packet *packet, uint32_t offset, const uint8_t *bytes, uint32_t n)
{
	return edit(packet, offset, bytes, n);
}

/* Whether the payload may get n bytes: 0, or TF_EDIT_…. */
static int fits(const struct tf_packet *packet, uint64_t n)
{
	if (packet->fragment != TF_WHOLE && n != packet->end - packet->payload)
		return TF_EDIT_FRAGMENT;
	if (packet->payload - packet->network + n > TF_IP_MAX)
		return TF_EDIT_TOO_LONG;
	return n > packet->room - packet->payload ? TF_EDIT_ROOM : 0;
}

/* The payload of a whole datagram was replaced by n bytes: lengths and checksums follow. */
static void settle(struct tf_packet *packet, uint32_t n)
{
	uint8_t *ip = packet->data + packet->network;

	packet->len = packet->end = packet->payload + n;
	packet->flags |= TF_EDITED;
	if (packet->flags & TF_RAW) {
		tf_parse(packet);
		return;
	}
	if (packet->headers & TF_HAS_IP4) {
		uint32_t old = tf_get16(ip + 2), new = packet->len - packet->network;

		tf_put16(ip + 2, new);
		adjust(ip + 10, old, new, 0);
	} else if (packet->headers & TF_HAS_IP6) {
		tf_put16(ip + 4, packet->len - packet->network - 40);
	}
	if (is_udp(packet))
		tf_put16(packet->data + packet->transport + 4, packet->len - packet->transport);
	if (packet->malformed)
		tf_parse(packet);
	refresh_transport(packet);
}

int tf_packet_set_payload(struct tf_packet *packet, const uint8_t *bytes, uint32_t n)
{
	int status = fits(packet, n);

	if (status)
		return status;
	if (packet->fragment != TF_WHOLE) {
		edit(packet, packet->payload, bytes, n);
		packet->len = packet->end;
		return 0;
	}
	if (n)
		memmove(packet->data + packet->payload, bytes, n);
	settle(packet, n);
	return 0;
}

/* The next occurrence of old in [at, end), or NULL. */
static const uint8_t *find(const uint8_t *at, const uint8_t *end, const uint8_t *old,
			   uint32_t old_len)
{
	while ((size_t)(end - at) >= old_len) {
		at = memchr(at, old[0], (size_t)(end - at) - old_len + 1);
		if (!at || !memcmp(at, old, old_len))
			return at;
		at++;
	}
	return NULL;
}

/* Puts `with` in place of the first count occurrences; the payload becomes n bytes long. */
static void splice(struct tf_packet *packet, const uint8_t *old, uint32_t old_len,
		   const uint8_t *with, uint32_t with_len, uint32_t count, uint32_t n)
{
	uint8_t *to = packet->data + packet->payload;
	uint32_t old_n = packet->end - packet->payload;
	const uint8_t *at = to, *end;

	if (n >
	    old_n) { /* from behind, so that what is written never catches up with what is read */
		memmove(to + (n - old_n), to, old_n);
		at += n - old_n;
	}
	end = at + old_n;
	for (; count; count--) {
		const uint8_t *hit = find(at, end, old, old_len);

		memmove(to, at, (size_t)(hit - at));
		to += hit - at;
		memcpy(to, with, with_len);
		to += with_len;
		at = hit + old_len;
	}
	memmove(to, at, (size_t)(end - at));
}

int tf_packet_replace(struct tf_packet *packet, const uint8_t *old, uint32_t old_len,
		      const uint8_t *with, uint32_t with_len, uint32_t max)
{
	const uint8_t *at = packet->data + packet->payload, *end = packet->data + packet->end;
	uint32_t n = packet->end - packet->payload, count = 0;
	uint64_t new_n;
	int status;

	if (!old_len)
		return 0;
	for (; (!max || count < max) && (at = find(at, end, old, old_len)); at += old_len) {
		if (old_len == with_len)
			edit(packet, (uint32_t)(at - packet->data), with, with_len);
		count++;
	}
	if (!count || old_len == with_len)
		return (int)count;
	new_n = n + (uint64_t)count * with_len - (uint64_t)count * old_len;
	status = fits(packet, new_n);
	if (status)
		return status;
	splice(packet, old, old_len, with, with_len, count, (uint32_t)new_n);
	settle(packet, (uint32_t)new_n);
	return (int)count;
}
