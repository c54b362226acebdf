/*
 * Reads capture files: pcap (draft-ietf-opsawg-pcap; microseconds, nanoseconds and the "modified"
 * record header, either byte order) and pcapng (draft-ietf-opsawg-pcapng; enhanced, simple and
 * obsolete packet blocks, several sections and interfaces).
 *
 * Not through libpcap, which tells neither a pcapng packet's interface nor a damaged place's
 * offset, and refuses files with several link types. Any bytes are safe.
 */
#ifndef TF_CAPTURE_READ_H
#define TF_CAPTURE_READ_H

#include <stdint.h>

#include "error.h"

#define TF_CAPTURE_INTERFACES 1024	  /* more in one file are taken for damage */
#define TF_CAPTURE_RECORD_MAX (64u << 20) /* bytes; a longer record is taken for damage */

struct tf_capture_interface {
	uint16_t linktype; /* LINKTYPE_…, see tcpdump.org/linktypes.html */
	uint32_t snaplen;  /* bytes, 0: no limit */
	uint64_t ticks;	   /* of a timestamp a second, at least 1 */
	int64_t offset;	   /* seconds that are added to timestamps */
	char name[64];	   /* "" where the file has none; a longer one is cut */
};

/* What a copy of a file has to keep, besides its packets. */
struct tf_capture_format {
	int ng;	     /* pcapng */
	int swapped; /* not in this machine's byte order, which some link types' packets follow */
	int nanoseconds;   /* pcap: of timestamps, or finer; else microseconds */
	uint32_t linktype; /* pcap: as in the header, whose upper bits tell of frame check sequences
			    */
};

/* One packet; bytes are the reader's and good until the next call. */
struct tf_capture_record {
	const uint8_t *bytes;
	uint32_t len;	   /* bytes in the file */
	uint32_t original; /* bytes on the wire, as the file says */
	int64_t stamp; /* nanoseconds since the epoch, from 0 on; 0 where the file has no time */
	uint32_t interface; /* index over the whole file: sections go on counting */
	uint16_t linktype;  /* of its interface */
	uint64_t offset;    /* in the file, of the record or block */
};

struct tf_capture_reader;

/* Opens a file ("-": standard input) and reads its header. 0, or a code with a sentence. */
int tf_capture_open(struct tf_capture_reader **out, const char *path, struct tf_error *error);

/*
 * The next packet: 1, 0 at the end; UV_EINVAL where the file is damaged, with a sentence that has
 * the offset, UV_EINTR where a signal came while it waited for a pipe, or another code. After an
 * error there are no more.
 */
int tf_capture_next(struct tf_capture_reader *reader, struct tf_capture_record *record,
		    struct tf_error *error);

/* The interfaces seen so far; there is at least one once a packet was read. */
uint32_t tf_capture_interfaces(const struct tf_capture_reader *reader,
			       const struct tf_capture_interface **interfaces);

void tf_capture_format(const struct tf_capture_reader *reader, struct tf_capture_format *format);

/* Bytes taken so far, and the file's size (0 where it has none), for progress. */
void tf_capture_progress(const struct tf_capture_reader *reader, uint64_t *at, uint64_t *size);

/* NULL is fine. */
void tf_capture_close(struct tf_capture_reader *reader);

#endif
