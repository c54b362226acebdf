#include "parse.h"

#include <stddef.h>

#include "bytes.h"

enum { ETH_LEN = 14, VLAN_LEN = 4, ARP_LEN = 28, IP4_LEN = 20, IP6_LEN = 40 };
enum { TCP_LEN = 20, UDP_LEN = 8, ICMP_LEN = 8 };
enum {
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_IP6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	TYPE_QINQ = 0x88a8
};
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_FRAGMENT = 44, PROTO_ICMP6 = 58 };

/* The first thing found wrong stays. */
static inline void bad(struct tf_packet *packet, uint8_t code)
{
	if (!packet->malformed)
		packet->malformed = code;
}

uint32_t tf_ip6_extension(uint8_t type, const uint8_t *header)
{
	switch (type) {
	case 0:	  /* hop-by-hop options */
	case 43:  /* routing */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* HIP */
	case 140: /* shim6 */
		return header[1] * 8u + 8;
	case 51: /* authentication */
		return header[1] * 4u + 8;
	case PROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

/* The transport header at `transport`, within end. The rest of the packet is done. */
static inline void parse_transport(struct tf_packet *packet, uint8_t proto)
{
	const uint8_t *at = packet->data + packet->transport;
	uint32_t avail = packet->end - packet->transport, n;

	if (proto == PROTO_TCP) {
		if (avail < TCP_LEN) {
			bad(packet, TF_BAD_TCP_SHORT);
			return;
		}
		n = at[12] >> 4 << 2;
		if (n < TCP_LEN || n > avail) {
			bad(packet, TF_BAD_TCP_OFFSET);
			return;
		}
		packet->headers |= TF_HAS_TCP;
	} else if (proto == PROTO_UDP) {
		uint32_t udp_len;

		if (avail < UDP_LEN) {
			bad(packet, TF_BAD_UDP_SHORT);
			return;
		}
		n = UDP_LEN;
		udp_len = tf_get16(at + 4);
		/* A first fragment's length speaks of the whole datagram. */
		if (udp_len < UDP_LEN || (udp_len > avail && packet->fragment == TF_WHOLE))
			bad(packet, TF_BAD_UDP_LEN);
		else if (packet->fragment == TF_WHOLE)
			packet->end = packet->transport + udp_len;
		packet->headers |= TF_HAS_UDP;
	} else if (packet->headers & TF_HAS_IP4 ? proto == PROTO_ICMP : proto == PROTO_ICMP6) {
		if (avail < ICMP_LEN) {
			bad(packet, TF_BAD_ICMP_SHORT);
			return;
		}
		n = ICMP_LEN;
		packet->headers |= packet->headers & TF_HAS_IP4 ? TF_HAS_ICMP : TF_HAS_ICMP6;
	} else {
		return;
	}
	packet->payload += n;
}

static inline void parse_ip4(struct tf_packet *packet, uint32_t network)
{
	const uint8_t *ip = packet->data + network;
	uint32_t avail = packet->len - network, header, total, fragment;

	if (avail < IP4_LEN) {
		packet->malformed = TF_BAD_IP_SHORT;
		return;
	}
	header = (ip[0] & 15u) * 4;
	if (header < IP4_LEN || header > avail) {
		packet->malformed = TF_BAD_IP_HEADER_LEN;
		return;
	}
	total = tf_get16(ip + 2);
	if (total < header || total > avail) {
		packet->malformed = TF_BAD_IP_LEN;
		total = total < header ? header : avail;
	}
	packet->headers |= TF_HAS_IP4;
	packet->end = network + total;
	packet->transport = packet->payload = network + header;
	packet->proto = ip[9];
	fragment = tf_get16(ip + 6);
	if (fragment & 0x1fff) {
		packet->fragment = TF_FRAGMENT_LATER;
		return;
	}
	if (fragment & 0x2000)
		packet->fragment = TF_FRAGMENT_FIRST;
	parse_transport(packet, ip[9]);
}

static void parse_ip6(struct tf_packet *packet, uint32_t network)
{
	const uint8_t *data = packet->data, *ip = data + network;
	uint32_t avail = packet->len - network, total, at = network + IP6_LEN, n;
	uint8_t next;

	if (avail < IP6_LEN) {
		packet->malformed = TF_BAD_IP_SHORT;
		return;
	}
	total = tf_get16(ip + 4) + (uint32_t)IP6_LEN;
	next = ip[6];
	if (total > avail || (total == IP6_LEN && next == 0)) {
		packet->malformed = TF_BAD_IP_LEN;
		total = avail;
	}
	packet->headers |= TF_HAS_IP6;
	packet->end = network + total;
	for (; packet->fragment != TF_FRAGMENT_LATER; at += n) {
		/* Two bytes are needed to tell the length, and no header is shorter than eight. */
		static const uint8_t shortest[2];
		const uint8_t *header = packet->end - at < 8 ? shortest : data + at;

		n = tf_ip6_extension(next, header);
		if (!n)
			break;
		if (n > packet->end - at) {
			bad(packet, TF_BAD_IP6_EXTENSION);
			break;
		}
		if (next == PROTO_FRAGMENT) {
			uint32_t fragment = tf_get16(header + 2);

			if (fragment & 0xfff8)
				packet->fragment = TF_FRAGMENT_LATER;
			else if (fragment & 1)
				packet->fragment = TF_FRAGMENT_FIRST;
		}
		next = header[0];
	}
	packet->transport = packet->payload = at;
	packet->proto = next;
	if (packet->fragment != TF_FRAGMENT_LATER)
		parse_transport(packet, next);
}

static void parse_arp(struct tf_packet *packet, uint32_t network)
{
	static const uint8_t kind[6] = {0, 1, TYPE_IP4 >> 8, TYPE_IP4 & 255, 6, 4};
	const uint8_t *arp = packet->data + network;
	uint32_t avail = packet->len - network;

	for (uint32_t i = 0; i < sizeof(kind) && i < avail; i++) {
		if (arp[i] != kind[i]) {
			packet->malformed = TF_BAD_ARP_KIND;
			return;
		}
	}
	if (avail < ARP_LEN) {
		packet->malformed = TF_BAD_ARP_SHORT;
		return;
	}
	packet->headers |= TF_HAS_ARP;
	packet->transport = packet->payload = network + ARP_LEN;
}

/* Moves *network behind the Ethernet header and its tags; the type, or -1. */
static inline int32_t parse_ethernet(struct tf_packet *packet, uint32_t *network)
{
	const uint8_t *data = packet->data;
	uint32_t at = ETH_LEN, vlan = 0;
	int32_t type;

	if (packet->len < ETH_LEN)
		return -1;
	type = tf_get16(data + 12);
	for (int tags = 0; (type == TYPE_VLAN || type == TYPE_QINQ) && tags < 2; tags++) {
		if (packet->len - at < VLAN_LEN)
			return -1;
		if (!tags)
			vlan = (tf_get16(data + at) & 0xfffu) + 1;
		type = tf_get16(data + at + 2);
		at += VLAN_LEN;
	}
	packet->headers = TF_HAS_ETH;
	packet->vlan = (uint16_t)vlan;
	*network = at;
	return type;
}

void tf_parse(struct tf_packet *packet)
{
	uint32_t network = 0;
	int32_t type = 0;
	uint8_t version;

	packet->headers = 0;
	packet->vlan = 0;
	packet->proto = 0;
	packet->fragment = TF_WHOLE;
	packet->malformed = TF_WELL_FORMED;
	if (packet->link == TF_LINK_ETHERNET)
		type = parse_ethernet(packet, &network);
	packet->network = packet->transport = packet->payload = network;
	packet->end = packet->len;
	if (type < 0) {
		packet->malformed = TF_BAD_ETH_SHORT;
		return;
	}
	if (type == TYPE_ARP) {
		parse_arp(packet, network);
		return;
	}
	if (packet->link != TF_LINK_IP && type != TYPE_IP4 && type != TYPE_IP6)
		return;
	if (packet->len == network) {
		packet->malformed = TF_BAD_IP_SHORT;
		return;
	}
	version = packet->data[network] >> 4;
	if (version == 4 && type != TYPE_IP6)
		parse_ip4(packet, network);
	else if (version == 6 && type != TYPE_IP4)
		parse_ip6(packet, network);
	else
		packet->malformed = TF_BAD_IP_VERSION;
}

const char *tf_malformed_text(uint8_t code)
{
	static const char *const texts[TF_MALFORMED_COUNT] = {
		[TF_BAD_ETH_SHORT] = "the Ethernet header is cut off",
		[TF_BAD_ARP_SHORT] = "the ARP packet is cut off",
		[TF_BAD_ARP_KIND] = "ARP for something else than Ethernet and IPv4",
		[TF_BAD_IP_VERSION] =
			"the IP version is not 4 or 6, or not what the Ethernet type says",
		[TF_BAD_IP_SHORT] = "the IP header is cut off",
		[TF_BAD_IP_HEADER_LEN] =
			"the IPv4 header length is below 20 or past the packet's end",
		[TF_BAD_IP_LEN] = "the IP length is below the header's or past the packet's end",
		[TF_BAD_IP6_EXTENSION] = "an IPv6 extension header is cut off",
		[TF_BAD_TCP_SHORT] = "the TCP header is cut off",
		[TF_BAD_TCP_OFFSET] = "the TCP data offset is below 20 or past the packet's end",
		[TF_BAD_UDP_SHORT] = "the UDP header is cut off",
		[TF_BAD_UDP_LEN] = "the UDP length is below 8 or past the packet's end",
		[TF_BAD_ICMP_SHORT] = "the ICMP header is cut off",
	};

	return code < TF_MALFORMED_COUNT ? texts[code] : NULL;
}
