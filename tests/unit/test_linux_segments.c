/*
 * Large packets that the kernel hands over, cut into wire packets as the kernel itself does it: the
 * same packet goes out of an interface with offload, where we cut it, and out of one without, where
 * the kernel does. What comes is the same, byte for byte.
 */
#include "linux_devices.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

#include "large.h"
#include "parse.h"
#include "segment.h"

enum { SEGMENTS = 2048 };

/* An interface, and a socket that puts packets with a virtio_net_hdr into it. */
struct way {
	struct tf_device *device;
	int socket;
	struct sockaddr_ll to;
};

static struct tf_batch *batch;

/* How many packets there were of what is promised of all of them. */
static struct {
	uint32_t large, one_byte, longest, options, extended, ecn, cwr, psh, fin, udp, second;
} kinds;

static void count_kind(const struct large *large)
{
	const uint8_t *ip = large->data + large->network;
	uint8_t flags = large->udp ? 0 : large->data[large->transport + 13];

	if (!large->size)
		return;
	kinds.large++;
	kinds.one_byte += large->size == 1;
	kinds.longest += large->len - large->network == TF_IP_MAX;
	kinds.options += !large->ip6 && large->transport - large->network > 20;
	kinds.extended += large->ip6 && large->transport - large->network > 40;
	kinds.ecn += !!((large->ip6 ? ip[1] >> 4 : ip[1]) & 3);
	kinds.cwr += !!(flags & 0x80);
	kinds.psh += !!(flags & 8);
	kinds.fin += flags & 1;
	kinds.udp += large->udp;
}

static struct way open_way(const char *text, int no_offload, uint32_t queues)
{
	struct tf_device_spec spec;
	struct way way;
	int on = 1;

	assert_int_equal(tf_device_spec_parse(&spec, text, &error), 0);
	spec.quiet = 1;
	spec.no_offload = no_offload;
	spec.queues = queues;
	if (tf_device_open(&way.device, &spec, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	way.socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(way.socket >= 0);
	assert_int_equal(setsockopt(way.socket, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	way.to = (struct sockaddr_ll){.sll_family = AF_PACKET,
				      .sll_ifindex = (int)if_nametoindex(way.device->name)};
	return way;
}

static void close_way(struct way *way)
{
	close(way->socket);
	tf_device_close(way->device);
}

/* 0, or the errno of a kernel that does not take it. */
static int put(struct way *way, const struct large *large)
{
	static uint8_t bytes[sizeof(struct virtio_net_hdr) + TF_PACKET_MAX];
	struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = large->gso_type,
					.hdr_len = (uint16_t)large->header,
					.gso_size = (uint16_t)large->size,
					.csum_start = (uint16_t)large->transport,
					.csum_offset = (uint16_t)large->field};
	size_t length = sizeof(header) + large->len;

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), large->data, large->len);
	way->to.sll_protocol = htons(large->ip6 ? ETH_P_IPV6 : ETH_P_IP);
	if (way->device->link == TF_LINK_ETHERNET)
		way->to.sll_protocol = *(const uint16_t *)(const void *)(large->data + 12);
	if (sendto(way->socket, bytes, length, 0, (struct sockaddr *)&way->to, sizeof(way->to)) < 0)
		return errno;
	return 0;
}

/* What comes out of one interface. */
static struct {
	uint8_t *data;
	uint32_t len;
} seen[SEGMENTS];

static uint32_t read_kernels(struct way *way)
{
	uint32_t count = 0;

	for (;;) {
		tf_batch_reset(batch, TF_LEFT, way->device->link);
		if (tf_device_read(way->device, batch) <= 0)
			return count;
		for (uint32_t i = 0; i < batch->count; i++) {
			const struct tf_packet *packet = &batch->packets[i];

			assert_true(count < SEGMENTS);
			seen[count].data = realloc(seen[count].data, packet->len);
			memcpy(seen[count].data, packet->data, packet->len);
			seen[count++].len = packet->len;
		}
	}
}

static void check_same(const struct tf_packet *packet, uint32_t number, const struct large *large)
{
	const uint8_t *has = packet->data, *wants = seen[number].data;
	uint32_t field = packet->transport + large->field;

	if (packet->len != seen[number].len)
		fail_msg("%s, segment %u: %u bytes, not %u", large_text(large), number, packet->len,
			 seen[number].len);
	for (uint32_t i = 0; i < packet->len; i++) {
		if (has[i] == wants[i])
			continue;
		/* Two forms of zero; the kernel uses either for TCP. */
		if ((i == field || i == field + 1) && has[field] == has[field + 1] &&
		    wants[field] == wants[field + 1] && (has[field] ^ wants[field]) == 0xff)
			continue;
		fail_msg("%s, segment %u, byte %u: %02x, not %02x", large_text(large), number, i,
			 has[i], wants[i]);
	}
}

/* The descriptor says what a parse of the bytes says. */
static void check_parsed(const struct tf_packet *packet, const struct large *large)
{
	struct tf_packet again = *packet;

	tf_parse(&again);
	again.flags = packet->flags;
	if (memcmp(&again, packet, sizeof(again)))
		fail_msg("%s: a parse says something else", large_text(large));
}

static uint32_t compare_ours(struct tf_device *device, const struct large *large)
{
	uint32_t count = 0;

	for (;;) {
		tf_batch_reset(batch, TF_LEFT, device->link);
		if (tf_device_read(device, batch) <= 0)
			return count;
		for (uint32_t i = 0; i < batch->count; i++) {
			struct tf_packet *packet = &batch->packets[i];

			/* With two tags, or at its bound, the kernel cuts by itself. */
			if (large->tags < 2 && large->len <= TF_IP_MAX)
				assert_int_equal(packet->flags & (TF_CUT | TF_PARTIAL),
						 large->size ? TF_CUT | TF_PARTIAL : TF_PARTIAL);
			if (packet->flags & TF_CUT) {
				assert_non_null(packet->large);
				assert_int_equal(packet->large->len, large->len);
				assert_int_equal(packet->large->header, large->header);
				assert_int_equal(packet->large->size, large->size);
				assert_memory_equal(packet->large->data, large->data, large->len);
				assert_true(packet >= packet->large->first &&
					    packet < packet->large->first + packet->large->count);
			}
			tf_settle(packet);
			assert_int_equal(packet->flags, 0);
			check_same(packet, count++, large);
			check_parsed(packet, large);
		}
	}
}

/* second: a queue of ours, or NULL; whose packet it is the kernel decides. */
static void compare(struct way *kernel, struct way *ours, struct tf_device *second,
		    const struct large *large)
{
	int refused = put(kernel, large);
	uint32_t count, came;

	if (put(ours, large) != refused)
		fail_msg("%s: one interface takes it", large_text(large));
	if (refused)
		fail_msg("%s: %s", large_text(large), strerror(refused));
	count = read_kernels(kernel);
	came = compare_ours(ours->device, large);
	if (second && !came) {
		came = compare_ours(second, large);
		kinds.second++;
	}
	if (came != count)
		fail_msg("%s: not %u segments", large_text(large), count);
	if (count != large_segments(large))
		fail_msg("%s: %u segments by the kernel", large_text(large), count);
}

static void compare_many(const char *kind, int tap, uint32_t queues, uint32_t count)
{
	char text[64];
	struct way kernel, ours;
	struct tf_device *second = NULL;
	struct large large = {0};
	int uso;

	snprintf(text, sizeof(text), "%s:kernel0,mtu=9000", kind);
	kernel = open_way(text, 1, 1);
	snprintf(text, sizeof(text), "%s:ours0,mtu=9000", kind);
	ours = open_way(text, 0, queues);
	if (queues > 1)
		assert_int_equal(tf_device_queue(&second, ours.device, 1, &error), 0);
	uso = strstr(ours.device->offload, "USO") != NULL;
	if (!strstr(ours.device->offload, "TSO")) {
		print_message("skipped: this kernel has no TSO for us\n");
		skip();
	}
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	read_kernels(&kernel);
	read_kernels(&ours);
	memset(&kinds, 0, sizeof(kinds));
	while (kinds.large < count) {
		large_make(&large, tap, uso);
		compare(&kernel, &ours, second, &large);
		count_kind(&large);
	}
	if (count >= 1000) {
		assert_true(kinds.one_byte > count / 100 && kinds.longest > count / 100);
		assert_true(kinds.options > count / 20 && kinds.extended > count / 20);
		assert_true(kinds.ecn > count / 3 && kinds.cwr > count / 20);
		assert_true(kinds.psh > count / 20 && kinds.fin > count / 20);
		assert_true(!uso || kinds.udp > count / 20);
	}
	assert_true(!second || (kinds.second > 0 && kinds.second < count));
	free(large.data);
	for (int i = 0; i < SEGMENTS; i++) {
		free(seen[i].data);
		seen[i].data = NULL;
	}
	tf_batch_destroy(batch);
	if (second)
		tf_device_close(second);
	close_way(&kernel);
	close_way(&ours);
}

/* Valgrind is 30 times slower. */
static uint32_t rounds(uint32_t count)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload") ? count / 25 : count;
}

static void test_tun(void **state)
{
	NEEDS_NAMESPACE();
	compare_many("tun", 0, 1, rounds(5000));
}

static void test_tap(void **state)
{
	NEEDS_NAMESPACE();
	compare_many("tap", 1, 1, rounds(5000));
}

static void test_queues(void **state)
{
	NEEDS_NAMESPACE();
	compare_many("tun", 0, 2, rounds(1000));
}

/* What did not fit one batch comes in the next ones, though nothing else makes the device readable.
 */
static void test_the_rest_comes(void **state)
{
	struct large large = {0};
	struct watch watch;
	struct way ours;

	NEEDS_NAMESPACE();
	ours = open_way("tun:ours0", 0, 1);
	do
		large_make(&large, 0, 0);
	while (large.size != 1 || large_segments(&large) < 300);
	watch_begin(&watch, ours.device);
	watch_for(&watch, 1); /* what the kernel says of a new device */
	watch.packets = 0;
	assert_int_equal(put(&ours, &large), 0);
	for (int i = 0; i < 1000 && watch.packets < (int)large_segments(&large); i++)
		watch_for(&watch, 10);
	assert_int_equal(watch.packets, large_segments(&large));
	free(large.data);
	close(ours.socket);
	watch_end(&watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_rest_comes),
		cmocka_unit_test(test_tun),
		cmocka_unit_test(test_tap),
		cmocka_unit_test(test_queues),
	};

	return cmocka_run_group_tests_name("linux_segments", tests, enter_namespaces, NULL);
}
