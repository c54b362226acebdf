/*
 * Joined packets and the kernel: random lists are written to a device with offload, and the kernel
 * passes what it got to one without, which cuts it and computes checksums; that must be the packets
 * of the list. And what a socket gets that knows nothing of large packets.
 */
#include "linux_devices.h"

#include <poll.h>
#include <sys/timerfd.h>

#include "device/linux_tun.h"
#include "device/linux_vnet.h"
#include "join_packets.h"
#include "segment.h"

static struct list *list;

static struct tf_device *open_plain(const char *text)
{
	struct tf_device_spec spec;
	struct tf_device *device;

	assert_int_equal(tf_device_spec_parse(&spec, text, &error), 0);
	spec.quiet = 1;
	spec.no_offload = 1;
	if (tf_device_open(&device, &spec, &error) < 0)
		fail_msg("%s", error.text);
	return device;
}

/* What comes in from the one goes out to the other as it is, but for what that one can't take. */
static void redirect(const char *kind)
{
	run("tc qdisc add dev %s_joined clsact", kind);
	run("tc filter add dev %s_joined ingress protocol all u32 match u32 0 0 "
	    "action mirred egress redirect dev %s_apart",
	    kind, kind);
}

static void read_all(struct tf_device *device, uint32_t count)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	static uint8_t bytes[TF_PACKET_MAX];
	struct pollfd poll_fd = {.fd = tun->fd, .events = POLLIN};

	while (list->seen_count < count) {
		ssize_t len = read(tun->fd, bytes, sizeof(bytes));
		const char *wrong;

		if (len < 0 && errno == EAGAIN && poll(&poll_fd, 1, 2000) == 1)
			continue;
		if (len < 0)
			fail_msg("packet %u of %u did not come: %s", list->seen_count, count,
				 strerror(errno));
		wrong = list_came(list, bytes, (uint32_t)len, device->link);
		if (wrong)
			fail_msg("packet %u of %u: %s", list->seen_count, count, wrong);
	}
}

/* How many packets an interface got; large ones count as one. */
static uint32_t writes(const char *name, const char *rest)
{
	return (uint32_t)atoi(run(
		"sed -n 's/ *%s%s: *[0-9]* *\\([0-9]*\\).*/\\1/p' /proc/self/net/dev", name, rest));
}

static void check_lists(const char *kind, uint8_t link, uint32_t count, uint32_t seed)
{
	static uint8_t random[8192];
	struct tf_device *in, *out;
	struct tf_written written = {0};
	uint64_t packets = 0, bytes = 0;
	char text[64];

	snprintf(text, sizeof(text), "%s:%s_joined", kind, kind);
	in = must_open_quiet(text);
	assert_true(((struct tf_tun *)in)->vnet);
	snprintf(text, sizeof(text), "%s:%s_apart,queue=20000", kind, kind);
	out = open_plain(text);
	redirect(kind);
	for (uint32_t round = 0; round < count; round++) {
		struct bytes input = {random, random + sizeof(random)};

		for (size_t i = 0; i < sizeof(random); i++) {
			seed = seed * 1664525 + 1013904223;
			random[i] = (uint8_t)(seed >> 24);
		}
		list_fill(list, &input, link);
		for (uint32_t i = 0; i < list->count; i++) {
			while (i < list->count &&
			       tf_device_refuses(link, list->wire[i], list->wire_len[i]))
				list_drop(list, i);
			bytes += i < list->count ? list->wire_len[i] : 0;
		}
		packets += list->count;
		assert_int_equal(tf_device_write(in, list->pointers, list->count, &written), 0);
		assert_int_equal(written.packets, packets);
		assert_int_equal(written.bytes, bytes);
		read_all(out, list->count);
	}
	assert_in_range(writes(kind, "_joined"), packets / 10, packets / 2);
	tf_device_close(in);
	tf_device_close(out);
}

/* 10,000 in all; valgrind is 30 times slower. */
static uint32_t rounds(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload") ? 100 : 5000;
}

static void test_tun(void **state)
{
	NEEDS_NAMESPACE();
	check_lists("tun", TF_LINK_IP, rounds(), 1);
}

static void test_tap(void **state)
{
	NEEDS_NAMESPACE();
	check_lists("tap", TF_LINK_ETHERNET, rounds(), 2);
}

/* Datagrams of one flow with these payload lengths, to a socket of the device's own host. */
static void fill_datagrams(int v6, uint32_t count, uint32_t size)
{
	struct flow flow = {
		.v6 = (uint8_t)v6, .udp = 1, .ttl = 64, .port = 100, .state = TF_PARTIAL};

	list_clear(list);
	for (uint32_t i = 0; i < count; i++)
		emit(list, &flow, i == count - 1 ? size / 2 : size, 0, NULL);
}

static int datagram_socket(int v6)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	struct sockaddr_in at4 = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct timeval limit = {.tv_sec = 2};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(v6 ? bind(fd, (struct sockaddr *)&at, sizeof(at))
			    : bind(fd, (struct sockaddr *)&at4, sizeof(at4)),
			 0);
	return fd;
}

/* A program that has never heard of large datagrams reads them one by one. */
static void test_sockets(void **state)
{
	struct tf_device *device;
	struct tf_written written = {0};
	char bytes[4096];

	NEEDS_NAMESPACE();
	device = must_open_quiet("tun:local,address=10.0.0.2/24,address=fd00::2/64");
	run("ip -6 address del fd00::2/64 dev local; ip address add fd00::2/64 dev local nodad");
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = datagram_socket(v6);

		for (uint32_t size = 2; size < 1500; size = size * 5 + 1) {
			fill_datagrams(v6, 50, size);
			assert_int_equal(tf_device_write(device, list->pointers, 50, &written), 0);
			for (uint32_t i = 0; i < 50; i++) {
				const uint32_t n = i == 49 ? size / 2 : size;

				assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), n);
				assert_memory_equal(bytes, list->wire[i] + list->wire_len[i] - n,
						    n);
			}
			assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
		}
		close(fd);
	}
	assert_int_equal(written.packets, 2 * 5 * 50);
	tf_device_close(device);
}

/* What becomes of one large packet becomes of all that are in it. */
static void test_down(void **state)
{
	struct tf_device *device;
	struct tf_written written = {0};

	NEEDS_NAMESPACE();
	device = must_open_quiet("tun:sometimes");
	run("ip link set sometimes down");
	fill_datagrams(0, 50, 100);
	assert_int_equal(tf_device_write(device, list->pointers, 50, &written), 0);
	assert_int_equal(written.not_ready, 50);
	run("ip link set sometimes up");
	assert_int_equal(tf_device_write(device, list->pointers, 50, &written), 0);
	assert_int_equal(written.packets, 50);
	run("ip link del sometimes");
	assert_int_equal(tf_device_write(device, list->pointers, 50, &written), TF_EGONE);
	assert_int_equal(written.failed, 50);
	tf_device_close(device);
}

/* A kernel that refuses large packets (here: a descriptor that refuses all) gets single ones. */
static void test_refused(void **state)
{
	struct tf_device *device;
	struct tf_tun *tun;
	struct tf_written written = {0};
	int fd, refusing;

	NEEDS_NAMESPACE();
	device = must_open_quiet("tun:old,address=10.0.0.2/24");
	tun = (struct tf_tun *)device;
	refusing = timerfd_create(CLOCK_MONOTONIC, 0);
	fd = tun->fd;
	tun->fd = refusing;
	fill_datagrams(0, 50, 100);
	assert_int_equal(tf_device_write(device, list->pointers, 50, &written), 0);
	assert_int_equal(written.invalid, 50);
	tun->fd = fd;
	close(refusing);
	assert_int_equal(tf_device_write(device, list->pointers, 50, &written), 0);
	assert_int_equal(written.packets, 50);
	assert_int_equal(writes("old", ""), 50);
	tf_device_close(device);
}

/*
 * Pairs of segments that stand behind each other in memory, and one between that does not; odd: but
 * for the first two pairs.
 */
static void check_many_pieces(struct tf_join *join, struct tf_vnet_write *write, struct flow *flow,
			      uint32_t odd)
{
	static uint8_t tails[LIST_MAX * 10 + 5], all[LIST_MAX * 10];
	uint8_t *at = all;
	uint32_t len = 0;

	list_clear(list);
	flow->state = TF_PARTIAL;
	for (uint32_t i = 0; i < LIST_MAX; i++)
		emit(list, flow, 10, 0,
		     i > 1 && i % 3 == 2 - odd ? NULL : tails + i * 10 + (i > 1 ? 5 : 0));
	assert_int_equal(tf_join(join, list->pointers, list->count), LIST_MAX);
	assert_int_equal(join->run_count, 1);
	tf_vnet_run(write, join, &join->runs[0]);
	assert_int_equal(write->count, TF_VNET_PIECES - 1 + odd);
	for (int i = 0; i < write->count; i++) {
		uint32_t skip = i == 0 ? VNET + 40 : 0;

		memcpy(at, (uint8_t *)write->pieces[i].iov_base + skip,
		       write->pieces[i].iov_len - skip);
		at += write->pieces[i].iov_len - skip;
		len += (uint32_t)write->pieces[i].iov_len;
	}
	assert_int_equal(len, write->length);
	assert_int_equal(at - all, LIST_MAX * 10);
	for (uint32_t i = 0; i < LIST_MAX; i++)
		assert_memory_equal(all + i * 10, list->wire[i] + 40, 10);
}

/* What a write is made of: of a large packet that a script's NAT has edited, nothing is copied. */
static void test_pieces(void **state)
{
	static struct tf_vnet_write write;
	struct flow flow = {.ttl = 64, .port = 100, .flags = ACK | CWR | PSH};
	struct tf_join *join;

	(void)state;
	assert_int_equal(tf_join_create(&join, TF_LINK_IP, TF_JOIN_TCP4), 0);
	list_clear(list);
	emit_large(list, &flow, 40, 1448, 700);
	assert_int_equal(tf_join(join, list->pointers, list->count), 40);
	assert_int_equal(join->run_count, 1);
	tf_vnet_run(&write, join, &join->runs[0]);
	assert_int_equal(write.count, 1);
	assert_ptr_equal(write.pieces[0].iov_base, list->larges[0].data - VNET);
	for (uint32_t i = 0; i < 40; i++)
		list_edit(list, i);
	assert_int_equal(tf_join(join, list->pointers, list->count), 40);
	assert_int_equal(join->run_count, 1);
	tf_vnet_run(&write, join, &join->runs[0]);
	assert_int_equal(write.count, 2);
	assert_ptr_equal(write.pieces[1].iov_base, list->larges[0].data + 40);
	assert_int_equal(write.length, VNET + 40 + 39 * 1448 + 700);
	assert_int_equal(write.scratch[1], 0x81); /* TCP over IPv4, with CWR */
	/* Small segments the same; and more pieces than there is room for. */
	list_clear(list);
	flow.flags = ACK;
	emit_large(list, &flow, 40, 100, 100);
	list->larges[0].whole = 0;
	assert_int_equal(tf_join(join, list->pointers, list->count), 40);
	tf_vnet_run(&write, join, &join->runs[0]);
	assert_int_equal(write.count, 2);
	check_many_pieces(join, &write, &flow, 0);
	check_many_pieces(join, &write, &flow, 1);
	tf_join_destroy(join);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tun),	cmocka_unit_test(test_tap),
		cmocka_unit_test(test_sockets), cmocka_unit_test(test_down),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_pieces),
	};

	list = list_create();
	return cmocka_run_group_tests(tests, enter_namespaces, NULL);
}
