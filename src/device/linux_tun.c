#include "linux_tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../doctor.h"
#include "../link.h"
#include "../log.h"
#include "../netns.h"

#define NODE	    "/dev/net/tun"
#define TAP_MTU_MAX (TF_IP_MAX - 14) /* the kernel's bound: the frame stays below 64 KiB */

struct tun {
	struct tf_device device;
	int fd;			 /* of NODE, non-blocking */
	int index;		 /* of the interface; stays when it is renamed */
	struct tf_links *links;	 /* in the interface's namespace */
	int news_fd;		 /* of links: readable when an interface changed */
	uint64_t dropped_before; /* the kernel's count when we opened */
	uint64_t dropped;	 /* since then, as last read */
	uint8_t up;		 /* as last heard */
	uint8_t failure_logged;
	uint8_t started;
	uint8_t freed;		  /* close was called before the handles had closed */
	uint8_t handles;	  /* of the two below, how many are not yet closed */
	uv_poll_t packets;	  /* fd */
	uv_poll_t news;		  /* news_fd */
	tf_device_ready_cb ready; /* NULL once it was told that the device is gone */
	void *arg;
};

static int check_name(const struct tf_device_spec *spec, struct tf_error *error)
{
	const char *name = spec->name;

	if (strlen(name) >= IFNAMSIZ)
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" is too long for an interface's name: at "
				    "most %d bytes",
				    name, IFNAMSIZ - 1);
	if (name[strcspn(name, "/:% \t\n\v\f\r")] || !strcmp(name, ".") || !strcmp(name, ".."))
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" can't be an interface's name: no spaces, "
				    "\"/\", \":\" or \"%%\", and not \".\" or \"..\"",
				    name);
	if (!strcmp(spec->kind, "tap") && spec->mtu > TAP_MTU_MAX)
		return tf_error_set(error, TF_EOPTION, "\"mtu=%u\": the largest MTU of a tap is %d",
				    spec->mtu, TAP_MTU_MAX);
	return 0;
}

/* Opens what belongs to one namespace: the node (its interface will be made there) and netlink. */
static int open_here(struct tun *tun, struct tf_error *error)
{
	char text[1024];
	int code;

	tun->fd = open(NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tun->fd < 0) {
		code = -errno;
		tf_doctor_tun(-code, text, sizeof(text));
		return tf_error_set(error, code, "%s", text);
	}
	code = tf_links_open(&tun->links, error);
	return code < 0 ? code : tf_links_watch(tun->links, &tun->news_fd, error);
}

/* The same in the namespace that the spec names; *ours tells whether it is the one we are in. */
static int open_there(struct tun *tun, const struct tf_device_spec *spec, int *ours,
		      struct tf_error *error)
{
	struct stat there, here;
	int code, back, fd = spec->netns_fd;

	*ours = 1;
	if (fd < 0 && !*spec->netns)
		return open_here(tun, error);
	if (fd < 0)
		fd = tf_netns_open(spec->netns, tun->device.where, sizeof(tun->device.where),
				   error);
	else
		snprintf(tun->device.where, sizeof(tun->device.where), "%s", spec->netns);
	if (fd < 0)
		return fd;
	if (fstat(fd, &there) == 0 && stat("/proc/self/ns/net", &here) == 0)
		*ours = there.st_dev == here.st_dev && there.st_ino == here.st_ino;
	code = tf_netns_enter(fd, &back, error);
	if (code == 0) {
		code = open_here(tun, error);
		tf_netns_return(back);
	}
	if (fd != spec->netns_fd)
		close(fd);
	return code;
}

/* The kernel answers EINVAL for an interface that is there but not as we ask for it. */
static int explain_mismatch(const struct tf_link_state *state, const char *kind,
			    struct tf_error *error)
{
	const char *other = state->tap ? "tap" : "tun";

	if (strcmp(state->kind, "tun"))
		return tf_error_set(error, UV_EEXIST,
				    "\"%s\" is an interface of another kind (%s), no "
				    "%s: choose another name",
				    state->name,
				    *state->kind ? state->kind : "hardware or loopback", kind);
	if (strcmp(other, kind))
		return tf_error_set(error, UV_EEXIST, "\"%s\" is a %s, no %s: write %s:%s",
				    state->name, other, kind, other, state->name);
	if (state->multi_queue && state->queues > 0)
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\", with several "
				    "queues: end it, or choose another name",
				    state->name);
	if (state->multi_queue)
		return tf_error_set(
			error, UV_EINVAL,
			"\"%s\" was made for several queues "
			"(multi_queue), which tunfilter does not use: make it anew with "
			"`ip tuntap del dev %s mode %s multi_queue` and `ip tuntap add dev "
			"%s mode %s`",
			state->name, state->name, kind, state->name, kind);
	return tf_error_set(error, UV_EINVAL, "the kernel refuses to open \"%s\" as a %s: %s",
			    state->name, kind, uv_strerror(UV_EINVAL));
}

/* Why TUNSETIFF failed; state is that of an interface of this name, or NULL. */
static int explain_attach(int code, const struct tf_device_spec *spec,
			  const struct tf_link_state *state, struct tf_error *error)
{
	if (code == UV_EBUSY)
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\": end it, or choose "
				    "another name",
				    spec->name);
	if (code == UV_ENFILE && !*spec->name)
		return tf_error_set(error, TF_EEXHAUSTED, "no free %s device is left: %s",
				    spec->kind, uv_strerror(code));
	if (code == UV_EINVAL && state)
		return explain_mismatch(state, spec->kind, error);
	if (code == UV_EPERM && state)
		return tf_error_set(
			error, code,
			"may not open \"%s\": it belongs to another user. Use "
			"sudo, or let root give it to you: `ip tuntap add dev %s mode %s user "
			"$USER`",
			spec->name, spec->name, spec->kind);
	if (code == UV_EPERM)
		return tf_error_set(
			error, code,
			"may not create a %s interface: that takes root (sudo) "
			"or CAP_NET_ADMIN. `tunfilter lab` needs neither; or let root make "
			"one for you: `ip tuntap add dev NAME mode %s user $USER`",
			spec->kind, spec->kind);
	return tf_error_set(error, code, "can't open %s%s%s as a %s: %s",
			    *spec->name ? "\"" : "the next free interface", spec->name,
			    *spec->name ? "\"" : "", spec->kind, uv_strerror(code));
}

/* Creates the interface or attaches to the one there is; *created tells which. */
static int attach(struct tun *tun, const struct tf_device_spec *spec, int *created,
		  struct tf_error *error)
{
	int mode = tun->device.link == TF_LINK_ETHERNET ? IFF_TAP : IFF_TUN;
	struct tf_link_state state;
	struct ifreq request = {.ifr_flags = (short)(mode | IFF_NO_PI)};
	int code;

	*created = !*spec->name || tf_link_index(tun->links, spec->name, &tun->index, NULL) < 0 ||
		   tf_link_state(tun->links, tun->index, &state, NULL) < 0;
	strcpy(request.ifr_name, spec->name);
	if (ioctl(tun->fd, TUNSETIFF, &request) < 0)
		return explain_attach(-errno, spec, *created ? NULL : &state, error);
	strcpy(tun->device.name, request.ifr_name);
	/* A program before us may have left offload on, and packets would come with partial
	 * checksums. */
	if (ioctl(tun->fd, TUNSETOFFLOAD, 0) < 0) {
		code = -errno;
		return tf_error_set(error, code, "can't switch off the offload of \"%s\": %s",
				    tun->device.name, uv_strerror(code));
	}
	return tf_link_index(tun->links, tun->device.name, &tun->index, error);
}

static void say_down(const struct tun *tun)
{
	tf_log(TF_LOG_WARNING,
	       "device %s is down: packets to it are lost until it is up "
	       "(ip link set %s up)",
	       tun->device.name, tun->device.name);
}

/* Sets what the spec asks for, then brings the interface up. */
static int configure(struct tun *tun, const struct tf_device_spec *spec, int created,
		     struct tf_error *error)
{
	uint32_t queue = spec->queue ? spec->queue : created ? TF_QUEUE_DEFAULT : 0;
	struct tf_link_state state;
	int code;

	code = tf_link_tune(tun->links, tun->index, spec->mtu, queue, error);
	if (code == 0 && spec->quiet)
		code = tf_link_quiet(tun->links, tun->index, error);
	for (uint32_t i = 0; code == 0 && i < spec->address_count; i++)
		code = tf_link_add_address(tun->links, tun->index, &spec->addresses[i], error);
	if (code == 0)
		code = tf_link_state(tun->links, tun->index, &state, error);
	if (code < 0)
		return code;
	tun->device.mtu = state.mtu;
	tun->dropped_before = state.tx_dropped;
	tun->up = 1;
	if (state.up)
		return 0;
	code = tf_link_up(tun->links, tun->index, error);
	if (code == UV_EPERM && !created) { /* somebody else's to bring up: wait for that */
		tun->up = 0;
		say_down(tun);
		return 0;
	}
	return code;
}

static void tun_free(struct tun *tun)
{
	tf_links_close(tun->links);
	if (tun->fd >= 0)
		close(tun->fd);
	free(tun);
}

static int tun_open(struct tf_device **out, const struct tf_device_spec *spec,
		    const struct tf_device_ops *ops, uint8_t link, struct tf_error *error)
{
	struct tun *tun;
	int code, ours, created, has = 0;

	code = check_name(spec, error);
	if (code < 0)
		return code;
	tun = calloc(1, sizeof(*tun));
	if (!tun)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	tun->fd = -1;
	tun->device.ops = ops;
	tun->device.link = link;
	code = open_there(tun, spec, &ours, error);
	if (code == 0)
		code = attach(tun, spec, &created, error);
	if (code == 0)
		code = configure(tun, spec, created, error);
	if (code == 0)
		code = tf_link_has_address(tun->links, tun->index, &has, error);
	if (code < 0) {
		tun_free(tun);
		return code;
	}
	tun->device.local = ours && has;
	*out = &tun->device;
	return 0;
}

static int open_tun(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return tun_open(out, spec, &tf_device_linux_tun, TF_LINK_IP, error);
}

static int open_tap(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return tun_open(out, spec, &tf_device_linux_tap, TF_LINK_ETHERNET, error);
}

static void set_up(struct tun *tun, int up)
{
	if (up == tun->up)
		return;
	tun->up = (uint8_t)up;
	if (up)
		tf_log(TF_LOG_INFO, "device %s is up again", tun->device.name);
	else
		say_down(tun);
}

static void tell_gone(struct tun *tun)
{
	tf_device_ready_cb ready = tun->ready;

	uv_poll_stop(&tun->packets);
	uv_poll_stop(&tun->news);
	tun->ready = NULL;
	if (ready)
		ready(&tun->device, TF_EGONE, tun->arg);
}

static void on_packets(uv_poll_t *poll, int status, int events)
{
	struct tun *tun = poll->data;

	(void)events;
	if (status <
	    0) /* the kernel reports an error for one reason only: the interface is no more */
		tell_gone(tun);
	else if (tun->ready)
		tun->ready(&tun->device, 0, tun->arg);
}

static void on_news(uv_poll_t *poll, int status, int events)
{
	struct tun *tun = poll->data;
	struct tf_link_state state;
	struct ifreq request;

	(void)events;
	if (status < 0) {
		uv_poll_stop(poll);
		return;
	}
	if (!tf_links_changed(tun->links, tun->index))
		return;
	if (tf_link_state(tun->links, tun->index, &state, NULL) == 0)
		set_up(tun, state.up);
	else if (ioctl(tun->fd, TUNGETIFF, &request) < 0)
		tell_gone(tun);
	/* Else somebody moved it to another namespace, where it works on. */
}

static int tun_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready, void *arg)
{
	struct tun *tun = (struct tun *)device;
	int code;

	tun->ready = ready;
	tun->arg = arg;
	tun->packets.data = tun->news.data = tun;
	code = uv_poll_init(loop, &tun->packets, tun->fd);
	if (code < 0)
		return code;
	tun->started = 1;
	tun->handles = 1;
	code = uv_poll_init(loop, &tun->news, tun->news_fd);
	if (code == 0) {
		tun->handles = 2;
		uv_unref((uv_handle_t *)&tun->news);
		code = uv_poll_start(&tun->news, UV_READABLE, on_news);
	}
	if (code == 0)
		code = uv_poll_start(&tun->packets, UV_READABLE, on_packets);
	if (code < 0)
		device->ops->stop(device);
	return code;
}

static int is_gone(int error_number)
{
	return error_number == EBADFD || error_number == EBADF || error_number == ENODEV;
}

static int tun_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct tun *tun = (struct tun *)device;
	int count = 0;
	uint8_t *room;

	while ((room = tf_batch_room(batch))) {
		ssize_t length = read(tun->fd, room, TF_PACKET_MAX);

		if (length > 0) {
			tf_batch_commit(batch, (uint32_t)length);
			count++;
			continue;
		}
		if (length < 0 && errno == EINTR)
			continue;
		if (length == 0 || count > 0 || (errno == EAGAIN && tun->up))
			break;
		if (errno == EAGAIN || errno == EIO)
			return TF_ENOTREADY;
		return is_gone(errno) ? TF_EGONE : -errno;
	}
	return count;
}

static void log_failure(struct tun *tun, const char *reason)
{
	if (tun->failure_logged)
		return;
	tun->failure_logged = 1;
	tf_log(TF_LOG_WARNING,
	       "device %s refused a packet: %s (said once; the statistics count them)",
	       tun->device.name, reason);
}

/* 0, or TF_EGONE. */
static int write_one(struct tun *tun, const struct tf_packet *packet, struct tf_written *written)
{
	ssize_t length;

	do
		length = write(tun->fd, packet->data, packet->len);
	while (length < 0 && errno == EINTR);
	if (length == (ssize_t)packet->len) {
		written->packets++;
		written->bytes += packet->len;
		set_up(tun, 1);
	} else if (length >= 0) {
		written->failed++;
		log_failure(tun, "it took a part only");
	} else if (is_gone(errno)) {
		return TF_EGONE;
	} else if (errno == EIO) {
		written->not_ready++;
		set_up(tun, 0);
	} else if (errno == EAGAIN || errno == ENOBUFS) {
		written->full++;
	} else if (errno == EINVAL) {
		written->invalid++;
	} else {
		written->failed++;
		log_failure(tun, uv_strerror(-errno));
	}
	return 0;
}

static int tun_write_batch(struct tf_device *device, struct tf_packet *const *packets,
			   uint32_t count, struct tf_written *written)
{
	struct tun *tun = (struct tun *)device;

	for (uint32_t i = 0; i < count; i++) {
		if (tf_device_refuses(device->link, packets[i]->data, packets[i]->len))
			written->invalid++;
		else if (write_one(tun, packets[i], written) < 0) {
			written->failed += count - i;
			return TF_EGONE;
		}
	}
	return 0;
}

static int tun_dropped(struct tf_device *device, uint64_t *packets)
{
	struct tun *tun = (struct tun *)device;
	struct tf_link_state state;
	int code = tf_link_state(tun->links, tun->index, &state, NULL);

	if (code == 0)
		tun->dropped = state.tx_dropped - tun->dropped_before;
	*packets = tun->dropped;
	return code;
}

static void on_closed(uv_handle_t *handle)
{
	struct tun *tun = handle->data;

	if (--tun->handles == 0 && tun->freed)
		tun_free(tun);
}

static void tun_stop(struct tf_device *device)
{
	struct tun *tun = (struct tun *)device;

	if (!tun->started)
		return;
	tun->started = 0;
	tun->ready = NULL;
	if (tun->handles == 2)
		uv_close((uv_handle_t *)&tun->news, on_closed);
	uv_close((uv_handle_t *)&tun->packets, on_closed);
}

static void tun_close(struct tf_device *device)
{
	struct tun *tun = (struct tun *)device;

	tun_stop(device);
	if (tun->handles)
		tun->freed = 1;
	else
		tun_free(tun);
}

const struct tf_device_ops tf_device_linux_tun = {
	.kind = "tun",
	.open = open_tun,
	.start = tun_start,
	.read_batch = tun_read_batch,
	.write_batch = tun_write_batch,
	.dropped = tun_dropped,
	.stop = tun_stop,
	.close = tun_close,
};

const struct tf_device_ops tf_device_linux_tap = {
	.kind = "tap",
	.open = open_tap,
	.start = tun_start,
	.read_batch = tun_read_batch,
	.write_batch = tun_write_batch,
	.dropped = tun_dropped,
	.stop = tun_stop,
	.close = tun_close,
};
