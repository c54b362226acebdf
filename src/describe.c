#include "describe.h"

#include <stdio.h>
#include <uv.h>

#include "describe_parts.h"
#include "parse.h"
#include "segment.h"

enum {
	PROTO_HOP_BY_HOP = 0,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_ESP = 50,
	PROTO_AH = 51,
	PROTO_NONE = 59,
	PROTO_DESTINATION = 60
};

enum {
	TYPE_ARP = 0x0806,
	TYPE_IP6 = 0x86dd,
	ETHERNET_LENGTH_MAX = 1500 /* a "type" up to this is a length (802.3) */
};

enum { IP6_LEN = 40, HEXDUMP_LINE = 16 };

void tf_describe_ip4_address(struct tf_text *text, const struct tf_packet *packet, uint32_t at)
{
	tf_text_add(text, "%u.%u.%u.%u", tf_peek8(packet, at), tf_peek8(packet, at + 1),
		    tf_peek8(packet, at + 2), tf_peek8(packet, at + 3));
}

void tf_describe_ip6_address(struct tf_text *text, const struct tf_packet *packet, uint32_t at)
{
	uint8_t bytes[16];
	char address[64];
	uint32_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = tf_peek8(packet, at + i);
	if (uv_inet_ntop(AF_INET6, bytes, address, sizeof(address)) == 0)
		tf_text_add(text, "%s", address);
}

void tf_describe_hex(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
		     uint32_t count)
{
	uint32_t i;

	for (i = at; i < packet->len && i - at < count; i++)
		tf_text_add(text, "%02x", packet->data[i]);
}

static void describe_mac(struct tf_text *text, const struct tf_packet *packet, uint32_t at)
{
	uint32_t i;

	for (i = 0; i < 6; i++)
		tf_text_add(text, "%s%02x", i > 0 ? ":" : "", tf_peek8(packet, at + i));
}

/* Whether these are the bytes of ports, be the rest of the TCP or UDP header there or not. */
static int has_ports(const struct tf_packet *packet, uint8_t proto)
{
	return (proto == PROTO_TCP || proto == PROTO_UDP) &&
	       packet->fragment != TF_FRAGMENT_LATER && tf_inside(packet, packet->transport, 4);
}

/* "source > destination: ", with the ports where this protocol, next to the IP header, has them. */
static void describe_addresses(struct tf_text *text, const struct tf_packet *packet, uint8_t proto)
{
	uint32_t at = packet->network;
	uint32_t side;

	for (side = 0; side < 2; side++) {
		if (packet->headers & TF_HAS_IP4)
			tf_describe_ip4_address(text, packet, at + 12 + 4 * side);
		else
			tf_describe_ip6_address(text, packet, at + 8 + 16 * side);
		if (has_ports(packet, proto))
			tf_text_add(text, ".%u", tf_peek16(packet, packet->transport + 2 * side));
		tf_text_add(text, side == 0 ? " > " : ": ");
	}
}

static void describe_udp(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t length = tf_peek16(packet, packet->transport + 4);

	tf_text_add(text, "UDP, length %u", length > 8 ? length - 8 : 0);
}

/* Protocols that we know no more of than their names, which are tcpdump's. */
static const char *protocol_name(uint8_t proto)
{
	switch (proto) {
	case 2:
		return "igmp";
	case 4:
		return "IP";
	case 41:
		return "IP6";
	case 47:
		return "GRE";
	case 89:
		return "OSPF";
	case 103:
		return "PIM";
	case 112:
		return "VRRP";
	case 132:
		return "sctp";
	default:
		return NULL;
	}
}

static void describe_authentication(struct tf_text *text, const struct tf_packet *packet,
				    uint32_t at, uint32_t size)
{
	uint32_t reserved = tf_peek16(packet, at + 2);

	tf_text_add(text, "AH(");
	if (reserved != 0)
		tf_text_add(text, "reserved=0x%x[MustBeZero],", reserved);
	tf_text_add(text, "spi=0x%08x,seq=0x%x,icv=0x", tf_peek32(packet, at + 4),
		    tf_peek32(packet, at + 8));
	tf_describe_hex(text, packet, at + 12, size > 12 ? size - 12 : 0);
	tf_text_add(text, "): ");
}

/* An upper layer other than TCP, UDP, ICMP and ICMPv6, from an offset on. */
static void describe_other(struct tf_text *text, const struct tf_packet *packet, uint8_t proto,
			   uint32_t at)
{
	uint32_t limit = tf_limit(packet);
	uint32_t length = limit > at ? limit - at : 0;

	if (proto == PROTO_NONE)
		tf_text_add(text, "no next header");
	else if (proto == PROTO_ESP && length >= 8)
		tf_text_add(text, "ESP(spi=0x%08x,seq=0x%x), length %u", tf_peek32(packet, at),
			    tf_peek32(packet, at + 4), length);
	else if (protocol_name(proto))
		tf_text_add(text, "%s, length %u", protocol_name(proto), length);
	else
		tf_text_add(text, " ip-proto-%u %u", proto, length);
}

/*
 * What follows the IP header, or the last extension header, at an offset. The addresses are there
 * already, with a space behind them.
 */
static void describe_transport(struct tf_text *text, const struct tf_packet *packet, uint8_t proto,
			       uint32_t at)
{
	/* Like tcpdump, we stop at mobility, HIP and shim6 headers, which the parser looks behind.
	 */
	uint32_t known = at == packet->transport ? packet->headers : 0;

	if (known & TF_HAS_TCP)
		tf_describe_tcp(text, packet);
	else if (known & TF_HAS_UDP)
		describe_udp(text, packet);
	else if (known & TF_HAS_ICMP)
		tf_describe_icmp(text, packet);
	else if (known & TF_HAS_ICMP6)
		tf_describe_icmp6(text, packet);
	else if (!packet->malformed)
		describe_other(text, packet, proto, at);
}

static void describe_ip4(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t at = packet->network;
	uint8_t proto = tf_peek8(packet, at + 9);

	tf_text_add(text, "IP ");
	describe_addresses(text, packet, proto);
	if (packet->fragment == TF_FRAGMENT_LATER)
		tf_text_add(text, "ip-proto-%u", proto);
	else
		describe_transport(text, packet, proto, packet->transport);
}

static void describe_routing(struct tf_text *text, const struct tf_packet *packet, uint32_t at)
{
	uint8_t words = tf_peek8(packet, at + 1);
	uint8_t type = tf_peek8(packet, at + 2);
	uint32_t i;

	tf_text_add(text, "RT6 (len=%u, type=%u%s, segleft=%u", words, type,
		    type == 0 ? " [Deprecated]" : "", tf_peek8(packet, at + 3));
	if (type == 4) {
		tf_text_add(text, ", last-entry=%u", tf_peek8(packet, at + 4));
		if (tf_peek8(packet, at + 5) != 0)
			tf_text_add(text, ", flags=0x%x", tf_peek8(packet, at + 5));
		tf_text_add(text, ", tag=%x", tf_peek16(packet, at + 6));
	} else if (type == 0 || type == 2) {
		if (tf_peek32(packet, at + 4) != 0)
			tf_text_add(text, ", rsv=0x%x", tf_peek32(packet, at + 4));
	} else {
		words = 0; /* addresses are known in these types only */
	}
	for (i = 0; i < words / 2u; i++) {
		tf_text_add(text, ", [%u]", i);
		tf_describe_ip6_address(text, packet, at + 8 + 16 * i);
	}
	tf_text_add(text, ") ");
}

/* Size of the extension header of this protocol number at an offset; 0: it is not one. */
static uint32_t extension_size(const struct tf_packet *packet, uint8_t proto, uint32_t at)
{
	switch (proto) {
	case PROTO_HOP_BY_HOP:
	case PROTO_ROUTING:
	case PROTO_DESTINATION:
		return (tf_peek8(packet, at + 1) + 1u) * 8;
	case PROTO_FRAGMENT:
		return 8;
	case PROTO_AH:
		return (tf_peek8(packet, at + 1) + 2u) * 4;
	default:
		return 0;
	}
}

/*
 * Prints the extension headers that are whole. Returns the offset behind them with *proto telling
 * what is there, or 0 when nothing more can be said.
 */
static uint32_t describe_extensions(struct tf_text *text, const struct tf_packet *packet,
				    uint8_t *proto)
{
	uint32_t at = packet->network + IP6_LEN;
	uint32_t end = at + tf_peek16(packet, packet->network + 4);
	uint32_t size, fragment, next;

	while ((size = extension_size(packet, *proto, at)) != 0) {
		if (!tf_inside(packet, at, size))
			return 0;
		switch (*proto) {
		case PROTO_HOP_BY_HOP:
			tf_text_add(text, "HBH ");
			break;
		case PROTO_DESTINATION:
			tf_text_add(text, "DSTOPT ");
			break;
		case PROTO_ROUTING:
			describe_routing(text, packet, at);
			break;
		case PROTO_AH:
			describe_authentication(text, packet, at, size);
			break;
		default:
			fragment = tf_peek16(packet, at + 2) & 0xfff8u;
			next = at + size;
			tf_text_add(text, "frag (%u|%u)", fragment, end > next ? end - next : 0);
			if (fragment != 0 || next == tf_limit(packet))
				return 0;
			tf_text_add(text, " ");
		}
		*proto = tf_peek8(packet, at);
		at += size;
	}
	return at;
}

static void describe_ip6(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t first = packet->network + IP6_LEN, at;
	uint8_t proto = tf_peek8(packet, packet->network + 6);

	tf_text_add(text, "IP6 ");
	describe_addresses(text, packet, proto);
	at = describe_extensions(text, packet, &proto);
	if (at == 0)
		return;
	if (at > first && has_ports(packet, proto))
		tf_text_add(text, "%u > %u: ", tf_peek16(packet, packet->transport),
			    tf_peek16(packet, packet->transport + 2));
	describe_transport(text, packet, proto, at);
}

static void describe_arp(struct tf_text *text, const struct tf_packet *packet)
{
	static const char *const operations[] = {"Request who-has ", "Reply ",
						 "Reverse Request who-is ", "Reverse Reply "};
	uint32_t at = packet->network;
	uint32_t sender = at + 8, target = at + 18; /* a MAC each, with its IPv4 address behind */
	uint16_t operation = tf_peek16(packet, at + 6);

	if (operation < 1 || operation > 4) {
		tf_text_add(text, "ARP, Unknown (%u)", operation);
		return;
	}
	tf_text_add(text, "ARP, %s", operations[operation - 1]);
	switch (operation) {
	case 1:
		tf_describe_ip4_address(text, packet, target + 6);
		if (tf_peek32(packet, target) != 0 || tf_peek16(packet, target + 4) != 0) {
			tf_text_add(text, " (");
			describe_mac(text, packet, target);
			tf_text_add(text, ")");
		}
		tf_text_add(text, " tell ");
		tf_describe_ip4_address(text, packet, sender + 6);
		break;
	case 2:
		tf_describe_ip4_address(text, packet, sender + 6);
		tf_text_add(text, " is-at ");
		describe_mac(text, packet, sender);
		break;
	case 3:
		describe_mac(text, packet, target);
		tf_text_add(text, " tell ");
		describe_mac(text, packet, sender);
		break;
	default:
		describe_mac(text, packet, target);
		tf_text_add(text, " at ");
		tf_describe_ip4_address(text, packet, target + 6);
	}
	tf_text_add(text, ", length %u", packet->len - at);
}

/* Prints the VLAN tags and returns the type behind them; 0 without a whole Ethernet header. */
static uint32_t describe_tags(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t tag, at = 12;

	if (!(packet->headers & TF_HAS_ETH))
		return 0;
	for (; at + 2 < packet->network; at += 4) {
		tag = tf_peek16(packet, at + 2);
		tf_text_add(text, "vlan %u, p %u%s, ", tag & 0xfff, tag >> 13,
			    tag & 0x1000 ? ", DEI" : "");
	}
	return tf_peek16(packet, at);
}

/* A frame of a type that we do not look into. */
static void describe_frame(struct tf_text *text, const struct tf_packet *packet, uint32_t type)
{
	describe_mac(text, packet, 6);
	tf_text_add(text, " > ");
	describe_mac(text, packet, 0);
	if (type <= ETHERNET_LENGTH_MAX)
		tf_text_add(text, ", 802.3, length %u", type);
	else
		tf_text_add(text, ", ethertype Unknown (0x%04x), length %u", type, packet->len);
}

/* The protocol, of a packet of which no header but Ethernet's is whole. */
static void describe_broken(struct tf_text *text, const struct tf_packet *packet, uint32_t type)
{
	uint8_t version = tf_peek8(packet, packet->network) >> 4;

	if (packet->malformed == TF_BAD_ETH_SHORT)
		tf_text_add(text, "Ethernet");
	else if (type == TYPE_ARP)
		tf_text_add(text, "ARP");
	else if (packet->malformed == TF_BAD_IP_VERSION)
		tf_text_add(text, "unknown ip %u", version);
	else
		tf_text_add(text, type == TYPE_IP6 || version == 6 ? "IP6" : "IP");
}

uint32_t tf_packet_describe(const struct tf_packet *packet, char *line, uint32_t size)
{
	struct tf_text text;
	uint32_t type;

	tf_text_begin(&text, line, size);
	type = describe_tags(&text, packet);
	if (packet->headers & TF_HAS_ARP)
		describe_arp(&text, packet);
	else if (packet->headers & TF_HAS_IP4)
		describe_ip4(&text, packet);
	else if (packet->headers & TF_HAS_IP6)
		describe_ip6(&text, packet);
	else if (packet->malformed)
		describe_broken(&text, packet, type);
	else if (packet->headers & TF_HAS_ETH)
		describe_frame(&text, packet, type);
	if (packet->malformed)
		tf_text_add(&text, "%s[malformed: %s]",
			    text.len > 0 && line[text.len - 1] == ' ' ? "" : " ",
			    tf_malformed_text(packet->malformed));
	return (uint32_t)text.len;
}

uint32_t tf_packet_hexdump(struct tf_packet *packet, char *dump, uint32_t size)
{
	uint32_t needed = 0, at, i;

	if (size > 0)
		dump[0] = 0;
	tf_settle(packet);
	for (at = 0; at < packet->len; at += HEXDUMP_LINE) {
		uint32_t count = packet->len - at < HEXDUMP_LINE ? packet->len - at : HEXDUMP_LINE;
		uint32_t left = needed < size ? size - needed : 0;
		char hex[3 * HEXDUMP_LINE + 1] = "", readable[HEXDUMP_LINE + 1] = "";
		struct tf_text pairs;
		int length;

		tf_text_begin(&pairs, hex, sizeof(hex));
		for (i = 0; i < count; i++) {
			uint8_t byte = packet->data[at + i];

			tf_text_add(&pairs, "%s%02x", i % 2 == 0 ? " " : "", byte);
			readable[i] = byte > ' ' && byte < 0x7f ? (char)byte : '.';
		}
		length = snprintf(left > 0 ? dump + needed : NULL, left, "\t0x%04x: %-40s  %s\n",
				  at, hex, readable);
		needed += (uint32_t)length;
	}
	return needed;
}
