#include "pcap.h"

#include <stdlib.h>
#include <string.h>

#include "../capture_write.h"
#include "../parse.h"

/* Link types: tcpdump.org/linktypes.html */
enum {
	LINKTYPE_NULL = 0,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_RAW_12 = 12, /* RAW as some systems number it in files */
	LINKTYPE_RAW_14 = 14,
	LINKTYPE_RAW = 101,
	LINKTYPE_LOOP = 108,
	LINKTYPE_LINUX_SLL = 113,
	LINKTYPE_IPV4 = 228,
	LINKTYPE_IPV6 = 229,
	LINKTYPE_LINUX_SLL2 = 276
};

struct pcap {
	struct tf_device device;
	struct tf_pcap_config config;
	struct tf_capture_reader *reader;
	struct tf_capture_writer *writer; /* NULL: nothing is written */
	int ng;				  /* writer writes pcapng */
	uint32_t written_interfaces;	  /* pcapng: interfaces that writer knows */
	uint16_t linktype;		  /* of the first packet */
	struct tf_capture_record next;	  /* what is read next, if waiting */
	int waiting;
	uint64_t unseen;
	struct tf_error error;
};

static struct pcap *pcap_of(struct tf_device *device)
{
	return (struct pcap *) device;
}

/* What a link type carries, and the length of what stands before the header that scripts see first. */
static uint8_t link_of(uint16_t linktype, uint8_t *prefix)
{
	*prefix = 0;
	switch (linktype) {
	case LINKTYPE_ETHERNET:
		return TF_LINK_ETHERNET;
	case LINKTYPE_LINUX_SLL2:
		*prefix = 20;
		return TF_LINK_IP;
	case LINKTYPE_LINUX_SLL:
		*prefix = 16;
		return TF_LINK_IP;
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
		*prefix = 4;
		return TF_LINK_IP;
	case LINKTYPE_RAW_12:
	case LINKTYPE_RAW_14:
	case LINKTYPE_RAW:
	case LINKTYPE_IPV4:
	case LINKTYPE_IPV6:
		return TF_LINK_IP;
	default:
		return TF_LINK_OTHER;
	}
}

/* The link header of a packet that a script made, where the capture's packets have one. */
static uint8_t make_prefix(uint16_t linktype, const struct tf_packet *packet, uint8_t *into)
{
	int ip6 = packet->data[0] >> 4 == 6;
	uint32_t family = ip6 ? 24 : 2; /* BSD's numbers, which readers know on every system */
	uint8_t prefix;

	link_of(linktype, &prefix);
	memset(into, 0, prefix);
	switch (linktype) {
	case LINKTYPE_NULL:
		memcpy(into, &family, 4);
		break;
	case LINKTYPE_LOOP:
		into[3] = (uint8_t) family;
		break;
	case LINKTYPE_LINUX_SLL:
		into[1] = 4; /* sent by us */
		into[2] = 0xff;
		into[3] = 0xfe; /* ARPHRD_NONE */
		into[14] = ip6 ? 0x86 : 0x08;
		into[15] = ip6 ? 0xdd : 0x00;
		break;
	case LINKTYPE_LINUX_SLL2:
		into[0] = ip6 ? 0x86 : 0x08;
		into[1] = ip6 ? 0xdd : 0x00;
		into[8] = 0xff;
		into[9] = 0xfe;
		into[10] = 4;
		break;
	}
	return prefix;
}

/* Keeps the reader's next record: 1, 0 at the end, or a code. */
static int look_ahead(struct pcap *pcap)
{
	int got = tf_capture_next(pcap->reader, &pcap->next, &pcap->error);

	pcap->waiting = got == 1;
	return got;
}

static int fail(struct pcap *pcap, int code)
{
	return tf_error_set(&pcap->error, code, "%s cannot be written: %s", pcap->config.out, tf_error_name(code));
}

static int write_record(struct pcap *pcap, const struct tf_capture_record *record)
{
	const struct tf_capture_interface *interfaces;
	int err = 0;

	if (pcap->writer == NULL)
		return 0;
	if (!pcap->ng && record->linktype != pcap->linktype)
		return tf_error_set(&pcap->error, UV_EINVAL,
				    "%s cannot hold several link types: name it OUT.pcapng", pcap->config.out);
	if (pcap->ng) {
		tf_capture_interfaces(pcap->reader, &interfaces);
		for (; pcap->written_interfaces <= record->interface && err == 0; pcap->written_interfaces++)
			err = tf_capture_add_interface(
				pcap->writer, interfaces[pcap->written_interfaces].linktype, NULL);
	}
	if (err == 0)
		err = tf_capture_add(pcap->writer, record, NULL);
	return err < 0 ? fail(pcap, err) : 0;
}

static int side_of(const struct pcap *pcap, struct tf_packet *packet)
{
	uint32_t width, at;

	if (pcap->config.left_count == 0)
		return packet->interface == 0 ? TF_LEFT : TF_RIGHT;
	tf_parse(packet);
	if (packet->headers & TF_HAS_IP4) {
		width = 4;
		at = packet->network + 12;
	} else if (packet->headers & TF_HAS_IP6) {
		width = 16;
		at = packet->network + 8;
	} else if (packet->headers & TF_HAS_ARP) {
		width = 4;
		at = packet->network + 14;
	} else {
		return TF_RIGHT;
	}
	for (uint32_t i = 0; i < pcap->config.left_count; i++) {
		const struct tf_prefix *prefix = &pcap->config.left[i];
		const uint8_t *address = packet->data + at;
		uint32_t whole = prefix->length / 8, rest = prefix->length % 8;

		if ((prefix->family == 4 ? 4u : 16u) != width || memcmp(address, prefix->bytes, whole) != 0)
			continue;
		if (rest == 0 || (address[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0)
			return TF_LEFT;
	}
	return TF_RIGHT;
}

/* Takes the waiting record into the batch. */
static void take_record(struct pcap *pcap, struct tf_batch *batch, uint8_t *room)
{
	const struct tf_capture_record *record = &pcap->next;
	struct tf_packet *packet;
	uint8_t prefix, link = link_of(record->linktype, &prefix);

	if (record->len <= prefix) { /* cut short within its link header: nothing is known of it */
		prefix = 0;
		link = TF_LINK_OTHER;
	}
	memcpy(room - prefix, record->bytes, record->len);
	packet = tf_batch_commit(batch, record->len - prefix);
	packet->link = link;
	packet->prefix = prefix;
	packet->interface = (uint16_t) record->interface;
	packet->missing = record->original > record->len ? record->original - record->len : 0;
	packet->stamp = record->stamp;
	packet->from = (uint8_t) side_of(pcap, packet);
}

static int read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct pcap *pcap = pcap_of(device);

	while (pcap->waiting) {
		uint8_t *room;
		int err;

		if (pcap->next.len == 0 || pcap->next.len > TF_PACKET_MAX) {
			if (batch->count > 0)
				break; /* it keeps its place behind these */
			err = write_record(pcap, &pcap->next);
			if (err < 0)
				return err;
			pcap->unseen++;
		} else {
			room = tf_batch_room(batch);
			if (room == NULL)
				break;
			take_record(pcap, batch, room);
		}
		err = look_ahead(pcap);
		if (err < 0)
			return err;
	}
	return (int) batch->count;
}

static int write_batch(struct tf_device *device, struct tf_packet *const *packets, uint32_t count,
		       struct tf_written *written)
{
	struct pcap *pcap = pcap_of(device);

	for (uint32_t i = 0; i < count; i++) {
		struct tf_packet *packet = packets[i];
		struct tf_capture_record record = { .stamp = packet->stamp, .interface = packet->interface };
		const struct tf_capture_interface *interfaces;
		int err;

		tf_capture_interfaces(pcap->reader, &interfaces);
		record.linktype = interfaces[packet->interface].linktype;
		if (packet->number == 0) {
			record.linktype = pcap->linktype;
			packet->prefix = make_prefix(record.linktype, packet, packet->data - 20);
			memmove(packet->data - packet->prefix, packet->data - 20, packet->prefix);
		}
		record.bytes = packet->data - packet->prefix;
		record.len = packet->prefix + packet->len;
		record.original = record.len + (packet->flags & TF_EDITED ? 0 : packet->missing);
		err = write_record(pcap, &record);
		if (err < 0)
			return err;
		written->packets++;
		written->bytes += packet->len;
	}
	return 0;
}

static int start(struct tf_device *device, uv_loop_t *loop, tf_device_ready_cb ready, void *arg)
{
	(void) device;
	(void) loop;
	(void) ready;
	(void) arg;
	return UV_ENOSYS; /* offline only: tf_pipeline_pump */
}

static int dropped(struct tf_device *device, uint64_t *packets)
{
	(void) device;
	*packets = 0;
	return 0;
}

static void stop(struct tf_device *device)
{
	(void) device;
}

static void close_device(struct tf_device *device)
{
	struct pcap *pcap = pcap_of(device);

	tf_capture_finish(pcap->writer);
	tf_capture_close(pcap->reader);
	free(pcap);
}

static const struct tf_device_ops ops = {
	.kind = "pcap",
	.start = start,
	.read_batch = read_batch,
	.write_batch = write_batch,
	.dropped = dropped,
	.stop = stop,
	.close = close_device,
};

static int ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static int open_writer(struct pcap *pcap, struct tf_error *error)
{
	const struct tf_capture_interface *interfaces;
	uint32_t count = tf_capture_interfaces(pcap->reader, &interfaces);
	int nanoseconds = 0;

	for (uint32_t i = 0; i < count; i++)
		nanoseconds |= interfaces[i].ticks > 1000000;
	pcap->ng = ends_with(pcap->config.out, ".pcapng");
	return tf_capture_create(&pcap->writer, pcap->config.out, pcap->ng, pcap->linktype, nanoseconds, error);
}

int tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config, struct tf_error *error)
{
	struct pcap *pcap = calloc(1, sizeof(*pcap));
	const struct tf_capture_interface *interfaces;
	uint8_t prefix;
	int err;

	if (pcap == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	pcap->config = *config;
	pcap->device.ops = &ops;
	pcap->device.mtu = TF_IP_MAX;
	snprintf(pcap->device.name, sizeof(pcap->device.name), "%s", config->in);
	err = tf_capture_open(&pcap->reader, config->in, error);
	if (err < 0)
		goto fail;
	err = look_ahead(pcap);
	if (err < 0) {
		*error = pcap->error;
		goto fail;
	}
	if (pcap->waiting)
		pcap->linktype = pcap->next.linktype;
	else if (tf_capture_interfaces(pcap->reader, &interfaces) > 0)
		pcap->linktype = interfaces[0].linktype;
	pcap->device.link = link_of(pcap->linktype, &prefix);
	if (config->out != NULL) {
		err = open_writer(pcap, error);
		if (err < 0)
			goto fail;
	}
	*out = &pcap->device;
	return 0;

fail:
	close_device(&pcap->device);
	return err;
}

const char *tf_pcap_error(const struct tf_device *device)
{
	return ((const struct pcap *) device)->error.text;
}

uint64_t tf_pcap_unseen(const struct tf_device *device)
{
	return ((const struct pcap *) device)->unseen;
}

uint16_t tf_pcap_linktype(const struct tf_device *device)
{
	return device->link == TF_LINK_IP ? LINKTYPE_RAW : ((const struct pcap *) device)->linktype;
}

void tf_pcap_progress(const struct tf_device *device, uint64_t *at, uint64_t *size)
{
	tf_capture_progress(((const struct pcap *) device)->reader, at, size);
}

int tf_pcap_finish(struct tf_device *device)
{
	struct pcap *pcap = pcap_of(device);
	int err = tf_capture_finish(pcap->writer);

	pcap->writer = NULL;
	return err < 0 ? fail(pcap, err) : 0;
}
