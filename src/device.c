#include "device.h"

#include <stdio.h>
#include <string.h>

#include "device/kinds.h"

#define MTU_MIN	  68	  /* the smallest that IPv4 allows */
#define QUEUE_MAX 1000000

static const struct tf_device_ops *find_kind(const char *kind)
{
	for (const struct tf_device_ops *const *ops = tf_device_table(); *ops; ops++)
		if (!strcmp((*ops)->kind, kind))
			return *ops;
	return NULL;
}

const char *tf_device_kinds(void)
{
	static char kinds[128];
	size_t used = 0;

	for (const struct tf_device_ops *const *ops = tf_device_table(); *ops; ops++)
		used += (size_t)snprintf(kinds + used, sizeof(kinds) - used, "%s%s",
					 used ? ", " : "", (*ops)->kind);
	return kinds;
}

const char *tf_device_usual_kind(void)
{
	return tf_device_table()[0]->kind;
}

static int unknown_kind(struct tf_error *error, const char *kind)
{
	return tf_error_set(error, TF_EOPTION, "unknown kind of device \"%s\": there are %s", kind,
			    tf_device_kinds());
}

/* Digits only, within the range; a code without a sentence. */
static int parse_number(uint32_t *out, const char *text, uint32_t min, uint32_t max)
{
	uint32_t value = 0;

	if (!*text)
		return TF_EOPTION;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return TF_EOPTION;
		value = value * 10 + (uint32_t)(*text - '0');
		if (value > max)
			return TF_EOPTION;
	}
	*out = value;
	return value < min ? TF_EOPTION : 0;
}

static int parse_mtu(struct tf_device_spec *spec, const char *value, struct tf_error *error)
{
	if (parse_number(&spec->mtu, value, MTU_MIN, TF_IP_MAX) == 0)
		return 0;
	return tf_error_set(error, TF_EOPTION,
			    "\"mtu=%s\": an MTU is a number of bytes from %d to %d", value, MTU_MIN,
			    TF_IP_MAX);
}

static int parse_queue(struct tf_device_spec *spec, const char *value, struct tf_error *error)
{
	if (parse_number(&spec->queue, value, 1, QUEUE_MAX) == 0)
		return 0;
	return tf_error_set(error, TF_EOPTION,
			    "\"queue=%s\": a queue is a number of packets from 1 to %d", value,
			    QUEUE_MAX);
}

static int parse_netns(struct tf_device_spec *spec, const char *value, struct tf_error *error)
{
	size_t length = strlen(value);

	if (length == 0 || length >= sizeof(spec->netns))
		return tf_error_set(error, TF_EOPTION,
				    "\"netns=%s\": a namespace is a name of "
				    "`ip netns`, a pid, or a path of at most %d bytes",
				    value, (int)sizeof(spec->netns) - 1);
	memcpy(spec->netns, value, length + 1);
	return 0;
}

static int parse_link(struct tf_device_spec *spec, const char *value, struct tf_error *error)
{
	if (!strcmp(value, "ip"))
		spec->link = TF_LINK_IP;
	else if (!strcmp(value, "ethernet"))
		spec->link = TF_LINK_ETHERNET;
	else
		return tf_error_set(error, TF_EOPTION, "\"link=%s\": link is ip or ethernet",
				    value);
	return 0;
}

int tf_prefix_parse(struct tf_prefix *prefix, const char *text)
{
	char address[64];
	size_t length = strcspn(text, "/");
	uint32_t max, bits;

	memset(prefix, 0, sizeof(*prefix));
	if (length >= sizeof(address))
		return UV_EINVAL;
	snprintf(address, sizeof(address), "%.*s", (int)length, text);
	if (uv_inet_pton(AF_INET, address, prefix->bytes) == 0)
		prefix->family = 4;
	else if (!strchr(address, '%') && uv_inet_pton(AF_INET6, address, prefix->bytes) == 0)
		prefix->family = 6;
	else
		return UV_EINVAL;
	max = bits = prefix->family == 4 ? 32 : 128;
	if (text[length] && parse_number(&bits, text + length + 1, 0, max) < 0)
		return UV_ERANGE;
	prefix->length = (uint8_t)bits;
	return 0;
}

static int parse_address(struct tf_device_spec *spec, const char *value, struct tf_error *error)
{
	struct tf_prefix *prefix = &spec->addresses[spec->address_count];

	if (spec->address_count == TF_ADDRESSES_MAX)
		return tf_error_set(error, TF_EOPTION,
				    "\"address=%s\": a device takes %d addresses at "
				    "most",
				    value, TF_ADDRESSES_MAX);
	switch (tf_prefix_parse(prefix, value)) {
	case 0:
		spec->address_count++;
		return 0;
	case UV_ERANGE:
		return tf_error_set(error, TF_EOPTION,
				    "\"address=%s\": the prefix of an IPv%d address "
				    "is a number of bits from 0 to %u",
				    value, prefix->family, prefix->family == 4 ? 32 : 128);
	default:
		return tf_error_set(error, TF_EOPTION,
				    "\"address=%s\": an address looks like "
				    "10.0.0.1/24 or fd00::1/64",
				    value);
	}
}

static const struct key {
	const char *name;
	int of_system; /* kinds that are interfaces of the system have it */
	int of_memory; /* the memory kind has it */
	int (*parse)(struct tf_device_spec *spec, const char *value, struct tf_error *error);
} keys[] = {
	{"mtu", 1, 1, parse_mtu},     {"address", 1, 0, parse_address},
	{"netns", 1, 0, parse_netns}, {"queue", 1, 1, parse_queue},
	{"link", 0, 1, parse_link},
};

static int parse_key(struct tf_device_spec *spec, char *word, struct tf_error *error)
{
	int memory = !strcmp(spec->kind, "memory");
	char *value = strchr(word, '=');
	char allowed[128] = "";
	size_t used = 0;

	if (value)
		*value++ = 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!(memory ? keys[i].of_memory : keys[i].of_system))
			continue;
		if (value && !strcmp(word, keys[i].name))
			return keys[i].parse(spec, value, error);
		used += (size_t)snprintf(allowed + used, sizeof(allowed) - used,
					 "%s%s=", used ? ", " : "", keys[i].name);
	}
	return tf_error_set(error, TF_EOPTION,
			    "\"%s%s%s\" means nothing for a %s device: %s are allowed", word,
			    value ? "=" : "", value ? value : "", spec->kind, allowed);
}

static int parse_kind(struct tf_device_spec *spec, char *word, struct tf_error *error)
{
	char *name = strchr(word, ':');

	if (name)
		*name++ = 0;
	if (!find_kind(word))
		return unknown_kind(error, word);
	snprintf(spec->kind, sizeof(spec->kind), "%s", word);
	if (!name)
		return 0;
	if (!*name)
		return tf_error_set(error, TF_EOPTION,
				    "\"%s:\" lacks the name behind the colon; \"%s\" "
				    "alone takes the first free one",
				    word, word);
	if (strlen(name) >= sizeof(spec->name))
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" is too long for a device's name: at most "
				    "%d bytes",
				    name, (int)sizeof(spec->name) - 1);
	strcpy(spec->name, name);
	return 0;
}

/* What holds between several keys. */
static int check_spec(const struct tf_device_spec *spec, struct tf_error *error)
{
	if (spec->mtu == 0 || spec->mtu >= TF_MTU_MIN_IP6)
		return 0;
	for (uint32_t i = 0; i < spec->address_count; i++)
		if (spec->addresses[i].family == 6)
			return tf_error_set(error, TF_EOPTION,
					    "\"mtu=%u\": with an IPv6 address the MTU "
					    "must be at least %d",
					    spec->mtu, TF_MTU_MIN_IP6);
	return 0;
}

int tf_device_spec_parse(struct tf_device_spec *spec, const char *text, struct tf_error *error)
{
	char copy[4096], *next = copy, *word;
	int code;

	memset(spec, 0, sizeof(*spec));
	spec->netns_fd = -1;
	if (strlen(text) >= sizeof(copy))
		return tf_error_set(error, TF_EOPTION, "\"%.40s…\": too long for a device", text);
	strcpy(copy, text);
	for (word = copy; word; word = next) {
		next = strchr(word, ',');
		if (next)
			*next++ = 0;
		code = word == copy ? parse_kind(spec, word, error) : parse_key(spec, word, error);
		if (code < 0)
			return code;
	}
	return check_spec(spec, error);
}

int tf_device_open(struct tf_device **out, const struct tf_device_spec *spec,
		   struct tf_error *error)
{
	const struct tf_device_ops *ops = find_kind(spec->kind);

	if (!ops)
		return unknown_kind(error, spec->kind);
	if (spec->queues > 1 && !ops->queue)
		return tf_error_set(error, TF_EOPTION,
				    "--workers %u takes a device with several queues, and %s devices "
				    "have one",
				    spec->queues, spec->kind);
	return ops->open(out, spec, error);
}

uint8_t tf_device_spec_link(const struct tf_device_spec *spec)
{
	if (!strcmp(spec->kind, "memory"))
		return (uint8_t)spec->link;
	return !strcmp(spec->kind, "tap") ? TF_LINK_ETHERNET : TF_LINK_IP;
}

const char *tf_device_refuses(uint8_t link, const uint8_t *data, uint32_t len)
{
	if (link == TF_LINK_ETHERNET) {
		if (len < 14)
			return "shorter than an Ethernet header";
		return len > TF_PACKET_MAX ? "longer than the longest Ethernet frame" : NULL;
	}
	if (len == 0)
		return "empty";
	if (link == TF_LINK_OTHER)
		return len > TF_PACKET_MAX ? "too long" : NULL;
	if (len > TF_IP_MAX)
		return "longer than the longest IP packet";
	switch (data[0] >> 4) {
	case 4:
		return len < 20 ? "shorter than an IPv4 header" : NULL;
	case 6:
		return len < 40 ? "shorter than an IPv6 header" : NULL;
	default:
		return "neither IPv4 nor IPv6";
	}
}
