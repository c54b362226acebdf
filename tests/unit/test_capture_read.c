/* Capture files of every form that the formats' drafts describe, and of any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <uv.h>

#include "capture_files.h"
#include "capture_read.h"

enum { MUTATIONS = 100000 };

static struct bytes file;
static struct tf_error error;

static struct tf_capture_reader *open_it(void)
{
	struct tf_capture_reader *reader;

	assert_int_equal(tf_capture_open(&reader, file_of(file.data, file.len), &error), 0);
	return reader;
}

static void expect(struct tf_capture_reader *reader, const char *packet, int64_t stamp,
		   uint32_t original, uint32_t interface_number, uint16_t linktype)
{
	struct tf_capture_record record;

	assert_int_equal(tf_capture_next(reader, &record, &error), 1);
	assert_int_equal(record.len, strlen(packet));
	assert_memory_equal(record.bytes, packet, record.len);
	assert_int_equal(record.stamp, stamp);
	assert_int_equal(record.original, original);
	assert_int_equal(record.interface, interface_number);
	assert_int_equal(record.linktype, linktype);
}

static void expect_end(struct tf_capture_reader *reader)
{
	struct tf_capture_record record;

	assert_int_equal(tf_capture_next(reader, &record, &error), 0);
	assert_int_equal(tf_capture_next(reader, &record, &error), 0);
	tf_capture_close(reader);
}

static void pcap_of_every_kind(void **state)
{
	static const struct {
		uint32_t magic;
		int extra;
		int64_t unit;
	} kinds[] = {{0xa1b2c3d4, 0, 1000}, {0xa1b23c4d, 0, 1}, {0xa1b2cd34, 8, 1000}};
	struct tf_capture_format format;
	(void)state;

	for (size_t i = 0; i < 6; i++) {
		struct tf_capture_reader *reader;
		size_t kind = i / 2;

		/* The upper bits: frame check sequences of 4 bytes. */
		begin_pcap(&file, i % 2, kinds[kind].magic, 4, 0x44000001);
		add_record(&file, 1700000000, 999999, "first packet", 1500, kinds[kind].extra);
		add_record(&file, UINT32_MAX, 1, "", 0, kinds[kind].extra);
		add_record(&file, 0, 0, "x", 0, kinds[kind].extra); /* a length that lies */
		reader = open_it();
		tf_capture_format(reader, &format);
		assert_int_equal(format.ng, 0);
		assert_int_equal(format.swapped, i % 2);
		assert_int_equal(format.nanoseconds, kind == 1);
		assert_int_equal(format.linktype, 0x44000001);
		expect(reader, "first packet", 1700000000000000000 + 999999 * kinds[kind].unit,
		       1500, 0, 1);
		expect(reader, "", UINT32_MAX * 1000000000ll + kinds[kind].unit, 0, 0, 1);
		expect(reader, "x", 0, 0, 0, 1);
		expect_end(reader);
	}
}

/* Before 2.4 the two lengths stood the other way round, or did not. */
static void old_pcap(void **state)
{
	struct tf_capture_reader *reader;
	(void)state;

	begin_pcap(&file, 0, 0xa1b2c3d4, 3, 1);
	add_record(&file, 1, 0, "abcd", 4, 0);
	add_record(&file, 2, 0, "abcd", 100, 0);
	file.len -= 4; /* again, with its lengths exchanged */
	file.len -= 8;
	put(&file, 100, 4);
	put(&file, 4, 4);
	put_bytes(&file, "abcd", 4);
	reader = open_it();
	expect(reader, "abcd", 1000000000, 4, 0, 1);
	expect(reader, "abcd", 2000000000, 100, 0, 1);
	expect_end(reader);
}

/* Everything that a section may have, twice, in either byte order. */
static void build_ng(int big)
{
	size_t start;

	begin(&file, big);
	section(&file);
	interface(&file, 1, 0, 0xff, 0, "eth0");
	interface(&file, 101, 6, 9, 0, "");
	enhanced(&file, 0, 1700000000123456, "Ethernet", 9);
	start = open_block(&file, 4); /* names */
	put(&file, 0, 4);
	close_block(&file, start);
	enhanced(&file, 1, 1700000000123456789, "raw", 3);
	start = open_block(&file, 3); /* of the first interface */
	put(&file, 5, 4);
	put_bytes(&file, "plain", 5);
	close_block(&file, start);
	start = open_block(&file, 2); /* obsolete */
	put(&file, 1, 2);
	put(&file, 77, 2);
	put(&file, 0, 4);
	put(&file, 5, 4);
	put(&file, 3, 4);
	put(&file, 30, 4);
	put_bytes(&file, "old", 3);
	close_block(&file, start);
	start = open_block(&file, 0x12345678); /* nobody knows it */
	put(&file, 0xdeadbeef, 4);
	close_block(&file, start);

	file.big = !big;
	section(&file);
	interface(&file, 113, 3, 0x80 | 10, -1000, "");
	interface(&file, 276, 0, 6, 1000000000,
		  "a name that is longer than the sixty-three bytes that we keep of it");
	start = open_block(&file, 3); /* cut to the interface's snaplen */
	put(&file, 9, 4);
	put_bytes(&file, "cut short", 9);
	close_block(&file, start);
	enhanced(&file, 0, 2000 * 1024 + 512, "binary", 6);
	enhanced(&file, 1, 700000000ull * 1000000 + 1, "offset", 6);
	enhanced(&file, 1, UINT64_MAX, "never", 5);
}

static void pcapng_with_everything(void **state)
{
	(void)state;

	for (int big = 0; big < 2; big++) {
		const struct tf_capture_interface *interfaces;
		struct tf_capture_reader *reader;
		struct tf_capture_format format;

		build_ng(big);
		reader = open_it();
		tf_capture_format(reader, &format);
		assert_int_equal(format.ng, 1);
		assert_int_equal(format.swapped, big);
		expect(reader, "Ethernet", 1700000000123456000, 9, 0, 1);
		expect(reader, "raw", 1700000000123456789, 3, 1, 101);
		expect(reader, "plain", 0, 5, 0, 1);
		expect(reader, "old", 5, 30, 1, 101);
		expect(reader, "cut", 0, 9, 2, 113);
		expect(reader, "binary", 1000500000000, 6, 2, 113);
		expect(reader, "offset", 1700000000000001000, 6, 3, 276);
		expect(reader, "never", 0, 5, 3, 276);
		assert_int_equal(tf_capture_interfaces(reader, &interfaces), 4);
		assert_string_equal(interfaces[0].name, "eth0");
		assert_string_equal(interfaces[1].name, "");
		assert_int_equal(strlen(interfaces[3].name), 63);
		expect_end(reader);
	}
}

/* Reads all; the last code, with the number of packets. Touches every byte that it is given. */
static int read_all(size_t *packets)
{
	struct tf_capture_reader *reader;
	struct tf_capture_record record;
	volatile uint8_t sum = 0;
	int got;

	*packets = 0;
	error.text[0] = 0;
	got = tf_capture_open(&reader, file_of(file.data, file.len), &error);
	if (got < 0)
		return got;
	while ((got = tf_capture_next(reader, &record, &error)) == 1) {
		const struct tf_capture_interface *interfaces;

		assert_true(record.interface < tf_capture_interfaces(reader, &interfaces));
		assert_int_equal(record.linktype, interfaces[record.interface].linktype);
		assert_true(record.stamp >= 0 && record.offset < file.len);
		for (uint32_t i = 0; i < record.len; i++)
			sum = (uint8_t)(sum + record.bytes[i]);
		assert_true(++*packets <= file.len / 12);
	}
	tf_capture_close(reader);
	return got;
}

static void build(int which)
{
	if (which < 2) {
		build_ng(which);
		return;
	}
	begin_pcap(&file, which % 2, 0xa1b2c3d4, 4, 1);
	for (uint32_t i = 0; i < 5; i++)
		add_record(&file, i, i, "some bytes of a packet", 22, 0);
}

/* What is whole is read, and then the message has the place at which the file is no longer whole.
 */
static void every_truncation(void **state)
{
	(void)state;

	for (int which = 0; which < 4; which++) {
		build(which);
		for (size_t len = file.len; len-- > 0;) {
			size_t whole = 0, packets, start;
			int got, ends_well;

			/* Where a record or block would begin: found by a walk of our own. */
			file.len = len;
			for (start = which < 2 ? 0 : 24; start < len;) {
				uint32_t n;

				memcpy(&n, file.data + start + (which < 2 ? 4 : 8), 4);
				if (which == 3 ||
				    (which < 2 && (file.data[start + 8] == 0x1a || n > 65536)))
					n = __builtin_bswap32(n);
				n += which < 2 ? 0 : 16;
				if (start + n > len)
					break;
				start += n;
			}
			ends_well = start == len;
			while (whole < file.record_count && file.records[whole] < start)
				whole++;
			got = read_all(&packets);
			if (len < (which < 2 ? 28u : 24u)) { /* not even a header */
				assert_int_equal(got, UV_EINVAL);
				continue;
			}
			assert_int_equal(packets, whole);
			assert_int_equal(got, ends_well ? 0 : UV_EINVAL);
			if (!ends_well) {
				char place[32];

				snprintf(place, sizeof(place), " at byte %zu: ", start);
				assert_non_null(strstr(error.text, place));
			}
		}
	}
}

static void mutations(void **state)
{
	const char *preload = getenv("LD_PRELOAD"); /* valgrind's, which takes its time */
	size_t rounds = preload && strstr(preload, "vgpreload") ? MUTATIONS / 50 : MUTATIONS;
	size_t packets, damaged = 0, whole = 0;
	(void)state;

	srand(20240229);
	for (size_t i = 0; i < rounds; i++) {
		int got;

		build((int)(i % 4));
		for (int n = 1 + rand() % 4; n > 0; n--) {
			size_t at = (size_t)rand() % file.len;

			switch (rand() % 4) {
			case 0:
				file.data[at] = (uint8_t)rand();
				break;
			case 1:
				file.data[at] ^= (uint8_t)(1 << rand() % 8);
				break;
			case 2: /* a length or count that is at an edge */
				memset(file.data + at / 4 * 4, rand() % 2 ? 0xff : 0, 4);
				break;
			default:
				file.len = at ? at : 1;
			}
		}
		got = read_all(&packets);
		assert_true(got == 0 || got == UV_EINVAL);
		if (got < 0)
			assert_true(error.text[0] != 0);
		damaged += got < 0;
		whole += got == 0;
	}
	/* Or the test would look at one kind only. */
	assert_true(damaged > rounds / 10 && whole > rounds / 10);
}

static void expect_message(const char *part)
{
	size_t packets;

	assert_int_equal(read_all(&packets), UV_EINVAL);
	if (!strstr(error.text, part))
		fail_msg("no \"%s\" in \"%s\"", part, error.text);
}

static void messages(void **state)
{
	size_t start;
	(void)state;

	begin(&file, 0);
	expect_message("it is empty");
	put_bytes(&file, "abc", 3);
	expect_message("too short");
	put_bytes(&file, "def", 3);
	expect_message("neither pcap nor pcapng");
	begin(&file, 0);
	put_bytes(&file, "\x1f\x8b\x08\0\0\0", 6);
	expect_message("compressed, by gzip");
	begin_pcap(&file, 0, 0xa1b2c3d4, 4, 1);
	add_record(&file, 0, 0, "four", 4, 0);
	add_record(&file, 0, 0, "four", 4, 0);
	memset(file.data + 24 + 20 + 8, 0xff, 4);
	expect_message("at byte 44: a record claims an impossible length");
	begin(&file, 0);
	section(&file);
	enhanced(&file, 0, 0, "no interface", 12);
	expect_message("at byte 28: a bad packet block");
	begin(&file, 0);
	section(&file);
	start = open_block(&file, 1);
	put(&file, 1, 4);
	close_block(&file, start);
	expect_message("at byte 28: a bad interface block");
	begin(&file, 0);
	section(&file);
	for (int i = 0; i <= TF_CAPTURE_INTERFACES; i++)
		interface(&file, 1, 0, 0xff, 0, "");
	expect_message("a bad interface block");
	begin(&file, 0);
	section(&file);
	interface(&file, 1, 0, 9, 0, "");
	file.data[file.len - 4]++;
	expect_message("two lengths differ");
}

static void files_that_cannot_be_read(void **state)
{
	struct tf_capture_reader *reader;
	(void)state;

	assert_int_equal(tf_capture_open(&reader, "/nowhere/at.all", &error), UV_ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/at.all"));
	assert_int_equal(tf_capture_open(&reader, "/tmp", &error), UV_EISDIR);
}

/* A packet that is longer than what is read at once, at every distance from its end. */
static void long_packets(void **state)
{
	static uint8_t big[3 << 20];
	struct tf_capture_record record;
	(void)state;

	for (uint32_t len = (256u << 10) - 100; len < 1u << 20; len += 131 + len / 8) {
		struct tf_capture_reader *reader;

		begin_pcap(&file, 0, 0xa1b2c3d4, 4, 1);
		put(&file, 0, 8);
		put(&file, len, 4);
		put(&file, len, 4);
		memcpy(big, file.data, file.len);
		for (uint32_t i = 0; i < len; i++)
			big[file.len + i] = (uint8_t)(i * 7);
		memcpy(big + file.len + len, file.data + 24, 16);
		memset(big + file.len + len + 8, 0, 8);
		assert_int_equal(
			tf_capture_open(&reader, file_of(big, file.len + len + 16), &error), 0);
		assert_int_equal(tf_capture_next(reader, &record, &error), 1);
		assert_int_equal(record.len, len);
		assert_memory_equal(record.bytes, big + file.len, len);
		assert_int_equal(tf_capture_next(reader, &record, &error), 1);
		assert_int_equal(record.len, 0);
		expect_end(reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap_of_every_kind),
		cmocka_unit_test(old_pcap),
		cmocka_unit_test(pcapng_with_everything),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(mutations),
		cmocka_unit_test(messages),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(long_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
