#include "pcap.h"

#include <stdlib.h>
#include <string.h>

#include "../capture_write.h"
#include "../parse.h"
#include "../segment.h"

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

enum { SLL = 16, SLL2 = 20, FAMILY = 4 }; /* bytes before IP */

struct pcap {
	struct tf_device device;
	struct tf_pcap_config config;
	struct tf_capture_reader *reader;
	struct tf_capture_writer *writer; /* NULL: nothing is written */
	struct tf_capture_format format;  /* of writer */
	uint32_t written_interfaces;	  /* pcapng: interfaces that writer knows */
	uint16_t linktype;	       /* of the first packet, and of those that a script makes */
	uint32_t interface;	       /* likewise */
	struct tf_capture_record next; /* what is read next, if state is 1 */
	int state;		       /* of the reader: 1 there is more, 0 the end, or a code */
	uint64_t unseen;
	struct tf_error error; /* of the reader's state, or of the first write that failed */
};

static struct pcap *pcap_of(struct tf_device *device)
{
	return (struct pcap *)device;
}

/* What a script sees of this link type's packets. */
static uint8_t link_of(uint16_t linktype)
{
	switch (linktype) {
	case LINKTYPE_ETHERNET:
		return TF_LINK_ETHERNET;
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
	case LINKTYPE_LINUX_SLL:
	case LINKTYPE_LINUX_SLL2:
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

/* An address family of BSD, Darwin or Linux that is IP's, in either byte order. */
static int is_ip_family(const uint8_t *at)
{
	uint32_t family = at[0] | at[1] ? (uint32_t)at[0] | (uint32_t)at[1] << 8
					: (uint32_t)at[2] << 8 | at[3];

	return family == 2 || family == 10 || family == 24 || family == 28 || family == 30;
}

static int is_ip_type(const uint8_t *at)
{
	return (at[0] == 0x08 && at[1] == 0x00) || (at[0] == 0x86 && at[1] == 0xdd);
}

/* What a script sees of a packet, and how many bytes of it stand before that. */
static uint8_t classify(const struct tf_capture_record *record, uint8_t *prefix)
{
	const uint8_t *bytes = record->bytes;
	int is_ip = 1;

	*prefix = 0;
	switch (record->linktype) {
	case LINKTYPE_LINUX_SLL2:
		*prefix = SLL2;
		is_ip = record->len > SLL2 && is_ip_type(bytes);
		break;
	case LINKTYPE_LINUX_SLL:
		*prefix = SLL;
		is_ip = record->len > SLL && is_ip_type(bytes + 14);
		break;
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
		*prefix = FAMILY;
		is_ip = record->len > FAMILY && is_ip_family(bytes);
		break;
	}
	if (is_ip)
		return link_of(record->linktype);
	*prefix = 0;
	return TF_LINK_OTHER;
}

/* The link header of a packet that a script made, where the capture's packets have one. */
static uint8_t make_prefix(uint16_t linktype, const struct tf_packet *packet, uint8_t *into)
{
	int ip6 = packet->data[0] >> 4 == 6;
	uint8_t family = ip6 ? 24 : 2; /* BSD's numbers, which readers know on every system */

	memset(into, 0, SLL2);
	switch (linktype) {
	case LINKTYPE_NULL: /* either byte order will do */
	case LINKTYPE_LOOP:
		into[3] = family;
		return FAMILY;
	case LINKTYPE_LINUX_SLL:
		into[1] = 4; /* sent by us */
		into[2] = 0xff;
		into[3] = 0xfe; /* ARPHRD_NONE */
		into[14] = ip6 ? 0x86 : 0x08;
		into[15] = ip6 ? 0xdd : 0x00;
		return SLL;
	case LINKTYPE_LINUX_SLL2:
		into[0] = ip6 ? 0x86 : 0x08;
		into[1] = ip6 ? 0xdd : 0x00;
		into[8] = 0xff;
		into[9] = 0xfe;
		into[10] = 4;
		return SLL2;
	default:
		return 0;
	}
}

static int look_ahead(struct pcap *pcap)
{
	return pcap->state = tf_capture_next(pcap->reader, &pcap->next, &pcap->error);
}

static int fail(struct pcap *pcap, int code)
{
	return tf_error_set(&pcap->error, code, "%s cannot be written: %s",
			    strcmp(pcap->config.out, "-") == 0 ? "standard output" : pcap->config.out,
			    uv_strerror(code));
}

static int write_record(struct pcap *pcap, const struct tf_capture_record *record)
{
	const struct tf_capture_interface *interfaces;
	int err = 0;

	if (pcap->writer == NULL)
		return 0;
	if (!pcap->format.ng && record->linktype != pcap->linktype)
		return tf_error_set(
			&pcap->error, UV_EINVAL,
			"%s cannot hold the packet at byte %llu: it is of link type %u, and those "
			"before it of %u; name it OUT.pcapng",
			pcap->config.out, (unsigned long long)record->offset, record->linktype,
			pcap->linktype);
	if (pcap->format.ng) {
		tf_capture_interfaces(pcap->reader, &interfaces);
		for (; pcap->written_interfaces <= record->interface && err == 0;
		     pcap->written_interfaces++)
			err = tf_capture_add_interface(pcap->writer,
						       &interfaces[pcap->written_interfaces]);
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

		if ((prefix->family == 4 ? 4u : 16u) != width ||
		    memcmp(address, prefix->bytes, whole) != 0)
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
	uint8_t prefix, link = classify(record, &prefix);

	memcpy(room - prefix, record->bytes, record->len);
	packet = tf_batch_commit(batch, record->len - prefix);
	packet->link = link;
	packet->prefix = prefix;
	packet->interface = (uint16_t)record->interface;
	packet->linktype = (uint16_t)(record->linktype + 1);
	packet->missing = record->original > record->len ? record->original - record->len : 0;
	packet->stamp = record->stamp;
	packet->from = (uint8_t)side_of(pcap, packet);
}

static int read_batch(struct tf_device *device, struct tf_batch *batch)
{
	struct pcap *pcap = pcap_of(device);

	while (pcap->state > 0) {
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
		look_ahead(pcap);
	}
	return pcap->state < 0 && batch->count == 0 ? pcap->state : (int)batch->count;
}

static int write_batch(struct tf_device *device, struct tf_packet *const *packets, uint32_t count,
		       struct tf_written *written)
{
	struct pcap *pcap = pcap_of(device);

	for (uint32_t i = 0; i < count; i++) {
		struct tf_packet *packet = packets[i];
		struct tf_capture_record record = {.stamp = packet->stamp};
		int err;

		tf_settle(packet);
		if (packet->linktype > 0) {
			record.linktype = (uint16_t)(packet->linktype - 1);
			record.interface = packet->interface;
		} else { /* the script made it */
			uint8_t *start = packet->data - TF_HEADROOM;

			record.linktype = pcap->linktype;
			record.interface = pcap->interface;
			packet->prefix = make_prefix(record.linktype, packet, start);
			memmove(packet->data - packet->prefix, start, packet->prefix);
		}
		record.bytes = packet->data - packet->prefix;
		record.len = packet->prefix + packet->len;
		record.original = record.len + packet->missing;
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
	(void)device;
	(void)loop;
	(void)ready;
	(void)arg;
	return UV_ENOSYS; /* offline only: tf_pipeline_pump */
}

static int dropped(struct tf_device *device, uint64_t *packets)
{
	(void)device;
	*packets = 0;
	return 0;
}

static void stop(struct tf_device *device)
{
	(void)device;
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
	tf_capture_format(pcap->reader, &pcap->format);
	if (pcap->format.ng)
		pcap->format.linktype = pcap->linktype;
	pcap->format.ng = ends_with(pcap->config.out, ".pcapng");
	return tf_capture_create(&pcap->writer, pcap->config.out, &pcap->format, error);
}

int tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config,
		 struct tf_error *error)
{
	struct pcap *pcap = calloc(1, sizeof(*pcap));
	const struct tf_capture_interface *interfaces;
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
	look_ahead(pcap); /* where it fails, the first read says so */
	if (pcap->state > 0) {
		pcap->linktype = pcap->next.linktype;
		pcap->interface = pcap->next.interface;
	} else if (tf_capture_interfaces(pcap->reader, &interfaces) > 0) {
		pcap->linktype = interfaces[0].linktype;
	}
	pcap->device.link = link_of(pcap->linktype);
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
	return ((const struct pcap *)device)->error.text;
}

int64_t tf_pcap_first(const struct tf_device *device)
{
	const struct pcap *pcap = (const struct pcap *)device;

	return pcap->state > 0 ? pcap->next.stamp : 0;
}

uint64_t tf_pcap_unseen(const struct tf_device *device)
{
	return ((const struct pcap *)device)->unseen;
}

uint16_t tf_pcap_linktype(const struct tf_device *device)
{
	return device->link == TF_LINK_IP ? LINKTYPE_RAW : ((const struct pcap *)device)->linktype;
}

void tf_pcap_progress(const struct tf_device *device, uint64_t *at, uint64_t *size)
{
	tf_capture_progress(((const struct pcap *)device)->reader, at, size);
}

int tf_pcap_finish(struct tf_device *device)
{
	struct pcap *pcap = pcap_of(device);
	int err = tf_capture_finish(pcap->writer);

	pcap->writer = NULL;
	return err < 0 ? fail(pcap, err) : 0;
}
