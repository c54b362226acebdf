/*
 * Writes capture files: pcap with nanoseconds, or pcapng (draft-ietf-opsawg-pcapng) with
 * interfaces, directions, verdicts and comments.
 */
#ifndef TF_CAPTURE_WRITE_H
#define TF_CAPTURE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "capture_read.h"
#include "error.h"

/* tf_capture_note.direction: epb_flags' first two bits */
enum { TF_CAPTURE_UNKNOWN = 0, TF_CAPTURE_INBOUND = 1, TF_CAPTURE_OUTBOUND = 2 };

/* epb_verdict's value as of an XDP program (type 2) */
enum {
	TF_CAPTURE_NO_VERDICT = 0,
	TF_CAPTURE_XDP_DROP = 1,
	TF_CAPTURE_XDP_PASS = 2,
	TF_CAPTURE_XDP_TX = 3
};

/* What pcapng says of a packet besides its bytes. */
struct tf_capture_note {
	uint8_t direction;
	uint8_t verdict;
	const char *comment; /* UTF-8, or NULL */
};

enum { TF_CAPTURE_PACKET = 6 }; /* a block's type */

struct tf_capture_writer;

/* Creates a file ("-": standard output) of this format. 0, or a code with a sentence. */
int tf_capture_create(struct tf_capture_writer **out, const char *path,
		      const struct tf_capture_format *format, struct tf_error *error);

/* Opens a file to be written anew ("-": standard output), as user.h's user; its descriptor, or a code. */
int tf_capture_file(const char *path);

/* Whether two names are of one file that is there; device files and pipes are not meant. */
int tf_capture_same_file(const char *one, const char *other);

/* Writes all of it, at once: 0 or a code. */
int tf_capture_put(int file, const void *bytes, size_t n);

/* How long a file is, if it is one that can be cut; else -1. */
int64_t tf_capture_size(int file);

/* Takes so many bytes away that were written last. 0 or a code. */
int tf_capture_cut(int file, size_t bytes);

/* 0 or a code. Standard output stays open. */
int tf_capture_file_close(int file);

/* Takes n bytes of the file. 0 or a code. */
typedef int (*tf_capture_sink)(void *arg, const void *bytes, size_t n);

/* pcapng in this machine's byte order, whose bytes go where the caller wants them. 0 or UV_ENOMEM.
 */
int tf_capture_records(struct tf_capture_writer **out, tf_capture_sink sink, void *arg);

/*
 * pcapng: adds the next interface (from 0 on), before its packets: its link type and name;
 * timestamps are in nanoseconds. 0 or a code.
 */
int tf_capture_add_interface(struct tf_capture_writer *writer,
			     const struct tf_capture_interface *interface);

/*
 * Adds a packet. The record's bytes, len, original, stamp and, in pcapng, interface count; note may
 * be NULL. 0, or a libuv code (disk full, closed pipe).
 */
int tf_capture_add(struct tf_capture_writer *writer, const struct tf_capture_record *record,
		   const struct tf_capture_note *note);

/* Writes out what is left and closes: 0, or the first error of all. NULL is fine. */
int tf_capture_finish(struct tf_capture_writer *writer);

#endif
