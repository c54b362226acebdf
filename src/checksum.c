#include "checksum.h"

#include <string.h>

#include "bytes.h"
#include "parse.h"

/* One's complement addition: the carry comes back at the low end. */
static inline uint64_t add64(uint64_t a, uint64_t b)
{
	a += b;
	return a + (a < b);
}

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/*
 * The sum does not care in which byte order words are added (RFC 1071, 2 B), nor how wide they are,
 * so this adds 8 bytes at a time in the machine's order and swaps once.
 */
uint32_t tf_checksum_add(const void *bytes, size_t len, uint32_t sum)
{
	const uint8_t *at = bytes;
	uint64_t a = 0, b = 0, word;
	uint8_t native[2];
	uint16_t folded;

	for (; len >= 32; len -= 32, at += 32) {
		a = add64(add64(a, load64(at)), load64(at + 8));
		b = add64(add64(b, load64(at + 16)), load64(at + 24));
	}
	for (; len >= 8; len -= 8, at += 8)
		a = add64(a, load64(at));
	a = add64(a, b);
	if (len & 4) {
		uint32_t half;

		memcpy(&half, at, sizeof(half));
		a = add64(a, half);
		at += 4;
	}
	if (len & 2) {
		memcpy(&folded, at, sizeof(folded));
		a = add64(a, folded);
		at += 2;
	}
	if (len & 1) {
		native[0] = *at;
		native[1] = 0;
		memcpy(&folded, native, sizeof(folded));
		a = add64(a, folded);
	}
	a = (a & 0xffffffff) + (a >> 32);
	a = (a & 0xffffffff) + (a >> 32);
	folded = tf_checksum_fold((uint32_t)a);
	memcpy(native, &folded, sizeof(native));
	word = (uint64_t)sum + tf_get16(native);
	return (uint32_t)(word + (word >> 32));
}

static uint32_t routed_destination(const struct tf_packet *packet)
{
	const uint8_t *data = packet->data;
	uint32_t at = packet->network + 40, n;
	uint8_t next = data[packet->network + 6];

	for (; at + 8 <= packet->transport; at += n) {
		n = tf_ip6_extension(next, data + at);
		if (!n || n > packet->transport - at)
			break;
		if (next == 43 && data[at + 3] > 0 && n >= 24) {
			if (data[at + 2] == 0 || data[at + 2] == 2)
				return at + n - 16;
			if (data[at + 2] == 4) /* the list is in reverse (RFC 8754) */
				return at + 8;
		}
		next = data[at];
	}
	return packet->network + 24;
}

uint32_t tf_checksum_destination(const struct tf_packet *packet)
{
	if (packet->headers & TF_HAS_IP4)
		return packet->network + 16;
	if (packet->transport - packet->network == 40)
		return packet->network + 24;
	return routed_destination(packet);
}

static uint32_t pseudo_header(const struct tf_packet *packet)
{
	const uint8_t *ip = packet->data + packet->network;
	uint32_t sum = packet->end - packet->transport; /* its upper half is added when folding */

	if (packet->headers & TF_HAS_TCP)
		sum += 6;
	else if (packet->headers & TF_HAS_UDP)
		sum += 17;
	else
		sum += 58;
	if (packet->headers & TF_HAS_IP4)
		return tf_checksum_add(ip + 12, 8, sum);
	sum = tf_checksum_add(ip + 8, 16, sum);
	return tf_checksum_add(packet->data + tf_checksum_destination(packet), 16, sum);
}

uint16_t tf_checksum_pseudo(const struct tf_packet *packet)
{
	return tf_checksum_fold(pseudo_header(packet));
}

uint16_t tf_checksum_transport(const struct tf_packet *packet)
{
	const uint8_t *data = packet->data;
	uint32_t field = tf_checksum_offset(packet), from = packet->transport, sum = 0;
	uint16_t checksum;

	if (!field)
		return 0;
	if (!(packet->headers & TF_HAS_ICMP))
		sum = pseudo_header(packet);
	sum = tf_checksum_add(data + from, field - from, sum);
	sum = tf_checksum_add(data + field + 2, packet->end - field - 2, sum);
	checksum = (uint16_t)~tf_checksum_fold(sum);
	return checksum || !(packet->headers & TF_HAS_UDP) ? checksum : 0xffff;
}

uint16_t tf_checksum_ip4(const struct tf_packet *packet)
{
	const uint8_t *ip = packet->data + packet->network;
	uint32_t sum = tf_checksum_add(ip, 10, 0);

	sum = tf_checksum_add(ip + 12, packet->transport - packet->network - 12, sum);
	return (uint16_t)~tf_checksum_fold(sum);
}

int tf_checksum_tcp_right(const struct tf_packet *packet)
{
	if (packet->flags & TF_PARTIAL)
		return 1; /* it will be */
	return packet->headers & TF_HAS_TCP &&
	       tf_get16(packet->data + packet->transport + 16) == tf_checksum_transport(packet);
}
