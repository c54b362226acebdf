/* A TCP segment in words, as tcpdump puts them. */
#include "describe_parts.h"

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_OK = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMP = 8,
	OPTION_MD5 = 19,
	OPTION_USER_TIMEOUT = 28,
	OPTION_AUTHENTICATION = 29,
	OPTION_MULTIPATH = 30,
	OPTION_FAST_OPEN = 34,
	OPTION_EXPERIMENT = 254
};

enum { EXPERIMENT_FAST_OPEN = 0xf989 };

enum { FLAG_FIN = 0x01, FLAG_SYN = 0x02, FLAG_RST = 0x04, FLAG_ACK = 0x10, FLAG_URG = 0x20 };

static void describe_flags(struct tf_text *text, uint8_t flags)
{
	static const char letters[] = "FSRP.UEW";
	int bit;

	tf_text_add(text, "Flags [");
	if (flags == 0)
		tf_text_add(text, "none");
	for (bit = 0; bit < 8; bit++)
		if (flags & 1 << bit)
			tf_text_add(text, "%c", letters[bit]);
	tf_text_add(text, "]");
}

static void describe_sack(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
			  uint32_t count)
{
	uint32_t i;

	if (count % 8 != 0) {
		tf_text_add(text, "sack invalid sack");
		return;
	}
	tf_text_add(text, "sack %u ", count / 8);
	for (i = 0; i < count; i += 8)
		tf_text_add(text, "{%u:%u}", tf_peek32(packet, at + i),
			    tf_peek32(packet, at + i + 4));
}

/* The name of an option that we know, but not at this length. */
static const char *option_name(uint8_t kind)
{
	switch (kind) {
	case OPTION_MSS:
		return "mss";
	case OPTION_WSCALE:
		return "wscale";
	case OPTION_SACK_OK:
		return "sackOK";
	case OPTION_TIMESTAMP:
		return "TS";
	case OPTION_MD5:
		return "md5";
	case OPTION_USER_TIMEOUT:
		return "uto";
	case OPTION_AUTHENTICATION:
		return "tcp-ao";
	case OPTION_EXPERIMENT:
		return "exp";
	default:
		return NULL;
	}
}

/* An option of any kind in hex. */
static void describe_opaque(struct tf_text *text, const struct tf_packet *packet, uint8_t kind,
			    uint32_t at, uint32_t count)
{
	const char *name = option_name(kind);

	if (name)
		tf_text_add(text, "%s", name);
	else if (kind == OPTION_MULTIPATH)
		tf_text_add(text, "mptcp");
	else
		tf_text_add(text, "unknown-%u", kind);
	if (count > 0) {
		tf_text_add(text, " 0x");
		tf_describe_hex(text, packet, at, count);
	}
	if (name)
		tf_text_add(text, "[len %u]", count + 2);
}

static void describe_timeout(struct tf_text *text, uint32_t value)
{
	/* tcpdump's reading: RFC 5482 has the unit in the highest bit. */
	uint32_t seconds = value & 1 ? (value >> 1) * 60 : value >> 1;

	tf_text_add(text, "uto 0x%x %u", value, seconds);
}

static void describe_authentication(struct tf_text *text, const struct tf_packet *packet,
				    uint32_t at, uint32_t count)
{
	tf_text_add(text, "tcp-ao keyid %u rnextkeyid %u", tf_peek8(packet, at),
		    tf_peek8(packet, at + 1));
	if (count > 2) {
		tf_text_add(text, " mac 0x");
		tf_describe_hex(text, packet, at + 2, count - 2);
	}
}

static void describe_cookie(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
			    uint32_t count)
{
	if (count == 0) {
		tf_text_add(text, " cookiereq");
	} else if (count % 2 != 0 || count < 4 || count > 16) {
		tf_text_add(text, " (invalid)");
	} else {
		tf_text_add(text, " cookie ");
		tf_describe_hex(text, packet, at, count);
	}
}

/* RFC 6994: the first two bytes say whose experiment it is. */
static void describe_experiment(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
				uint32_t count)
{
	uint16_t owner = tf_peek16(packet, at);

	if (owner == EXPERIMENT_FAST_OPEN) {
		tf_text_add(text, "exp-tfo");
		describe_cookie(text, packet, at + 2, count - 2);
	} else {
		tf_text_add(text, "exp-%04x", owner);
	}
}

/* One option with count bytes of data at an offset, all inside the header. */
static void describe_option(struct tf_text *text, const struct tf_packet *packet, uint8_t kind,
			    uint32_t at, uint32_t count)
{
	if (kind == OPTION_END) {
		tf_text_add(text, "eol");
	} else if (kind == OPTION_NOP) {
		tf_text_add(text, "nop");
	} else if (kind == OPTION_MSS && count == 2) {
		tf_text_add(text, "mss %u", tf_peek16(packet, at));
	} else if (kind == OPTION_WSCALE && count == 1) {
		tf_text_add(text, "wscale %u", tf_peek8(packet, at));
	} else if (kind == OPTION_SACK_OK && count == 0) {
		tf_text_add(text, "sackOK");
	} else if (kind == OPTION_SACK) {
		describe_sack(text, packet, at, count);
	} else if (kind == OPTION_TIMESTAMP && count == 8) {
		tf_text_add(text, "TS val %u ecr %u", tf_peek32(packet, at),
			    tf_peek32(packet, at + 4));
	} else if (kind == OPTION_MD5 && count == 16) {
		tf_text_add(text, "md5 ");
		tf_describe_hex(text, packet, at, count);
	} else if (kind == OPTION_USER_TIMEOUT && count == 2) {
		describe_timeout(text, tf_peek16(packet, at));
	} else if (kind == OPTION_AUTHENTICATION && count >= 2) {
		describe_authentication(text, packet, at, count);
	} else if (kind == OPTION_FAST_OPEN) {
		tf_text_add(text, "tfo ");
		describe_cookie(text, packet, at, count);
	} else if (kind == OPTION_EXPERIMENT && count >= 2) {
		describe_experiment(text, packet, at, count);
	} else {
		describe_opaque(text, packet, kind, at, count);
	}
}

static void describe_options(struct tf_text *text, const struct tf_packet *packet, uint32_t at,
			     uint32_t stop)
{
	const char *separator = "";

	tf_text_add(text, ", options [");
	while (at < stop) {
		uint8_t kind = tf_peek8(packet, at);
		uint32_t size = 1;

		tf_text_add(text, "%s", separator);
		separator = ",";
		if (kind == OPTION_END || kind == OPTION_NOP) {
			describe_option(text, packet, kind, at + 1, 0);
		} else {
			size = at + 1 < stop ? tf_peek8(packet, at + 1) : 0;
			if (size < 2 || size > stop - at) {
				tf_text_add(text, "[bad opt]");
				break;
			}
			describe_option(text, packet, kind, at + 2, size - 2);
		}
		if (kind == OPTION_END)
			break;
		at += size;
	}
	tf_text_add(text, "]");
}

void tf_describe_tcp(struct tf_text *text, const struct tf_packet *packet)
{
	uint32_t at = packet->transport;
	uint32_t data = at + (tf_peek8(packet, at + 12) >> 4) * 4u;
	uint32_t limit = tf_limit(packet);
	uint32_t length = limit > data ? limit - data : 0;
	uint32_t seq = tf_peek32(packet, at + 4);
	uint8_t flags = tf_peek8(packet, at + 13);

	describe_flags(text, flags);
	if (length > 0)
		tf_text_add(text, ", seq %u:%u", seq, seq + length);
	else if (flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))
		tf_text_add(text, ", seq %u", seq);
	if (flags & FLAG_ACK)
		tf_text_add(text, ", ack %u", tf_peek32(packet, at + 8));
	tf_text_add(text, ", win %u", tf_peek16(packet, at + 14));
	if (flags & FLAG_URG)
		tf_text_add(text, ", urg %u", tf_peek16(packet, at + 18));
	if (data > at + 20)
		describe_options(text, packet, at + 20, data);
	tf_text_add(text, ", length %u", length);
}
