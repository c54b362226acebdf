/* What is written, byte by byte as the formats' drafts say; and files that cannot be written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <uv.h>

#include "capture_files.h"
#include "capture_write.h"

static struct tf_error error;

static const struct tf_capture_record packet = {.bytes = (const uint8_t *)"packet",
						.len = 6,
						.original = 60,
						.stamp = 1700000000123456789,
						.interface = 1};

static void expect_file(const struct bytes *expected, const char *path)
{
	static uint8_t got[1 << 17];
	FILE *in = fopen(path, "rb");
	size_t n;

	assert_non_null(in);
	n = fread(got, 1, sizeof(got), in);
	fclose(in);
	assert_int_equal(n, expected->len);
	assert_memory_equal(got, expected->data, n);
}

static void pcap(void **state)
{
	static struct bytes expected;
	(void)state;

	for (int i = 0; i < 4; i++) {
		struct tf_capture_format format = {
			.swapped = i % 2, .nanoseconds = i / 2, .linktype = 0x44000001};
		struct tf_capture_record late = packet;
		struct tf_capture_writer *writer;
		const char *path = file_of(NULL, 0);

		/* A time beyond 32 bits, as a fraction above a second gives it. */
		late.stamp = (int64_t)UINT32_MAX * 1000000000 + 3000000000;
		assert_int_equal(tf_capture_create(&writer, path, &format, &error), 0);
		assert_int_equal(tf_capture_add(writer, &packet, NULL), 0);
		assert_int_equal(tf_capture_add(writer, &late, NULL), 0);
		assert_int_equal(tf_capture_finish(writer), 0);

		begin(&expected, i % 2);
		put(&expected, i / 2 ? 0xa1b23c4d : 0xa1b2c3d4, 4);
		put(&expected, 2, 2);
		put(&expected, 4, 2);
		put(&expected, 0, 8);
		put(&expected, 262144, 4);
		put(&expected, 0x44000001, 4);
		add_record(&expected, 1700000000, i / 2 ? 123456789 : 123456, "packet", 60, 0);
		add_record(&expected, UINT32_MAX, i / 2 ? 3000000000 : 3000000, "packet", 60, 0);
		expect_file(&expected, path);
	}
}

/* A section's option that says who wrote it. */
static void our_section(struct bytes *to)
{
	size_t start = open_block(to, 0x0a0d0d0a);

	put(to, 0x1a2b3c4d, 4);
	put(to, 1, 2);
	put(to, 0, 2);
	put(to, UINT64_MAX, 8);
	option(to, 4, "tunfilter", 9);
	put(to, 0, 4);
	close_block(to, start);
}

static void pcapng(void **state)
{
	static struct bytes expected;
	const struct tf_capture_interface left = {.linktype = 101, .name = "left"},
					  other = {.linktype = 1};
	const struct tf_capture_note none = {0}, full = {TF_CAPTURE_INBOUND, TF_CAPTURE_XDP_DROP,
							 "rules.lua:3"};
	(void)state;

	for (int big = 0; big < 2; big++) {
		struct tf_capture_format format = {.ng = 1, .swapped = big};
		struct tf_capture_writer *writer;
		const char *path = file_of(NULL, 0);
		const uint8_t verdict[9] = {2, 1};
		size_t start;

		assert_int_equal(tf_capture_create(&writer, path, &format, &error), 0);
		assert_int_equal(tf_capture_add_interface(writer, &left), 0);
		assert_int_equal(tf_capture_add_interface(writer, &other), 0);
		assert_int_equal(tf_capture_add(writer, &packet, NULL), 0);
		assert_int_equal(tf_capture_add(writer, &packet, &none), 0);
		if (!big)
			assert_int_equal(tf_capture_add(writer, &packet, &full), 0);
		assert_int_equal(tf_capture_finish(writer), 0);

		begin(&expected, big);
		our_section(&expected);
		interface(&expected, 101, 0, 9, 0, "left");
		interface(&expected, 1, 0, 9, 0, "");
		enhanced(&expected, 1, 1700000000123456789, "packet", 60);
		enhanced(&expected, 1, 1700000000123456789, "packet", 60);
		if (!big) {
			start = expected.len;
			enhanced(&expected, 1, 1700000000123456789, "packet", 60);
			expected.len -= 4;
			option(&expected, 1, "rules.lua:3", 11);
			option(&expected, 2, "\1\0\0\0", 4);
			option(&expected, 7, verdict, 9);
			put(&expected, 0, 4);
			close_block(&expected, start);
		}
		expect_file(&expected, path);
	}
}

static int refuse_after(void *arg, const void *bytes, size_t n)
{
	(void)bytes;
	(void)n;
	return --*(int *)arg < 0 ? UV_ENOSPC : 0;
}

static void the_first_error_stays(void **state)
{
	const struct tf_capture_interface interface = {.linktype = 1};
	struct tf_capture_format format = {.linktype = 1};
	struct tf_capture_writer *writer;
	int calls = 20, err = 0;
	(void)state;

	assert_int_equal(tf_capture_records(&writer, refuse_after, &calls), 0);
	tf_capture_add_interface(writer, &interface);
	for (int i = 0; i < 10; i++)
		err = tf_capture_add(writer, &packet, NULL);
	assert_int_equal(err, UV_ENOSPC);
	assert_int_equal(calls, -1); /* it was not asked again */
	assert_int_equal(tf_capture_finish(writer), UV_ENOSPC);

	assert_int_equal(tf_capture_create(&writer, "/dev/full", &format, &error), 0);
	assert_int_equal(tf_capture_add(writer, &packet, NULL), 0); /* waits in the buffer */
	assert_int_equal(tf_capture_finish(writer), UV_ENOSPC);

	assert_int_equal(tf_capture_create(&writer, "/dev/full", &format, &error), 0);
	for (int i = 0; i < 100000; i++)
		err = tf_capture_add(writer, &packet, NULL);
	assert_int_equal(err, UV_ENOSPC);
	assert_int_equal(tf_capture_finish(writer), UV_ENOSPC);

	assert_int_equal(tf_capture_create(&writer, "/nowhere/at.all", &format, &error), UV_ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/at.all cannot be written"));
}

/* Records of all sizes, some beyond what is written at once, arrive in order. */
static void many_sizes(void **state)
{
	static uint8_t bytes[600 << 10];
	struct tf_capture_format format = {.linktype = 1};
	struct tf_capture_record record = packet;
	struct tf_capture_reader *reader;
	struct tf_capture_writer *writer;
	const char *path = file_of(NULL, 0);
	(void)state;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	record.bytes = bytes;
	assert_int_equal(tf_capture_create(&writer, path, &format, &error), 0);
	for (record.len = 0; record.len < sizeof(bytes); record.len += 1 + record.len / 3)
		assert_int_equal(tf_capture_add(writer, &record, NULL), 0);
	assert_int_equal(tf_capture_finish(writer), 0);
	assert_int_equal(tf_capture_open(&reader, path, &error), 0);
	for (uint32_t len = 0; len < sizeof(bytes); len += 1 + len / 3) {
		assert_int_equal(tf_capture_next(reader, &record, &error), 1);
		assert_int_equal(record.len, len);
		assert_memory_equal(record.bytes, bytes, len);
	}
	assert_int_equal(tf_capture_next(reader, &record, &error), 0);
	tf_capture_close(reader);
}

static void same_file(void **state)
{
	char name[] = "/tmp/tunfilter-test-XXXXXX", other[64];
	int fd = mkstemp(name);
	(void)state;

	assert_true(fd >= 0);
	snprintf(other, sizeof(other), "%s.link", name);
	assert_int_equal(link(name, other), 0);
	assert_true(tf_capture_same_file(name, other));
	assert_false(tf_capture_same_file(name, "/dev/null"));
	assert_false(tf_capture_same_file("/dev/null", "/dev/null"));
	assert_false(tf_capture_same_file(name, "/nowhere/at.all"));
	unlink(name);
	unlink(other);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap),
		cmocka_unit_test(pcapng),
		cmocka_unit_test(the_first_error_stays),
		cmocka_unit_test(many_sizes),
		cmocka_unit_test(same_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
