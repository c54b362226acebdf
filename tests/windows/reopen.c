/* Opens, uses and closes the device as often as it is told, and says whether handles stayed.
 */
#include "../../src/device/wintun.h"
#include "../../src/log.h"
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>

static struct sockaddr_in adapter_at;

/* The number of the next handle that the system gives, which rises when one is not given back. */
static unsigned next_handle(void)
{
	HANDLE handle = CreateEventW(NULL, FALSE, FALSE, NULL);

	CloseHandle(handle);
	return (unsigned)(uintptr_t)handle;
}

/* The loop ends with the first packet. */
static void on_ready(struct tf_device *device, int status, void *arg)
{
	struct tf_batch *batch = arg;

	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	if (status < 0 || tf_device_read(device, batch) != 0)
		tf_device_stop(device);
}

static int once(uv_loop_t *loop, struct tf_batch *batch, SOCKET peer, unsigned *packets)
{
	struct tf_device_spec spec;
	struct tf_written written = {0};
	struct tf_packet *packet;
	struct tf_device *device;
	struct tf_error error;
	char bytes[64] = {0};
	int size = sizeof(adapter_at);

	tf_device_spec_parse(&spec, "tun:again", &error);
	if (tf_device_open(&device, &spec, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return -1;
	}
	recvfrom(peer, bytes, sizeof(bytes), 0, (struct sockaddr *)&adapter_at, &size);
	tf_device_start(device, loop, on_ready, batch);
	bytes[0] = 0x45;
	sendto(peer, bytes, 20, 0, (struct sockaddr *)&adapter_at, sizeof(adapter_at));
	uv_run(loop, UV_RUN_DEFAULT);
	if (batch->count == 1) {
		packet = &batch->packets[0];
		tf_device_write(device, &packet, 1, &written);
		*packets += (unsigned)(written.packets == 1 &&
				       recvfrom(peer, bytes, sizeof(bytes), 0, NULL, NULL) == 20);
	}
	tf_device_close(device);
	return 0;
}

int main(int argc, char **argv)
{
	int times = argc > 1 ? atoi(argv[1]) : 1;
	SOCKET peer = open_peer("again");
	struct tf_batch *batch;
	unsigned packets = 0;
	unsigned before = 0;
	uv_loop_t loop;

	tf_log_setup(TF_LOG_WARNING, 0);
	uv_loop_init(&loop);
	tf_batch_create(&batch, 64);
	for (int i = 0; i < times; i++) {
		if (once(&loop, batch, peer, &packets) < 0)
			return 1;
		if (i == 9) /* what the system opens the first time stays */
			before = next_handle();
	}
	printf("handles %u then %u, packets %u\n", before, next_handle(), packets);
	tf_batch_destroy(batch);
	return uv_loop_close(&loop) < 0;
}
