/* What a device's words on the command line mean, what no device takes, and the memory device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "device.h"
#include "device/memory.h"

static struct tf_error error;

static void parse(struct tf_device_spec *spec, const char *text)
{
	int code = tf_device_spec_parse(spec, text, &error);

	if (code < 0)
		fail_msg("\"%s\": %s", text, error.text);
}

static void test_plain_kinds(void **state)
{
	static const char *const kinds[] = {"tun", "tap", "memory"};
	struct tf_device_spec spec;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		parse(&spec, kinds[i]);
		assert_string_equal(spec.kind, kinds[i]);
		assert_string_equal(spec.name, "");
		assert_string_equal(spec.netns, "");
		assert_int_equal(spec.netns_fd, -1);
		assert_int_equal(spec.mtu, 0);
		assert_int_equal(spec.queue, 0);
		assert_int_equal(spec.address_count, 0);
		assert_int_equal(spec.quiet, 0);
		assert_int_equal(tf_device_spec_link(&spec),
				 i == 1 ? TF_LINK_ETHERNET : TF_LINK_IP);
	}
	assert_non_null(strstr(tf_device_kinds(), "tun, tap"));
	assert_non_null(strstr(tf_device_kinds(), "memory"));
}

static void test_every_key(void **state)
{
	static const uint8_t ip4[4] = {10, 0, 0, 1};
	static const uint8_t ip6[16] = {0xfd, 0x77, [15] = 1};
	struct tf_device_spec spec;

	(void)state;
	parse(&spec, "tap:blue0,mtu=1400,address=10.0.0.1/24,address=fd77::1/64,address=10.0.0.1,"
		     "address=fd77::1,queue=1000000,netns=/run/x y");
	assert_string_equal(spec.kind, "tap");
	assert_string_equal(spec.name, "blue0");
	assert_int_equal(spec.mtu, 1400);
	assert_int_equal(spec.queue, 1000000);
	assert_string_equal(spec.netns, "/run/x y");
	assert_int_equal(spec.address_count, 4);
	for (size_t i = 0; i < 4; i++) {
		static const uint8_t lengths[] = {24, 64, 32, 128};

		assert_int_equal(spec.addresses[i].family, i % 2 ? 6 : 4);
		assert_int_equal(spec.addresses[i].length, lengths[i]);
		assert_memory_equal(spec.addresses[i].bytes, i % 2 ? ip6 : ip4, i % 2 ? 16 : 4);
	}
	parse(&spec, "memory:m,link=ethernet,mtu=68,queue=1");
	assert_int_equal(tf_device_spec_link(&spec), TF_LINK_ETHERNET);
	assert_int_equal(spec.mtu, 68);
	parse(&spec, "memory,link=ip");
	assert_int_equal(tf_device_spec_link(&spec), TF_LINK_IP);
	parse(&spec, "tun,mtu=65535,address=::/0,address=0.0.0.0/0");
	assert_int_equal(spec.mtu, 65535);
	assert_int_equal(spec.addresses[0].length, 0);
	parse(&spec, "tun,mtu=1279,address=10.0.0.1");
	parse(&spec, "tun,address=fd77::1,mtu=1280");
}

/* Each is refused, with a sentence that has both words. */
static void test_refused_words(void **state)
{
	static const char *const refused[][3] = {
		{"", "\"\"", "tun, tap"},
		{"tum", "\"tum\"", "tun, tap"},
		{"TUN", "\"TUN\"", "tun, tap"},
		{"tun0", "\"tun0\"", "tun, tap"},
		{"tun:", "\"tun:\"", "first free"},
		{"tun:0123456789012345678901234567890123456789012345678901234567890123", "0123",
		 "63 bytes"},
		{"tun,", "\"\"", "mtu=, address=, netns=, queue="},
		{"tun,mtu", "\"mtu\"", "mtu=, address=, netns=, queue="},
		{"tun,mtu=", "\"mtu=\"", "68 to 65535"},
		{"tun,mtu=67", "\"mtu=67\"", "68 to 65535"},
		{"tun,mtu=65536", "\"mtu=65536\"", "68 to 65535"},
		{"tun,mtu=4294968796", "\"mtu=4294968796\"", "68 to 65535"},
		{"tun,mtu=1500x", "\"mtu=1500x\"", "68 to 65535"},
		{"tun,mtu=-1500", "\"mtu=-1500\"", "68 to 65535"},
		{"tun,mtu=+1500", "\"mtu=+1500\"", "68 to 65535"},
		{"tun,mtu=0x600", "\"mtu=0x600\"", "68 to 65535"},
		{"tun,mtu=1279,address=fd77::1/64", "\"mtu=1279\"", "1280"},
		{"tun,address=10.0.0.1,address=fd77::1,mtu=1000", "\"mtu=1000\"", "1280"},
		{"tun,queue=0", "\"queue=0\"", "1 to 1000000"},
		{"tun,queue=1000001", "\"queue=1000001\"", "1 to 1000000"},
		{"tun,netns=", "\"netns=\"", "a pid"},
		{"tun,address=", "\"address=\"", "10.0.0.1/24"},
		{"tun,address=10.0.0", "\"address=10.0.0\"", "10.0.0.1/24"},
		{"tun,address=10.0.0.256/24", "\"address=10.0.0.256/24\"", "10.0.0.1/24"},
		{"tun,address=fe80::1%lo", "\"address=fe80::1%lo\"", "fd00::1/64"},
		{"tun,address=/24", "\"address=/24\"", "10.0.0.1/24"},
		{"tun,address=10.0.0.1/", "\"address=10.0.0.1/\"", "0 to 32"},
		{"tun,address=10.0.0.1/33", "\"address=10.0.0.1/33\"", "0 to 32"},
		{"tun,address=10.0.0.1/24/24", "\"address=10.0.0.1/24/24\"", "0 to 32"},
		{"tun,address=fd77::1/129", "\"address=fd77::1/129\"", "0 to 128"},
		{"tun,link=ip", "\"link=ip\"", "mtu=, address=, netns=, queue="},
		{"tun,speed=9", "\"speed=9\"", "mtu=, address=, netns=, queue="},
		{"tun,mtu=1500,,queue=5", "\"\"", "mtu=, address=, netns=, queue="},
		{"memory,address=10.0.0.1", "\"address=10.0.0.1\"", "mtu=, queue=, link="},
		{"memory,netns=blue", "\"netns=blue\"", "mtu=, queue=, link="},
		{"memory,link=tap", "\"link=tap\"", "ip or ethernet"},
	};
	struct tf_device_spec spec;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (tf_device_spec_parse(&spec, refused[i][0], &error) != TF_EOPTION)
			fail_msg("\"%s\" was taken", refused[i][0]);
		for (size_t j = 1; j < 3; j++)
			if (!strstr(error.text, refused[i][j]))
				fail_msg("\"%s\": no %s in: %s", refused[i][0], refused[i][j],
					 error.text);
	}
}

static void test_limits(void **state)
{
	struct tf_device_spec spec;
	char text[8192];
	size_t used;

	(void)state;
	used = (size_t)sprintf(text, "tun");
	for (int i = 0; i < TF_ADDRESSES_MAX; i++)
		used += (size_t)sprintf(text + used, ",address=10.0.0.%d", i);
	parse(&spec, text);
	strcpy(text + used, ",address=10.0.1.1");
	assert_int_equal(tf_device_spec_parse(&spec, text, &error), TF_EOPTION);
	assert_non_null(strstr(error.text, "16 addresses"));

	used = (size_t)sprintf(text, "tun,netns=");
	memset(text + used, 'n', 256);
	text[used + 255] = 0;
	parse(&spec, text);
	assert_int_equal(strlen(spec.netns), 255);
	text[used + 255] = 'n';
	text[used + 256] = 0;
	assert_int_equal(tf_device_spec_parse(&spec, text, &error), TF_EOPTION);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_equal(tf_device_spec_parse(&spec, text, &error), TF_EOPTION);
}

static void test_unknown_kind_at_open(void **state)
{
	struct tf_device_spec spec = {.kind = "pigeon", .netns_fd = -1};
	struct tf_device *device;

	(void)state;
	assert_int_equal(tf_device_open(&device, &spec, &error), TF_EOPTION);
	assert_non_null(strstr(error.text, "\"pigeon\""));
	assert_non_null(strstr(error.text, "tun, tap"));
}

static void test_refuses(void **state)
{
	static uint8_t data[TF_PACKET_MAX + 1];
	static const struct {
		uint8_t link, first;
		uint32_t len;
		const char *reason; /* a part of it, or NULL */
	} cases[] = {
		{TF_LINK_IP, 0x45, 0, "empty"},
		{TF_LINK_IP, 0x45, 19, "IPv4"},
		{TF_LINK_IP, 0x45, 20, NULL},
		{TF_LINK_IP, 0x45, 65535, NULL},
		{TF_LINK_IP, 0x45, 65536, "longest IP"},
		{TF_LINK_IP, 0x60, 39, "IPv6"},
		{TF_LINK_IP, 0x60, 40, NULL},
		{TF_LINK_IP, 0x60, 65536, "longest IP"},
		{TF_LINK_IP, 0x00, 40, "neither"},
		{TF_LINK_IP, 0x55, 40, "neither"},
		{TF_LINK_IP, 0x70, 40, "neither"},
		{TF_LINK_ETHERNET, 0xff, 0, "Ethernet"},
		{TF_LINK_ETHERNET, 0xff, 13, "Ethernet"},
		{TF_LINK_ETHERNET, 0xff, 14, NULL},
		{TF_LINK_ETHERNET, 0xff, TF_PACKET_MAX, NULL},
		{TF_LINK_ETHERNET, 0xff, TF_PACKET_MAX + 1, "longest Ethernet"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *reason;

		data[0] = cases[i].first;
		reason = tf_device_refuses(cases[i].link, data, cases[i].len);
		if (!reason != !cases[i].reason || (reason && !strstr(reason, cases[i].reason)))
			fail_msg("case %zu: %s", i, reason ? reason : "taken");
	}
}

/* What the loop told of a device. */
struct watch {
	struct tf_batch *batch;
	int calls, packets, last_status, last_read;
	int stop_at; /* stop the device at this call */
};

static void on_ready(struct tf_device *device, int status, void *arg)
{
	struct watch *watch = arg;

	watch->calls++;
	watch->last_status = status;
	if (status == 0 && watch->batch) {
		tf_batch_reset(watch->batch, TF_LEFT, device->link);
		watch->last_read = tf_device_read(device, watch->batch);
		if (watch->last_read > 0)
			watch->packets += watch->last_read;
	}
	if (watch->calls == watch->stop_at)
		tf_device_stop(device);
}

static struct tf_device *open_memory(const char *text)
{
	struct tf_device_spec spec;
	struct tf_device *device = NULL;

	parse(&spec, text);
	if (tf_device_open(&device, &spec, &error) < 0)
		fail_msg("%s", error.text);
	return device;
}

static void test_memory_reads(void **state)
{
	struct tf_device *device = open_memory("memory:m,link=ethernet,mtu=1400");
	struct watch watch = {0};
	uint8_t bytes[TF_PACKET_MAX];
	uv_loop_t loop;

	(void)state;
	assert_string_equal(device->name, "m");
	assert_int_equal(device->link, TF_LINK_ETHERNET);
	assert_int_equal(device->mtu, 1400);
	assert_int_equal(device->home, 0);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(tf_batch_create(&watch.batch, 2), 0);
	memset(bytes, 0xab, sizeof(bytes));
	assert_int_equal(tf_memory_inject(device, bytes, 0), UV_EINVAL);
	assert_int_equal(tf_memory_inject(device, bytes, TF_PACKET_MAX + 1), UV_EINVAL);
	for (uint32_t i = 1; i <= 3; i++) { /* before the watch begins */
		bytes[0] = (uint8_t)i;
		assert_int_equal(tf_memory_inject(device, bytes, i == 3 ? TF_PACKET_MAX : i), 0);
	}
	watch.stop_at = 2;
	assert_int_equal(tf_device_start(device, &loop, on_ready, &watch), 0);
	for (int turn = 0; turn < 10; turn++)
		uv_run(&loop, UV_RUN_NOWAIT);
	/* Two fit into the batch, so the loop was told twice. */
	assert_int_equal(watch.calls, 2);
	assert_int_equal(watch.packets, 3);
	assert_int_equal(watch.last_read, 1);
	assert_int_equal(watch.batch->packets[0].len, TF_PACKET_MAX);
	assert_int_equal(watch.batch->packets[0].from, TF_LEFT);
	assert_int_equal(watch.batch->packets[0].link, TF_LINK_ETHERNET);
	bytes[0] = 3;
	assert_memory_equal(watch.batch->packets[0].data, bytes, TF_PACKET_MAX);
	tf_batch_reset(watch.batch, TF_LEFT, TF_LINK_ETHERNET);
	assert_int_equal(tf_device_read(device, watch.batch), 0);
	tf_device_stop(device);
	uv_run(&loop, UV_RUN_DEFAULT);
	tf_device_close(device);
	assert_int_equal(uv_loop_close(&loop), 0);
	tf_batch_destroy(watch.batch);
}

static void test_memory_idle(void **state)
{
	struct tf_device *device = open_memory("memory");
	struct watch watch = {.stop_at = 1};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(tf_device_start(device, &loop, on_ready, &watch), 0);
	for (int i = 0; i < 3; i++) /* nothing waits: nobody calls, and the loop goes on */
		assert_int_not_equal(uv_run(&loop, UV_RUN_NOWAIT), 0);
	assert_int_equal(watch.calls, 0);
	assert_int_equal(tf_memory_inject(device, "E", 1), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(watch.calls, 1);
	tf_device_close(device); /* with a packet in it */
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_memory_queue_is_bounded(void **state)
{
	struct tf_device *device = open_memory("memory,queue=2");
	struct tf_written written = {0};
	uint8_t bytes[20] = {0x45}, out[TF_PACKET_MAX];
	struct tf_packet packet = {.data = bytes, .len = sizeof(bytes), .room = sizeof(bytes)};
	struct tf_packet *packets[] = {&packet, &packet, &packet};
	uint64_t dropped = 99;

	(void)state;
	assert_int_equal(tf_device_dropped(device, &dropped), 0);
	assert_int_equal(dropped, 0);
	assert_int_equal(tf_memory_inject(device, "a", 1), 0);
	assert_int_equal(tf_memory_inject(device, "b", 1), 0);
	assert_int_equal(tf_memory_inject(device, "c", 1), UV_ENOBUFS);
	assert_int_equal(tf_device_dropped(device, &dropped), 0);
	assert_int_equal(dropped, 1);
	for (int round = 1; round <= 5; round++) { /* around the ring's end */
		assert_int_equal(tf_device_write(device, packets, 3, &written), 0);
		assert_int_equal(written.packets, 2 * round);
		assert_int_equal(written.bytes, 40 * round);
		assert_int_equal(written.full, round);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(tf_memory_take(device, out), sizeof(bytes));
			assert_memory_equal(out, bytes, sizeof(bytes));
		}
		assert_int_equal(tf_memory_take(device, out), 0);
		bytes[19]++;
	}
	tf_device_close(device);
}

static void test_memory_faults(void **state)
{
	struct tf_device *device = open_memory("memory");
	struct tf_written written = {0};
	uint8_t bytes[20] = {0x45}, junk[3] = {0x45};
	struct tf_packet good = {.data = bytes, .len = sizeof(bytes), .room = sizeof(bytes)};
	struct tf_packet bad = {.data = junk, .len = sizeof(junk), .room = sizeof(junk)};
	struct tf_packet *packets[] = {&bad, &good};
	struct tf_batch *batch;

	(void)state;
	assert_int_equal(tf_batch_create(&batch, 4), 0);
	tf_batch_reset(batch, TF_RIGHT, TF_LINK_IP);
	assert_int_equal(tf_memory_inject(device, bytes, sizeof(bytes)), 0);
	tf_memory_fault(device, TF_ENOTREADY, TF_ENOTREADY);
	assert_int_equal(tf_device_read(device, batch), TF_ENOTREADY);
	assert_int_equal(tf_device_write(device, packets, 2, &written), 0);
	assert_int_equal(written.not_ready, 1);
	assert_int_equal(written.invalid, 1);
	tf_memory_fault(device, UV_EIO, UV_EIO);
	assert_int_equal(tf_device_read(device, batch), UV_EIO);
	assert_int_equal(tf_device_write(device, packets, 2, &written), 0);
	assert_int_equal(written.failed, 1);
	tf_memory_fault(device, 0, UV_ENOBUFS);
	assert_int_equal(tf_device_write(device, packets, 2, &written), 0);
	assert_int_equal(written.full, 1);
	assert_int_equal(written.packets, 0);
	tf_memory_fault(device, 0, 0);
	assert_int_equal(tf_device_read(device, batch), 1);
	assert_int_equal(tf_device_write(device, packets, 2, &written), 0);
	assert_int_equal(written.packets, 1);
	assert_int_equal(written.invalid, 4);
	tf_batch_destroy(batch);
	tf_device_close(device);
}

static void test_memory_gone(void **state)
{
	struct tf_device *device = open_memory("memory");
	struct watch watch = {0};
	struct tf_written written = {0};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(tf_batch_create(&watch.batch, 4), 0);
	assert_int_equal(tf_memory_inject(device, "x", 1), 0);
	assert_int_equal(tf_device_start(device, &loop, on_ready, &watch), 0);
	tf_memory_fault(device, 0, TF_EGONE); /* either of the two ends it */
	for (int turn = 0; turn < 10; turn++) {
		tf_memory_fault(device, TF_EGONE, TF_EGONE);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(watch.calls, 1); /* once */
	assert_int_equal(watch.last_status, TF_EGONE);
	assert_int_equal(tf_device_read(device, watch.batch), TF_EGONE);
	assert_int_equal(tf_device_write(device, NULL, 0, &written), TF_EGONE);
	tf_batch_destroy(watch.batch);
	tf_device_close(device);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* A close that comes before the loop has turned waits for it. */
static void test_memory_closed_early(void **state)
{
	struct tf_device *device = open_memory("memory");
	struct watch watch = {0};
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(tf_device_start(device, &loop, on_ready, &watch), 0);
	assert_int_equal(tf_memory_inject(device, "x", 1), 0);
	tf_device_close(device);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(watch.calls, 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_kinds),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_refused_words),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_unknown_kind_at_open),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_memory_reads),
		cmocka_unit_test(test_memory_idle),
		cmocka_unit_test(test_memory_queue_is_bounded),
		cmocka_unit_test(test_memory_faults),
		cmocka_unit_test(test_memory_gone),
		cmocka_unit_test(test_memory_closed_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
