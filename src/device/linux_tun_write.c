#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../log.h"
#include "linux_tun.h"

static void log_failure(struct tf_tun *tun, const char *reason)
{
	if (tun->failure_logged)
		return;
	tun->failure_logged = 1;
	tf_log(TF_LOG_WARNING,
	       "device %s refused a packet: %s (said once; the statistics count them)",
	       tun->device.name, reason);
}

/* 0, or TF_EGONE. */
static int write_one(struct tf_tun *tun, struct tf_packet *packet, struct tf_written *written)
{
	uint32_t header = tun->vnet ? TF_VNET_SIZE : 0;
	ssize_t length;

	tf_settle(packet);
	memset(packet->data - header, 0, header); /* in the headroom */
	do
		length = write(tun->fd, packet->data - header, header + packet->len);
	while (length < 0 && errno == EINTR);
	if (length == (ssize_t)(header + packet->len)) {
		written->packets++;
		written->bytes += packet->len;
		tf_tun_set_up(tun, 1);
	} else if (length >= 0) {
		written->failed++;
		log_failure(tun, "it took a part only");
	} else if (tf_tun_is_gone(errno)) {
		return TF_EGONE;
	} else if (errno == EIO) {
		written->not_ready++;
		tf_tun_set_up(tun, 0);
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

int tf_tun_write_batch(struct tf_device *device, struct tf_packet *const *packets,
		       uint32_t count, struct tf_written *written)
{
	struct tf_tun *tun = (struct tf_tun *)device;

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
