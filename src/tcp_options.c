#include "tcp_options.h"

#include <string.h>

#include "bytes.h"
#include "checksum.h"
#include "parse.h"
#include "segment.h"

enum { KIND_END, KIND_NOP, KIND_MSS, KIND_WSCALE, KIND_SACK_OK, KIND_SACK, KIND_TIMESTAMP = 8 };
enum { TCP_LEN = 20, OPTIONS_MAX = 40, IP6_LEN = 40 };

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)tf_get16(at) << 16 | tf_get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value)
{
	tf_put16(at, value >> 16);
	tf_put16(at + 2, value);
}

/* Which TF_OPTION_ an option is; 0 if it has no name here or a length that is not its own. */
static uint32_t option_of(const uint8_t *option, uint32_t len)
{
	switch (option[0]) {
	case KIND_MSS:
		return len == 4 ? TF_OPTION_MSS : 0;
	case KIND_WSCALE:
		return len == 3 ? TF_OPTION_WSCALE : 0;
	case KIND_SACK_OK:
		return len == 2 ? TF_OPTION_SACK_OK : 0;
	case KIND_TIMESTAMP:
		return len == 10 ? TF_OPTION_TIMESTAMP : 0;
	case KIND_SACK:
		return len >= 10 && len <= 34 && len % 8 == 2 ? TF_OPTION_SACK : 0;
	default:
		return 0;
	}
}

/* The next option at or after *at, which it moves behind it; NULL when none is left. */
static const uint8_t *next_option(const uint8_t **at, const uint8_t *end, uint32_t *len)
{
	const uint8_t *option = *at;

	while (option < end && *option == KIND_NOP)
		option++;
	if (end - option < 2 || *option == KIND_END || option[1] < 2 || option[1] > end - option)
		return NULL;
	*len = option[1];
	*at = option + *len;
	return option;
}

static const uint8_t *options_of(const struct tf_packet *packet, const uint8_t **end)
{
	const uint8_t *tcp = packet->data + packet->transport;

	*end = packet->headers & TF_HAS_TCP ? tcp + (tcp[12] >> 4) * 4 : tcp + TCP_LEN;
	return tcp + TCP_LEN;
}

void tf_tcp_options_read(const struct tf_packet *packet, struct tf_tcp_options *options)
{
	const uint8_t *end, *at = options_of(packet, &end), *option;
	uint32_t len;

	memset(options, 0, sizeof(*options));
	while ((option = next_option(&at, end, &len)) != NULL) {
		uint32_t which = option_of(option, len);

		if (options->present & which)
			continue;
		options->present |= which;
		if (which == TF_OPTION_MSS) {
			options->mss = tf_get16(option + 2);
		} else if (which == TF_OPTION_WSCALE) {
			options->wscale = option[2];
		} else if (which == TF_OPTION_TIMESTAMP) {
			options->val = get32(option + 2);
			options->ecr = get32(option + 6);
		} else if (which == TF_OPTION_SACK) {
			options->blocks = (len - 2) / 8;
			for (uint32_t i = 0; i < options->blocks; i++) {
				options->left[i] = get32(option + 2 + 8 * i);
				options->right[i] = get32(option + 6 + 8 * i);
			}
		}
	}
}

/* The bytes of a list of options while it is made. */
struct list {
	uint8_t bytes[OPTIONS_MAX + 4]; /* no list is padded past this */
	uint32_t len; /* above OPTIONS_MAX: too long, and the bytes mean nothing */
};

/* Room for len more bytes of one option, which end at a multiple of 4 if aligned. NULL if too long.
 */
static uint8_t *extend(struct list *list, uint32_t len, int aligned)
{
	uint8_t *at;

	while (aligned && (list->len + len) % 4 != 0 && list->len < OPTIONS_MAX)
		list->bytes[list->len++] = KIND_NOP;
	if (list->len + len > OPTIONS_MAX) {
		list->len = OPTIONS_MAX + 1;
		return NULL;
	}
	at = list->bytes + list->len;
	list->len += len;
	return at;
}

static uint8_t *add(struct list *list, uint8_t kind, uint32_t len, int aligned)
{
	uint8_t *at = extend(list, len, aligned);

	if (at == NULL)
		return NULL;
	at[0] = kind;
	at[1] = (uint8_t)len;
	return at + 2;
}

/* In the layout that other stacks use: SACK-permitted stands in for the timestamp's two NOPs. */
static void add_named(struct list *list, const struct tf_tcp_options *options)
{
	uint32_t present = options->present;
	uint8_t *at;

	if (present & TF_OPTION_MSS && (at = add(list, KIND_MSS, 4, 1)) != NULL)
		tf_put16(at, options->mss);
	if (present & TF_OPTION_SACK_OK)
		add(list, KIND_SACK_OK, 2, !(present & TF_OPTION_TIMESTAMP));
	if (present & TF_OPTION_TIMESTAMP && (at = add(list, KIND_TIMESTAMP, 10, 1)) != NULL) {
		put32(at, options->val);
		put32(at + 4, options->ecr);
	}
	if (present & TF_OPTION_WSCALE && (at = add(list, KIND_WSCALE, 3, 1)) != NULL)
		*at = (uint8_t)options->wscale;
	if (present & TF_OPTION_SACK && options->blocks >= 1 && options->blocks <= 4 &&
	    (at = add(list, KIND_SACK, 2 + 8 * options->blocks, 1)) != NULL) {
		for (uint32_t i = 0; i < options->blocks; i++) {
			put32(at + 8 * i, options->left[i]);
			put32(at + 8 * i + 4, options->right[i]);
		}
	}
}

static void add_unnamed(struct list *list, const struct tf_packet *packet)
{
	const uint8_t *end, *at = options_of(packet, &end), *option;
	uint32_t len;

	while ((option = next_option(&at, end, &len)) != NULL) {
		uint8_t *to = option_of(option, len) ? NULL : extend(list, len, 0);

		if (to != NULL)
			memcpy(to, option, len);
	}
}

static void follow_length(struct tf_packet *packet, uint32_t header)
{
	uint8_t *ip = packet->data + packet->network, *tcp = packet->data + packet->transport;
	uint32_t total = packet->end - packet->network;

	tcp[12] = (uint8_t)(header << 2 | (tcp[12] & 15));
	if (packet->headers & TF_HAS_IP4) {
		/* RFC 1624: HC' = ~(~HC + ~m + m') */
		uint32_t sum = (uint32_t)(uint16_t)~tf_get16(ip + 10) +
			       (uint16_t)~tf_get16(ip + 2) + total;

		tf_put16(ip + 2, total);
		tf_put16(ip + 10, (uint16_t)~tf_checksum_fold(sum));
	} else {
		tf_put16(ip + 4, total - IP6_LEN);
	}
	tf_put16(tcp + 16, tf_checksum_transport(packet));
}

int tf_tcp_options_write(struct tf_packet *packet, const struct tf_tcp_options *options, int keep)
{
	struct list list = {.len = 0};
	uint32_t start = packet->transport + TCP_LEN, payload_len, end;

	if (!(packet->headers & TF_HAS_TCP))
		return TF_EDIT_RANGE;
	add_named(&list, options);
	if (keep)
		add_unnamed(&list, packet);
	if (list.len > OPTIONS_MAX)
		return TF_OPTIONS_TOO_LONG;
	while (list.len % 4 != 0)
		list.bytes[list.len++] = KIND_END;

	if (start + list.len == packet->payload)
		return tf_packet_write(packet, start, list.bytes, list.len);
	if (packet->fragment != TF_WHOLE)
		return TF_EDIT_FRAGMENT;
	tf_settle(packet);
	packet->flags &= (uint8_t)~TF_VALID;
	payload_len = packet->end - packet->payload;
	end = start + list.len + payload_len;
	if (end - packet->network > TF_IP_MAX)
		return TF_EDIT_TOO_LONG;
	if (end > packet->room)
		return TF_EDIT_ROOM;
	memmove(packet->data + start + list.len, packet->data + packet->payload, payload_len);
	memcpy(packet->data + start, list.bytes, list.len);
	packet->payload = start + list.len;
	packet->len = packet->end = end;
	packet->flags |= TF_EDITED;
	if (!(packet->flags & TF_RAW))
		follow_length(packet, TCP_LEN + list.len);
	tf_parse(packet);
	return 0;
}
