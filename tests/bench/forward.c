/*
 * The references: what plain C programs do that forward packets between two TUN devices and do not
 * look at them.
 *
 *   bench_forward KIND LEFT-PID ADDRESS RIGHT-PID ADDRESS [MTU [QUEUE]]
 *
 *   drain    up to 64 packets a wakeup: read, write, read, write
 *   single   one packet a wakeup
 *   batch    up to 64 packets a wakeup, all of them read before the first is written
 *   large    as drain, with IFF_VNET_HDR: the kernel's large packets go through uncut, with the
 *            header that says how they would be cut
 *
 * Opens a device in the network namespace of each process, gives it the address (/24), the MTU
 * (1500) and a queue of so many packets (4096), sets it up, prints "ready" and forwards until a
 * signal ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUDGET 64
#define ROOM   (65536 + sizeof(struct virtio_net_hdr))
#define NAME   "bench"

#ifndef TUN_F_USO4 /* since Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static char arena[BUDGET][ROOM];

static void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(3);
}

static void enter(const char *pid)
{
	char path[64];
	int ns;

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	check(ns < 0 || setns(ns, CLONE_NEWNET) != 0, path);
	close(ns);
}

/* By netlink, since the ioctl is not for the root of a user namespace. */
static void set_queue(int queue)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		struct rtattr attribute;
		int queue;
	} message = {
		.header = {sizeof(message), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 0, 0},
		.link.ifi_index = (int)if_nametoindex(NAME),
		.attribute = {RTA_LENGTH(sizeof(int)), IFLA_TXQLEN},
		.queue = queue,
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	check(send(sock, &message, sizeof(message), 0) < 0, "netlink");
	check(recv(sock, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(int)),
	      "netlink");
	errno = -answer.error.error;
	check(errno != 0, "txqueuelen");
	close(sock);
}

/* Address, MTU and queue of the device in this namespace; then it is up. */
static void configure(const char *address, int mtu, int queue)
{
	struct ifreq request = {.ifr_name = NAME};
	struct sockaddr_in in = {.sin_family = AF_INET};
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(sock < 0, "socket");
	request.ifr_mtu = mtu;
	check(ioctl(sock, SIOCSIFMTU, &request) != 0, "SIOCSIFMTU");
	set_queue(queue);
	check(inet_pton(AF_INET, address, &in.sin_addr) != 1, address);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	check(ioctl(sock, SIOCSIFADDR, &request) != 0, "SIOCSIFADDR");
	in.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&request.ifr_netmask, &in, sizeof(in));
	check(ioctl(sock, SIOCSIFNETMASK, &request) != 0, "SIOCSIFNETMASK");
	request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
	check(ioctl(sock, SIOCSIFFLAGS, &request) != 0, "SIOCSIFFLAGS");
	close(sock);
}

static int open_tun(int large)
{
	struct ifreq request = {.ifr_name = NAME};
	unsigned int offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	check(fd < 0, "/dev/net/tun");
	request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | (large ? IFF_VNET_HDR : 0));
	check(ioctl(fd, TUNSETIFF, &request) != 0, "TUNSETIFF");
	if (large && ioctl(fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) != 0)
		check(ioctl(fd, TUNSETOFFLOAD, offload) != 0, "TUNSETOFFLOAD");
	return fd;
}

/* A packet that the other side does not take is lost. */
static void put(int fd, const char *packet, ssize_t length)
{
	if (write(fd, packet, (size_t)length) < 0)
		return;
}

static void forward(int from, int to, int budget)
{
	for (int i = 0; i < budget; i++) {
		ssize_t length = read(from, arena[0], ROOM);

		if (length <= 0)
			break;
		put(to, arena[0], length);
	}
}

static void forward_batch(int from, int to)
{
	ssize_t lengths[BUDGET];
	int count = 0;

	while (count < BUDGET && (lengths[count] = read(from, arena[count], ROOM)) > 0)
		count++;
	for (int i = 0; i < count; i++)
		put(to, arena[i], lengths[i]);
}

int main(int argc, char **argv)
{
	struct pollfd polls[2] = {{.events = POLLIN}, {.events = POLLIN}};
	const char *kind = argc > 1 ? argv[1] : "";
	int large = strcmp(kind, "large") == 0, batch = strcmp(kind, "batch") == 0;
	int single = strcmp(kind, "single") == 0;

	if (argc < 6 || argc > 8 || !(large || batch || single || strcmp(kind, "drain") == 0)) {
		fprintf(stderr, "usage: bench_forward drain|single|batch|large "
				"LEFT-PID ADDRESS RIGHT-PID ADDRESS [MTU [QUEUE]]\n");
		return 2;
	}
	for (int side = 0; side < 2; side++) {
		enter(argv[2 + 2 * side]);
		polls[side].fd = open_tun(large);
		configure(argv[3 + 2 * side], argc > 6 ? atoi(argv[6]) : 1500,
			  argc > 7 ? atoi(argv[7]) : 4096);
	}
	puts("ready");
	fflush(stdout);
	while (poll(polls, 2, -1) > 0)
		for (int side = 0; side < 2; side++) {
			if (!(polls[side].revents & POLLIN))
				continue;
			if (batch)
				forward_batch(polls[side].fd, polls[!side].fd);
			else
				forward(polls[side].fd, polls[!side].fd, single ? 1 : BUDGET);
		}
	return 0;
}
