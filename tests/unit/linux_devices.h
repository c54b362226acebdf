/*
 * For tests that need devices of the system: network and mount namespaces of this process alone,
 * the `ip` command, sockets, and a loop that watches a device. Where no namespaces can be made, or
 * /dev/net/tun can't be opened, NEEDS_NAMESPACE() skips the test and says why.
 */
#ifndef TF_TEST_LINUX_DEVICES_H
#define TF_TEST_LINUX_DEVICES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "netns.h"

static char skip_reason[256]; /* empty: we have namespaces */
static int real_root;	      /* no user namespace was needed */
static struct tf_error error;

#define NEEDS_NAMESPACE()                                                                          \
	do {                                                                                       \
		(void)state;                                                                       \
		if (*skip_reason) {                                                                \
			print_message("skipped: %s\n", skip_reason);                               \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

static inline int write_file(const char *path, const char *format, int value)
{
	char text[64];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof(text), format, value);
	int ok = fd >= 0 && write(fd, text, (size_t)length) == length;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Into namespaces of our own: as root just so, else by a user namespace. */
static inline int enter_namespaces(void **state)
{
	int uid = (int)getuid(), gid = (int)getgid(), fd;

	(void)state;
	real_root = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0;
	if (!real_root && unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) < 0) {
		snprintf(skip_reason, sizeof(skip_reason), "no network namespace of our own: %s",
			 strerror(errno));
		return 0;
	}
	if (!real_root && (!write_file("/proc/self/setgroups", "deny", 0) ||
			   !write_file("/proc/self/uid_map", "0 %d 1", uid) ||
			   !write_file("/proc/self/gid_map", "0 %d 1", gid)))
		snprintf(skip_reason, sizeof(skip_reason), "can't map users: %s", strerror(errno));
	else if (mount(NULL, "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
		snprintf(skip_reason, sizeof(skip_reason), "no mounts of our own: %s",
			 strerror(errno));
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 && !*skip_reason)
		snprintf(skip_reason, sizeof(skip_reason), "can't open /dev/net/tun: %s",
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	return 0;
}

/* The output of a shell command, in a buffer that the next call takes; fails if the command does.
 */
static inline const char *run(const char *format, ...)
{
	static char output[65536];
	char command[1024];
	va_list args;
	size_t length;
	FILE *pipe;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	length = fread(output, 1, sizeof(output) - 1, pipe);
	output[length] = 0;
	status = pclose(pipe);
	if (status != 0)
		fail_msg("%s: status %d", command, status);
	return output;
}

static inline void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static inline void assert_has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" in: %s", part, text);
}

static inline int try_open_as(struct tf_device **device, const char *text, int quiet)
{
	struct tf_device_spec spec;
	int code;

	*device = NULL;
	if (tf_device_spec_parse(&spec, text, &error) < 0)
		fail_msg("%s", error.text);
	spec.quiet = quiet;
	code = tf_device_open(device, &spec, &error);
	assert_int_equal(code == 0, *device != NULL);
	return code;
}

static inline int try_open(struct tf_device **device, const char *text)
{
	return try_open_as(device, text, 0);
}

static inline struct tf_device *must_open_as(const char *text, int quiet)
{
	struct tf_device *device;

	if (try_open_as(&device, text, quiet) < 0)
		fail_msg("%s: %s", text, error.text);
	return device;
}

static inline struct tf_device *must_open(const char *text)
{
	return must_open_as(text, 0);
}

/* Nothing comes from it but what the test sends. */
static inline struct tf_device *must_open_quiet(const char *text)
{
	return must_open_as(text, 1);
}

/* Opening must fail with this code, and a sentence that has this part. */
static inline void must_refuse(const char *text, int code, const char *part)
{
	struct tf_device *device;
	int got = try_open(&device, text);

	if (got != code)
		fail_msg("%s: %s (%d), not %s: %s", text, tf_error_name(got), got,
			 tf_error_name(code), error.text);
	assert_has(error.text, part);
}

/* A child in a network namespace of its own, which it holds until it is killed. */
static inline pid_t hold_namespace(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not end it */
		byte = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
		if (write(ready[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 'y');
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static inline void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static inline int udp_socket(const char *address, int port)
{
	struct sockaddr_in bound = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &bound.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&bound, sizeof(bound)), 0);
	return fd;
}

static inline void udp_send(int fd, const char *address, size_t length)
{
	static const uint8_t zeros[65000];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

	assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, zeros, length, 0, (struct sockaddr *)&to, sizeof(to)), length);
}

struct watch {
	uv_loop_t loop;
	struct tf_device *device;
	struct tf_batch *batch;
	int gone; /* calls with TF_EGONE; any other error fails the test */
	int packets;
	int advertisements; /* of neighbours, among these */
	uv_timer_t limit;
	int late; /* the limit came first */
};

static inline void on_ready(struct tf_device *device, int status, void *arg)
{
	struct watch *watch = arg;

	if (status < 0) {
		assert_int_equal(status, TF_EGONE);
		watch->gone++;
		uv_stop(&watch->loop);
		return;
	}
	tf_batch_reset(watch->batch, TF_LEFT, device->link);
	if (tf_device_read(device, watch->batch) == TF_EGONE)
		return;
	for (uint32_t i = 0; i < watch->batch->count; i++) {
		const struct tf_packet *packet = &watch->batch->packets[i];
		const uint8_t *ip = packet->data + 14;

		watch->packets++;
		if (device->link != TF_LINK_ETHERNET || packet->len < 54)
			continue;
		if (packet->data[12] == 0x86 && ip[6] == 58 && ip[40] == 136)
			watch->advertisements++;
	}
}

static inline void on_limit(uv_timer_t *timer)
{
	struct watch *watch = timer->data;

	watch->late = 1;
	uv_stop(&watch->loop);
}

static inline void watch_begin(struct watch *watch, struct tf_device *device)
{
	memset(watch, 0, sizeof(*watch));
	watch->device = device;
	assert_int_equal(tf_batch_create(&watch->batch, 64), 0);
	assert_int_equal(uv_loop_init(&watch->loop), 0);
	assert_int_equal(uv_timer_init(&watch->loop, &watch->limit), 0);
	watch->limit.data = watch;
	assert_int_equal(tf_device_start(device, &watch->loop, on_ready, watch), 0);
}

/* Turns the loop until the device is gone, or for so many milliseconds. */
static inline void watch_for(struct watch *watch, uint64_t milliseconds)
{
	watch->late = 0;
	uv_timer_start(&watch->limit, on_limit, milliseconds, 0);
	uv_run(&watch->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&watch->limit);
}

/* Stops, turns the loop, closes the device, frees the rest. */
static inline void watch_end(struct watch *watch)
{
	tf_device_stop(watch->device);
	tf_device_stop(watch->device);
	uv_close((uv_handle_t *)&watch->limit, NULL);
	uv_run(&watch->loop, UV_RUN_DEFAULT);
	tf_device_close(watch->device);
	assert_int_equal(uv_loop_close(&watch->loop), 0);
	tf_batch_destroy(watch->batch);
}

#endif
