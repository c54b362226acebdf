/* tun and tap at work, against the kernel: packets through sockets, down, gone, quiet links. */
#include "linux_devices.h"

#include "segment.h"

/* IPv4 and UDP from 10.1.0.2 to 10.1.0.1 port 7777, with this payload; UDP without a checksum. */
static uint32_t make_udp(uint8_t *packet, const char *payload)
{
	uint32_t length = 28 + (uint32_t)strlen(payload), sum = 0;
	const uint8_t headers[28] = {0x45, 0,
				     0,	   (uint8_t)length,
				     0,	   0,
				     0,	   0,
				     64,   17,
				     0,	   0,
				     10,   1,
				     0,	   2,
				     10,   1,
				     0,	   1,
				     0x1e, 0x61,
				     0x1e, 0x61,
				     0,	   (uint8_t)(length - 20),
				     0,	   0};

	memcpy(packet, headers, 28);
	memcpy(packet + 28, payload, length - 28);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)packet[i] << 8 | packet[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	packet[10] = (uint8_t)(~sum >> 8);
	packet[11] = (uint8_t)~sum;
	return length;
}

static void drain(struct tf_device *device, struct tf_batch *batch)
{
	do
		tf_batch_reset(batch, TF_LEFT, device->link);
	while (tf_device_read(device, batch) > 0);
}

static void test_reads_whole_packets(void **state)
{
	struct tf_device *device;
	struct tf_batch *batch;
	int sender;

	NEEDS_NAMESPACE();
	device = must_open_quiet("tun:rd0,address=10.1.0.1/24,mtu=65535");
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	drain(device, batch);
	tf_batch_reset(batch, TF_RIGHT, TF_LINK_IP);
	assert_int_equal(tf_device_read(device, batch), 0);
	sender = udp_socket("10.1.0.1", 0);
	for (size_t i = 0; i < 4; i++)
		udp_send(sender, "10.1.0.2", i == 1 ? 65000 : i);
	assert_int_equal(tf_device_read(device, batch), 4);
	assert_int_equal(batch->count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t length = 28 + (i == 1 ? 65000 : i);
		const struct tf_packet *packet = &batch->packets[i];

		assert_int_equal(packet->len, length);
		assert_int_equal(packet->data[0], 0x45); /* no packet information in front */
		assert_int_equal(packet->data[2] << 8 | packet->data[3], length);
		assert_int_equal(packet->from, TF_RIGHT);
		assert_int_equal(packet->link, TF_LINK_IP);
	}
	tf_batch_destroy(batch);

	assert_int_equal(tf_batch_create(&batch, 3), 0);
	for (size_t i = 0; i < 4; i++)
		udp_send(sender, "10.1.0.2", i);
	for (int waiting = 4; waiting > 0; waiting -= 3) { /* as many as fit, and then the rest */
		tf_batch_reset(batch, TF_RIGHT, TF_LINK_IP);
		assert_int_equal(tf_device_read(device, batch), waiting < 3 ? waiting : 3);
		assert_int_equal(batch->packets[0].len, 28 + 4 - waiting);
	}
	close(sender);
	tf_batch_destroy(batch);
	tf_device_close(device);
}

static void test_writes_what_is_a_packet(void **state)
{
	uint8_t block[TF_HEADROOM + 128], *data = block + TF_HEADROOM;
	uint8_t junk[64] = {0x10}, stub[3] = {0x45}, received[128];
	struct tf_packet good = {.data = data}, bad = {.data = junk, .len = sizeof(junk)};
	struct tf_packet tiny = {.data = stub, .len = sizeof(stub)}, empty = {.data = data};
	struct tf_packet *packets[] = {&bad, &good, &tiny, &empty, &good};
	struct tf_written written = {.packets = 100};
	struct tf_device *device;
	int receiver;

	NEEDS_NAMESPACE();
	device = must_open("tun:wr0,address=10.1.0.1/24");
	receiver = udp_socket("10.1.0.1", 7777);
	good.len = make_udp(data, "through");
	assert_int_equal(tf_device_write(device, packets, 5, &written), 0);
	assert_int_equal(written.packets, 102);
	assert_int_equal(written.bytes, 2 * good.len);
	assert_int_equal(written.invalid, 3);
	assert_int_equal(written.not_ready + written.full + written.failed, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(recv(receiver, received, sizeof(received), MSG_DONTWAIT), 7);
		assert_memory_equal(received, "through", 7);
	}
	assert_int_equal(recv(receiver, received, sizeof(received), MSG_DONTWAIT), -1);
	close(receiver);
	tf_device_close(device);
}

static void test_counts_what_the_kernel_dropped(void **state)
{
	struct tf_device *device;
	struct tf_batch *batch;
	uint64_t before = 99, dropped;
	int sender;

	NEEDS_NAMESPACE();
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	run("ip tuntap add dev dr0 mode tun && ip addr add 10.1.0.1/24 dev dr0 && "
	    "ip link set dr0 txqueuelen 8 up");
	for (int round = 0; round < 2; round++) { /* the second opens with a count that is not 0 */
		device = must_open_quiet("tun:dr0");
		assert_int_equal(tf_device_dropped(device, &before), 0);
		assert_int_equal(before, 0);
		sender = udp_socket("10.1.0.1", 0);
		do { /* a device that was up without us takes a while until packets come */
			usleep(10000);
			tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
			udp_send(sender, "10.1.0.2", 1);
		} while (tf_device_read(device, batch) == 0);
		drain(device, batch);
		assert_int_equal(tf_device_dropped(device, &before), 0);
		for (int i = 0; i < 50; i++)
			udp_send(sender, "10.1.0.2", 1);
		tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
		assert_int_equal(tf_device_read(device, batch), 8);
		assert_int_equal(tf_device_dropped(device, &dropped), 0);
		assert_int_equal(dropped - before, 42);
		close(sender);
		tf_device_close(device);
	}
	run("ip link del dr0");
	tf_batch_destroy(batch);
}

/*
 * Another program's offload settings stay with a persistent device; they must not reach us, with
 * offload of ours or without.
 */
static void check_offload(int flags, int no_offload)
{
	struct ifreq request = {.ifr_name = "off0", .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | flags)};
	struct tf_device_spec spec;
	struct tf_device *device;
	struct tf_batch *batch;
	int fd, sender, size = 12;

	run("ip tuntap add dev off0 mode tun");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &size), 0);
	assert_int_equal(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM), 0);
	close(fd);
	assert_int_equal(tf_device_spec_parse(&spec, "tun:off0,address=10.1.0.1/24", &error), 0);
	spec.quiet = 1;
	spec.no_offload = no_offload;
	assert_int_equal(tf_device_open(&device, &spec, &error), 0);
	if (no_offload)
		assert_string_equal(device->offload, "none");
	else
		assert_has(device->offload, "checksum, TSO");
	assert_int_equal(tf_batch_create(&batch, 64), 0);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	while (tf_device_read(device, batch) > 0)
		tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	sender = udp_socket("10.1.0.1", 0);
	udp_send(sender, "10.1.0.2", 10);
	assert_int_equal(tf_device_read(device, batch), 1);
	assert_int_equal(!!(batch->packets[0].flags & TF_PARTIAL), !no_offload);
	tf_settle(&batch->packets[0]);
	{ /* the UDP checksum is whole: the sum over everything is all ones */
		const uint8_t *ip = batch->packets[0].data;
		uint32_t sum = 17 + 18;

		assert_int_equal(batch->packets[0].len, 38);
		for (int i = 12; i < 38; i += 2)
			sum += (uint32_t)ip[i] << 8 | ip[i + 1];
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		assert_int_equal(sum, 0xffff);
	}
	close(sender);
	tf_batch_destroy(batch);
	tf_device_close(device);
	run("ip link del off0");
}

static void test_offload_is_ours(void **state)
{
	NEEDS_NAMESPACE();
	for (int i = 0; i < 4; i++)
		check_offload(i & 1 ? IFF_VNET_HDR : 0, i & 2);
}

/* ---- down, gone ---- */

static void test_down_and_up(void **state)
{
	uint8_t block[TF_HEADROOM + 128], *data = block + TF_HEADROOM;
	struct tf_packet good = {.data = data};
	struct tf_packet *packets[] = {&good, &good};
	struct tf_written written = {0};
	struct tf_device *device;
	struct watch watch;
	char lines[4096];
	int saved, log[2], receiver, length;

	NEEDS_NAMESPACE();
	device = must_open_quiet("tun:dn0,address=10.1.0.1/24");
	receiver = udp_socket("10.1.0.1", 7777);
	good.len = make_udp(data, "x");
	watch_begin(&watch, device);
	watch_for(&watch, 20);
	assert_int_equal(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
	saved = dup(2);
	dup2(log[1], 2);

	run("ip link set dn0 down"); /* seen at a write, and told by the kernel too */
	assert_int_equal(tf_device_write(device, packets, 2, &written), 0);
	watch_for(&watch, 20);
	assert_int_equal(written.not_ready, 2);
	drain(device, watch.batch);
	assert_int_equal(tf_device_read(device, watch.batch), TF_ENOTREADY);
	run("ip link set dn0 name dn1 && ip link set dn1 up"); /* the index stays */
	watch_for(&watch, 20);
	assert_int_equal(tf_device_write(device, packets, 1, &written), 0);
	assert_int_equal(written.packets, 1);
	drain(device, watch.batch);
	assert_int_equal(tf_device_read(device, watch.batch), 0);
	run("ip link set dn1 down"); /* nothing is written: the news alone tell */
	watch_for(&watch, 20);

	dup2(saved, 2);
	close(saved);
	length = (int)read(log[0], lines, sizeof(lines) - 1);
	lines[length > 0 ? length : 0] = 0;
	close(log[0]);
	close(log[1]);
	assert_has(lines,
		   "dn0 is down: packets to it are lost until it is up (ip link set dn0 up)\n");
	assert_has(strstr(lines, "is down"), "dn0 is up again\n");
	assert_has(strstr(lines, "is up again"), "is down");
	assert_has(lines, "(ip link set dn1 up)\n");
	assert_has_not(strstr(strstr(lines, "is down") + 1, "is down") + 1, "is down");
	assert_int_equal(watch.gone, 0);
	assert_int_equal(recv(receiver, lines, sizeof(lines), MSG_DONTWAIT), 1);
	close(receiver);
	watch_end(&watch);
}

/* An idle device that is deleted says so once, by itself. */
static void test_deleted(void **state)
{
	uint8_t block[TF_HEADROOM + 128], *data = block + TF_HEADROOM;
	struct tf_packet good = {.data = data};
	struct tf_packet *packets[] = {&good, &good, &good};
	struct tf_written written = {0};
	struct tf_device *device;
	struct watch watch;

	NEEDS_NAMESPACE();
	for (int tap = 0; tap < 2; tap++) {
		device = must_open(tap ? "tap:del0" : "tun:del0");
		good.len = make_udp(data, "x");
		watch_begin(&watch, device);
		watch_for(&watch, 20);
		run("ip link del del0");
		watch_for(&watch, 10000);
		assert_int_equal(watch.late, 0);
		watch_for(&watch, 20);
		assert_int_equal(watch.gone, 1);
		tf_batch_reset(watch.batch, TF_LEFT, device->link);
		assert_int_equal(tf_device_read(device, watch.batch), TF_EGONE);
		assert_int_equal(tf_device_write(device, packets, 3, &written), TF_EGONE);
		assert_int_equal(written.failed, 3 * (tap + 1));
		watch_end(&watch);
	}
}

/* Somebody moves the interface to another namespace: it works on, and ends with that. */
static void test_moved_then_namespace_ends(void **state)
{
	struct tf_device *device;
	struct watch watch;
	pid_t pid;

	NEEDS_NAMESPACE();
	device = must_open("tun:mov0");
	watch_begin(&watch, device);
	pid = hold_namespace();
	run("ip link set mov0 netns %d", (int)pid);
	watch_for(&watch, 100);
	assert_int_equal(watch.gone, 0);
	end_child(pid);
	watch_for(&watch, 10000);
	assert_int_equal(watch.late, 0);
	assert_int_equal(watch.gone, 1);
	watch_end(&watch);
}

/* `ip netns del`: our descriptors would keep the namespace alive, unseen and for ever. */
static void test_name_is_deleted(void **state)
{
	char folder[] = "/tmp/tf-devices-XXXXXX", text[128], path[64];
	struct tf_device *device;
	struct watch watch;
	pid_t pid;

	NEEDS_NAMESPACE();
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/name", folder);
	pid = hold_namespace();
	run("touch %s && mount --bind /proc/%d/ns/net %s", path, (int)pid, path);
	end_child(pid);
	snprintf(text, sizeof(text), "tun,netns=%s", path);
	device = must_open(text);
	snprintf(text, sizeof(text), "namespace %s", path);
	assert_string_equal(device->where, text);
	watch_begin(&watch, device);
	run("touch %s/other && rm %s/other", folder, folder);
	watch_for(&watch, 100);
	assert_int_equal(watch.gone, 0);
	run("umount %s && rm %s", path, path);
	watch_for(&watch, 10000);
	assert_int_equal(watch.late, 0);
	assert_int_equal(watch.gone, 1);
	watch_end(&watch);
	assert_int_equal(rmdir(folder), 0);
}

/* ---- quiet ---- */

/* A neighbour solicitation for fd77::1 from fd77::2, at its solicited-node group. */
static uint32_t make_solicitation(uint8_t *frame)
{
	static const uint8_t headers[] = {
		0x33, 0x33, 0xff, 0, 0, 1,  2,	0,   0, 0, 0, 2, 0x86, 0xdd,	   /* Ethernet */
		0x60, 0,    0,	  0, 0, 32, 58, 255,				   /* IPv6 */
		0xfd, 0x77, 0,	  0, 0, 0,  0,	0,   0, 0, 0, 0, 0,    0,    0, 2, /* from */
		0xff, 2,    0,	  0, 0, 0,  0,	0,   0, 0, 0, 1, 0xff, 0,    0, 1, /* to */
		135,  0,    0,	  0, 0, 0,  0,	0,				   /* ICMPv6 */
		0xfd, 0x77, 0,	  0, 0, 0,  0,	0,   0, 0, 0, 0, 0,    0,    0, 1, /* target */
		1,    1,    2,	  0, 0, 0,  0,	2,				   /* our address */
	};
	uint32_t sum = 32 + 58;

	memcpy(frame, headers, sizeof(headers));
	for (size_t i = 14 + 8; i < sizeof(headers); i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame[14 + 42] = (uint8_t)(~sum >> 8);
	frame[14 + 43] = (uint8_t)~sum;
	return sizeof(headers);
}

/* What the system sends by itself on an idle link: nothing where it is quiet, else something soon.
 */
static void test_quiet(void **state)
{
	uint8_t block[TF_HEADROOM + 128], *frame = block + TF_HEADROOM;
	struct tf_packet solicitation = {.data = frame};
	struct tf_packet *packets[] = {&solicitation};
	struct tf_written written = {0};
	struct watch watch;

	NEEDS_NAMESPACE();
	for (int i = 0; i < 4; i++) {
		int tap = i / 2, quiet = i % 2;

		watch_begin(&watch, must_open_as(tap ? "tap:q0,address=fd77::1/64"
						     : "tun:q0,address=fd77::1/64",
						 quiet));
		if (quiet)
			watch_for(&watch, 2500);
		for (int turn = 0; !quiet && watch.packets == 0 && turn < 100; turn++)
			watch_for(&watch, 100);
		assert_int_equal(watch.packets == 0, quiet);
		if (tap) { /* neighbours still find us */
			solicitation.len = make_solicitation(frame);
			assert_int_equal(tf_device_write(watch.device, packets, 1, &written), 0);
			for (int turn = 0; watch.advertisements == 0 && turn < 100; turn++)
				watch_for(&watch, 50);
			assert_int_equal(watch.advertisements, 1);
		}
		watch_end(&watch);
	}
}

/* A report of a group that a program joined is traffic like any other. */
static void test_quiet_keeps_other_reports(void **state)
{
	struct ipv6_mreq membership = {0};
	struct watch watch;
	int fd;

	NEEDS_NAMESPACE();
	watch_begin(&watch, must_open_quiet("tap:q1,address=fd77::1/64"));
	watch_for(&watch, 1500);
	assert_int_equal(watch.packets, 0);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(inet_pton(AF_INET6, "ff05::77", &membership.ipv6mr_multiaddr), 1);
	membership.ipv6mr_interface = if_nametoindex("q1");
	assert_int_equal(
		setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &membership, sizeof(membership)), 0);
	for (int turn = 0; watch.packets == 0 && turn < 100; turn++)
		watch_for(&watch, 50);
	assert_true(watch.packets > 0);
	close(fd);
	watch_end(&watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_whole_packets),
		cmocka_unit_test(test_writes_what_is_a_packet),
		cmocka_unit_test(test_counts_what_the_kernel_dropped),
		cmocka_unit_test(test_offload_is_ours),
		cmocka_unit_test(test_down_and_up),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_moved_then_namespace_ends),
		cmocka_unit_test(test_name_is_deleted),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_quiet_keeps_other_reports),
	};

	return cmocka_run_group_tests(tests, enter_namespaces, NULL);
}
