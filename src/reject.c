#include "reject.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"
#include "segment.h"

enum { IP4_LEN = 20, IP6_LEN = 40, TCP_LEN = 20, ICMP_LEN = 8 };
enum { IP4_ERROR_MAX = 576, IP6_ERROR_MAX = 1280 }; /* RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c) */
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_ICMP6 = 58 };
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static int is_host4(const uint8_t *address)
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static int is_host6(const uint8_t *address)
{
	static const uint8_t zero[15];

	/* :: and ::1 */
	return address[0] != 0xff && (memcmp(address, zero, 15) != 0 || address[15] > 1);
}

/* Whether the packet goes from one host to one other. */
static int between_hosts(const struct tf_packet *packet)
{
	const uint8_t *data = packet->data, *ip = data + packet->network;

	if (packet->link == TF_LINK_ETHERNET && (data[0] | data[6]) & 1)
		return 0;
	if (packet->headers & TF_HAS_IP4)
		return is_host4(ip + 12) && is_host4(ip + 16);
	return is_host6(ip + 8) && is_host6(ip + 24) &&
	       is_host6(data + tf_checksum_destination(packet));
}

/* Whether it is itself an answer that must not have one. */
static int is_answer(const struct tf_packet *packet)
{
	const uint8_t *transport = packet->data + packet->transport;

	if (packet->headers & TF_HAS_TCP)
		return transport[13] & RST;
	if (packet->headers & TF_HAS_ICMP) /* errors, and what is none that is known */
		return (transport[0] >= 3 && transport[0] <= 5) || transport[0] == 11 ||
		       transport[0] == 12 || transport[0] > 18;
	if (packet->headers & TF_HAS_ICMP6)
		return transport[0] < 128 || transport[0] == 137;
	return 0;
}

/*
 * Whether a checksum is wrong. The sum of the pseudo-header alone is right too: so it stands in
 * captures of the sending machine's own, whose network card was to do the rest.
 */
static int is_damaged(const struct tf_packet *packet)
{
	const uint8_t *data = packet->data;
	uint32_t field = tf_checksum_offset(packet);
	uint16_t has, whole, rest;

	if (packet->headers & TF_HAS_IP4 &&
	    tf_get16(data + packet->network + 10) != tf_checksum_ip4(packet))
		return 1;
	if (!field || packet->fragment != TF_WHOLE || packet->flags & TF_PARTIAL)
		return 0;
	has = tf_get16(data + field);
	whole = tf_checksum_transport(packet);
	if (has == whole || (!has && packet->headers & TF_HAS_IP4 && packet->headers & TF_HAS_UDP))
		return 0;
	/* ~whole is pseudo-header + the rest. */
	rest = tf_checksum_fold(tf_checksum_add(data + packet->transport,
						packet->end - packet->transport, (uint16_t)~has));
	return tf_checksum_fold((uint32_t)(uint16_t)~whole + (uint16_t)~rest) != has;
}

/* The segment that follows the answer's IP header. */
static uint32_t write_rst(const struct tf_packet *packet, uint8_t *tcp)
{
	const uint8_t *from = packet->data + packet->transport;
	uint32_t length = packet->end - packet->payload, seq;

	memset(tcp, 0, TCP_LEN);
	memcpy(tcp, from + 2, 2);
	memcpy(tcp + 2, from, 2);
	tcp[12] = TCP_LEN << 2;
	tcp[13] = RST;
	if (from[13] & ACK) {
		memcpy(tcp + 4, from + 8, 4);
		return TCP_LEN;
	}
	seq = (uint32_t)tf_get16(from + 4) << 16 | tf_get16(from + 6);
	seq += length + !!(from[13] & SYN) + !!(from[13] & FIN);
	tf_put16(tcp + 8, seq >> 16);
	tf_put16(tcp + 10, seq);
	tcp[13] |= ACK;
	return TCP_LEN;
}

/* Likewise, with as much of the packet as there is room for. */
static uint32_t write_error(const struct tf_packet *packet, uint8_t *icmp, uint32_t room)
{
	uint32_t n = packet->end - packet->network;
	int ip4 = packet->headers & TF_HAS_IP4, udp = packet->headers & TF_HAS_UDP;

	if (n > room - ICMP_LEN)
		n = room - ICMP_LEN;
	memset(icmp, 0, ICMP_LEN);
	icmp[0] = ip4 ? 3 : 1;
	icmp[1] = ip4 ? (udp ? 3 : 13) : (udp ? 4 : 1);
	memcpy(icmp + ICMP_LEN, packet->data + packet->network, n);
	return ICMP_LEN + n;
}

static uint32_t write_transport(const struct tf_packet *packet, uint8_t *at, uint32_t room)
{
	return packet->headers & TF_HAS_TCP ? write_rst(packet, at) : write_error(packet, at, room);
}

static uint32_t write_ip4(const struct tf_packet *packet, uint8_t *ip)
{
	const uint8_t *from = packet->data + packet->network;
	int tcp = packet->headers & TF_HAS_TCP;
	uint32_t n = IP4_LEN + write_transport(packet, ip + IP4_LEN, IP4_ERROR_MAX - IP4_LEN);

	memset(ip, 0, IP4_LEN);
	ip[0] = 0x45;
	ip[1] = tcp ? 0 : 0xc0; /* errors: internetwork control (RFC 1812, 4.3.2.5) */
	tf_put16(ip + 2, n);
	ip[6] = 0x40; /* not to be fragmented, so that it needs no id (RFC 6864) */
	ip[8] = 64;
	ip[9] = tcp ? PROTO_TCP : PROTO_ICMP;
	memcpy(ip + 12, from + 16, 4);
	memcpy(ip + 16, from + 12, 4);
	return n;
}

static uint32_t write_ip6(const struct tf_packet *packet, uint8_t *ip)
{
	const uint8_t *from = packet->data + packet->network;
	uint32_t n = write_transport(packet, ip + IP6_LEN, IP6_ERROR_MAX - IP6_LEN);

	memset(ip, 0, IP6_LEN);
	ip[0] = 0x60;
	tf_put16(ip + 4, n);
	ip[6] = packet->headers & TF_HAS_TCP ? PROTO_TCP : PROTO_ICMP6;
	ip[7] = 64;
	memcpy(ip + 8, packet->data + tf_checksum_destination(packet), 16);
	memcpy(ip + 24, from + 8, 16);
	return IP6_LEN + n;
}

uint32_t tf_reject(struct tf_packet *packet, uint8_t answer[TF_REJECT_MAX])
{
	struct tf_packet made = {.data = answer, .link = packet->link};
	uint32_t link = packet->network;
	uint8_t *ip = answer + link;

	if (!(packet->headers & (TF_HAS_IP4 | TF_HAS_IP6)) || packet->malformed ||
	    packet->fragment == TF_FRAGMENT_LATER || !between_hosts(packet) || is_answer(packet) ||
	    is_damaged(packet))
		return 0;
	if (!(packet->headers & TF_HAS_TCP)) /* it will be quoted */
		tf_settle(packet);
	if (packet->headers & TF_HAS_ETH) { /* VLAN tags and type as they were */
		memcpy(answer, packet->data + 6, 6);
		memcpy(answer + 6, packet->data, 6);
		memcpy(answer + 12, packet->data + 12, link - 12);
	}
	made.len = link;
	made.len += packet->headers & TF_HAS_IP4 ? write_ip4(packet, ip) : write_ip6(packet, ip);
	made.room = made.len;
	tf_parse(&made);
	if (made.headers & TF_HAS_IP4)
		tf_put16(ip + 10, tf_checksum_ip4(&made));
	tf_put16(answer + tf_checksum_offset(&made), tf_checksum_transport(&made));
	return made.len;
}
