/* Opening tun and tap: what `ip` shows of it, what is refused and how, what is left behind. */
#include "linux_devices.h"

static void test_settings(void **state)
{
	struct tf_device *device;
	const char *shown;

	NEEDS_NAMESPACE();
	device = must_open("tun:set0,mtu=1400,address=10.1.0.1/24,address=10.2.0.1,"
			   "address=fd01::1/64");
	assert_string_equal(device->name, "set0");
	assert_string_equal(device->ops->kind, "tun");
	assert_int_equal(device->link, TF_LINK_IP);
	assert_int_equal(device->mtu, 1400);
	assert_int_not_equal(device->home, 0);
	assert_string_equal(device->where, "");
	shown = run("ip -d addr show set0");
	assert_has(shown, "UP");
	assert_has(shown, "mtu 1400");
	assert_has(shown, "qlen 4096");
	assert_has(shown, "tun type tun pi off vnet_hdr on persist off");
	assert_has(shown, "inet 10.1.0.1/24");
	assert_has(shown, "inet 10.2.0.1/32");
	/* at once ready; the link-local one, which is the kernel's, may be tentative for a while */
	assert_has(shown, "inet6 fd01::1/64 scope global nodad \n");
	tf_device_close(device);
	assert_has_not(run("ip link"), "set0");

	device = must_open("tap,queue=77");
	assert_string_equal(device->ops->kind, "tap");
	assert_int_equal(device->link, TF_LINK_ETHERNET);
	assert_int_equal(device->mtu, 1500);
	assert_int_equal(device->home, 0); /* fe80:: comes by itself and does not count */
	shown = run("ip -d link show %s", device->name);
	assert_has(shown, "qlen 77");
	assert_has(shown, "type tap");
	tf_device_close(device);

	device = must_open("tap,mtu=65521");
	tf_device_close(device);
	must_refuse("tap,mtu=65522", TF_EOPTION, "65521");
}

/* The first free device: names count up, and one that was closed is free again. */
static void test_free_names(void **state)
{
	struct tf_device *first, *second, *third;

	NEEDS_NAMESPACE();
	first = must_open("tun");
	second = must_open("tun");
	assert_string_equal(first->name, "tun0");
	assert_string_equal(second->name, "tun1");
	tf_device_close(first);
	third = must_open("tun");
	assert_string_equal(third->name, "tun0");
	tf_device_close(second);
	tf_device_close(third);
}

static void test_persistent_is_left_alone(void **state)
{
	struct tf_device *device;
	const char *shown;

	NEEDS_NAMESPACE();
	run("ip tuntap add dev per0 mode tun && ip link set per0 mtu 1300 txqueuelen 321");
	device = must_open("tun:per0");
	assert_int_equal(device->mtu, 1300);
	shown = run("ip link show per0");
	assert_has(shown, ",UP");
	assert_has(shown, "mtu 1300");
	assert_has(shown, "qlen 321");
	tf_device_close(device);
	device = must_open("tun:per0,mtu=1400,queue=50,address=10.9.0.1/24");
	tf_device_close(device);
	device = must_open("tun:per0,address=10.9.0.1/24"); /* it has this address by now */
	assert_int_not_equal(device->home, 0);
	tf_device_close(device);
	shown = run("ip link show per0");
	assert_has(shown, "mtu 1400");
	assert_has(shown, "qlen 50");
	run("ip link del per0");
}

/* What other programs agreed on with the kernel holds when we have gone. */
static void test_persistent_has_its_headers_back(void **state)
{
	struct ifreq request = {.ifr_name = "per1", .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	struct tf_device *device;
	int size = 12, little = 0, fd;

	NEEDS_NAMESPACE();
	run("ip tuntap add dev per1 mode tun vnet_hdr");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &size), 0);
	close(fd);
	device = must_open("tun:per1");
	tf_device_close(device);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	size = little = -1;
	assert_int_equal(ioctl(fd, TUNGETVNETHDRSZ, &size), 0);
	assert_int_equal(ioctl(fd, TUNGETVNETLE, &little), 0);
	assert_int_equal(size, 12);
	assert_int_equal(little, 0);
	close(fd);
	run("ip link del per1");
}

/* ---- namespaces ---- */

static void test_in_a_process_namespace(void **state)
{
	struct stat before, after;
	struct tf_device_spec spec;
	struct tf_device *device;
	char text[64], path[64];
	pid_t pid;

	NEEDS_NAMESPACE();
	pid = hold_namespace();
	stat("/proc/self/ns/net", &before);
	snprintf(text, sizeof(text), "tun:ns0,address=10.1.0.1/24,netns=%d", (int)pid);
	device = must_open(text);
	stat("/proc/self/ns/net", &after);
	assert_int_equal(before.st_ino, after.st_ino);
	snprintf(text, sizeof(text), "pid %d's namespace", (int)pid);
	assert_string_equal(device->where, text);
	assert_int_not_equal(device->home, before.st_ino); /* the address is not in our namespace */
	assert_int_not_equal(device->home, 0);
	assert_has_not(run("ip link"), "ns0");
	assert_has(run("nsenter -t %d -n ip addr", (int)pid), "inet 10.1.0.1/24");
	tf_device_close(device);
	assert_has_not(run("nsenter -t %d -n ip link", (int)pid), "ns0");

	/* The same by a descriptor, which stays the caller's. */
	assert_int_equal(tf_device_spec_parse(&spec, "tap:ns1,address=10.1.0.1/24", &error), 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	spec.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(tf_device_open(&device, &spec, &error), 0);
	assert_has(run("nsenter -t %d -n ip addr", (int)pid), "ns1");
	assert_int_not_equal(device->home, before.st_ino);
	tf_device_close(device);
	assert_int_equal(fcntl(spec.netns_fd, F_GETFD), FD_CLOEXEC);
	close(spec.netns_fd);

	/* Our own, by a path: the address is local again. */
	device = must_open("tun:ns2,address=10.1.0.1/24,netns=/proc/self/ns/net");
	assert_int_not_equal(device->home, 0);
	tf_device_close(device);
	end_child(pid);

	snprintf(text, sizeof(text), "tun,netns=%d", (int)pid);
	must_refuse(text, UV_ENOENT, "no process has this pid");
	must_refuse("tun,netns=no-such-name", UV_ENOENT, "\"no-such-name\"");
	must_refuse("tun,netns=/etc/passwd", UV_EINVAL, "/etc/passwd is not a network namespace");
	must_refuse("tun,netns=/no/such/path", UV_ENOENT, "\"/no/such/path\"");
}

/* ---- refusals ---- */

static void test_names_refused(void **state)
{
	NEEDS_NAMESPACE();
	must_refuse("tun:sixteen-letters-", TF_EOPTION, "15 bytes");
	must_refuse("tun:a b", TF_EOPTION, "\"a b\"");
	must_refuse("tun:a/b", TF_EOPTION, "\"a/b\"");
	must_refuse("tun:a:b", TF_EOPTION, "\"a:b\"");
	must_refuse("tun:tun%d", TF_EOPTION, "\"tun%d\"");
	must_refuse("tun:..", TF_EOPTION, "\"..\"");
}

static void test_busy(void **state)
{
	struct ifreq request = {.ifr_name = "mq0",
				.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE};
	struct tf_device *device;
	int fd;

	NEEDS_NAMESPACE();
	device = must_open("tun:bsy0");
	must_refuse("tun:bsy0", TF_EBUSY, "another program holds \"bsy0\"");
	tf_device_close(device);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	must_refuse("tun:mq0", TF_EBUSY, "another program holds \"mq0\"");
	close(fd);
	device = must_open("tun:mq0");
	tf_device_close(device);
}

static void test_other_interfaces(void **state)
{
	NEEDS_NAMESPACE();
	must_refuse("tun:lo", UV_EEXIST, "\"lo\" is an interface of another kind");
	run("ip link add ve0 type veth peer name ve1");
	must_refuse("tap:ve0", UV_EEXIST, "(veth)");
	run("ip link del ve0 && ip tuntap add dev oth0 mode tun");
	must_refuse("tap:oth0", UV_EEXIST, "write tun:oth0");
	run("ip link del oth0 && ip tuntap add dev oth0 mode tap");
	must_refuse("tun:oth0", UV_EEXIST, "write tap:oth0");
	run("ip link del oth0");
}

/* Packets of a flow come on queues of one number of both devices; a device of one queue is no device of two. */
static void test_queues(void **state)
{
	struct tf_device_spec spec;
	struct tf_device *device, *second;
	int spare;

	NEEDS_NAMESPACE();
	assert_int_equal(tf_device_spec_parse(&spec, "tun:many0", &error), 0);
	spec.queues = 3;
	assert_int_equal(tf_device_open(&device, &spec, &error), 0);
	assert_int_equal(tf_device_queue(&second, device, 2, &error), 0);
	run("ip -d link show many0 | grep -q 'numqueues 3'");
	must_refuse("tun:many0", TF_EBUSY, "with 3 queues");
	tf_device_close(second);
	tf_device_close(device);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC); /* no descriptor was left open */
	run("ip tuntap add dev many0 mode tun");
	assert_int_equal(tf_device_open(&device, &spec, &error), UV_EINVAL);
	assert_non_null(strstr(error.text, "\"many0\" was made for one queue, and --workers 3"));
	run("ip link del many0 && ip tuntap add dev many0 mode tun multi_queue");
	assert_int_equal(tf_device_open(&device, &spec, &error), 0);
	tf_device_close(device);
	device = must_open("tun:many0");
	tf_device_close(device);
	run("ip link del many0");
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), spare + 1);
	close(spare);
	close(spare + 1);
}

/* All 32,768 numbers that the kernel gives are taken, as alternative names of a few interfaces. */
static void test_exhausted(void **state)
{
	struct tf_device *device;
	FILE *batch;
	pid_t pid;
	int number = 0, status;

	NEEDS_NAMESPACE();
	pid = fork(); /* in a namespace apart, since these interfaces are many */
	if (pid) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		return;
	}
	if (unshare(CLONE_NEWNET) < 0 || !(batch = popen("ip -batch -", "w")))
		_exit(1);
	for (int i = 0; number < 32768; i++) {
		fprintf(batch, "link add d%d type veth peer name e%d\n", i, i);
		for (int line = 0; line < 8; line++) {
			fprintf(batch, "link property add dev d%d", i);
			for (int j = 0; j < 41; j++)
				fprintf(batch, " altname tun%d", number++);
			fputc('\n', batch);
		}
	}
	if (pclose(batch) != 0)
		_exit(2);
	if (try_open(&device, "tun") != TF_EEXHAUSTED || !strstr(error.text, "no free tun device"))
		_exit(3);
	_exit(try_open(&device, "tap") == 0 ? 0 : 4);
}

static int as_nobody(void)
{
	return setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
}

/* Gives us a node of our own at /dev/net/tun, with these rights. */
static int make_node(const char *folder, mode_t mode)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/tun", folder);
	return unshare(CLONE_NEWNS) == 0 && mount("none", folder, "tmpfs", 0, NULL) == 0 &&
	       mknod(path, S_IFCHR, makedev(10, 200)) == 0 && chmod(path, mode) == 0 &&
	       mount(path, "/dev/net/tun", "none", MS_BIND, NULL) == 0;
}

/* What an ordinary user meets; the exit status of a child says where it went wrong. */
static int user_without_node(const char *folder)
{
	struct tf_device *device;

	if (!make_node(folder, 0600) || !as_nobody())
		return 1;
	if (try_open(&device, "tun") != UV_EACCES || !strstr(error.text, "/dev/net/tun"))
		return 2;
	return 0;
}

static int user_with_node(const char *folder)
{
	struct tf_batch *batch;
	struct tf_device *device;

	if (!make_node(folder, 0666) || !as_nobody())
		return 1;
	if (try_open(&device, "tun") != UV_EPERM || !strstr(error.text, "sudo") ||
	    !strstr(error.text, "tunfilter lab"))
		return 2;
	if (try_open(&device, "tun:root0") != UV_EPERM || !strstr(error.text, "another user"))
		return 3;
	if (try_open(&device, "tun:mine0,mtu=1400") != UV_EPERM || !strstr(error.text, "MTU") ||
	    !strstr(error.text, "root"))
		return 4;
	if (try_open(&device, "tun:mine0,address=10.1.0.1") != UV_EPERM ||
	    !strstr(error.text, "10.1.0.1/32"))
		return 5;
	/* It is ours but down, and others must bring it up: open, and not ready. */
	if (try_open(&device, "tun:mine0") < 0 || tf_batch_create(&batch, 4) < 0)
		return 6;
	tf_batch_reset(batch, TF_LEFT, TF_LINK_IP);
	if (tf_device_read(device, batch) != TF_ENOTREADY)
		return 7;
	tf_batch_destroy(batch);
	tf_device_close(device);
	if (try_open(&device, "tun,netns=1") >= 0 || !strstr(error.text, "sudo"))
		return 8;
	return 0;
}

static void test_ordinary_user(void **state)
{
	static int (*const users[])(const char *) = {user_without_node, user_with_node};
	char folder[] = "/tmp/tf-devices-XXXXXX";

	NEEDS_NAMESPACE();
	if (!real_root) {
		print_message("skipped: needs root to become another user\n");
		skip();
	}
	assert_non_null(mkdtemp(folder));
	run("ip tuntap add dev root0 mode tun user 0 && ip tuntap add dev mine0 mode tun user "
	    "65534");
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(users[i](folder));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	run("ip link del root0 && ip link del mine0");
	assert_int_equal(rmdir(folder), 0);
}

/* ---- nothing is left behind ---- */

static void test_no_descriptor_leaks(void **state)
{
	struct tf_device *device, *held;
	int before;

	NEEDS_NAMESPACE();
	held = must_open("tun:held0");
	before = count_descriptors();
	for (int i = 0; i < 300; i++) {
		device = must_open(i % 2 ? "tun,address=10.1.0.1/24"
					 : "tap,netns=/proc/self/ns/net");
		tf_device_close(device);
		must_refuse("tun:held0", TF_EBUSY, "held0");
		must_refuse("tun:lo", UV_EEXIST, "lo");
		must_refuse("tun,address=ff02::1", UV_EADDRNOTAVAIL, "ff02::1");
		must_refuse("tun,netns=/etc/passwd", UV_EINVAL, "passwd");
	}
	assert_int_equal(count_descriptors(), before);
	tf_device_close(held);
	assert_has_not(run("ip link"), "tun");
}

/* Every descriptor that an open takes is refused in turn. */
static void test_each_step_fails(void **state)
{
	struct rlimit saved, limit;
	struct tf_device *device;
	int before, code = -1, spare, failures = 0;

	NEEDS_NAMESPACE();
	before = count_descriptors();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	spare = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the lowest that is free */
	close(spare);
	for (int more = 0; code != 0 && more < 20; more++) {
		limit = saved;
		limit.rlim_cur = (rlim_t)(spare + more);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		code = try_open(&device, "tun:st0,netns=/proc/self/ns/net");
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
		if (code < 0) {
			assert_int_equal(code, UV_EMFILE);
			assert_has(error.text, "oo many open files");
			assert_int_equal(count_descriptors(), before);
			assert_has_not(run("ip link"), "st0");
			failures++;
		}
	}
	assert_int_equal(code, 0);
	assert_true(failures >= 4); /* namespace, way back, node, netlink */
	tf_device_close(device);
	assert_int_equal(count_descriptors(), before);
}

/* A close right behind the start, before the loop has turned. */
static void test_closed_early(void **state)
{
	struct tf_device *device;
	struct watch watch = {0};
	int before;

	NEEDS_NAMESPACE();
	assert_int_equal(uv_loop_init(&watch.loop), 0);
	before = count_descriptors();
	device = must_open("tun:early0");
	assert_int_equal(tf_device_start(device, &watch.loop, on_ready, &watch), 0);
	tf_device_close(device);
	uv_run(&watch.loop, UV_RUN_DEFAULT);
	assert_has_not(run("ip link"), "early0");
	assert_true(count_descriptors() <= before);
	assert_int_equal(uv_loop_close(&watch.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_free_names),
		cmocka_unit_test(test_persistent_is_left_alone),
		cmocka_unit_test(test_persistent_has_its_headers_back),
		cmocka_unit_test(test_in_a_process_namespace),
		cmocka_unit_test(test_names_refused),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_other_interfaces),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_ordinary_user),
		cmocka_unit_test(test_no_descriptor_leaks),
		cmocka_unit_test(test_each_step_fails),
		cmocka_unit_test(test_closed_early),
	};

	return cmocka_run_group_tests(tests, enter_namespaces, NULL);
}
