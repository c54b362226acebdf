#include "capture_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#define BLOCK_SECTION  0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET   2u /* obsolete */
#define BLOCK_SIMPLE   3u
#define BLOCK_ENHANCED 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

struct tf_capture_reader {
	FILE *file;
	const char *path; /* the caller's, for messages */
	uint64_t at;	  /* offset of what is read next */
	uint64_t size;
	int swapped; /* numbers are in the other byte order than this machine's */
	int ng;	     /* pcapng */
	uint32_t record_header; /* pcap: bytes before a packet */
	struct tf_capture_interface *interfaces;
	uint32_t interface_count;
	uint32_t section_first; /* interface 0 of the current section */
	uint8_t *buffer;
	size_t buffer_size;
	uint8_t first[4]; /* the file's first bytes, which told what it is */
	int pending;	  /* they are to be read again, as the first block's */
	int ended;	  /* nothing more is read */
};

static uint16_t get16(const struct tf_capture_reader *reader, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return reader->swapped ? __builtin_bswap16(v) : v;
}

static uint32_t get32(const struct tf_capture_reader *reader, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return reader->swapped ? __builtin_bswap32(v) : v;
}

static int damaged(struct tf_capture_reader *reader, uint64_t offset, const char *what, struct tf_error *error)
{
	reader->ended = 1;
	return tf_error_set(error, UV_EINVAL, "%s is damaged at byte %llu: %s", reader->path,
			    (unsigned long long) offset, what);
}

/* Reads exactly n bytes: 1, or 0 at the end of the file, -1 where it ends in the middle of them. */
static int take(struct tf_capture_reader *reader, void *into, size_t n)
{
	size_t got = 0;

	if (reader->pending) { /* n is at least 4 */
		memcpy(into, reader->first, 4);
		reader->pending = 0;
		got = 4;
	}
	got += fread((char *) into + got, 1, n - got, reader->file);
	reader->at += got;
	return got == n ? 1 : got == 0 ? 0 : -1;
}

static int reserve(struct tf_capture_reader *reader, size_t n)
{
	uint8_t *grown;

	if (n <= reader->buffer_size)
		return 0;
	grown = realloc(reader->buffer, n);
	if (grown == NULL)
		return UV_ENOMEM;
	reader->buffer = grown;
	reader->buffer_size = n;
	return 0;
}

static struct tf_capture_interface *add_interface(struct tf_capture_reader *reader)
{
	struct tf_capture_interface *grown;

	grown = realloc(reader->interfaces, (reader->interface_count + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	reader->interfaces = grown;
	grown += reader->interface_count++;
	memset(grown, 0, sizeof(*grown));
	grown->ticks = 1000000;
	return grown;
}

static int64_t nanoseconds(const struct tf_capture_interface *interface, uint64_t ticks)
{
	uint64_t seconds = ticks / interface->ticks, rest = ticks % interface->ticks;
	/* The rest is below ticks, so this is below a second; long double keeps every nanosecond. */
	int64_t fraction = (int64_t) ((long double) rest * 1e9L / (long double) interface->ticks + 0.5L);

	if (seconds > (uint64_t) INT64_MAX / 2000000000 || interface->offset > INT64_MAX / 2000000000 ||
	    interface->offset < INT64_MIN / 2000000000)
		return 0;
	return ((int64_t) seconds + interface->offset) * 1000000000 + fraction;
}

/* pcap ------------------------------------------------------------------------------------------ */

static int open_pcap(struct tf_capture_reader *reader, struct tf_error *error)
{
	static const struct {
		uint32_t magic;
		uint32_t record_header;
		uint32_t ticks;
	} kinds[] = {
		{ 0xa1b2c3d4, 16, 1000000 }, { 0xa1b23c4d, 16, 1000000000 }, { 0xa1b2cd34, 24, 1000000 }
	};
	struct tf_capture_interface *interface;
	uint8_t rest[20];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (reader->swapped = 0; reader->swapped < 2; reader->swapped++) {
			if (get32(reader, reader->first) != kinds[i].magic)
				continue;
			if (take(reader, rest, sizeof(rest)) != 1)
				return damaged(reader, reader->at, "the file header is cut off", error);
			interface = add_interface(reader);
			if (interface == NULL)
				return tf_error_set(error, UV_ENOMEM, "out of memory");
			reader->record_header = kinds[i].record_header;
			interface->ticks = kinds[i].ticks;
			interface->snaplen = get32(reader, rest + 12);
			/* The upper bits tell of frame check sequences. */
			interface->linktype = (uint16_t) (get32(reader, rest + 16) & 0xffff);
			return 0;
		}
	}
	reader->ended = 1;
	return tf_error_set(error, UV_EINVAL, "%s is no capture file: neither pcap nor pcapng", reader->path);
}

static int next_pcap(struct tf_capture_reader *reader, struct tf_capture_record *record, struct tf_error *error)
{
	const struct tf_capture_interface *interface = &reader->interfaces[0];
	uint64_t offset = reader->at;
	uint8_t header[24];
	int got = take(reader, header, reader->record_header);
	uint32_t fraction;

	if (got == 0) {
		reader->ended = 1;
		return 0;
	}
	if (got < 0)
		return damaged(reader, offset, "the file ends in the middle of a record's header", error);
	fraction = get32(reader, header + 4);
	record->len = get32(reader, header + 8);
	record->original = get32(reader, header + 12);
	record->stamp = (int64_t) get32(reader, header) * 1000000000 +
			(int64_t) fraction * (int64_t) (1000000000 / interface->ticks);
	record->interface = 0;
	record->linktype = interface->linktype;
	record->offset = offset;
	if (record->len > TF_CAPTURE_RECORD_MAX)
		return damaged(reader, offset, "a record claims an impossible length", error);
	if (reserve(reader, record->len) != 0)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	if (record->len > 0 && take(reader, reader->buffer, record->len) != 1)
		return damaged(reader, offset, "the file ends in the middle of a packet", error);
	record->bytes = reader->buffer;
	return 1;
}

/* pcapng ---------------------------------------------------------------------------------------- */

static uint64_t resolution(uint8_t value)
{
	uint64_t ticks = 1;

	for (int i = 0; i < (value & 0x7f); i++) {
		uint64_t base = value & 0x80 ? 2 : 10;

		if (ticks > UINT64_MAX / 2 / base)
			break;
		ticks *= base;
	}
	return ticks;
}

static int read_interface(struct tf_capture_reader *reader, const uint8_t *body, uint32_t len)
{
	struct tf_capture_interface *interface = add_interface(reader);
	uint32_t at = 8;

	if (interface == NULL)
		return UV_ENOMEM;
	interface->linktype = get16(reader, body);
	interface->snaplen = get32(reader, body + 4);
	while (len - at >= 4) {
		uint16_t code = get16(reader, body + at), length = get16(reader, body + at + 2);

		at += 4;
		if (code == 0 || length > len - at)
			break;
		if (code == 9 && length == 1)
			interface->ticks = resolution(body[at]);
		if (code == 14 && length == 8) {
			uint64_t low = get32(reader, body + at + (reader->swapped ? 4 : 0));
			uint64_t high = get32(reader, body + at + (reader->swapped ? 0 : 4));

			interface->offset = (int64_t) (high << 32 | low);
		}
		at += (uint32_t) (length + 3) & ~3u;
		if (at > len)
			break;
	}
	return 0;
}

/* The packet in a block's body; 1, or 0 for a block that is cut short inside itself. */
static int read_packet(struct tf_capture_reader *reader, uint32_t type, const uint8_t *body, uint32_t len,
		       struct tf_capture_record *record)
{
	uint32_t header = type == BLOCK_SIMPLE ? 4 : 20, interface = 0;
	const struct tf_capture_interface *from;

	if (len < header)
		return 0;
	if (type == BLOCK_ENHANCED)
		interface = get32(reader, body);
	else if (type == BLOCK_PACKET)
		interface = get16(reader, body);
	if (interface >= reader->interface_count - reader->section_first)
		return 0;
	record->interface = reader->section_first + interface;
	from = &reader->interfaces[record->interface];
	record->linktype = from->linktype;
	if (type == BLOCK_SIMPLE) {
		record->original = get32(reader, body);
		record->len = len - header;
		if (record->len > record->original)
			record->len = record->original;
		if (from->snaplen != 0 && record->len > from->snaplen)
			record->len = from->snaplen;
		record->stamp = 0;
	} else {
		record->stamp = nanoseconds(from, (uint64_t) get32(reader, body + 4) << 32 | get32(reader, body + 8));
		record->len = get32(reader, body + 12);
		record->original = get32(reader, body + 16);
	}
	record->bytes = body + header;
	return record->len <= len - header;
}

static int next_ng(struct tf_capture_reader *reader, struct tf_capture_record *record, struct tf_error *error)
{
	for (;;) {
		uint64_t offset = reader->at;
		uint8_t head[12];
		uint32_t type, total, body, have = 8;
		int got = take(reader, head, 8);

		if (got == 0) {
			reader->ended = 1;
			return 0;
		}
		if (got < 0)
			return damaged(reader, offset, "the file ends in the middle of a block's header", error);
		type = get32(reader, head);
		if (type == BLOCK_SECTION) {
			uint32_t magic;

			if (take(reader, head + 8, 4) != 1)
				return damaged(reader, offset, "the file ends in a section header", error);
			have = 12;
			memcpy(&magic, head + 8, 4);
			if (magic != BYTE_ORDER_MAGIC && magic != __builtin_bswap32(BYTE_ORDER_MAGIC))
				return damaged(reader, offset, "a section header without its byte-order magic", error);
			reader->swapped = magic != BYTE_ORDER_MAGIC;
			reader->section_first = reader->interface_count;
		}
		total = get32(reader, head + 4);
		if (total < 12 || total % 4 != 0 || total > TF_CAPTURE_RECORD_MAX || total < have + 4)
			return damaged(reader, offset, "a block claims an impossible length", error);
		body = total - have;
		if (reserve(reader, body) != 0)
			return tf_error_set(error, UV_ENOMEM, "out of memory");
		if (take(reader, reader->buffer, body) != 1)
			return damaged(reader, offset, "the file ends in the middle of a block", error);
		body -= 4;
		if (get32(reader, reader->buffer + body) != total)
			return damaged(reader, offset, "a block's two lengths differ", error);
		switch (type) {
		case BLOCK_INTERFACE:
			if (body < 8 || reader->interface_count >= TF_CAPTURE_INTERFACES)
				return damaged(reader, offset, "a bad interface block", error);
			if (read_interface(reader, reader->buffer, body) != 0)
				return tf_error_set(error, UV_ENOMEM, "out of memory");
			break;
		case BLOCK_PACKET:
		case BLOCK_SIMPLE:
		case BLOCK_ENHANCED:
			if (!read_packet(reader, type, reader->buffer, body, record))
				return damaged(reader, offset, "a bad packet block", error);
			record->offset = offset;
			return 1;
		default: /* names, statistics, secrets, and what may come */
			break;
		}
	}
}

int tf_capture_open(struct tf_capture_reader **out, const char *path, struct tf_error *error)
{
	struct tf_capture_reader *reader = calloc(1, sizeof(*reader));
	struct stat info;
	int err;

	if (reader == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	reader->path = path;
	reader->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	if (reader->file == NULL) {
		err = tf_error_set(error, uv_translate_sys_error(errno), "%s: %s", path, strerror(errno));
		goto fail;
	}
	if (fstat(fileno(reader->file), &info) == 0 && S_ISREG(info.st_mode))
		reader->size = (uint64_t) info.st_size;
	if (take(reader, reader->first, 4) != 1) {
		err = tf_error_set(error, UV_EINVAL, "%s is no capture file: it is %s", path,
				   reader->at == 0 ? "empty" : "too short");
		goto fail;
	}
	if (get32(reader, reader->first) == BLOCK_SECTION) {
		/* The same in either byte order. */
		reader->ng = 1;
		reader->pending = 1;
		reader->at = 0;
	} else {
		err = open_pcap(reader, error);
		if (err < 0)
			goto fail;
	}
	*out = reader;
	return 0;

fail:
	tf_capture_close(reader);
	return err;
}

int tf_capture_next(struct tf_capture_reader *reader, struct tf_capture_record *record, struct tf_error *error)
{
	if (reader->ended)
		return 0;
	return reader->ng ? next_ng(reader, record, error) : next_pcap(reader, record, error);
}

uint32_t tf_capture_interfaces(const struct tf_capture_reader *reader,
			       const struct tf_capture_interface **interfaces)
{
	*interfaces = reader->interfaces;
	return reader->interface_count;
}

void tf_capture_progress(const struct tf_capture_reader *reader, uint64_t *at, uint64_t *size)
{
	*at = reader->at;
	*size = reader->size;
}

void tf_capture_close(struct tf_capture_reader *reader)
{
	if (reader == NULL)
		return;
	if (reader->file != NULL && reader->file != stdin)
		fclose(reader->file);
	free(reader->interfaces);
	free(reader->buffer);
	free(reader);
}
