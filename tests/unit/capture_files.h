/* Capture files, put together field by field in either byte order, in a file that has no name. */
#ifndef TF_TEST_CAPTURE_FILES_H
#define TF_TEST_CAPTURE_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RECORDS_MAX = 64 };

struct bytes {
	uint8_t data[1 << 17];
	size_t len;
	int big;		     /* big endian */
	size_t records[RECORDS_MAX]; /* where packets' records or blocks begin, record_count of them
				      */
	size_t record_count;
};

static inline void put(struct bytes *to, uint64_t value, int width)
{
	for (int i = 0; i < width; i++)
		to->data[to->len++] = (uint8_t)(value >> 8 * (to->big ? width - 1 - i : i));
}

static inline void put_bytes(struct bytes *to, const void *bytes, size_t n)
{
	memcpy(to->data + to->len, bytes, n);
	to->len += n;
}

static inline void begin(struct bytes *to, int big)
{
	to->len = to->record_count = 0;
	to->big = big;
}

static inline void begin_pcap(struct bytes *to, int big, uint32_t magic, uint16_t minor,
			      uint32_t network)
{
	begin(to, big);
	put(to, magic, 4);
	put(to, 2, 2);
	put(to, minor, 2);
	put(to, 0, 8);
	put(to, 65535, 4);
	put(to, network, 4);
}

/* extra: bytes between the record's header and the packet, as the "modified" format has them */
static inline void add_record(struct bytes *to, uint32_t seconds, uint32_t fraction,
			      const char *packet, uint32_t original, int extra)
{
	to->records[to->record_count++] = to->len;
	put(to, seconds, 4);
	put(to, fraction, 4);
	put(to, strlen(packet), 4);
	put(to, original, 4);
	put(to, 0, extra);
	put_bytes(to, packet, strlen(packet));
}

/* A block: its body is what is put between the two calls. */
static inline size_t open_block(struct bytes *to, uint32_t type)
{
	size_t start = to->len;

	if (type == 2 || type == 3 || type == 6)
		to->records[to->record_count++] = start;
	put(to, type, 4);
	put(to, 0, 4);
	return start;
}

static inline void close_block(struct bytes *to, size_t start)
{
	size_t end;

	while (to->len % 4)
		to->data[to->len++] = 0;
	put(to, to->len + 4 - start, 4);
	end = to->len;
	to->len = start + 4;
	put(to, end - start, 4);
	to->len = end;
}

static inline void option(struct bytes *to, uint16_t code, const void *bytes, uint16_t n)
{
	put(to, code, 2);
	put(to, n, 2);
	put_bytes(to, bytes, n);
	while (to->len % 4)
		to->data[to->len++] = 0;
}

static inline void section(struct bytes *to)
{
	size_t start = open_block(to, 0x0a0d0d0a);

	put(to, 0x1a2b3c4d, 4);
	put(to, 1, 2);
	put(to, 0, 2);
	put(to, UINT64_MAX, 8);
	close_block(to, start);
}

/* resolution 0xff and offset 0: without these options */
static inline void interface(struct bytes *to, uint16_t linktype, uint32_t snaplen,
			     uint8_t resolution, int64_t offset, const char *name)
{
	size_t start = open_block(to, 1);

	put(to, linktype, 2);
	put(to, 0, 2);
	put(to, snaplen, 4);
	if (*name)
		option(to, 2, name, (uint16_t)strlen(name));
	if (resolution != 0xff)
		option(to, 9, &resolution, 1);
	if (offset) {
		put(to, 14, 2);
		put(to, 8, 2);
		put(to, (uint64_t)offset, 8);
	}
	put(to, 0, 4);
	close_block(to, start);
}

static inline void enhanced(struct bytes *to, uint32_t interface_number, uint64_t ticks,
			    const char *packet, uint32_t original)
{
	size_t start = open_block(to, 6);

	put(to, interface_number, 4);
	put(to, ticks >> 32, 4);
	put(to, ticks & UINT32_MAX, 4);
	put(to, strlen(packet), 4);
	put(to, original, 4);
	put_bytes(to, packet, strlen(packet));
	close_block(to, start);
}

/* One file, used again and again: its name for others to open. */
static inline const char *file_of(const uint8_t *data, size_t len)
{
	static char name[64];
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("capture", 0);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, len, 0) != (ssize_t)len)
		abort();
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return name;
}

#endif
