#include "utun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../interface.h"
#include "../log.h"

#define FAMILY_SIZE 4	 /* bytes of the address family before each packet */
#define UNITS	    256	 /* that are tried one by one where the system's choice was taken */
#define PACKET_SIZE 2048 /* bytes of the socket's buffer that a packet of common size takes */

struct utun {
	struct tf_device device;
	int fd;
	struct tf_interface *interface;
	uv_poll_t poll;
	uint8_t started; /* poll is open */
	uint8_t closing; /* poll closes in the loop's next turn */
	uint8_t freed;	 /* close was called before that */
	uint8_t failure_logged;
	tf_device_ready_cb ready; /* NULL once it was told that the device is gone */
	void *arg;
};

static int explain(int code, const char *name, struct tf_error *error)
{
	switch (code) {
	case UV_EBUSY:
	case UV_EADDRINUSE:
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\": end it, or choose another name",
				    name);
	case UV_EPERM:
	case UV_EACCES:
		return tf_error_set(error, code, "may not make \"%s\": that takes root (sudo)",
				    name);
	case UV_ENOENT:
		return tf_error_set(error, code,
				    "can't make \"%s\": this system has no utun (com.apple.net."
				    "utun_control)",
				    name);
	default:
		return tf_error_set(error, code, "can't make \"%s\": %s", name, uv_strerror(code));
	}
}

static int is_taken(int code)
{
	return code == UV_EBUSY || code == UV_EADDRINUSE;
}

/* The system's choice; it may offer a unit and then refuse it, so that all are tried by hand. */
static int connect_any(char name[TF_NAME_SIZE], struct tf_error *error)
{
	int fd = tf_utun_connect(-1, name), reason = fd;

	for (int unit = 0; unit < UNITS && (is_taken(fd) || fd == UV_ENOBUFS); unit++) {
		fd = tf_utun_connect(unit, name);
		if (fd < 0 && !is_taken(fd))
			reason = fd;
	}
	if (fd >= 0)
		return fd;
	if (!is_taken(fd) && fd != UV_ENOBUFS)
		return explain(fd, "the next free utun", error);
	return tf_error_set(error, TF_EEXHAUSTED, "no free utun device is left: %s",
			    is_taken(reason) ? "other programs hold all of them"
					     : uv_strerror(reason));
}

static int connect_named(const char *wanted, char name[TF_NAME_SIZE], struct tf_error *error)
{
	const char *digits = wanted + strlen("utun");
	int fd;

	if (strncmp(wanted, "utun", 4) || !*digits || strlen(digits) > 4 ||
	    strspn(digits, "0123456789") != strlen(digits) || (*digits == '0' && digits[1]))
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" is no name of a utun device: they are called utun0, utun1 "
				    "and so on",
				    wanted);
	fd = tf_utun_connect(atoi(digits), name);
	return fd < 0 ? explain(fd, wanted, error) : fd;
}

static void free_utun(struct utun *utun)
{
	tf_interface_close(utun->interface);
	if (utun->fd >= 0)
		close(utun->fd);
	free(utun);
}

static int utun_open(struct tf_device **out, const struct tf_device_spec *spec,
		     struct tf_error *error)
{
	int queue = (int)(spec->queue ? spec->queue : TF_QUEUE_DEFAULT) * PACKET_SIZE, code;
	struct utun *utun = calloc(1, sizeof(*utun));

	if (!utun)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	utun->device.ops = &tf_device_utun;
	utun->device.link = TF_LINK_IP;
	utun->fd = *spec->name ? connect_named(spec->name, utun->device.name, error)
			       : connect_any(utun->device.name, error);
	code = utun->fd;
	if (code < 0)
		goto fail;
	fcntl(utun->fd, F_SETFD, FD_CLOEXEC);
	fcntl(utun->fd, F_SETFL, fcntl(utun->fd, F_GETFL) | O_NONBLOCK);
	/* As much as the system allows: what does not fit is lost. */
	while (setsockopt(utun->fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue)) < 0 && queue > 1)
		queue /= 2;
	code = tf_interface_open(&utun->interface, &utun->device, spec, error);
	if (code < 0)
		goto fail;
	*out = &utun->device;
	return 0;

fail:
	free_utun(utun);
	return code;
}

static int is_gone(int error_number)
{
	return error_number == EBADF || error_number == ENOTCONN || error_number == ECONNRESET ||
	       error_number == EPIPE || error_number == ENXIO;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct utun *utun = poll->data;
	tf_device_ready_cb ready = utun->ready;

	(void)events;
	if (!ready)
		return;
	if (status == 0) {
		ready(&utun->device, 0, utun->arg);
		return;
	}
	uv_poll_stop(poll);
	utun->ready = NULL;
	ready(&utun->device, TF_EGONE, utun->arg);
}

static int utun_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready, void *arg)
{
	struct utun *utun = (struct utun *)device;
	int code = uv_poll_init(loop, &utun->poll, utun->fd);

	if (code < 0)
		return code;
	utun->started = 1;
	utun->poll.data = utun;
	utun->ready = ready;
	utun->arg = arg;
	code = uv_poll_start(&utun->poll, UV_READABLE, on_readable);
	if (code < 0)
		device->ops->stop(device);
	return code;
}

/* The family comes to lie in the packet's headroom. */
static int utun_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct utun *utun = (struct utun *)device;
	int count = 0;
	uint8_t *room;

	while ((room = tf_batch_room(batch))) {
		ssize_t length = recv(utun->fd, room - FAMILY_SIZE, FAMILY_SIZE + TF_PACKET_MAX, 0);

		if (length > FAMILY_SIZE) {
			tf_batch_commit(batch, (uint32_t)length - FAMILY_SIZE);
			count++;
			continue;
		}
		if (length > 0 || (length < 0 && errno == EINTR))
			continue;
		if (length == 0 || is_gone(errno)) /* the system closed its end */
			return count > 0 ? count : TF_EGONE;
		if (count > 0 || errno == EAGAIN)
			break;
		return -errno;
	}
	return count;
}

static void log_failure(struct utun *utun, const char *reason)
{
	if (utun->failure_logged)
		return;
	utun->failure_logged = 1;
	tf_log(TF_LOG_WARNING,
	       "device %s refused a packet: %s (said once; the statistics count them)",
	       utun->device.name, reason);
}

/* 0, or TF_EGONE. */
static int write_one(struct utun *utun, const struct tf_packet *packet, struct tf_written *written)
{
	uint32_t family = htonl(packet->data[0] >> 4 == 6 ? AF_INET6 : AF_INET);
	ssize_t length;

	memcpy(packet->data - FAMILY_SIZE, &family, FAMILY_SIZE);
	do
		length = send(utun->fd, packet->data - FAMILY_SIZE, FAMILY_SIZE + packet->len, 0);
	while (length < 0 && errno == EINTR);
	if (length == (ssize_t)(FAMILY_SIZE + packet->len)) {
		written->packets++;
		written->bytes += packet->len;
	} else if (length >= 0) {
		written->failed++;
		log_failure(utun, "it took a part only");
	} else if (is_gone(errno)) {
		return TF_EGONE;
	} else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
		written->full++;
	} else if (errno == EIO || errno == ENETDOWN || errno == EHOSTDOWN) {
		written->not_ready++;
	} else if (errno == EINVAL || errno == EMSGSIZE) {
		written->invalid++;
	} else {
		written->failed++;
		log_failure(utun, uv_strerror(-errno));
	}
	return 0;
}

static int utun_write_batch(struct tf_device *device, struct tf_packet *const *packets,
			    uint32_t count, struct tf_written *written)
{
	struct utun *utun = (struct utun *)device;

	for (uint32_t i = 0; i < count; i++) {
		if (tf_device_refuses(TF_LINK_IP, packets[i]->data, packets[i]->len)) {
			written->invalid++;
		} else if (write_one(utun, packets[i], written) < 0) {
			written->failed += count - i;
			return TF_EGONE;
		}
	}
	return 0;
}

/* The system keeps no count that would tell what it lost on the way to us. */
static int utun_dropped(struct tf_device *device, uint64_t *packets)
{
	(void)device;
	*packets = 0;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct utun *utun = handle->data;

	utun->closing = 0;
	if (utun->freed)
		free_utun(utun);
}

static void utun_stop(struct tf_device *device)
{
	struct utun *utun = (struct utun *)device;

	utun->ready = NULL;
	if (!utun->started)
		return;
	utun->started = 0;
	utun->closing = 1;
	uv_close((uv_handle_t *)&utun->poll, on_closed);
}

static void utun_close(struct tf_device *device)
{
	struct utun *utun = (struct utun *)device;

	utun_stop(device);
	if (utun->closing)
		utun->freed = 1;
	else
		free_utun(utun);
}

const struct tf_device_ops tf_device_utun = {
	.kind = "utun",
	.open = utun_open,
	.start = utun_start,
	.read_batch = utun_read_batch,
	.write_batch = utun_write_batch,
	.dropped = utun_dropped,
	.stop = utun_stop,
	.close = utun_close,
};
