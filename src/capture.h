/*
 * --capture: a pcapng file of what came in, what went out, and what was decided.
 *
 * Two interfaces, left and right; more where a replayed capture has several link types. A packet is
 * written as it came in, with its verdict and the callback that gave it; one that goes on changed
 * also as it went out, and so are packets that the script sent and those that were held. A thread
 * of its own writes, so that the packet path never waits for a disk or a reader; what does not fit
 * into its buffer is left out and counted. Packets are added from any thread; those of one stay in order.
 */
#ifndef TF_CAPTURE_H
#define TF_CAPTURE_H

#include "error.h"
#include "packet.h"

struct tf_capture;

/* What the packets of a batch were as they came in; one for each thread that has batches. */
struct tf_kept;

/* NULL without memory; NULL is fine to free. */
struct tf_kept *tf_kept_create(void);
void tf_kept_free(struct tf_kept *kept);

/*
 * LINKTYPE_… of packets of a TF_LINK_IP or TF_LINK_ETHERNET device. RAW_AGAIN is for further
 * interfaces: libpcap (tcpdump -r) refuses a file unless what they have is its own number for RAW.
 */
enum { TF_CAPTURE_ETHERNET = 1, TF_CAPTURE_RAW = 101, TF_CAPTURE_RAW_AGAIN = 12 };

/*
 * What goes into a file, whose path is for messages; nothing is written before tf_capture_begin. linktype: LINKTYPE_… of packets that are neither IP nor
 * Ethernet and do not say their own; the first interfaces have it. names: the devices', by
 * side, which stand behind "left" and "right" in the file; NULL where there are none.
 * wait: the caller has time and loses nothing (offline), until it is interrupted. 0, or a code with a
 * sentence.
 */
int tf_capture_prepare(struct tf_capture **out, const char *path, const char *const names[2], uint16_t linktype,
		      int wait, struct tf_error *error);

/*
 * Takes over the file, of tf_capture_file, and starts the thread that writes it. *whole (or NULL) is the length of the
 * file, up to which it is well-formed, and is kept so.
 */
int tf_capture_begin(struct tf_capture *capture, int file, uint64_t *whole, struct tf_error *error);

/* Keeps packet i of a batch as it came in. */
void tf_capture_before(struct tf_kept *kept, uint32_t i, struct tf_packet *packet);

/* Writes it with its verdict, and again if it goes on changed; callback is a comment, "" for none.
 */
void tf_capture_after(struct tf_capture *capture, const struct tf_kept *kept, uint32_t i, struct tf_packet *packet,
		      const char *callback);

/* Writes a packet that goes out to a side by itself: the script's own, or one that was held. */
void tf_capture_out(struct tf_capture *capture, struct tf_packet *packet, int side);

/*
 * Writes the rest, closes the file, says what is not in it, and frees all. 0, or the first error. A
 * reader that does not read is waited for one second; where the caller has time, from its interruption
 * on. NULL is fine.
 */
int tf_capture_stop(struct tf_capture *capture);

#endif
