/* ICMP and ICMPv6 messages in words, as tcpdump puts them. */
#include "describe_parts.h"

/* Where the packet that an error message quotes begins: behind the 8 bytes of the header. */
enum { QUOTED = 8 };

enum { PROTO_TCP = 6, PROTO_UDP = 17 };

enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP_TIMESTAMP = 13,
	ICMP_TIMESTAMP_REPLY = 14,
	ICMP_MASK_REPLY = 18
};

enum { UNREACHABLE_PROTOCOL = 2, UNREACHABLE_PORT = 3, UNREACHABLE_NEED_FRAGMENT = 4 };

enum {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_LISTENER_QUERY = 130,
	ICMP6_LISTENER_REPORT = 131,
	ICMP6_LISTENER_DONE = 132,
	ICMP6_NEIGHBOR_SOLICITATION = 135,
	ICMP6_NEIGHBOR_ADVERTISEMENT = 136,
	ICMP6_REDIRECT = 137,
	ICMP6_LISTENER_REPORT_V2 = 143
};

static uint32_t message_length(const struct tf_packet *packet)
{
	uint32_t limit = tf_limit(packet);

	return limit > packet->transport ? limit - packet->transport : 0;
}

/* The words around the address that a quoted packet was for, by code. */
static const struct {
	const char *before;
	const char *after;
} unreachable[] = {
	{"net ", ""},
	{"host ", ""},
	{NULL, NULL}, /* protocol */
	{NULL, NULL}, /* port */
	{NULL, NULL}, /* need to fragment */
	{"", " - source route failed"},
	{"net ", " - unknown"},
	{"host ", " - unknown"},
	{"", " - source host isolated"},
	{"net ", " - admin prohibited"},
	{"host ", " - admin prohibited"},
	{"net ", " - tos prohibited"},
	{"host ", " - tos prohibited"},
	{"host ", " - admin prohibited filter"},
	{"host ", " - host precedence violation"},
	{"host ", " - precedence cutoff"},
};

static void describe_port_unreachable(struct tf_text *text, const struct tf_packet *packet,
				      uint32_t quoted, uint32_t port)
{
	uint8_t proto = tf_peek8(packet, quoted + 9);

	tf_describe_ip4_address(text, packet, quoted + 16);
	if (proto == PROTO_TCP)
		tf_text_add(text, " tcp");
	else if (proto == PROTO_UDP)
		tf_text_add(text, " udp");
	else
		tf_text_add(text, " protocol %u", proto);
	tf_text_add(text, " port %u unreachable", tf_peek16(packet, port));
}

static void describe_unreachable(struct tf_text *text, const struct tf_packet *packet)
{
	uint8_t code = tf_peek8(packet, packet->transport + 1);
	uint32_t quoted = packet->transport + QUOTED;
	uint32_t mtu;

	if (code == UNREACHABLE_PORT) {
		uint32_t header = (tf_peek8(packet, quoted) & 15) * 4u;

		describe_port_unreachable(text, packet, quoted, quoted + header + 2);
		return;
	}
	if (code < sizeof(unreachable) / sizeof(unreachable[0]) && unreachable[code].before) {
		tf_text_add(text, "%s", unreachable[code].before);
		tf_describe_ip4_address(text, packet, quoted + 16);
		tf_text_add(text, " unreachable%s", unreachable[code].after);
		return;
	}
	tf_describe_ip4_address(text, packet, quoted + 16);
	if (code == UNREACHABLE_PROTOCOL) {
		tf_text_add(text, " protocol %u unreachable", tf_peek8(packet, quoted + 9));
	} else if (code == UNREACHABLE_NEED_FRAGMENT) {
		mtu = tf_peek16(packet, packet->transport + 6);
		tf_text_add(text, " unreachable - need to frag");
		if (mtu > 0)
			tf_text_add(text, " (mtu %u)", mtu);
	} else {
		tf_text_add(text, " unreachable - #%u", code);
	}
}

static void describe_redirect(struct tf_text *text, const struct tf_packet *packet)
{
	static const char *const kinds[][2] = {{"redirect", "net "},
					       {"redirect", "host "},
					       {"redirect-tos", "net "},
					       {"redirect-tos", "host "}};
	uint8_t code = tf_peek8(packet, packet->transport + 1);
	const char *target = "";

	if (code < 4) {
		tf_text_add(text, "%s ", kinds[code][0]);
		target = kinds[code][1];
	} else {
		tf_text_add(text, "redirect-#%u ", code);
	}
	tf_describe_ip4_address(text, packet, packet->transport + QUOTED + 16);
	tf_text_add(text, " to %s", target);
	tf_describe_ip4_address(text, packet, packet->transport + 4);
}

static void describe_time(struct tf_text *text, const char *before, uint32_t milliseconds)
{
	uint32_t seconds = milliseconds / 1000;

	tf_text_add(text, "%s%02u:%02u:%02u.%03u", before, seconds / 3600, seconds / 60 % 60,
		    seconds % 60, milliseconds % 1000);
}

static void describe_timestamp(struct tf_text *text, const struct tf_packet *packet, int reply)
{
	uint32_t at = packet->transport;

	tf_text_add(text, "time stamp %s id %u seq %u", reply ? "reply" : "query",
		    tf_peek16(packet, at + 4), tf_peek16(packet, at + 6));
	if (reply) {
		describe_time(text, ": org ", tf_peek32(packet, at + 8));
		describe_time(text, ", recv ", tf_peek32(packet, at + 12));
		describe_time(text, ", xmit ", tf_peek32(packet, at + 16));
	}
}

/* Bytes that the words for this message are taken from. */
static uint32_t icmp_needed(const struct tf_packet *packet)
{
	uint32_t at = packet->transport;
	uint8_t type = tf_peek8(packet, at);

	if (type == ICMP_UNREACHABLE && tf_peek8(packet, at + 1) == UNREACHABLE_PORT) {
		uint32_t port = QUOTED + (tf_peek8(packet, at + QUOTED) & 15) * 4u + 4;

		return port > QUOTED + 20 ? port : QUOTED + 20;
	}
	if (type == ICMP_UNREACHABLE || type == ICMP_REDIRECT || type == ICMP_TIME_EXCEEDED)
		return QUOTED + 20;
	if (type == ICMP_TIMESTAMP_REPLY)
		return 20;
	if (type == ICMP_MASK_REPLY)
		return 12;
	return 8;
}

static const char *icmp_name(uint8_t type)
{
	switch (type) {
	case 4:
		return "source quench";
	case 9:
		return "router advertisement";
	case 10:
		return "router solicitation";
	case 15:
		return "information request";
	case 16:
		return "information reply";
	case 17:
		return "address mask request";
	default:
		return NULL;
	}
}

static void describe_time_exceeded(struct tf_text *text, uint8_t code)
{
	if (code == 0)
		tf_text_add(text, "time exceeded in-transit");
	else if (code == 1)
		tf_text_add(text, "ip reassembly time exceeded");
	else
		tf_text_add(text, "time exceeded-#%u", code);
}

static void describe_parameter_problem(struct tf_text *text, uint8_t code, uint8_t octet)
{
	if (code != 0)
		tf_text_add(text, "parameter problem - code %u", code);
	else
		tf_text_add(text, "parameter problem - octet %u", octet);
}

void tf_describe_icmp(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t at = packet->transport;
	uint8_t type = tf_peek8(packet, at);
	uint8_t code = tf_peek8(packet, at + 1);

	if (!tf_inside(packet, at, icmp_needed(packet))) {
		tf_text_add(text, " [|icmp]");
		return;
	}
	tf_text_add(text, "ICMP ");
	switch (type) {
	case ICMP_ECHO_REPLY:
	case ICMP_ECHO_REQUEST:
		tf_text_add(text, "echo %s, id %u, seq %u",
			    type == ICMP_ECHO_REQUEST ? "request" : "reply",
			    tf_peek16(packet, at + 4), tf_peek16(packet, at + 6));
		break;
	case ICMP_UNREACHABLE:
		describe_unreachable(text, packet);
		break;
	case ICMP_REDIRECT:
		describe_redirect(text, packet);
		break;
	case ICMP_TIME_EXCEEDED:
		describe_time_exceeded(text, code);
		break;
	case ICMP_PARAMETER_PROBLEM:
		describe_parameter_problem(text, code, tf_peek8(packet, at + 4));
		break;
	case ICMP_TIMESTAMP:
	case ICMP_TIMESTAMP_REPLY:
		describe_timestamp(text, packet, type == ICMP_TIMESTAMP_REPLY);
		break;
	case ICMP_MASK_REPLY:
		tf_text_add(text, "address mask is 0x%08x", tf_peek32(packet, at + 8));
		break;
	default:
		if (icmp_name(type))
			tf_text_add(text, "%s", icmp_name(type));
		else
			tf_text_add(text, "type-#%u", type);
	}
	tf_text_add(text, ", length %u", message_length(packet));
}

static const char *icmp6_name(uint8_t type)
{
	static const char *const errors[] = {"destination unreachable", "packet too big",
					     "time exceeded in-transit", "parameter problem"};
	static const char *const others[] = {
		"echo request",
		"echo reply",
		"multicast listener query",
		"multicast listener report",
		"multicast listener done",
		"router solicitation",
		"router advertisement",
		"neighbor solicitation",
		"neighbor advertisement",
		"redirect",
		"router renumbering",
		"node information query",
		"node information reply",
		"inverse neighbor solicitation",
		"inverse neighbor advertisement",
		"multicast listener report v2",
	};

	if (type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM)
		return errors[type - ICMP6_UNREACHABLE];
	if (type >= ICMP6_ECHO_REQUEST && type <= ICMP6_LISTENER_REPORT_V2)
		return others[type - ICMP6_ECHO_REQUEST];
	return NULL;
}

/*
 * Offset of the transport header of the packet that an error quotes, behind its extension headers,
 * and its protocol. 0: there is none, or it is not quoted.
 */
static uint32_t quoted_transport(const struct tf_packet *packet, uint32_t quoted, uint8_t *proto)
{
	uint32_t at = quoted + 40;

	*proto = tf_peek8(packet, quoted + 6);
	while (tf_inside(packet, at, 4)) {
		uint8_t next = tf_peek8(packet, at);

		switch (*proto) {
		case PROTO_TCP:
		case PROTO_UDP:
			return at;
		case 0:
		case 43:
		case 60:
			at += (tf_peek8(packet, at + 1) + 1u) * 8;
			break;
		case 44:
			if ((tf_peek16(packet, at + 2) & 0xfff8) != 0)
				return 0;
			at += 8;
			break;
		case 51:
			at += (tf_peek8(packet, at + 1) + 2u) * 4;
			break;
		default:
			return 0;
		}
		*proto = next;
	}
	return 0;
}

/* These return 0, or -1 if the message ends before what they want to say. */
static int describe_unreachable6(struct tf_text *text, const struct tf_packet *packet)
{
	static const char *const codes[] = {"unreachable route", " unreachable prohibited",
					    "beyond scope", "unreachable address",
					    "unreachable port"};
	uint8_t code = tf_peek8(packet, packet->transport + 1);
	uint32_t quoted = packet->transport + QUOTED;
	uint32_t transport;
	uint8_t proto;

	if (code > 4) {
		tf_text_add(text, ", unknown unreach code (%u)", code);
		return 0;
	}
	tf_text_add(text, ", %s", codes[code]);
	if (!tf_inside(packet, quoted, 40))
		return -1;
	if (code == 4) {
		transport = quoted_transport(packet, quoted, &proto);
		if (transport == 0)
			return -1;
		tf_text_add(text, ", ");
		tf_describe_ip6_address(text, packet, quoted + 24);
		tf_text_add(text, " %s port %u", proto == PROTO_TCP ? "tcp" : "udp",
			    tf_peek16(packet, transport + 2));
		return 0;
	}
	tf_text_add(text, " ");
	tf_describe_ip6_address(text, packet, quoted + 24);
	if (code == 2) {
		tf_text_add(text, ", source address ");
		tf_describe_ip6_address(text, packet, quoted + 8);
	}
	return 0;
}

static int describe_time_exceeded6(struct tf_text *text, const struct tf_packet *packet)
{
	uint8_t code = tf_peek8(packet, packet->transport + 1);
	uint32_t quoted = packet->transport + QUOTED;

	if (code == 0) {
		if (!tf_inside(packet, quoted, 40))
			return -1;
		tf_text_add(text, " for ");
		tf_describe_ip6_address(text, packet, quoted + 24);
	} else if (code == 1) {
		tf_text_add(text, " (reassembly)");
	} else {
		tf_text_add(text, ", unknown code (%u)", code);
	}
	return 0;
}

static int describe_parameter_problem6(struct tf_text *text, const struct tf_packet *packet)
{
	static const char *const codes[] = {"erroneous", "next header", "option",
					    "incomplete header chain"};
	uint8_t code = tf_peek8(packet, packet->transport + 1);

	if (!tf_inside(packet, packet->transport + QUOTED, 40))
		return -1;
	if (code < 4)
		tf_text_add(text, ", %s - octet %u", codes[code],
			    tf_peek32(packet, packet->transport + 4));
	else
		tf_text_add(text, ", code-#%u", code);
	return 0;
}

/* Words, and the address at an offset in the message. */
static int describe_target(struct tf_text *text, const struct tf_packet *packet, const char *words,
			   uint32_t offset)
{
	if (!tf_inside(packet, packet->transport + offset, 16))
		return -1;
	tf_text_add(text, "%s", words);
	tf_describe_ip6_address(text, packet, packet->transport + offset);
	return 0;
}

static int describe_listener(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t length = message_length(packet);
	uint32_t sources;

	if (tf_peek8(packet, packet->transport) != ICMP6_LISTENER_QUERY || length < 28) {
		if (length < 24)
			return 0;
		tf_text_add(text, " max resp delay: %u", tf_peek16(packet, packet->transport + 4));
		return describe_target(text, packet, " addr: ", 8);
	}
	sources = tf_peek16(packet, packet->transport + 26);
	tf_text_add(text, " v2");
	describe_target(text, packet, " [gaddr ", 8);
	if (sources > 0 && length < 28 + sources * 16)
		tf_text_add(text, " [invalid number of sources]");
	else if (sources > 0)
		tf_text_add(text, ", %u source(s)", sources);
	tf_text_add(text, "]");
	return 0;
}

void tf_describe_icmp6(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t at = packet->transport;
	uint8_t type = tf_peek8(packet, at);
	int cut = 0;

	tf_text_add(text, "ICMP6, ");
	if (icmp6_name(type))
		tf_text_add(text, "%s", icmp6_name(type));
	else
		tf_text_add(text, "unknown icmp6 type (%u)", type);
	switch (type) {
	case ICMP6_UNREACHABLE:
		cut = describe_unreachable6(text, packet);
		break;
	case ICMP6_TOO_BIG:
		tf_text_add(text, ", mtu %u", tf_peek32(packet, at + 4));
		break;
	case ICMP6_TIME_EXCEEDED:
		cut = describe_time_exceeded6(text, packet);
		break;
	case ICMP6_PARAMETER_PROBLEM:
		cut = describe_parameter_problem6(text, packet);
		break;
	case ICMP6_ECHO_REQUEST:
	case ICMP6_ECHO_REPLY:
		tf_text_add(text, ", id %u, seq %u", tf_peek16(packet, at + 4),
			    tf_peek16(packet, at + 6));
		break;
	case ICMP6_LISTENER_QUERY:
	case ICMP6_LISTENER_REPORT:
	case ICMP6_LISTENER_DONE:
		cut = describe_listener(text, packet);
		break;
	case ICMP6_NEIGHBOR_SOLICITATION:
		cut = describe_target(text, packet, ", who has ", 8);
		break;
	case ICMP6_NEIGHBOR_ADVERTISEMENT:
		cut = describe_target(text, packet, ", tgt is ", 8);
		break;
	case ICMP6_REDIRECT:
		cut = describe_target(text, packet, ", ", 24);
		if (cut == 0)
			cut = describe_target(text, packet, " to ", 8);
		break;
	case ICMP6_LISTENER_REPORT_V2:
		tf_text_add(text, ", %u group record(s)", tf_peek16(packet, at + 6));
		break;
	default:
		break;
	}
	if (cut)
		tf_text_add(text, " [|icmp6]");
	else
		tf_text_add(text, ", length %u", message_length(packet));
}
