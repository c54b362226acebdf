/*
 * Edits of any packet stay inside its room, leave a descriptor as a fresh parse gives it, and keep
 * checksums right that were right.
 * Input: link type, room behind the packet, its length and bytes; then edits.
 */
#include "checksum.h"
#include "edit.h"
#include "fuzz.h"
#include "parse.h"
#include "tcp_options.h"
#include "vector.h"

/* The sum as RFC 1071 has it, a byte at a time. */
static uint32_t sum(const uint8_t *bytes, uint32_t from, uint32_t to, uint32_t start)
{
	for (uint32_t i = from; i < to; i++)
		start += (i - from) % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return start;
}

/* A whole, well-formed datagram whose checksums a receiver finds right (or left out). */
static int verifies(const struct tf_packet *p)
{
	uint32_t field = tf_checksum_offset(p), n = p->network, pseudo;

	if (p->malformed || p->fragment || !(p->headers & (TF_HAS_IP4 | TF_HAS_IP6)))
		return 0;
	if (p->headers & TF_HAS_IP4 &&
	    tf_checksum_fold(sum(p->data, n, n + (p->data[n] & 15u) * 4, 0)) != 0xffff)
		return 0;
	if (!field)
		return 1;
	if (p->headers & TF_HAS_UDP && !p->data[field] && !p->data[field + 1])
		return !!(p->headers & TF_HAS_IP4);
	pseudo = p->end - p->transport + p->proto;
	if (p->headers & TF_HAS_IP4) {
		pseudo = p->headers & TF_HAS_ICMP ? 0 : sum(p->data, n + 12, n + 20, pseudo);
	} else {
		uint32_t to = tf_checksum_destination(p);

		pseudo = sum(p->data, to, to + 16, sum(p->data, n + 8, n + 24, pseudo));
	}
	return tf_checksum_fold(sum(p->data, p->transport, p->end, pseudo)) == 0xffff;
}

static int hits(uint32_t at, uint32_t n, uint32_t field)
{
	return field && at < field + 2 && at + n > field;
}

static int same_headers(const struct tf_packet *a, const struct tf_packet *b)
{
	return a->network == b->network &&
	       ((a->headers ^ b->headers) & (TF_HAS_IP4 | TF_HAS_IP6)) == 0;
}

/* A write at a place; whether checksums must be right afterwards if they were before. */
static int write_somewhere(struct tf_packet *p, struct fuzz *fuzz)
{
	const struct tf_packet was = *p;
	uint32_t at = fuzz_take(fuzz, 2), n = fuzz_take(fuzz, 1) % 48,
		 kind = fuzz_take(fuzz, 1) % 4;
	int expected, status;

	if (kind < 3) {
		n = 1u << kind;
		expected = at > p->len || n > p->len - at ? TF_EDIT_RANGE : 0;
		status = tf_packet_put(p, at, n, fuzz_take(fuzz, (int)n));
	} else {
		uint8_t *block = fuzz_block(fuzz, &n);

		expected = at > p->len || n > p->len - at ? TF_EDIT_RANGE : 0;
		status = tf_packet_write(p, at, block, n);
		free(block);
	}
	fuzz_check(status == expected, "the answer tells whether it lies inside");
	return same_headers(&was, p) && !hits(at, n, tf_checksum_offset(&was)) &&
	       !hits(at, n, tf_checksum_offset(p)) &&
	       !(p->headers & TF_HAS_IP4 && hits(at, n, p->network + 10));
}

static void new_payload(struct tf_packet *p, struct fuzz *fuzz)
{
	uint32_t n = fuzz_take(fuzz, 2), had = p->len;
	uint8_t *block = fuzz_block(fuzz, &n);
	int well = !p->malformed; /* what was not may have other headers with other lengths */
	int status = tf_packet_set_payload(p, block, n);

	fuzz_check(status <= 0 && status >= TF_EDIT_FRAGMENT, "a known answer");
	fuzz_check(status == 0 || p->len == had, "what failed changed nothing");
	fuzz_check(status || !well || !memcmp(p->data + p->payload, block, n),
		   "the payload is there");
	free(block);
}

static void replace(struct tf_packet *p, struct fuzz *fuzz)
{
	uint32_t old_len = 1 + fuzz_take(fuzz, 1) % 4, with_len = fuzz_take(fuzz, 1) % 16;
	uint32_t max = fuzz_take(fuzz, 1) % 4, had = p->len;
	uint8_t *old = fuzz_block(fuzz, &old_len), *with = fuzz_block(fuzz, &with_len);
	int status = old_len ? tf_packet_replace(p, old, old_len, with, with_len, max) : 0;

	fuzz_check(status >= TF_EDIT_RANGE, "a known answer");
	fuzz_check(status >= 0 || p->len == had, "what failed changed nothing");
	free(old);
	free(with);
}

static void options(struct tf_packet *p, struct fuzz *fuzz)
{
	struct tf_tcp_options options;

	if (!(p->headers & TF_HAS_TCP))
		return;
	tf_tcp_options_read(p, &options);
	options.present ^= fuzz_take(fuzz, 1) % 32;
	options.mss = fuzz_take(fuzz, 2);
	options.wscale = fuzz_take(fuzz, 1);
	if (options.blocks < 1 || options.blocks > 4)
		options.blocks = 1 + fuzz_take(fuzz, 1) % 4;
	tf_tcp_options_write(p, &options, (int)fuzz_take(fuzz, 1) % 2);
}

static void check(const struct tf_packet *p)
{
	struct tf_packet again = *p;

	fuzz_check(!vector_broken(p), vector_broken(p));
	tf_parse(&again);
	fuzz_check(!memcmp(&again, p, sizeof(again)), "a fresh parse says the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz fuzz = {bytes, bytes + size};
	uint8_t link = (uint8_t)(fuzz_take(&fuzz, 1) % 3),
		flags = (uint8_t)(fuzz_take(&fuzz, 1) % 8 == 7);
	uint32_t spare = fuzz_take(&fuzz, 1), len = fuzz_take(&fuzz, 2);
	struct tf_packet p;
	uint8_t *block = fuzz_block(&fuzz, &len);

	if (len == 0) {
		free(block);
		return 0;
	}
	memset(&p, 0, sizeof(p));
	p.data = malloc(len + spare);
	memset(p.data + len, 0, spare);
	memcpy(p.data, block, len);
	free(block);
	p.len = len;
	p.room = len + spare;
	p.link = link;
	p.flags = flags ? TF_RAW : 0;
	tf_parse(&p);
	check(&p);
	for (int i = 0; i < 64 && fuzz_left(&fuzz) > 0; i++) {
		int before = verifies(&p), must = !flags;

		switch (fuzz_take(&fuzz, 1) % 6) {
		case 0:
			new_payload(&p, &fuzz);
			break;
		case 1:
			replace(&p, &fuzz);
			break;
		case 2:
			options(&p, &fuzz);
			break;
		default:
			must &= write_somewhere(&p, &fuzz);
			break;
		}
		check(&p);
		if (before && must && !p.malformed && !p.fragment)
			fuzz_check(verifies(&p), "a right checksum stays right");
	}
	free(p.data);
	return 0;
}
