#include "wintun.h"

#include <string.h>

#include "../link_windows.h"
#include "../log.h"

static void on_event(void *arg)
{
	struct tf_wintun *wintun = arg;

	if (!wintun->ready)
		return;
	wintun->drained = 0;
	wintun->ready(&wintun->device, 0, wintun->arg);
	/* The event is set when packets come to an empty ring, not for those that wait. */
	if (!wintun->drained && wintun->ready)
		tf_watch_again(&wintun->watch);
}

static int wintun_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready,
			void *arg)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;
	int code = tf_watch_start(&wintun->watch, loop,
				  wintun->library->GetReadWaitEvent(wintun->session), on_event,
				  wintun);

	if (code < 0)
		return code;
	wintun->ready = ready;
	wintun->arg = arg;
	tf_watch_again(&wintun->watch); /* some may have come since open */
	return 0;
}

/* What a read or write of the rings failed with, for which there is no other packet to come. */
static int final_error(struct tf_wintun *wintun, DWORD code)
{
	char reason[512];

	if (code == ERROR_HANDLE_EOF)
		return TF_EGONE;
	if (wintun->failure_logged)
		return UV_EIO;
	wintun->failure_logged = 1;
	if (code == ERROR_INVALID_DATA)
		tf_log(TF_LOG_ERROR,
		       "device %s: the ring between it and us is corrupt, so that no packet can be "
		       "trusted any more; start tunfilter again",
		       wintun->device.name);
	else
		tf_log(TF_LOG_ERROR, "device %s: %s", wintun->device.name,
		       tf_wintun_reason(code, reason));
	return UV_EIO;
}

static int wintun_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;
	const struct tf_wintun_library *library = wintun->library;
	int count = 0;
	uint8_t *room;

	while ((room = tf_batch_room(batch))) {
		DWORD size, code;
		BYTE *packet = library->ReceivePacket(wintun->session, &size);

		if (packet == NULL) {
			code = GetLastError();
			wintun->drained = code == ERROR_NO_MORE_ITEMS;
			if (wintun->drained || count > 0) /* an error comes again */
				break;
			return final_error(wintun, code);
		}
		if (size > 0 && size <= TF_PACKET_MAX) {
			memcpy(room, packet, size);
			tf_batch_commit(batch, size);
			count++;
		}
		library->ReleaseReceivePacket(wintun->session, packet);
	}
	return count;
}

static int wintun_write_batch(struct tf_device *device, struct tf_packet *const *packets,
			      uint32_t count, struct tf_written *written)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;
	const struct tf_wintun_library *library = wintun->library;

	for (uint32_t i = 0; i < count; i++) {
		const struct tf_packet *packet = packets[i];
		BYTE *room;
		DWORD code;

		if (tf_device_refuses(TF_LINK_IP, packet->data, packet->len)) {
			written->invalid++;
			continue;
		}
		room = library->AllocateSendPacket(wintun->session, packet->len);
		if (room != NULL) {
			memcpy(room, packet->data, packet->len);
			library->SendPacket(wintun->session, room);
			written->packets++;
			written->bytes += packet->len;
			continue;
		}
		code = GetLastError();
		if (code == ERROR_BUFFER_OVERFLOW) {
			written->full++;
			continue;
		}
		written->failed++;
		if (final_error(wintun, code) == TF_EGONE) {
			written->failed += count - i - 1;
			return TF_EGONE;
		}
	}
	return 0;
}

static int wintun_dropped(struct tf_device *device, uint64_t *packets)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;
	uint64_t now;
	int code = tf_interface_dropped(wintun->luid, &now);

	if (code == 0)
		wintun->dropped = now - wintun->dropped_before;
	*packets = wintun->dropped;
	return code;
}

static void on_closed(void *arg)
{
	struct tf_wintun *wintun = arg;

	if (wintun->freed)
		tf_wintun_free(wintun);
}

static void wintun_stop(struct tf_device *device)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;

	wintun->ready = NULL;
	tf_watch_stop(&wintun->watch, on_closed);
}

static void wintun_close(struct tf_device *device)
{
	struct tf_wintun *wintun = (struct tf_wintun *)device;

	wintun_stop(device);
	if (wintun->watch.open)
		wintun->freed = 1;
	else
		tf_wintun_free(wintun);
}

const struct tf_device_ops tf_device_wintun = {
	.kind = "tun",
	.open = tf_wintun_open,
	.start = wintun_start,
	.read_batch = wintun_read_batch,
	.write_batch = wintun_write_batch,
	.dropped = wintun_dropped,
	.stop = wintun_stop,
	.close = wintun_close,
};
