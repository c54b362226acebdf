#include "capture_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#define BLOCK_SECTION	 0x0a0d0d0au
#define BLOCK_INTERFACE	 1u
#define BLOCK_PACKET	 2u /* obsolete */
#define BLOCK_SIMPLE	 3u
#define BLOCK_ENHANCED	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define BUFFER (256u << 10)

struct tf_capture_reader {
	uv_file file;
	const char *path;	/* the caller's, for messages */
	uint64_t at;		/* offset of what is taken next */
	uint64_t size;		/* bytes; 0 where it has none */
	int swapped;		/* numbers are in the other byte order than this machine's */
	int ended;		/* nothing more is read */
	int failed;		/* the code of a read that failed */
	int ng;			/* pcapng */
	int first_swapped;	/* as its first section says */
	uint32_t record_header; /* pcap: bytes before a packet */
	int old_lengths;  /* pcap before 2.4: a record's two lengths may be in the other order */
	uint32_t network; /* pcap: the header's last field */
	struct tf_capture_interface *interfaces;
	uint32_t interface_count;
	uint32_t section_first; /* interface 0 of the current section */
	uint8_t *buffer;	/* have bytes from first on are read and not taken */
	size_t buffer_size, first, have;
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

/* The file ends at what, or is wrong there. */
static int damaged(struct tf_capture_reader *reader, uint64_t offset, const char *what,
		   struct tf_error *error)
{
	reader->ended = 1;
	if (reader->failed < 0)
		return tf_error_set(error, reader->failed, "%s cannot be read at byte %llu: %s",
				    reader->path, (unsigned long long)reader->at,
				    uv_strerror(reader->failed));
	return tf_error_set(error, UV_EINVAL, "%s is damaged at byte %llu: %s", reader->path,
			    (unsigned long long)offset, what);
}

static int make_room(struct tf_capture_reader *reader, size_t n)
{
	if (reader->first > 0)
		memmove(reader->buffer, reader->buffer + reader->first, reader->have);
	reader->first = 0;
	if (n > reader->buffer_size) {
		uint8_t *grown = realloc(reader->buffer, n);

		if (grown == NULL)
			return UV_ENOMEM;
		reader->buffer = grown;
		reader->buffer_size = n;
	}
	return 0;
}

/* The next n bytes of the file, which stay until the next call; NULL where there are fewer. */
static const uint8_t *look(struct tf_capture_reader *reader, size_t n)
{
	if (reader->have < n && reader->first + n > reader->buffer_size)
		reader->failed = make_room(reader, n);
	while (reader->have < n && reader->failed == 0) {
		size_t used = reader->first + reader->have;
		uv_buf_t buf = uv_buf_init((char *)reader->buffer + used,
					   (unsigned int)(reader->buffer_size - used));
		uv_fs_t req;
		int got = uv_fs_read(NULL, &req, reader->file, &buf, 1, -1, NULL);

		uv_fs_req_cleanup(&req);
		if (got == 0)
			break;
		if (got < 0)
			reader->failed = got;
		else
			reader->have += (size_t)got;
	}
	return reader->have < n ? NULL : reader->buffer + reader->first;
}

/* The same, and goes on behind them. */
static const uint8_t *take(struct tf_capture_reader *reader, size_t n)
{
	const uint8_t *bytes = look(reader, n);

	if (bytes == NULL)
		return NULL;
	reader->first += n;
	reader->have -= n;
	reader->at += n;
	return bytes;
}

/* Whether all is read: 1, 0, or the code of a read that failed. */
static int at_end(struct tf_capture_reader *reader, struct tf_error *error)
{
	if (look(reader, 1) != NULL)
		return 0;
	if (reader->failed < 0)
		return damaged(reader, reader->at, "", error);
	reader->ended = 1;
	return 1;
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
	/* The rest is below ticks, so this is below a second; long double keeps every nanosecond.
	 */
	int64_t fraction = (int64_t)((long double)rest * 1e9L / (long double)interface->ticks);
	int64_t most = INT64_MAX / 1000000000 - 1, sum;

	/* Times that nobody has lived in are as good as none. */
	if (seconds > (uint64_t)most || interface->offset > most || interface->offset < -most)
		return 0;
	sum = (int64_t)seconds + interface->offset;
	return sum < 0 || sum > most ? 0 : sum * 1000000000 + fraction;
}

/* pcap ------------------------------------------------------------------------------------------
 */

static int open_pcap(struct tf_capture_reader *reader, const uint8_t *magic, struct tf_error *error)
{
	static const struct {
		uint32_t magic;
		uint32_t record_header;
		uint32_t ticks;
	} kinds[] = {
		{0xa1b2c3d4, 16, 1000000}, {0xa1b23c4d, 16, 1000000000}, {0xa1b2cd34, 24, 1000000}};
	struct tf_capture_interface *interface;
	const uint8_t *header;
	size_t kind = 0;

	while (kind < 6 &&
	       (reader->swapped = kind % 2, get32(reader, magic)) != kinds[kind / 2].magic)
		kind++;
	if (kind == 6)
		return tf_error_set(
			error, UV_EINVAL, "%s is no capture file: neither pcap nor pcapng%s",
			reader->path,
			magic[0] == 0x1f && magic[1] == 0x8b ? "; it is compressed, by gzip" : "");
	header = take(reader, 24);
	if (header == NULL)
		return damaged(reader, 0, "the file header is cut off", error);
	interface = add_interface(reader);
	if (interface == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	reader->record_header = kinds[kind / 2].record_header;
	reader->old_lengths = get16(reader, header + 4) == 2 && get16(reader, header + 6) < 4;
	reader->network = get32(reader, header + 20);
	interface->ticks = kinds[kind / 2].ticks;
	interface->snaplen = get32(reader, header + 16);
	interface->linktype = (uint16_t)reader->network;
	return 0;
}

static int next_pcap(struct tf_capture_reader *reader, struct tf_capture_record *record,
		     struct tf_error *error)
{
	const struct tf_capture_interface *interface = &reader->interfaces[0];
	uint64_t offset = reader->at;
	const uint8_t *header;

	header = take(reader, reader->record_header);
	if (header == NULL)
		return damaged(reader, offset, "the file ends in the middle of a record's header",
			       error);
	record->stamp =
		(int64_t)get32(reader, header) * 1000000000 +
		(int64_t)get32(reader, header + 4) * (int64_t)(1000000000 / interface->ticks);
	record->len = get32(reader, header + 8);
	record->original = get32(reader, header + 12);
	if (reader->old_lengths && record->len > record->original) {
		record->original = record->len;
		record->len = get32(reader, header + 12);
	}
	record->interface = 0;
	record->linktype = interface->linktype;
	record->offset = offset;
	if (record->len > TF_CAPTURE_RECORD_MAX)
		return damaged(reader, offset, "a record claims an impossible length", error);
	record->bytes = take(reader, record->len);
	if (record->bytes == NULL)
		return damaged(reader, offset, "the file ends in the middle of a packet", error);
	return 1;
}

/* pcapng ----------------------------------------------------------------------------------------
 */

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

/* An interface block's body, of at least 8 bytes. */
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
		if (code == 2)
			snprintf(interface->name, sizeof(interface->name), "%.*s", (int)length,
				 body + at);
		if (code == 9 && length == 1)
			interface->ticks = resolution(body[at]);
		if (code == 14 && length == 8) {
			uint64_t low = get32(reader, body + at + (reader->swapped ? 4 : 0));
			uint64_t high = get32(reader, body + at + (reader->swapped ? 0 : 4));

			interface->offset = (int64_t)(high << 32 | low);
		}
		at += (uint32_t)(length + 3) & ~3u;
		if (at > len)
			break;
	}
	return 0;
}

/* The packet in a block's body; 1, or 0 for a block that is cut short inside itself. */
static int read_packet(struct tf_capture_reader *reader, uint32_t type, const uint8_t *body,
		       uint32_t len, struct tf_capture_record *record)
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
		record->stamp = nanoseconds(from, (uint64_t)get32(reader, body + 4) << 32 |
							  get32(reader, body + 8));
		record->len = get32(reader, body + 12);
		record->original = get32(reader, body + 16);
	}
	record->bytes = body + header;
	return record->len <= len - header;
}

/* Takes a section header's byte order; 0 where there is none. */
static int read_order(struct tf_capture_reader *reader, const uint8_t *block)
{
	uint32_t magic;

	memcpy(&magic, block + 8, 4);
	reader->swapped = magic != BYTE_ORDER_MAGIC;
	reader->section_first = reader->interface_count;
	return !reader->swapped || magic == __builtin_bswap32(BYTE_ORDER_MAGIC);
}

static int next_ng(struct tf_capture_reader *reader, struct tf_capture_record *record,
		   struct tf_error *error)
{
	for (;;) {
		uint64_t offset = reader->at;
		const uint8_t *block;
		uint32_t type, total, len;
		int end = at_end(reader, error);

		if (end != 0)
			return end < 0 ? end : 0;
		block = look(reader, 12); /* the shortest block */
		if (block == NULL)
			return damaged(reader, offset,
				       "the file ends in the middle of a block's header", error);
		type = get32(reader, block);
		if (type == BLOCK_SECTION && !read_order(reader, block))
			return damaged(reader, offset,
				       "a section header without its byte-order magic", error);
		total = get32(reader, block + 4);
		if (total < (type == BLOCK_SECTION ? 28 : 12) || total % 4 != 0 ||
		    total > TF_CAPTURE_RECORD_MAX)
			return damaged(reader, offset, "a block claims an impossible length",
				       error);
		block = take(reader, total);
		if (block == NULL)
			return damaged(reader, offset, "the file ends in the middle of a block",
				       error);
		if (get32(reader, block + total - 4) != total)
			return damaged(reader, offset, "a block's two lengths differ", error);
		block += 8;
		len = total - 12;
		switch (type) {
		case BLOCK_INTERFACE:
			if (len < 8 || reader->interface_count >= TF_CAPTURE_INTERFACES)
				return damaged(reader, offset, "a bad interface block", error);
			if (read_interface(reader, block, len) != 0)
				return tf_error_set(error, UV_ENOMEM, "out of memory");
			break;
		case BLOCK_PACKET:
		case BLOCK_SIMPLE:
		case BLOCK_ENHANCED:
			if (!read_packet(reader, type, block, len, record))
				return damaged(reader, offset, "a bad packet block", error);
			record->offset = offset;
			return 1;
		default: /* names, statistics, secrets, and what may come */
			break;
		}
	}
}

static int open_file(struct tf_capture_reader *reader)
{
	uv_fs_t req;
	int err;

	reader->file = 0;
	if (strcmp(reader->path, "-") != 0) {
		reader->file = uv_fs_open(NULL, &req, reader->path, UV_FS_O_RDONLY, 0, NULL);
		uv_fs_req_cleanup(&req);
		if (reader->file < 0)
			return reader->file;
	}
	err = uv_fs_fstat(NULL, &req, reader->file, NULL);
	if (err == 0 && (req.statbuf.st_mode & S_IFMT) == S_IFREG)
		reader->size = req.statbuf.st_size;
	uv_fs_req_cleanup(&req);
	return 0;
}

int tf_capture_open(struct tf_capture_reader **out, const char *path, struct tf_error *error)
{
	struct tf_capture_reader *reader = calloc(1, sizeof(*reader));
	const uint8_t *start;
	int err;

	if (reader == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	reader->path = path;
	err = open_file(reader);
	if (err < 0) {
		tf_error_set(error, err, "%s: %s", path, uv_strerror(err));
		goto fail;
	}
	reader->failed = make_room(reader, BUFFER);
	start = look(reader, 4);
	if (start == NULL) {
		err = reader->failed < 0
			      ? damaged(reader, 0, "", error)
			      : tf_error_set(error, UV_EINVAL, "%s is no capture file: it is %s",
					     path, reader->have == 0 ? "empty" : "too short");
		goto fail;
	}
	if (get32(reader, start) == BLOCK_SECTION) { /* the same in either byte order */
		reader->ng = 1;
		start = look(reader, 12);
		if (start == NULL || !read_order(reader, start)) {
			err = damaged(reader, 0, "a section header without its byte-order magic",
				      error);
			goto fail;
		}
	} else {
		err = open_pcap(reader, start, error);
		if (err < 0)
			goto fail;
	}
	reader->first_swapped = reader->swapped;
	*out = reader;
	return 0;

fail:
	tf_capture_close(reader);
	return err;
}

int tf_capture_next(struct tf_capture_reader *reader, struct tf_capture_record *record,
		    struct tf_error *error)
{
	int end;

	if (reader->ended)
		return 0;
	if (reader->ng)
		return next_ng(reader, record, error);
	end = at_end(reader, error);
	if (end != 0)
		return end < 0 ? end : 0;
	return next_pcap(reader, record, error);
}

void tf_capture_format(const struct tf_capture_reader *reader, struct tf_capture_format *format)
{
	format->ng = reader->ng;
	format->swapped = reader->first_swapped;
	format->nanoseconds = reader->ng || reader->interfaces[0].ticks > 1000000;
	format->linktype = reader->network;
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
	uv_fs_t req;

	if (reader == NULL)
		return;
	if (reader->file > 0) {
		uv_fs_close(NULL, &req, reader->file, NULL);
		uv_fs_req_cleanup(&req);
	}
	free(reader->interfaces);
	free(reader->buffer);
	free(reader);
}
