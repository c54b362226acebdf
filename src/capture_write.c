#include "capture_write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "user.h"

#define BUFFER (256u << 10)

struct tf_capture_writer {
	tf_capture_sink sink; /* NULL: to the file */
	void *arg;
	int file;
	uint8_t *buffer; /* used bytes of BUFFER wait for the file */
	size_t used;
	struct tf_capture_format format;
	int failed; /* the first error, a libuv code */
};

/* An option or a fixed part, put together before it is written. */
struct block {
	uint8_t bytes[1024];
	uint32_t len;
	int swapped;
};

static void put(struct block *block, const void *bytes, uint32_t n)
{
	memcpy(block->bytes + block->len, bytes, n);
	block->len += n;
}

static void put16(struct block *block, uint16_t v)
{
	if (block->swapped)
		v = __builtin_bswap16(v);
	put(block, &v, 2);
}

static void put32(struct block *block, uint32_t v)
{
	if (block->swapped)
		v = __builtin_bswap32(v);
	put(block, &v, 4);
}

static void put_option(struct block *block, uint16_t code, const void *bytes, uint16_t n)
{
	put16(block, code);
	put16(block, n);
	put(block, bytes, n);
	put(block, "\0\0\0", (4 - n % 4) % 4);
}

int tf_capture_file(const char *path)
{
	uv_fs_t req;
	int file;

	if (strcmp(path, "-") == 0)
		return 1;
	file = tf_user_lend();
	if (file < 0)
		return file;
	file = uv_fs_open(NULL, &req, path, UV_FS_O_WRONLY | UV_FS_O_CREAT | UV_FS_O_TRUNC, 0666,
			  NULL);
	tf_user_return();
	uv_fs_req_cleanup(&req);
	return file;
}

int tf_capture_same_file(const char *one, const char *other)
{
	uv_fs_t first, second;
	int same = uv_fs_stat(NULL, &first, one, NULL) == 0 &&
		   uv_fs_stat(NULL, &second, other, NULL) == 0 &&
		   (first.statbuf.st_mode & S_IFMT) == S_IFREG &&
		   first.statbuf.st_ino == second.statbuf.st_ino &&
		   first.statbuf.st_dev == second.statbuf.st_dev;

	uv_fs_req_cleanup(&first);
	return same;
}

int tf_capture_put(int file, const void *bytes, size_t n)
{
	while (n > 0) {
		uv_buf_t buf =
			uv_buf_init((char *)bytes, (unsigned int)(n < 1u << 30 ? n : 1u << 30));
		uv_fs_t req;
		int got = uv_fs_write(NULL, &req, file, &buf, 1, -1, NULL);

		uv_fs_req_cleanup(&req);
		if (got <= 0)
			return got < 0 ? got : UV_EIO;
		bytes = (const char *)bytes + got;
		n -= (size_t)got;
	}
	return 0;
}

int64_t tf_capture_size(int file)
{
	uv_fs_t req;
	int64_t size = -1;

	if (uv_fs_fstat(NULL, &req, file, NULL) == 0 && (req.statbuf.st_mode & S_IFMT) == S_IFREG)
		size = (int64_t)req.statbuf.st_size;
	uv_fs_req_cleanup(&req);
	return size;
}

int tf_capture_cut(int file, size_t bytes)
{
	uv_fs_t req;
	int err = uv_fs_ftruncate(NULL, &req, file, tf_capture_size(file) - (int64_t)bytes, NULL);

	uv_fs_req_cleanup(&req);
	/* Otherwise the next write would leave zeros before it. */
	return err < 0 ? err : lseek(file, -(off_t)bytes, SEEK_CUR) < 0 ? UV_EIO : 0;
}

int tf_capture_file_close(int file)
{
	uv_fs_t req;
	int err;

	if (file <= 2)
		return 0;
	err = uv_fs_close(NULL, &req, file, NULL);
	uv_fs_req_cleanup(&req);
	return err;
}

static int flush(struct tf_capture_writer *writer)
{
	if (writer->failed == 0 && writer->used > 0)
		writer->failed = tf_capture_put(writer->file, writer->buffer, writer->used);
	writer->used = 0;
	return writer->failed;
}

static int emit(struct tf_capture_writer *writer, const void *bytes, size_t n)
{
	if (writer->failed < 0 || n == 0)
		return writer->failed;
	if (writer->sink != NULL)
		return writer->failed = writer->sink(writer->arg, bytes, n);
	if (writer->used + n > BUFFER && flush(writer) < 0)
		return writer->failed;
	if (n > BUFFER)
		return writer->failed = tf_capture_put(writer->file, bytes, n);
	memcpy(writer->buffer + writer->used, bytes, n);
	writer->used += n;
	return 0;
}

/* Writes a block of this type: the fixed part, the packet's bytes, the options. */
static int emit_block(struct tf_capture_writer *writer, uint32_t type, const struct block *fixed,
		      const uint8_t *bytes, uint32_t n, const struct block *options)
{
	uint32_t padding = (4 - n % 4) % 4;
	struct block head = {.swapped = fixed->swapped};

	put32(&head, type);
	put32(&head, 12 + fixed->len + n + padding + options->len);
	emit(writer, head.bytes, 8);
	emit(writer, fixed->bytes, fixed->len);
	emit(writer, bytes, n);
	emit(writer, "\0\0\0", padding);
	emit(writer, options->bytes, options->len);
	return emit(writer, head.bytes + 4, 4);
}

/* Two empty blocks in the writer's byte order. */
static void begin(const struct tf_capture_writer *writer, struct block *fixed,
		  struct block *options)
{
	fixed->len = options->len = 0;
	fixed->swapped = options->swapped = writer->format.swapped;
}

static void write_section(struct tf_capture_writer *writer)
{
	struct block fixed, options;

	begin(writer, &fixed, &options);
	put32(&fixed, 0x1a2b3c4d);
	put16(&fixed, 1);
	put16(&fixed, 0);
	put32(&fixed, UINT32_MAX);
	put32(&fixed, UINT32_MAX);
	put_option(&options, 4, "tunfilter", 9);
	put32(&options, 0);
	emit_block(writer, 0x0a0d0d0a, &fixed, NULL, 0, &options);
}

static void write_pcap_header(struct tf_capture_writer *writer)
{
	struct block header, none;

	begin(writer, &header, &none);
	put32(&header, writer->format.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
	put16(&header, 2);
	put16(&header, 4);
	put32(&header, 0);
	put32(&header, 0);
	put32(&header, 262144);
	put32(&header, writer->format.linktype);
	emit(writer, header.bytes, header.len);
}

int tf_capture_create(struct tf_capture_writer **out, const char *path,
		      const struct tf_capture_format *format, struct tf_error *error)
{
	struct tf_capture_writer *writer = calloc(1, sizeof(*writer));

	if (writer != NULL)
		writer->buffer = malloc(BUFFER);
	if (writer == NULL || writer->buffer == NULL) {
		free(writer);
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	}
	writer->file = tf_capture_file(path);
	if (writer->file < 0) {
		int err = writer->file;

		free(writer->buffer);
		free(writer);
		return tf_error_set(error, err, "%s cannot be written%s: %s", path, tf_user_text(),
				    uv_strerror(err));
	}
	writer->format = *format;
	if (format->ng)
		write_section(writer);
	else
		write_pcap_header(writer);
	*out = writer;
	return 0;
}

int tf_capture_records(struct tf_capture_writer **out, tf_capture_sink sink, void *arg)
{
	struct tf_capture_writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL)
		return UV_ENOMEM;
	writer->sink = sink;
	writer->arg = arg;
	writer->format.ng = 1;
	write_section(writer);
	*out = writer;
	return 0;
}

int tf_capture_add_interface(struct tf_capture_writer *writer,
			     const struct tf_capture_interface *interface)
{
	struct block fixed, options;
	uint8_t resolution = 9;

	begin(writer, &fixed, &options);
	put16(&fixed, interface->linktype);
	put16(&fixed, 0);
	put32(&fixed, 0);
	if (interface->name[0] != '\0')
		put_option(&options, 2, interface->name, (uint16_t)strlen(interface->name));
	put_option(&options, 9, &resolution, 1);
	put32(&options, 0);
	return emit_block(writer, 1, &fixed, NULL, 0, &options);
}

static int add_ng(struct tf_capture_writer *writer, const struct tf_capture_record *record,
		  const struct tf_capture_note *note)
{
	struct block fixed, options;

	begin(writer, &fixed, &options);
	put32(&fixed, record->interface);
	put32(&fixed, (uint32_t)((uint64_t)record->stamp >> 32));
	put32(&fixed, (uint32_t)record->stamp);
	put32(&fixed, record->len);
	put32(&fixed, record->original);
	if (note != NULL) {
		if (note->comment != NULL && note->comment[0] != '\0')
			put_option(&options, 1, note->comment,
				   (uint16_t)strnlen(note->comment, 500));
		if (note->direction != TF_CAPTURE_UNKNOWN) {
			put16(&options, 2);
			put16(&options, 4);
			put32(&options, note->direction);
		}
		if (note->verdict != TF_CAPTURE_NO_VERDICT) {
			uint8_t verdict[9] = {2};
			uint64_t value = note->verdict; /* notes are for files in this machine's
							   byte order */

			memcpy(verdict + 1, &value, 8);
			put_option(&options, 7, verdict, sizeof(verdict));
		}
		if (options.len > 0)
			put32(&options, 0);
	}
	return emit_block(writer, TF_CAPTURE_PACKET, &fixed, record->bytes, record->len, &options);
}

int tf_capture_add(struct tf_capture_writer *writer, const struct tf_capture_record *record,
		   const struct tf_capture_note *note)
{
	int64_t seconds = record->stamp / 1000000000, rest;
	struct block header, none;

	if (writer->format.ng)
		return add_ng(writer, record, note);
	begin(writer, &header, &none);
	if (seconds > UINT32_MAX) /* what the file's own fractions beyond a second add up to */
		seconds = UINT32_MAX;
	rest = record->stamp - seconds * 1000000000;
	put32(&header, (uint32_t)seconds);
	put32(&header, (uint32_t)(writer->format.nanoseconds ? rest : rest / 1000));
	put32(&header, record->len);
	put32(&header, record->original);
	emit(writer, header.bytes, header.len);
	return emit(writer, record->bytes, record->len);
}

int tf_capture_finish(struct tf_capture_writer *writer)
{
	int err, closed;

	if (writer == NULL)
		return 0;
	err = writer->sink == NULL ? flush(writer) : writer->failed;
	closed = writer->sink == NULL ? tf_capture_file_close(writer->file) : 0;
	free(writer->buffer);
	free(writer);
	return err < 0 ? err : closed;
}
