/* TCP options by name. Reads and writes nothing outside the packet, whatever its bytes say. */
#ifndef TF_TCP_OPTIONS_H
#define TF_TCP_OPTIONS_H

#include "edit.h"
#include "packet.h"

/* cdef: begin */
/* tf_tcp_options.present */
enum {
	TF_OPTION_MSS = 1,
	TF_OPTION_WSCALE = 2,
	TF_OPTION_SACK_OK = 4,
	TF_OPTION_TIMESTAMP = 8,
	TF_OPTION_SACK = 16
};

struct tf_tcp_options {
	uint32_t present; /* TF_OPTION_…; the fields of the others mean nothing */
	uint32_t mss;	  /* bytes, 0 to 65535 */
	uint32_t wscale;  /* shift, 0 to 255 */
	uint32_t val;	  /* timestamp */
	uint32_t ecr;	  /* timestamp echo reply */
	uint32_t blocks;  /* SACK blocks, 1 to 4 */
	uint32_t left[4]; /* their first sequence numbers */
	uint32_t right[4];
};

/*
 * The options of a packet with a TCP header. Of an option that is there twice the first counts; one
 * with a wrong length is not there; a length that leads nowhere ends the list.
 */
TF_EXPORT void tf_tcp_options_read(const struct tf_packet *packet, struct tf_tcp_options *options);

enum { TF_OPTIONS_TOO_LONG = -5 }; /* more than the 40 bytes that a TCP header has for options */

/*
 * Replaces the options of a packet with a TCP header, and those that have no name here go unless
 * keep is set. Data offset, lengths and checksums follow (unless TF_RAW). Bytes behind end are
 * dropped when the length changes. 0, TF_EDIT_ROOM, TF_EDIT_TOO_LONG, TF_EDIT_FRAGMENT where the
 * length of a fragment would change, or TF_OPTIONS_TOO_LONG, and then nothing has changed.
 */
TF_EXPORT int tf_tcp_options_write(struct tf_packet *packet, const struct tf_tcp_options *options,
				   int keep);
/* cdef: end */

#endif
