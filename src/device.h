/*
 * The device contract: where packets come from and go to.
 *
 * These are the functions that a kind of device must implement; one file a kind and system in
 * device/. What holds for all of them:
 *
 * - Packets are whole in both directions. A read gives a packet or nothing; a short write is an
 *   error, never a fragment.
 * - Everything runs on the loop thread. A device may have threads of its own; nobody sees them.
 * - A device tells the loop that packets wait; how (poll, thread, event handle) is its business.
 * - Errors are negative codes (error.h). TF_EBUSY, TF_ENOTREADY and TF_EEXHAUSTED mean the same
 *   on every system; everything else is a libuv code with its text.
 * - Closing gives the device back; what the program itself created is gone. A device that was there
 *   before (persistent) stays up, with the settings and addresses that somebody asked for; what the
 *   program settled with the system by itself, such as offload, is as it was.
 */
#ifndef TF_DEVICE_H
#define TF_DEVICE_H

#include <stdatomic.h>
#include <stddef.h>
#include <uv.h>

#include "batch.h"
#include "error.h"

#define TF_NAME_SIZE	 64 /* a device's name with its final 0; longer ones are refused */
#define TF_ADDRESSES_MAX 16
#define TF_MTU_MIN_IP6	 1280 /* the smallest MTU that IPv6 allows */

struct tf_device;

/* An address with its prefix length, for a device of ours. */
struct tf_prefix {
	uint8_t family;	   /* 4 or 6 */
	uint8_t length;	   /* prefix length in bits; 32 or 128 where none was written */
	uint8_t bytes[16]; /* network order; the first 4 for IPv4 */
};

/*
 * Reads "10.0.0.0/8" or "fd00::1"; without a length it is the address's whole. 0, UV_EINVAL for
 * what is no address, UV_ERANGE for a length that does not fit it (family is set then).
 */
int tf_prefix_parse(struct tf_prefix *prefix, const char *text);

/* What "--left tun:NAME,mtu=1400,address=10.0.0.1/24,netns=blue" says. */
struct tf_device_spec {
	char kind[16];		 /* "tun", "tap", "memory", … */
	char name[TF_NAME_SIZE]; /* empty: the first free one */
	uint32_t mtu;		 /* bytes, 0: the system's default; else 68 to 65535 */
	uint32_t queues;	 /* how many are opened; 0: one */
	uint32_t queue;		 /* packets that the interface queues for us, 0: TF_QUEUE_DEFAULT */
	struct tf_prefix addresses[TF_ADDRESSES_MAX];
	uint32_t address_count;
	char netns[256]; /* a name (of `ip netns`), a pid, or a path; empty: the current one */
	int netns_fd;	 /* a namespace that is open already (netns then only names it), or -1 */
	int quiet;	 /* the link is ours alone: no chatter from the system on it */
	int no_offload;	 /* one wire packet at a time, with its checksum, even where more would be */
	int link;	 /* memory only: TF_LINK_… */
};

/*
 * A burst of 2,048 fits also while we do not run, which the kernel's own default (500) and 2,000 do not
 * do; 32 KiB of the kernel's memory while it is empty.
 */
#define TF_QUEUE_DEFAULT 4096

/* What became of packets that were written. Adds up over calls. */
struct tf_written {
	uint64_t packets;   /* written whole */
	uint64_t bytes;	    /* in them */
	uint64_t not_ready; /* lost since the interface was down */
	uint64_t full;	    /* lost since the device took no more */
	uint64_t invalid;   /* not packets that this device takes: too short, wrong version */
	uint64_t failed;    /* any other error; the device logs the first */
};

/* Packets may wait (status 0), or the device is no more (TF_EGONE or another code, once, the last call). */
typedef void (*tf_device_ready_cb)(struct tf_device *device, int status, void *arg);

/* What a kind of device implements. */
struct tf_device_ops {
	const char *kind; /* the word on the command line */

	/*
	 * Opens or creates a device: ready for use, addresses and MTU set, the link up if it is ours.
	 * *out is the caller's to close. On an error nothing is left, and error has the sentence.
	 */
	int (*open)(struct tf_device **out, const struct tf_device_spec *spec, struct tf_error *error);

	/*
	 * Opens queue i (1 to spec->queues - 1) of a device, once each, as a device of its own: what
	 * it reads no other queue reads, and both directions of a flow come on queues of the same
	 * number. It is closed before the device. NULL where the kind has no queues.
	 */
	int (*queue)(struct tf_device **out, struct tf_device *device, uint32_t i,
		     struct tf_error *error);

	/* Begins to watch; ready is called from the loop for as long as packets wait. 0 or a code. */
	int (*start)(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready, void *arg);

	/*
	 * Reads whole packets into the batch until none wait or the batch is full.
	 * The number added (0: none wait), TF_ENOTREADY (down: none can come), TF_EGONE, or a code.
	 */
	int (*read_batch)(struct tf_device *device, struct tf_batch *batch);

	/*
	 * Writes packets in order and adds what became of each to *written. What one packet meets
	 * does not stop the next. 0, or TF_EGONE when the device is no more (the rest counts as
	 * failed).
	 */
	int (*write_batch)(struct tf_device *device, struct tf_packet *const *packets, uint32_t count,
			   struct tf_written *written);

	/*
	 * Packets that the system lost before we could read them, since open; of all queues together
	 * by the first, 0 by the others. 0, or a code and the last count.
	 */
	int (*dropped)(struct tf_device *device, uint64_t *packets);

	/* Ends the watch; its handles close in the loop's next turn. Safe without start, and twice. */
	void (*stop)(struct tf_device *device);

	/* Gives the device back and frees it. After stop and a turn of the loop. */
	void (*close)(struct tf_device *device);
};

/* What every device shows; a kind's own struct begins with it. Constant after open but for the last two. */
struct tf_device {
	const struct tf_device_ops *ops;
	char name[TF_NAME_SIZE]; /* as the system calls it */
	char where[288];	 /* "namespace blue", "pid 1234's namespace", or "" */
	char offload[32];	 /* "checksum, TSO, USO", "none"; "" for kinds that know of none */
	uint8_t link;		 /* TF_LINK_… */
	uint32_t mtu;		 /* bytes, without the link header, when it was opened */
	_Atomic uint32_t *mtu_now; /* the same as it is now, for all queues in all processes; or NULL: not followed */
	int wakes;		 /* 1 + a descriptor that is readable while packets wait; 0: there is none */
	uint64_t home;		 /* number of the namespace that it has an address in; 0 without one */
	uint32_t more;		 /* packets that it has read and not given: read_batch goes on with these alone */
	uint32_t more_bytes;	 /* in them */
};

static inline uint32_t tf_device_mtu(const struct tf_device *device)
{
	return device->mtu_now ? atomic_load_explicit(device->mtu_now, memory_order_relaxed) : device->mtu;
}

/*
 * Reads "kind[:name][,key=value…]" into *spec. 0, or TF_EOPTION with a sentence that quotes the
 * word at fault and says what is allowed.
 */
int tf_device_spec_parse(struct tf_device_spec *spec, const char *text, struct tf_error *error);

/* Opens by the spec's kind; an unknown kind is TF_EOPTION, with the kinds that there are. */
int tf_device_open(struct tf_device **out, const struct tf_device_spec *spec, struct tf_error *error);

/* TF_LINK_… of a spec before it is open. */
uint8_t tf_device_spec_link(const struct tf_device_spec *spec);

/* "tun, tap, memory": the kinds of this system, for messages; and the one meant where none is named. */
const char *tf_device_kinds(void);
const char *tf_device_usual_kind(void);

/* Why a device of this link type would not take these bytes, or NULL if it would. */
const char *tf_device_refuses(uint8_t link, const uint8_t *data, uint32_t len);

#define tf_device_queue(out, d, i, error)   ((d)->ops->queue((out), (d), (i), (error)))
#define tf_device_start(d, loop, cb, arg)   ((d)->ops->start((d), (loop), (cb), (arg)))
#define tf_device_read(d, batch)	    ((d)->ops->read_batch((d), (batch)))
#define tf_device_write(d, packets, n, out) ((d)->ops->write_batch((d), (packets), (n), (out)))
#define tf_device_dropped(d, out)	    ((d)->ops->dropped((d), (out)))
#define tf_device_stop(d)		    ((d)->ops->stop(d))
#define tf_device_close(d)		    ((d)->ops->close(d))

#endif
