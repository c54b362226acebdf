#include "capture_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define BUFFER (256u << 10)

struct tf_capture_writer {
	tf_capture_sink sink;
	void *arg;
	FILE *file; /* what the sink writes to, or NULL */
	int ng;
	int nanoseconds;
	int failed; /* the first error, a libuv code */
};

/* An option or a fixed part, put together before it is written. */
struct block {
	uint8_t bytes[1024];
	uint32_t len;
};

static void put(struct block *block, const void *bytes, uint32_t n)
{
	memcpy(block->bytes + block->len, bytes, n);
	block->len += n;
}

static void put16(struct block *block, uint16_t v)
{
	put(block, &v, 2);
}

static void put32(struct block *block, uint32_t v)
{
	put(block, &v, 4);
}

static void put_option(struct block *block, uint16_t code, const void *bytes, uint16_t n)
{
	put16(block, code);
	put16(block, n);
	put(block, bytes, n);
	put(block, "\0\0\0", (4 - n % 4) % 4);
}

static int to_file(void *arg, const void *bytes, size_t n)
{
	errno = EIO;
	return fwrite(bytes, 1, n, arg) == n ? 0 : uv_translate_sys_error(errno);
}

static int emit(struct tf_capture_writer *writer, const void *bytes, size_t n)
{
	if (writer->failed == 0 && n > 0)
		writer->failed = writer->sink(writer->arg, bytes, n);
	return writer->failed;
}

/* Writes a block of this type: the fixed part, the packet's bytes, the options. */
static int emit_block(struct tf_capture_writer *writer, uint32_t type, const struct block *fixed,
		      const uint8_t *bytes, uint32_t n, const struct block *options)
{
	uint32_t padding = (4 - n % 4) % 4;
	uint32_t total = 12 + fixed->len + n + padding + options->len;

	emit(writer, &type, 4);
	emit(writer, &total, 4);
	emit(writer, fixed->bytes, fixed->len);
	emit(writer, bytes, n);
	emit(writer, "\0\0\0", padding);
	emit(writer, options->bytes, options->len);
	return emit(writer, &total, 4);
}

static void write_section(struct tf_capture_writer *writer)
{
	struct block fixed = { .len = 0 }, options = { .len = 0 };

	put32(&fixed, 0x1a2b3c4d);
	put16(&fixed, 1);
	put16(&fixed, 0);
	put32(&fixed, UINT32_MAX);
	put32(&fixed, UINT32_MAX);
	put_option(&options, 4, "tunfilter", 9);
	put32(&options, 0);
	emit_block(writer, 0x0a0d0d0a, &fixed, NULL, 0, &options);
}

static void write_pcap_header(struct tf_capture_writer *writer, uint16_t linktype)
{
	struct block header = { .len = 0 };

	put32(&header, writer->nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
	put16(&header, 2);
	put16(&header, 4);
	put32(&header, 0);
	put32(&header, 0);
	put32(&header, 262144);
	put32(&header, linktype);
	emit(writer, header.bytes, header.len);
}

int tf_capture_create(struct tf_capture_writer **out, const char *path, int ng, uint16_t linktype,
		      int nanoseconds, struct tf_error *error)
{
	struct tf_capture_writer *writer = calloc(1, sizeof(*writer));

	if (writer == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	writer->file = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
	if (writer->file == NULL) {
		int err = uv_translate_sys_error(errno);

		free(writer);
		return tf_error_set(error, err, "%s cannot be written: %s", path, uv_strerror(err));
	}
	setvbuf(writer->file, NULL, _IOFBF, BUFFER);
	writer->sink = to_file;
	writer->arg = writer->file;
	writer->ng = ng;
	writer->nanoseconds = nanoseconds;
	if (ng)
		write_section(writer);
	else
		write_pcap_header(writer, linktype);
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
	writer->ng = 1;
	write_section(writer);
	*out = writer;
	return 0;
}

int tf_capture_add_interface(struct tf_capture_writer *writer, uint16_t linktype, const char *name)
{
	struct block fixed = { .len = 0 }, options = { .len = 0 };
	uint8_t resolution = 9;

	put16(&fixed, linktype);
	put16(&fixed, 0);
	put32(&fixed, 0);
	if (name != NULL && name[0] != '\0')
		put_option(&options, 2, name, (uint16_t) strnlen(name, 200));
	put_option(&options, 9, &resolution, 1);
	put32(&options, 0);
	return emit_block(writer, 1, &fixed, NULL, 0, &options);
}

static int add_ng(struct tf_capture_writer *writer, const struct tf_capture_record *record,
		  const struct tf_capture_note *note)
{
	struct block fixed = { .len = 0 }, options = { .len = 0 };

	put32(&fixed, record->interface);
	put32(&fixed, (uint32_t) ((uint64_t) record->stamp >> 32));
	put32(&fixed, (uint32_t) record->stamp);
	put32(&fixed, record->len);
	put32(&fixed, record->original);
	if (note != NULL) {
		if (note->comment != NULL && note->comment[0] != '\0')
			put_option(&options, 1, note->comment, (uint16_t) strnlen(note->comment, 500));
		if (note->direction != TF_CAPTURE_UNKNOWN) {
			uint32_t flags = note->direction;

			put_option(&options, 2, &flags, 4);
		}
		if (note->verdict != TF_CAPTURE_NO_VERDICT) {
			uint8_t verdict[9] = { 2 };
			uint64_t value = note->verdict;

			memcpy(verdict + 1, &value, 8);
			put_option(&options, 7, verdict, sizeof(verdict));
		}
		if (options.len > 0)
			put32(&options, 0);
	}
	return emit_block(writer, 6, &fixed, record->bytes, record->len, &options);
}

int tf_capture_add(struct tf_capture_writer *writer, const struct tf_capture_record *record,
		   const struct tf_capture_note *note)
{
	uint64_t stamp = record->stamp > 0 ? (uint64_t) record->stamp : 0;
	uint32_t rest = (uint32_t) (stamp % 1000000000);
	uint32_t header[4];

	if (writer->ng)
		return add_ng(writer, record, note);
	header[0] = (uint32_t) (stamp / 1000000000);
	header[1] = writer->nanoseconds ? rest : rest / 1000;
	header[2] = record->len;
	header[3] = record->original;
	emit(writer, header, sizeof(header));
	return emit(writer, record->bytes, record->len);
}

int tf_capture_finish(struct tf_capture_writer *writer)
{
	int err;

	if (writer == NULL)
		return 0;
	err = writer->failed;
	if (writer->file != NULL) {
		if (fflush(writer->file) != 0 && err == 0)
			err = uv_translate_sys_error(errno);
		if (writer->file != stdout)
			fclose(writer->file);
	}
	free(writer);
	return err;
}
