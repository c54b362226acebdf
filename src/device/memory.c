#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../segment.h"

#define QUEUE_DEFAULT 4096 /* packets in either direction */
#define MTU_DEFAULT   1500

struct memory_packet {
	int64_t stamp; /* when it came or went, as tf_packet.stamp */
	uint32_t len;
	uint8_t bytes[];
};

/* Packets in order; count of them from first on, around the end. */
struct memory_queue {
	struct memory_packet **packets;
	uint32_t size, first, count;
};

struct memory {
	struct tf_device device;
	struct memory_queue in;	     /* what the program will read */
	struct memory_queue out;     /* what it wrote */
	int read_code, write_code;   /* 0, or the fault that calls answer */
	uint64_t dropped;	     /* did not fit into in */
	int64_t clock;		     /* stamp of what is put in next */
	int64_t taken;		     /* stamp of what was taken last */
	uv_async_t wake;	     /* embedded: open while started or closing */
	int started, closing, freed; /* freed: close was called before wake had closed */
	tf_device_ready_cb ready;    /* NULL once it was told of a final error */
	void *arg;
};

static int queue_put(struct memory_queue *queue, const void *bytes, uint32_t len, int64_t stamp)
{
	struct memory_packet *packet;

	if (queue->count == queue->size)
		return UV_ENOBUFS;
	packet = malloc(sizeof(*packet) + len);
	if (!packet)
		return UV_ENOMEM;
	packet->stamp = stamp;
	packet->len = len;
	memcpy(packet->bytes, bytes, len);
	queue->packets[(queue->first + queue->count++) % queue->size] = packet;
	return 0;
}

/* The oldest packet's length, its bytes in out, and its stamp; 0 if there is none. */
static uint32_t queue_take(struct memory_queue *queue, void *out, int64_t *stamp)
{
	struct memory_packet *packet;
	uint32_t len;

	if (!queue->count)
		return 0;
	packet = queue->packets[queue->first];
	queue->first = (queue->first + 1) % queue->size;
	queue->count--;
	len = packet->len;
	memcpy(out, packet->bytes, len);
	*stamp = packet->stamp;
	free(packet);
	return len;
}

static void queue_free(struct memory_queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++)
		free(queue->packets[(queue->first + i) % queue->size]);
	free(queue->packets);
}

static void memory_free(struct memory *memory)
{
	queue_free(&memory->in);
	queue_free(&memory->out);
	free(memory);
}

static int memory_open(struct tf_device **out, const struct tf_device_spec *spec,
		       struct tf_error *error)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	memory->in.size = memory->out.size = spec->queue ? spec->queue : QUEUE_DEFAULT;
	memory->in.packets = calloc(memory->in.size, sizeof(*memory->in.packets));
	memory->out.packets = calloc(memory->out.size, sizeof(*memory->out.packets));
	if (!memory->in.packets || !memory->out.packets) {
		memory_free(memory);
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	}
	memory->device.ops = &tf_device_memory;
	snprintf(memory->device.name, sizeof(memory->device.name), "%s",
		 *spec->name ? spec->name : "memory");
	memory->device.link = (uint8_t)spec->link;
	memory->device.mtu = spec->mtu ? spec->mtu : MTU_DEFAULT;
	*out = &memory->device;
	return 0;
}

static void wake_up(struct memory *memory)
{
	int waits = memory->in.count && memory->read_code != TF_ENOTREADY;

	if (memory->started && (waits || memory->read_code == TF_EGONE))
		uv_async_send(&memory->wake);
}

static void on_wake(uv_async_t *wake)
{
	struct memory *memory = wake->data;
	tf_device_ready_cb ready = memory->ready;

	if (!ready || !memory->started)
		return;
	if (memory->read_code == TF_EGONE) {
		memory->ready = NULL;
		ready(&memory->device, TF_EGONE, memory->arg);
		return;
	}
	if (memory->in.count)
		ready(&memory->device, 0, memory->arg);
	wake_up(memory); /* again, for as long as packets wait */
}

static int memory_start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready,
			void *arg)
{
	struct memory *memory = (struct memory *)device;
	int code = uv_async_init(loop, &memory->wake, on_wake);

	if (code < 0)
		return code;
	memory->wake.data = memory;
	memory->ready = ready;
	memory->arg = arg;
	memory->started = 1;
	wake_up(memory);
	return 0;
}

static int memory_read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct memory *memory = (struct memory *)device;
	int count = 0;
	int64_t stamp = 0;
	uint8_t *room;

	if (memory->read_code)
		return memory->read_code;
	while (memory->in.count && (room = tf_batch_room(batch))) {
		uint32_t len = queue_take(&memory->in, room, &stamp);

		tf_batch_commit(batch, len)->stamp = stamp;
		count++;
	}
	return count;
}

static void write_one(struct memory *memory, struct tf_packet *packet,
		      struct tf_written *written)
{
	int code = memory->write_code;

	tf_settle(packet);
	if (tf_device_refuses(memory->device.link, packet->data, packet->len))
		code = UV_EINVAL;
	else if (!code)
		code = queue_put(&memory->out, packet->data, packet->len, packet->stamp);
	switch (code) {
	case 0:
		written->packets++;
		written->bytes += packet->len;
		break;
	case TF_ENOTREADY:
		written->not_ready++;
		break;
	case UV_EAGAIN:
	case UV_ENOBUFS:
		written->full++;
		break;
	case UV_EINVAL:
		written->invalid++;
		break;
	default:
		written->failed++;
		break;
	}
}

static int memory_write_batch(struct tf_device *device, struct tf_packet *const *packets,
			      uint32_t count, struct tf_written *written)
{
	struct memory *memory = (struct memory *)device;

	if (memory->write_code == TF_EGONE) {
		written->failed += count;
		return TF_EGONE;
	}
	for (uint32_t i = 0; i < count; i++)
		write_one(memory, packets[i], written);
	return 0;
}

static int memory_dropped(struct tf_device *device, uint64_t *packets)
{
	*packets = ((struct memory *)device)->dropped;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct memory *memory = handle->data;

	memory->closing = 0;
	if (memory->freed)
		memory_free(memory);
}

static void memory_stop(struct tf_device *device)
{
	struct memory *memory = (struct memory *)device;

	if (!memory->started)
		return;
	memory->started = 0;
	memory->closing = 1;
	uv_close((uv_handle_t *)&memory->wake, on_closed);
}

static void memory_close(struct tf_device *device)
{
	struct memory *memory = (struct memory *)device;

	memory_stop(device);
	if (memory->closing)
		memory->freed = 1;
	else
		memory_free(memory);
}

int tf_memory_inject(struct tf_device *device, const void *bytes, uint32_t len)
{
	struct memory *memory = (struct memory *)device;
	int code;

	if (len == 0 || len > TF_PACKET_MAX)
		return UV_EINVAL;
	code = queue_put(&memory->in, bytes, len, memory->clock);
	if (code < 0)
		memory->dropped++;
	else
		wake_up(memory);
	return code;
}

uint32_t tf_memory_take(struct tf_device *device, void *bytes)
{
	struct memory *memory = (struct memory *)device;

	return queue_take(&memory->out, bytes, &memory->taken);
}

void tf_memory_clock(struct tf_device *device, int64_t stamp)
{
	((struct memory *)device)->clock = stamp;
}

int64_t tf_memory_taken(const struct tf_device *device)
{
	return ((const struct memory *)device)->taken;
}

void tf_memory_fault(struct tf_device *device, int read_code, int write_code)
{
	struct memory *memory = (struct memory *)device;

	memory->read_code = read_code;
	memory->write_code = write_code;
	if (read_code == TF_EGONE || write_code == TF_EGONE)
		memory->read_code = memory->write_code = TF_EGONE;
	wake_up(memory);
}

const struct tf_device_ops tf_device_memory = {
	.kind = "memory",
	.open = memory_open,
	.start = memory_start,
	.read_batch = memory_read_batch,
	.write_batch = memory_write_batch,
	.dropped = memory_dropped,
	.stop = memory_stop,
	.close = memory_close,
};
