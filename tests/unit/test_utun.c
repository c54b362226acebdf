/* macOS's utun on a pair of sockets: which unit is taken, every error, and packets with their family. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../src/device/utun.c" /* no part of the program here */

/* What connecting answers, unit by unit; 0 means a socket. Index 0 is the system's choice. */
static int answers[UNITS + 1];
static int asked;  /* how many times */
static int system_end = -1;
static struct tf_error error;

int tf_utun_connect(int unit, char name[TF_NAME_SIZE])
{
	int ends[2];

	asked++;
	if (answers[unit + 1] < 0)
		return answers[unit + 1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
	if (system_end >= 0)
		close(system_end);
	system_end = ends[1];
	snprintf(name, TF_NAME_SIZE, "utun%d", unit < 0 ? 7 : unit);
	return ends[0];
}

static void all_answer(int code)
{
	for (int i = 0; i <= UNITS; i++)
		answers[i] = code;
	asked = 0;
}

static int open_utun(struct tf_device **device, const char *name)
{
	struct tf_device_spec spec = {.netns_fd = -1};

	strcpy(spec.kind, "utun");
	strcpy(spec.name, name);
	error.text[0] = 0;
	return utun_open(device, &spec, &error);
}

static void expect_name(const char *wanted, const char *got)
{
	struct tf_device *device;

	assert_int_equal(open_utun(&device, wanted), 0);
	assert_string_equal(device->name, got);
	assert_int_equal(device->link, TF_LINK_IP);
	device->ops->close(device);
}

static void expect_error(const char *name, int code, const char *text)
{
	struct tf_device *device;

	assert_int_equal(open_utun(&device, name), code);
	assert_string_equal(error.text, text);
}

static void the_unit_asked_for(void **state)
{
	(void)state;
	all_answer(0);
	expect_name("utun4", "utun4");
	expect_name("utun0", "utun0");
	expect_name("", "utun7");
	assert_int_equal(asked, 3);
}

static void the_first_free_one(void **state)
{
	(void)state;
	all_answer(UV_EBUSY);
	answers[4 + 1] = 0;
	expect_name("", "utun4");
	answers[0] = answers[2] = UV_ENOBUFS;
	expect_name("", "utun4");
}

static void each_error(void **state)
{
	(void)state;
	all_answer(UV_EBUSY);
	expect_error("utun3", TF_EBUSY,
		     "another program holds \"utun3\": end it, or choose another name");
	expect_error("", TF_EEXHAUSTED,
		     "no free utun device is left: other programs hold all of them");
	assert_int_equal(asked, 1 + 1 + UNITS);
	answers[9] = UV_ENOBUFS;
	expect_error("", TF_EEXHAUSTED,
		     "no free utun device is left: no buffer space available");
	all_answer(UV_EADDRINUSE);
	expect_error("utun3", TF_EBUSY,
		     "another program holds \"utun3\": end it, or choose another name");
	all_answer(UV_EPERM);
	expect_error("utun3", UV_EPERM, "may not make \"utun3\": that takes root (sudo)");
	expect_error("", UV_EPERM, "may not make \"the next free utun\": that takes root (sudo)");
	assert_int_equal(asked, 2); /* it does not try what it may not do 256 times more */
	all_answer(UV_ENOENT);
	expect_error("utun3", UV_ENOENT,
		     "can't make \"utun3\": this system has no utun (com.apple.net.utun_control)");
	all_answer(UV_ENOMEM);
	expect_error("utun3", UV_ENOMEM, "can't make \"utun3\": not enough memory");
}

static void what_is_no_name(void **state)
{
	static const char *const names[] = {"utun", "tun0", "utun01", "utun12345", "utun-1", "utunx"};
	struct tf_device *device;

	(void)state;
	all_answer(0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(open_utun(&device, names[i]), TF_EOPTION);
		assert_non_null(strstr(error.text, names[i]));
	}
	assert_int_equal(asked, 0);
}

static const uint8_t ip4[20] = {0x45, 0, 0, 20, [8] = 64, 17}, ip6[40] = {0x60, [7] = 64};

static int ready_status, ready_count;

static void on_ready(struct tf_device *device, int status, void *arg)
{
	struct tf_batch *batch = arg;

	ready_status = status;
	ready_count++;
	if (status == 0)
		device->ops->read_batch(device, batch);
}

/* What the system sends: a family and a packet. */
static void system_sends(uint32_t family, const void *packet, size_t len)
{
	uint8_t bytes[100];

	family = htonl(family);
	memcpy(bytes, &family, 4);
	memcpy(bytes + 4, packet, len);
	assert_int_equal(send(system_end, bytes, 4 + len, 0), 4 + len);
}

static void packets_come_without_their_family(void **state)
{
	struct tf_device *device;
	struct tf_batch *batch;
	uv_loop_t loop;

	(void)state;
	all_answer(0);
	assert_int_equal(open_utun(&device, "utun1"), 0);
	assert_int_equal(tf_batch_create(&batch, 8), 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(device->ops->start(device, &loop, on_ready, batch), 0);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);

	system_sends(AF_INET, ip4, sizeof(ip4));
	system_sends(AF_INET6, ip6, sizeof(ip6));
	system_sends(AF_INET, "", 0); /* a family alone is no packet */
	while (batch->count < 2)
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(device->ops->read_batch(device, batch), 0);
	assert_int_equal(batch->count, 2);
	assert_int_equal(batch->packets[0].len, sizeof(ip4));
	assert_memory_equal(batch->packets[0].data, ip4, sizeof(ip4));
	assert_int_equal(batch->packets[1].len, sizeof(ip6));
	assert_memory_equal(batch->packets[1].data, ip6, sizeof(ip6));

	device->ops->stop(device);
	device->ops->close(device); /* before the handle is closed, too */
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	tf_batch_destroy(batch);
}

static void a_full_batch_leaves_the_rest(void **state)
{
	struct tf_device *device;
	struct tf_batch *batch;

	(void)state;
	all_answer(0);
	assert_int_equal(open_utun(&device, "utun1"), 0);
	assert_int_equal(tf_batch_create(&batch, 2), 0);
	for (int i = 0; i < 3; i++)
		system_sends(AF_INET, ip4, sizeof(ip4));
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	assert_int_equal(device->ops->read_batch(device, batch), 2);
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	assert_int_equal(device->ops->read_batch(device, batch), 1);
	device->ops->close(device);
	tf_batch_destroy(batch);
}

/* A packet to write, with the headroom that every packet has. */
static struct tf_packet *packet_of(const uint8_t *bytes, uint32_t len)
{
	static uint8_t room[4][TF_HEADROOM + 100];
	static struct tf_packet packets[4];
	static int next;
	struct tf_packet *packet = &packets[next];

	packet->data = room[next] + TF_HEADROOM;
	packet->len = len;
	memcpy(packet->data, bytes, len);
	next = (next + 1) % 4;
	return packet;
}

static void system_hears(uint32_t family, const void *packet, size_t len)
{
	uint8_t bytes[100];

	family = htonl(family);
	assert_int_equal(recv(system_end, bytes, sizeof(bytes), MSG_DONTWAIT), 4 + len);
	assert_memory_equal(bytes, &family, 4);
	assert_memory_equal(bytes + 4, packet, len);
}

static void packets_go_with_their_family(void **state)
{
	struct tf_packet *packets[] = {packet_of(ip4, sizeof(ip4)), packet_of(ip4, 19),
				       packet_of(ip6, sizeof(ip6))};
	struct tf_written written = {0};
	struct tf_device *device;

	(void)state;
	all_answer(0);
	assert_int_equal(open_utun(&device, "utun1"), 0);
	assert_int_equal(device->ops->write_batch(device, packets, 3, &written), 0);
	system_hears(AF_INET, ip4, sizeof(ip4));
	system_hears(AF_INET6, ip6, sizeof(ip6));
	assert_int_equal(written.packets, 2);
	assert_int_equal(written.bytes, sizeof(ip4) + sizeof(ip6));
	assert_int_equal(written.invalid, 1);
	device->ops->close(device);
}

static void a_full_queue_is_counted(void **state)
{
	struct tf_packet *packet = packet_of(ip4, sizeof(ip4));
	struct tf_written written = {0};
	struct tf_device *device;

	(void)state;
	all_answer(0);
	assert_int_equal(open_utun(&device, "utun1"), 0);
	for (int i = 0; i < 100000 && !written.full; i++)
		assert_int_equal(device->ops->write_batch(device, &packet, 1, &written), 0);
	assert_int_equal(written.full, 1);
	assert_int_equal(written.failed + written.invalid + written.not_ready, 0);
	device->ops->close(device);
}

static void the_end_is_told_once(void **state)
{
	struct tf_packet *packets[] = {packet_of(ip4, sizeof(ip4)), packet_of(ip6, sizeof(ip6))};
	struct tf_written written = {0};
	struct tf_device *device;
	struct tf_batch *batch;
	uv_loop_t loop;

	(void)state;
	all_answer(0);
	ready_count = 0;
	assert_int_equal(open_utun(&device, "utun1"), 0);
	assert_int_equal(tf_batch_create(&batch, 8), 0);
	close(system_end);
	system_end = -1;
	assert_int_equal(device->ops->write_batch(device, packets, 2, &written), TF_EGONE);
	assert_int_equal(written.failed, 2);
	/* A socket whose other end is closed is readable on Linux; the read says what it is. */
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(device->ops->start(device, &loop, on_ready, batch), 0);
	device->ops->stop(device);
	device->ops->stop(device);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(ready_count, 0);
	device->ops->close(device);
	assert_int_equal(uv_loop_close(&loop), 0);
	tf_batch_destroy(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_unit_asked_for),
		cmocka_unit_test(the_first_free_one),
		cmocka_unit_test(each_error),
		cmocka_unit_test(what_is_no_name),
		cmocka_unit_test(packets_come_without_their_family),
		cmocka_unit_test(a_full_batch_leaves_the_rest),
		cmocka_unit_test(packets_go_with_their_family),
		cmocka_unit_test(a_full_queue_is_counted),
		cmocka_unit_test(the_end_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
