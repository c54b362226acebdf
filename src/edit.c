#include "edit.h"

#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"
#include "segment.h"

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

/*
 * What the write does to a sum over [from, to), before the bytes are there: ~m + m', folded, of the
 * words m that it changes; 0 if it changes none.
 */
static inline uint32_t delta(const struct tf_packet *packet, const struct write *write,
			     uint32_t from, uint32_t to)
{
	uint32_t first = write->offset > from ? write->offset : from;
	uint32_t last = write->offset + write->n;
	const uint8_t *old, *new;
	uint32_t sum;

	if (last > to)
		last = to;
	if (first >= last)
		return 0;
	old = packet->data + first;
	new = write->bytes + (first - write->offset);
	switch (last - first) {
	case 1:
		sum = (uint16_t) ~(old[0] << 8) + (uint32_t)(new[0] << 8);
		break;
	case 2:
		sum = (uint16_t)~tf_get16(old) + (uint32_t)tf_get16(new);
		break;
	case 4:
		sum = (uint16_t)~tf_get16(old) + (uint32_t)(uint16_t)~tf_get16(old + 2) +
		      tf_get16(new) + tf_get16(new + 2);
		break;
	default:
		sum = (uint16_t)~tf_checksum_fold(tf_checksum_add(old, last - first, 0));
		sum = tf_checksum_add(new, last - first, sum);
	}
	sum = tf_checksum_fold(sum);
	/* At an odd place high bytes are low ones (RFC 1071, 2 B). */
	return (first - from) & 1 ? (sum >> 8 | sum << 8) & 0xffff : sum;
}

/* Likewise to the transport checksum, with its pseudo-header. */
static inline uint32_t delta_transport(const struct tf_packet *packet, const struct write *write)
{
	uint32_t network = packet->network, transport = packet->transport, destination;
	uint32_t sum = 0;

	if (write->offset + write->n > transport) {
		sum = delta(packet, write, transport, packet->end);
		if (packet->headers & TF_HAS_UDP) /* the length, once more in the pseudo-header */
			sum += delta(packet, write, transport + 4, transport + 6);
	}
	if (write->offset >= transport || packet->headers & TF_HAS_ICMP)
		return sum;
	if (packet->headers & TF_HAS_IP4)
		return sum + delta(packet, write, network + 12, network + 20);
	destination = tf_checksum_destination(packet);
	return sum + delta(packet, write, network + 8, network + 24) +
	       delta(packet, write, destination, destination + 16);
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static inline void adjust(uint8_t *field, uint32_t change, int udp)
{
	uint16_t checksum = tf_get16(field);

	change = tf_checksum_fold(change);
	if (!change || change == 0xffff || (udp && !checksum))
		return;
	checksum = (uint16_t)~tf_checksum_fold((uint16_t)~checksum + change);
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
	uint32_t field = tf_checksum_offset(packet), destination = 0, change = 0;
	uint16_t ip4 = packet->headers & TF_HAS_IP4 ? tf_checksum_ip4(packet) : 0;

	if (field) {
		destination = tf_checksum_destination(packet);
		change = delta_transport(packet, write);
	}
	memmove(packet->data + write->offset, write->bytes, write->n);
	tf_parse(packet);

	if (was.headers & packet->headers & TF_HAS_IP4 && was.network == packet->network &&
	    !overlaps(write, packet->network + 10, packet->network + 12))
		adjust(packet->data + packet->network + 10,
		       ip4 + (uint32_t)(uint16_t)~tf_checksum_ip4(packet), 0);

	field = tf_checksum_offset(packet);
	if (!field || overlaps(write, field, field + 2))
		return;
	if (was.headers == packet->headers && was.network == packet->network &&
	    was.transport == packet->transport &&
	    ((was.fragment == TF_FRAGMENT_FIRST && packet->fragment == TF_FRAGMENT_FIRST) ||
	     (was.end == packet->end && was.malformed == packet->malformed &&
	      destination == tf_checksum_destination(packet))))
		adjust(packet->data + field, change, is_udp(packet));
	else if (was.fragment == TF_WHOLE)
		refresh_transport(packet);
}

/*
 * The most frequent edits in a third of the time: 2 or 4 bytes of ports, sequence numbers or IPv4
 * addresses. No checksum field or length is among them. 1 if it was one and is done.
 */
static inline int edit_plain(struct tf_packet *packet, uint32_t offset, uint32_t n, uint32_t value)
{
	uint8_t *at, *ip4 = NULL;
	uint32_t place = offset - packet->transport, headers = packet->headers, change;
	uint32_t fields = headers & TF_HAS_TCP ? 12 : headers & TF_HAS_UDP ? 4 : 0;

	if (place >= fields || n > fields - place) {
		place = offset - (packet->network + 12);
		if (!(headers & TF_HAS_IP4) || place >= 8 || n > 8 - place)
			return 0;
		ip4 = packet->data + packet->network + 10;
	}
	if (place & 1 || packet->flags & TF_RAW)
		return 0;
	at = packet->data + offset;
	change = (uint16_t)~tf_get16(at) + (value & 0xffff);
	if (n == 4) {
		change += (uint16_t)~tf_get16(at + 2) + (value >> 16);
		tf_put16(at, value >> 16);
		at += 2;
	}
	tf_put16(at, value);
	packet->flags |= ip4 || place < 4 ? TF_EDITED | TF_CHANGED | TF_MOVED : TF_EDITED | TF_CHANGED;
	if (ip4)
		adjust(ip4, change, 0);
	if (fields && !(packet->flags & TF_PARTIAL))
		adjust(packet->data + tf_checksum_offset(packet), change, is_udp(packet));
	return 1;
}

/*
 * Before a write: what is not there yet and may be asked for behind it. A checksum that nobody has
 * computed stays so where the write would only have it follow.
 */
static void prepare(struct tf_packet *packet, const struct write *write, uint32_t field, int new)
{
	if (new || (field && overlaps(write, field, field + 2))) {
		tf_settle(packet);
		packet->flags &= (uint8_t)~TF_VALID;
	} else if (write->offset + write->n > packet->payload) {
		tf_settle_payload(packet);
	}
}

/* Whether the write may make the packet one of another flow: addresses, protocol, ports, an echo's identifier. */
static inline int moves(const struct tf_packet *packet, const struct write *write)
{
	return overlaps(write, packet->network + (packet->headers & TF_HAS_IP4 ? 9 : 6),
			packet->transport + (packet->headers & (TF_HAS_TCP | TF_HAS_UDP) ? 4 : 6));
}

static int edit(struct tf_packet *packet, const struct write *write)
{
	uint32_t ip4 = packet->network + 10, field = tf_checksum_offset(packet);
	uint32_t ip4_change = 0, change = 0;
	int raw = packet->flags & TF_RAW, structure;

	if (write->offset > packet->len || write->n > packet->len - write->offset)
		return TF_EDIT_RANGE;
	if (!write->n)
		return 0;
	packet->flags |= TF_EDITED | TF_CHANGED;
	structure = restructures(packet, write);
	if (structure || moves(packet, write))
		packet->flags |= TF_MOVED;
	if (packet->flags & (TF_CUT | TF_PARTIAL | TF_VALID))
		prepare(packet, write, field, raw || structure);
	if (packet->flags & TF_PARTIAL)
		field = 0;
	if (structure && !raw) {
		edit_structure(packet, write);
		return 0;
	}
	if (packet->headers & TF_HAS_IP4 && !raw && !overlaps(write, ip4, ip4 + 2))
		ip4_change = delta(packet, write, packet->network, packet->transport);
	if (field && !raw && !overlaps(write, field, field + 2))
		change = delta_transport(packet, write);
	memmove(packet->data + write->offset, write->bytes, write->n);
	if (structure)
		tf_parse(packet);
	if (ip4_change)
		adjust(packet->data + ip4, ip4_change, 0);
	if (change) {
		adjust(packet->data + field, change, is_udp(packet));
		/* Equation 3 gives 0 for a segment of zeros, where it has to be 0xffff. */
		if (packet->headers & TF_HAS_ICMP && !tf_get16(packet->data + field) &&
		    tf_checksum_transport(packet) == 0xffff)
			refresh_transport(packet);
	}
	return 0;
}

int tf_packet_put(struct tf_packet *packet, uint32_t offset, uint32_t width, uint32_t value)
{
	uint8_t bytes[4];
	struct write write = {bytes, offset, width};

	if (width != 1 && width != 2 && width != 4)
		return TF_EDIT_RANGE;
	if (width > 1 && edit_plain(packet, offset, width, value))
		return 0;
	tf_put16(bytes, value >> 16);
	tf_put16(bytes + 2, value);
	write.bytes += 4 - width;
	return edit(packet, &write);
}

int tf_packet_write(struct tf_packet *packet, uint32_t offset, const uint8_t *bytes, uint32_t n)
{
	const struct write write = {bytes, offset, n};

	if (n == 4 &&
	    edit_plain(packet, offset, 4, (uint32_t)tf_get16(bytes) << 16 | tf_get16(bytes + 2)))
		return 0;
	return edit(packet, &write);
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
	packet->missing = 0;
	packet->flags |= TF_EDITED | TF_CHANGED;
	if (packet->flags & TF_RAW) {
		tf_parse(packet);
		return;
	}
	if (packet->headers & TF_HAS_IP4) {
		uint32_t total = packet->len - packet->network;

		adjust(ip + 10, (uint16_t)~tf_get16(ip + 2) + total, 0);
		tf_put16(ip + 2, total);
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
	tf_settle(packet);
	packet->flags &= (uint8_t)~TF_VALID;
	if (packet->fragment != TF_WHOLE) {
		tf_packet_write(packet, packet->payload, bytes, n);
		packet->len = packet->end;
		return 0;
	}
	if (n)
		memmove(packet->data + packet->payload, bytes, n);
	settle(packet, n);
	return 0;
}

typedef uint8_t block __attribute__((vector_size(16)));

/*
 * The next occurrence of old in [at, end), or NULL. Its first and its last byte are looked for, 16 places at
 * a time: whatever the text is, 1,400 bytes take about 100 ns.
 */
static const uint8_t *find(const uint8_t *at, const uint8_t *end, const uint8_t *old,
			   uint32_t old_len)
{
	const block first = old[0] - (block){0}, last = old[old_len - 1] - (block){0};

	for (; (size_t)(end - at) >= old_len + sizeof(block) - 1; at += sizeof(block)) {
		block firsts, lasts;
		uint64_t hits[2];

		memcpy(&firsts, at, sizeof(firsts));
		memcpy(&lasts, at + old_len - 1, sizeof(lasts));
		firsts = (block)(firsts == first) & (block)(lasts == last);
		memcpy(hits, &firsts, sizeof(hits));
		if (!(hits[0] | hits[1]))
			continue;
		for (unsigned i = 0; i < sizeof(block); i++)
			if (firsts[i] && !memcmp(at + i, old, old_len))
				return at + i;
	}
	for (; (size_t)(end - at) >= old_len; at++)
		if (*at == old[0] && !memcmp(at, old, old_len))
			return at;
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
	const uint8_t *at = tf_payload(packet), *end = at + (packet->end - packet->payload);
	uint32_t n = packet->end - packet->payload, count = 0;
	uint64_t new_n;
	int status;

	if (!old_len || !(at = find(at, end, old, old_len)))
		return 0;
	if (packet->flags & TF_CUT) { /* it is there */
		at = packet->data + packet->payload + (at - tf_payload(packet));
		end = packet->data + packet->end;
		tf_settle_payload(packet);
	}
	for (; (!max || count < max) && (at = find(at, end, old, old_len)); at += old_len) {
		if (old_len == with_len)
			tf_packet_write(packet, (uint32_t)(at - packet->data), with, with_len);
		count++;
	}
	if (!count || old_len == with_len)
		return (int)count;
	new_n = n + (uint64_t)count * with_len - (uint64_t)count * old_len;
	status = fits(packet, new_n);
	if (status)
		return status;
	tf_settle(packet);
	packet->flags &= (uint8_t)~TF_VALID;
	splice(packet, old, old_len, with, with_len, count, (uint32_t)new_n);
	settle(packet, (uint32_t)new_n);
	return (int)count;
}
