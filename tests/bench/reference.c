/*
 * The reference: what a plain C program does that forwards packets and does not look at them.
 *
 *   bench_reference LEFT-PID LEFT-NAME RIGHT-PID RIGHT-NAME
 *
 * Opens a TUN device in the network namespace of each process, prints "ready", and drains each
 * device into the other: 64 packets at most a wakeup, read, write, read, write. Ends by a signal.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BUDGET 64

static int open_tun(const char *pid, const char *name)
{
	char path[64];
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int ns, fd;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) != 0) {
		perror(path);
		exit(3);
	}
	close(ns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	memcpy(request.ifr_name, name, strlen(name) + 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
		perror(name);
		exit(3);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	struct pollfd polls[2] = { { .events = POLLIN }, { .events = POLLIN } };

	if (argc != 5 || strlen(argv[2]) >= IFNAMSIZ || strlen(argv[4]) >= IFNAMSIZ) {
		fprintf(stderr, "usage: bench_reference LEFT-PID LEFT-NAME RIGHT-PID RIGHT-NAME\n");
		return 2;
	}
	polls[0].fd = open_tun(argv[1], argv[2]);
	polls[1].fd = open_tun(argv[3], argv[4]);
	puts("ready");
	fflush(stdout);
	while (poll(polls, 2, -1) > 0) {
		for (int side = 0; side < 2; side++) {
			if (!(polls[side].revents & POLLIN))
				continue;
			for (int i = 0; i < BUDGET; i++) {
				ssize_t length = read(polls[side].fd, buffer, sizeof(buffer));

				if (length <= 0)
					break;
				if (write(polls[!side].fd, buffer, (size_t) length) < 0)
					continue; /* the interface is down: lost */
			}
		}
	}
	return 0;
}
