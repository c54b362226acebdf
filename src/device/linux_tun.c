#include "linux_tun.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../log.h"

void tf_tun_say_down(const struct tf_tun *tun)
{
	tf_log(TF_LOG_WARNING,
	       "device %s is down: packets to it are lost until it is up (ip link set %s up)",
	       tun->device.name, tun->now);
}

static int open_tun(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return tf_tun_open(out, spec, &tf_device_linux_tun, TF_LINK_IP, error);
}

static int open_tap(struct tf_device **out, const struct tf_device_spec *spec,
		    struct tf_error *error)
{
	return tf_tun_open(out, spec, &tf_device_linux_tap, TF_LINK_ETHERNET, error);
}

void tf_tun_set_up(struct tf_tun *tun, int up)
{
	if (up == tun->up)
		return;
	tun->up = (uint8_t)up;
	if (!tun->links) /* the first queue says it */
		return;
	if (up)
		tf_log(TF_LOG_INFO, "device %s is up again", tun->device.name);
	else
		tf_tun_say_down(tun);
}

static void tell_gone(struct tf_tun *tun)
{
	tf_device_ready_cb ready = tun->ready;

	uv_poll_stop(&tun->packets);
	if (tun->links) {
		uv_poll_stop(&tun->news);
		if (tun->names_fd >= 0)
			uv_poll_stop(&tun->names);
	}
	tun->ready = NULL;
	if (ready)
		ready(&tun->device, TF_EGONE, tun->arg);
}

static void on_packets(uv_poll_t *poll, int status, int events)
{
	struct tf_tun *tun = poll->data;

	(void)events;
	if (status < 0) /* for one reason only: the interface is no more */
		tell_gone(tun);
	else if (tun->ready)
		tun->ready(&tun->device, 0, tun->arg);
}

static void take_state(struct tf_tun *tun, const struct tf_link_state *state)
{
	strcpy(tun->now, state->name);
	atomic_store_explicit(tun->device.mtu_now, state->mtu, memory_order_relaxed);
	tf_tun_set_up(tun, state->up);
}

static void on_news(uv_poll_t *poll, int status, int events)
{
	struct tf_tun *tun = poll->data;
	struct tf_link_state state;
	struct ifreq request;

	(void)events;
	if (status < 0) {
		uv_poll_stop(poll);
	} else if (tf_links_changed(tun->links, tun->index)) {
		if (tf_link_state(tun->links, tun->index, &state, NULL) == 0) {
			take_state(tun, &state);
		} else if (ioctl(tun->fd, TUNGETIFF, &request) < 0) {
			tell_gone(tun);
		} /* else somebody moved it to another namespace, where it works on */
	}
}

/* Our descriptors keep a namespace alive whose name was deleted; nobody could use it any more. */
static void on_names(uv_poll_t *poll, int status, int events)
{
	struct tf_tun *tun = poll->data;
	struct stat named;
	char happened[4096];

	(void)events;
	if (status < 0)
		uv_poll_stop(poll);
	while (read(tun->names_fd, happened, sizeof(happened)) > 0)
		;
	if (stat(tun->netns_path, &named) == 0 && named.st_ino == tun->netns_inode)
		return;
	tf_log(TF_LOG_INFO, "%s was deleted", tun->device.where);
	tell_gone(tun);
}

static int tun_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready, void *arg)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	struct tf_link_state state;
	int code;

	tun->ready = ready;
	tun->arg = arg;
	tun->packets.data = tun->news.data = tun->names.data = tun;
	code = uv_poll_init(loop, &tun->packets, tun->fd);
	if (code < 0)
		return code;
	tun->handles = 1;
	if (!tun->links) {
		code = uv_poll_start(&tun->packets, UV_READABLE, on_packets);
		if (code < 0)
			goto fail;
		return 0;
	}
	code = uv_poll_init(loop, &tun->news, tun->news_fd);
	if (code < 0)
		goto fail;
	tun->handles = 2;
	if (tun->names_fd >= 0) {
		code = uv_poll_init(loop, &tun->names, tun->names_fd);
		if (code < 0)
			goto fail;
		tun->handles = 3;
		code = uv_poll_start(&tun->names, UV_READABLE, on_names);
		if (code < 0)
			goto fail;
		uv_unref((uv_handle_t *)&tun->names);
	}
	/* What is known is from the opening; others may have served the device since. */
	if (tf_link_state(tun->links, tun->index, &state, NULL) == 0)
		take_state(tun, &state);
	code = uv_poll_start(&tun->news, UV_READABLE, on_news);
	if (code == 0)
		code = uv_poll_start(&tun->packets, UV_READABLE, on_packets);
	if (code < 0)
		goto fail;
	/* Only packets keep a loop alive. */
	uv_unref((uv_handle_t *)&tun->news);
	return 0;

fail:
	device->ops->stop(device);
	return code;
}

/*
 * Whether a frame is what Linux sends by itself for each address of a quiet tap, and has no switch
 * for: an MLDv2 report of solicited-node groups (ff02::1:ff00:0/104). Nobody on the link needs it:
 * there is no multicast router. Reports of groups that a program joined are something else.
 */
static int is_own_report(const uint8_t *frame, uint32_t len)
{
	static const uint8_t to_routers[] = {0x33, 0x33, 0, 0, 0, 0x16};
	static const uint8_t solicited[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
	enum { MLD = 14 + 40 + 8, RECORDS = MLD + 8, RECORD_SIZE = 20 };
	uint32_t count;

	if (memcmp(frame, to_routers, sizeof(to_routers)) || len < RECORDS + RECORD_SIZE ||
	    frame[12] != 0x86 || frame[13] != 0xdd || frame[14 + 6] != 0 || frame[MLD] != 143)
		return 0;
	count = (uint32_t)frame[MLD + 6] << 8 | frame[MLD + 7];
	if (len != RECORDS + count * RECORD_SIZE)
		return 0;
	for (const uint8_t *record = frame + RECORDS; count--; record += RECORD_SIZE)
		if (memcmp(record + 4, solicited, sizeof(solicited)))
			return 0;
	return 1;
}

static inline uint16_t little16(const uint8_t *at)
{
	return (uint16_t)(at[0] | at[1] << 8);
}

/* What the virtio_net_hdr before a packet says. */
static void read_offload(struct tf_offload *offload, const uint8_t *header)
{
	static const uint8_t kinds[] = {TF_GSO_NONE,	TF_GSO_TCP4, TF_GSO_UNKNOWN,
					TF_GSO_UNKNOWN, TF_GSO_TCP6, TF_GSO_UDP};
	uint8_t kind = header[1] & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	offload->partial = header[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	offload->valid = header[0] & VIRTIO_NET_HDR_F_DATA_VALID;
	offload->kind = kind < sizeof(kinds) ? kinds[kind] : TF_GSO_UNKNOWN;
	offload->size = little16(header + 4);
	offload->start = little16(header + 6);
	offload->field = little16(header + 8);
}

/* Says how much of a cut packet waits, and tells the loop to come back for it, or no more. */
static void set_more(struct tf_tun *tun)
{
	const struct tf_cut *cut = tun->cut;
	uint32_t bytes = cut->done ? 0 : cut->first.len - cut->first.payload - cut->at;
	uint32_t before = tun->device.more;

	tun->device.more = (bytes + cut->size - 1) / cut->size;
	tun->device.more_bytes = bytes + tun->device.more * cut->first.payload;
	if (tun->ready && !before != !bytes) /* it can always be written to, so that the loop does not sleep */
		uv_poll_start(&tun->packets, UV_READABLE | (bytes ? UV_WRITABLE : 0), on_packets);
}

/* Cuts what it can. The rest stays here for the next batch, which is not where the packet lies. */
static void cut(struct tf_tun *tun, struct tf_batch *batch)
{
	struct tf_packet *first = &tun->cut->first;

	tf_cut_into(tun->cut, batch);
	if (!tun->cut->done && !tun->device.more) {
		uint8_t *rest = tun->rest ? tun->rest : malloc(TF_VNET_SIZE + TF_PACKET_MAX);

		if (!rest) {
			tun->refused++;
			return;
		}
		tun->rest = rest;
		memcpy(rest, first->data - TF_VNET_SIZE, TF_VNET_SIZE + first->len);
		tf_cut_move(tun->cut, rest + TF_VNET_SIZE);
	}
	set_more(tun);
}

/* A packet of `length` bytes was read to `room`, where the batch wants it. */
static void take(struct tf_tun *tun, struct tf_batch *batch, uint8_t *room, uint32_t length)
{
	uint32_t longest = tf_device_mtu(&tun->device) + (tun->device.link == TF_LINK_ETHERNET ? 14 + 8 : 0);
	struct tf_offload offload = {0};

	if (tun->vnet)
		read_offload(&offload, room - TF_VNET_SIZE);
	if (offload.kind == TF_GSO_NONE) {
		struct tf_packet *packet = tf_batch_commit(batch, length);

		if (offload.partial | offload.valid)
			tf_offload_take(packet, &offload);
	} else if ((tun->cut || (tun->cut = malloc(sizeof(*tun->cut)))) &&
		   tf_cut_begin(tun->cut, room, length, batch->link, &offload) == 0) {
		tf_batch_keep(batch, length);
		cut(tun, batch);
	} else if (length <= longest) {
		tf_offload_take(tf_batch_commit(batch, length), &offload);
	} else {
		tun->refused++;
	}
}

static int tun_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	const uint32_t before = batch->count, header = tun->vnet ? TF_VNET_SIZE : 0;
	uint8_t *room;

	if (device->more) { /* and nothing else: the packets lie in rest until the next batch */
		cut(tun, batch);
		return (int)(batch->count - before);
	}
	while (!device->more && (room = tf_batch_room(batch))) {
		ssize_t length = read(tun->fd, room - header, header + TF_PACKET_MAX);

		if (length > (ssize_t)header) {
			length -= header;
			if (!tun->quiet_tap || !is_own_report(room, (uint32_t)length))
				take(tun, batch, room, (uint32_t)length);
			continue;
		}
		if (length < 0 && errno == EINTR)
			continue;
		if (length >= 0 || batch->count > before || (errno == EAGAIN && tun->up))
			break;
		if (errno == EAGAIN || errno == EIO)
			return TF_ENOTREADY;
		return tf_tun_is_gone(errno) ? TF_EGONE : -errno;
	}
	return (int)(batch->count - before);
}

static int tun_dropped(struct tf_device *device, uint64_t *packets)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	struct tf_link_state state;
	int code = tun->links ? tf_link_state(tun->links, tun->index, &state, NULL) : 0;

	if (code == 0 && tun->links)
		tun->dropped = state.tx_dropped - tun->dropped_before;
	*packets = tun->dropped + tun->refused;
	return code;
}

static void on_closed(uv_handle_t *handle)
{
	struct tf_tun *tun = handle->data;

	if (--tun->handles == 0 && tun->freed)
		tf_tun_free(tun);
}

static void tun_stop(struct tf_device *device)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	uv_handle_t *handles[] = {(uv_handle_t *)&tun->packets, (uv_handle_t *)&tun->news,
				  (uv_handle_t *)&tun->names};

	tun->ready = NULL;
	for (int i = 0; i < tun->handles; i++)
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], on_closed);
}

static void tun_close(struct tf_device *device)
{
	struct tf_tun *tun = (struct tf_tun *)device;

	tun_stop(device);
	if (tun->handles)
		tun->freed = 1;
	else
		tf_tun_free(tun);
}

const struct tf_device_ops tf_device_linux_tun = {
	.kind = "tun",
	.open = open_tun,
	.queue = tf_tun_queue,
	.start = tun_start,
	.read_batch = tun_read_batch,
	.write_batch = tf_tun_write_batch,
	.dropped = tun_dropped,
	.stop = tun_stop,
	.close = tun_close,
};

const struct tf_device_ops tf_device_linux_tap = {
	.kind = "tap",
	.open = open_tap,
	.queue = tf_tun_queue,
	.start = tun_start,
	.read_batch = tun_read_batch,
	.write_batch = tf_tun_write_batch,
	.dropped = tun_dropped,
	.stop = tun_stop,
	.close = tun_close,
};
