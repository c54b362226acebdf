/*
 * Devices that are a node each, tun0 and tap3 in /dev, as TunTapOSX has them: opening one makes its
 * interface, and each read and write is one packet. chardev.c opens and writes, chardev_read.c has the
 * thread that reads. Plain POSIX; the interface's addresses, MTU and state are interface.h's.
 */
#ifndef TF_DEVICE_CHARDEV_H
#define TF_DEVICE_CHARDEV_H

#include "../device.h"
#include "../interface.h"
#include "../ring.h"

/* Where the nodes are, if not in /dev: for tests, and for drivers that put them elsewhere. */
#define TF_CHARDEV_FOLDER "TUNFILTER_DEVICES"

extern const struct tf_device_ops tf_device_chardev_tun;
extern const struct tf_device_ops tf_device_chardev_tap;

/* What the thread shares with the loop; only the functions below look inside. */
struct tf_chardev_reader;

/*
 * Starts the thread: it reads packets from fd, non-blocking, until told to end, and keeps up to
 * `queue` of `size` bytes as a rule for the loop, which notice is called on (it may call
 * tf_chardev_reader_state and _read). 0, or a code.
 */
int tf_chardev_reader_start(struct tf_chardev_reader **out, uv_loop_t *loop, int fd, uint32_t queue,
			    uint32_t size, void (*notice)(void *arg), void *arg);

/* What the thread met last: 0 (the interface is up), TF_ENOTREADY (down), or why it ended. */
int tf_chardev_reader_state(const struct tf_chardev_reader *reader);

/* Moves what waits into the batch, as far as it fits: the number of packets. */
int tf_chardev_reader_read(struct tf_chardev_reader *reader, struct tf_batch *batch);

/* Whether any does. */
int tf_chardev_reader_waits(const struct tf_chardev_reader *reader);

/* Packets that were lost so far since the queue was full. */
uint64_t tf_chardev_reader_lost(const struct tf_chardev_reader *reader);

/* A write found the interface down: look at once, and then from time to time. */
void tf_chardev_reader_poke(struct tf_chardev_reader *reader);

/* Ends the thread and frees all, in the loop's next turn; closed is called then. */
void tf_chardev_reader_stop(struct tf_chardev_reader *reader, void (*closed)(void *arg));

#endif
