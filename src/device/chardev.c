#include "chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "../log.h"

#define UNITS	      16 /* tun0 to tun15 */
#define ETHERNET      14 /* bytes of its header, which the MTU leaves out */
#define ETHERNET_VLAN 18 /* the same with a tag */

struct chardev {
	struct tf_device device;
	int fd;
	struct tf_interface *interface;
	struct tf_chardev_reader *reader; /* NULL unless started */
	uint32_t queue;			  /* packets that the reader keeps for the loop */
	uint64_t lost;			  /* of a reader that has ended */
	int heard;			  /* its state as last looked at */
	uint8_t up;			  /* as last heard or met */
	uint8_t failure_logged;
	uint8_t closing; /* the reader's handle closes in the loop's next turn */
	uint8_t freed;	 /* close was called before that */
	tf_device_ready_cb ready; /* NULL once it was told of a final error */
	void *arg;
};

/* "tun" or "tap": what the nodes' names begin with. */
static const char *family(const struct chardev *chardev)
{
	return chardev->device.ops->kind;
}

static const char *folder(void)
{
	const char *folder = getenv(TF_CHARDEV_FOLDER);

	return folder && *folder ? folder : "/dev";
}

/* Opens the node of device.name. 0, or the negative errno. */
static int open_node(struct chardev *chardev)
{
	char path[4096];
	int flags, code;

	snprintf(path, sizeof(path), "%s/%s", folder(), chardev->device.name);
	chardev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (chardev->fd < 0)
		return -errno;
	/* TunTapOSX has no eyes for O_NONBLOCK in open(): only fcntl() tells it. */
	flags = fcntl(chardev->fd, F_GETFL);
	code = flags < 0 || fcntl(chardev->fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
	if (code == 0 && chardev->fd >= FD_SETSIZE) /* more than select() takes */
		code = UV_EMFILE;
	if (code < 0) {
		close(chardev->fd);
		chardev->fd = -1;
	}
	return code;
}

static int explain(const struct chardev *chardev, int code, struct tf_error *error)
{
	const char *name = chardev->device.name;

	switch (code) {
	case UV_EBUSY:
		return tf_error_set(error, TF_EBUSY,
				    "another program holds %s/%s: end it, or choose another name",
				    folder(), name);
	case UV_ENOENT:
	case UV_ENOTDIR:
		return tf_error_set(error, code,
				    "%s/%s is not there: TunTapOSX is not installed, or its extension "
				    "is not loaded; macOS's own devices need neither: write utun",
				    folder(), name);
	case UV_ENXIO:
	case UV_ENODEV:
		return tf_error_set(error, code,
				    "%s/%s has no driver behind it: load TunTapOSX's extension",
				    folder(), name);
	case UV_EACCES:
	case UV_EPERM:
		return tf_error_set(error, code,
				    "may not open %s/%s: that takes root (sudo), or the rights of its "
				    "node",
				    folder(), name);
	default:
		return tf_error_set(error, code, "can't open %s/%s: %s", folder(), name,
				    uv_strerror(code));
	}
}

/* 2 for what somebody could mend, 1 for "another program holds it", 0 for "there is no such node" */
static int weight(int code)
{
	return code == UV_ENOENT ? 0 : code == UV_EBUSY ? 1 : 2;
}

/* The first free one. */
static int open_any(struct chardev *chardev, struct tf_error *error)
{
	struct tf_error reason = {0};
	int heaviest = -1;

	for (int unit = 0; unit < UNITS; unit++) {
		int code;

		snprintf(chardev->device.name, sizeof(chardev->device.name), "%s%d",
			 family(chardev), unit);
		code = open_node(chardev);
		if (code == 0)
			return 0;
		/* Of several missing nodes the first tells most, of all else the last. */
		if (weight(code) > heaviest || (weight(code) == heaviest && code != UV_ENOENT)) {
			heaviest = weight(code);
			explain(chardev, code, &reason);
		}
	}
	return tf_error_set(error, TF_EEXHAUSTED, "no free %s device is left (%s0 to %s%d): %s",
			    family(chardev), family(chardev), family(chardev), UNITS - 1,
			    reason.text);
}

static int open_named(struct chardev *chardev, const char *name, struct tf_error *error)
{
	size_t length = strlen(family(chardev));
	const char *digits = name + length;
	int code;

	if (strncmp(name, family(chardev), length) || strspn(digits, "0123456789") != strlen(digits) ||
	    !*digits || (*digits == '0' && digits[1]) || strlen(digits) > 2 || atoi(digits) >= UNITS)
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" is no name of a %s device here: they are called %s0 to "
				    "%s%d",
				    name, family(chardev), family(chardev), family(chardev),
				    UNITS - 1);
	snprintf(chardev->device.name, sizeof(chardev->device.name), "%s", name);
	code = open_node(chardev);
	return code < 0 ? explain(chardev, code, error) : 0;
}

static void free_chardev(struct chardev *chardev)
{
	tf_interface_close(chardev->interface);
	if (chardev->fd >= 0)
		close(chardev->fd);
	free(chardev);
}

static int chardev_open(struct tf_device **out, const struct tf_device_spec *spec,
			const struct tf_device_ops *ops, uint8_t link, struct tf_error *error)
{
	struct chardev *chardev = calloc(1, sizeof(*chardev));
	int code;

	if (!chardev)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	chardev->fd = -1;
	chardev->device.ops = ops;
	chardev->device.link = link;
	chardev->queue = spec->queue ? spec->queue : TF_QUEUE_DEFAULT;
	chardev->up = 1;
	code = *spec->name ? open_named(chardev, spec->name, error) : open_any(chardev, error);
	if (code == 0)
		code = tf_interface_open(&chardev->interface, &chardev->device, spec, error);
	if (code < 0) {
		free_chardev(chardev);
		return code;
	}
	*out = &chardev->device;
	return 0;
}

static int open_tun(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return chardev_open(out, spec, &tf_device_chardev_tun, TF_LINK_IP, error);
}

static int open_tap(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return chardev_open(out, spec, &tf_device_chardev_tap, TF_LINK_ETHERNET, error);
}

static void set_up(struct chardev *chardev, int up)
{
	const char *name = chardev->device.name;

	if (up == chardev->up)
		return;
	chardev->up = (uint8_t)up;
	if (up)
		tf_log(TF_LOG_INFO, "device %s is up", name);
	else
		tf_log(TF_LOG_WARNING,
		       "device %s is down: packets to it are lost until it is up (%s%s%s)", name,
		       tf_interface_up_command[0], name, tf_interface_up_command[1]);
}

/* The reader has packets, or news of the interface. */
static void on_notice(void *arg)
{
	struct chardev *chardev = arg;
	int state = tf_chardev_reader_state(chardev->reader);
	tf_device_ready_cb ready = chardev->ready;

	if (state != chardev->heard && (state == 0 || state == TF_ENOTREADY)) {
		chardev->heard = state;
		set_up(chardev, state == 0);
	}
	if (!ready)
		return;
	ready(&chardev->device, 0, chardev->arg);
	/* What ended the thread comes behind its last packet. */
	if (chardev->ready && state != 0 && state != TF_ENOTREADY &&
	    !tf_chardev_reader_waits(chardev->reader)) {
		chardev->ready = NULL;
		ready(&chardev->device, state, chardev->arg);
	}
}

static int chardev_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready,
			 void *arg)
{
	struct chardev *chardev = (struct chardev *)device;

	chardev->ready = ready;
	chardev->arg = arg;
	return tf_chardev_reader_start(&chardev->reader, loop, chardev->fd, chardev->queue,
				       device->mtu, on_notice, chardev);
}

static int chardev_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct chardev *chardev = (struct chardev *)device;
	int count = chardev->reader ? tf_chardev_reader_read(chardev->reader, batch) : 0;

	return count == 0 && !chardev->up ? TF_ENOTREADY : count;
}

static void log_failure(struct chardev *chardev, const char *reason)
{
	if (chardev->failure_logged)
		return;
	chardev->failure_logged = 1;
	tf_log(TF_LOG_WARNING,
	       "device %s refused a packet: %s (said once; the statistics count them)",
	       chardev->device.name, reason);
}

/* Whether the driver would cut the packet short; asks for the MTU anew before it says so. */
static int is_too_long(struct chardev *chardev, const struct tf_packet *packet)
{
	uint32_t header = 0;

	if (chardev->device.link == TF_LINK_ETHERNET)
		header = packet->data[12] == 0x81 && packet->data[13] == 0 ? ETHERNET_VLAN : ETHERNET;
	if (packet->len <= chardev->device.mtu + header)
		return 0;
	tf_interface_mtu(chardev->interface, &chardev->device.mtu);
	return packet->len > chardev->device.mtu + header;
}

/* 0, or TF_EGONE. */
static int write_one(struct chardev *chardev, const struct tf_packet *packet,
		     struct tf_written *written)
{
	ssize_t length;

	do
		length = write(chardev->fd, packet->data, packet->len);
	while (length < 0 && errno == EINTR);
	if (length == (ssize_t)packet->len) {
		written->packets++;
		written->bytes += packet->len;
		set_up(chardev, 1);
		return 0;
	}
	if (length >= 0) {
		written->failed++;
		log_failure(chardev, "it took a part only");
		return 0;
	}
	switch (errno) {
	case EIO:
		written->not_ready++;
		if (chardev->up && chardev->reader)
			tf_chardev_reader_poke(chardev->reader);
		set_up(chardev, 0);
		break;
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		written->full++;
		break;
	case EINVAL:
		written->invalid++;
		break;
	case EBADF:
	case ENODEV:
	case ENOTCONN:
	case ENXIO:
		return TF_EGONE;
	default:
		written->failed++;
		log_failure(chardev, uv_strerror(-errno));
	}
	return 0;
}

static int chardev_write_batch(struct tf_device *device, struct tf_packet *const *packets,
			       uint32_t count, struct tf_written *written)
{
	struct chardev *chardev = (struct chardev *)device;

	for (uint32_t i = 0; i < count; i++) {
		if (tf_device_refuses(device->link, packets[i]->data, packets[i]->len)) {
			written->invalid++;
		} else if (is_too_long(chardev, packets[i])) {
			written->invalid++;
			log_failure(chardev, "it is longer than the interface's MTU");
		} else if (write_one(chardev, packets[i], written) < 0) {
			written->failed += count - i;
			return TF_EGONE;
		}
	}
	return 0;
}

static int chardev_dropped(struct tf_device *device, uint64_t *packets)
{
	const struct chardev *chardev = (const struct chardev *)device;

	*packets = chardev->lost + (chardev->reader ? tf_chardev_reader_lost(chardev->reader) : 0);
	return 0;
}

static void on_reader_closed(void *arg)
{
	struct chardev *chardev = arg;

	chardev->closing = 0;
	if (chardev->freed)
		free_chardev(chardev);
}

static void chardev_stop(struct tf_device *device)
{
	struct chardev *chardev = (struct chardev *)device;

	chardev->ready = NULL;
	if (!chardev->reader)
		return;
	tf_chardev_reader_stop(chardev->reader, on_reader_closed);
	chardev->lost += tf_chardev_reader_lost(chardev->reader);
	chardev->reader = NULL;
	chardev->closing = 1;
}

static void chardev_close(struct tf_device *device)
{
	struct chardev *chardev = (struct chardev *)device;

	chardev_stop(device);
	if (chardev->closing)
		chardev->freed = 1;
	else
		free_chardev(chardev);
}

const struct tf_device_ops tf_device_chardev_tun = {
	.kind = "tun",
	.open = open_tun,
	.start = chardev_start,
	.read_batch = chardev_read_batch,
	.write_batch = chardev_write_batch,
	.dropped = chardev_dropped,
	.stop = chardev_stop,
	.close = chardev_close,
};

const struct tf_device_ops tf_device_chardev_tap = {
	.kind = "tap",
	.open = open_tap,
	.start = chardev_start,
	.read_batch = chardev_read_batch,
	.write_batch = chardev_write_batch,
	.dropped = chardev_dropped,
	.stop = chardev_stop,
	.close = chardev_close,
};
