/*
 * chardev_often TIMES: opens, watches and closes a device so often, on the nodes of TUNFILTER_DEVICES,
 * and says what that left behind: descriptors, threads, memory. Status 1 if anything.
 */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

static int entries(const char *folder)
{
	DIR *dir = opendir(folder);
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

static void on_ready(struct tf_device *device, int status, void *arg)
{
	(void)device;
	(void)status;
	(void)arg;
}

static void once(const char *words)
{
	struct tf_device_spec spec;
	struct tf_device *device;
	struct tf_error error = {0};
	uv_loop_t loop;

	uv_loop_init(&loop);
	if (tf_device_spec_parse(&spec, words, &error) < 0 ||
	    tf_device_open(&device, &spec, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		exit(1);
	}
	if (strcmp(device->name, "tun0") && strcmp(device->name, "tap0")) {
		fprintf(stderr, "got %s: the one before was not given back\n", device->name);
		exit(1);
	}
	if (tf_device_start(device, &loop, on_ready, NULL) < 0)
		exit(1);
	uv_run(&loop, UV_RUN_NOWAIT);
	tf_device_stop(device);
	uv_run(&loop, UV_RUN_NOWAIT);
	tf_device_close(device);
	if (uv_loop_close(&loop) < 0) {
		fprintf(stderr, "a handle was left in the loop\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int times = argc > 1 ? atoi(argv[1]) : 1000, descriptors, threads;
	size_t memory = 0;
	long more;

	once("tun");
	once("tap");
	descriptors = entries("/proc/self/fd");
	threads = entries("/proc/self/task");
	for (int i = 0; i < times; i++) {
		once(i % 2 ? "tap" : "tun");
		if (i == times / 10)
			memory = mallinfo2().uordblks;
	}
	descriptors = entries("/proc/self/fd") - descriptors;
	threads = entries("/proc/self/task") - threads;
	more = (long)(mallinfo2().uordblks - memory);
	printf("%d times: %d descriptors, %d threads and %ld bytes more\n", times, descriptors, threads,
	       more);
	return descriptors != 0 || threads != 0 || more > 4096;
}
