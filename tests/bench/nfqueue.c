/*
 * A reference: a router whose kernel hands every forwarded packet to this program, which lets all
 * of them go on.
 *
 *   bench_nfqueue PID QUEUE
 *
 * Joins the network namespace of the process, binds NFQUEUE number QUEUE, prints "ready", and takes
 * packets whole and uncut (large ones too) until a signal ends it; one verdict for as many as wait,
 * 64 at most.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUDGET 64

static char buffer[0x20000];

static void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(3);
}

static void send_message(struct mnl_socket *socket, struct nlmsghdr *message)
{
	check(mnl_socket_sendto(socket, message, message->nlmsg_len) < 0, "NFQUEUE");
}

static void bind_queue(struct mnl_socket *socket, uint16_t queue)
{
	uint32_t flags = NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN;
	struct nlmsghdr *message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, queue);

	nfq_nlmsg_cfg_put_cmd(message, AF_INET, NFQNL_CFG_CMD_BIND);
	send_message(socket, message);
	message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, queue);
	nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, 0xffff);
	nfq_nlmsg_cfg_put_qmaxlen(message, 10000);
	mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(flags));
	mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(flags));
	message->nlmsg_flags |= NLM_F_ACK;
	send_message(socket, message);
	check(recv(mnl_socket_get_fd(socket), buffer, sizeof(buffer), 0) < 0, "NFQUEUE");
	message = (struct nlmsghdr *)buffer;
	if (message->nlmsg_type == NLMSG_ERROR) {
		errno = -((struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error;
		check(errno != 0, "NFQUEUE");
	}
}

/* The number of a packet in a message, or 0 where it is none. */
static uint32_t packet_id(const struct nlmsghdr *message)
{
	struct nlattr *attributes[NFQA_MAX + 1] = {0};

	if (nfq_nlmsg_parse(message, attributes) < 0 || attributes[NFQA_PACKET_HDR] == NULL)
		return 0;
	return ntohl(
		((struct nfqnl_msg_packet_hdr *)mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]))
			->packet_id);
}

int main(int argc, char **argv)
{
	char path[64];
	struct mnl_socket *socket;
	struct nlmsghdr *message;
	struct pollfd waiting = {.events = POLLIN};
	int ns, one = 1, room = 64 << 20;
	uint16_t queue = argc > 2 ? (uint16_t)atoi(argv[2]) : 0;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_nfqueue PID QUEUE\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/proc/%s/ns/net", argv[1]);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	check(ns < 0 || setns(ns, CLONE_NEWNET) != 0, path);
	socket = mnl_socket_open(NETLINK_NETFILTER);
	check(socket == NULL || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0, "netlink");
	waiting.fd = mnl_socket_get_fd(socket);
	if (setsockopt(waiting.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
		setsockopt(waiting.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	mnl_socket_setsockopt(socket, NETLINK_NO_ENOBUFS, &one, sizeof(one));
	bind_queue(socket, queue);
	puts("ready");
	fflush(stdout);
	while (poll(&waiting, 1, -1) > 0) {
		uint32_t last = 0;

		for (int i = 0; i < BUDGET; i++) {
			ssize_t length = recv(waiting.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
			uint32_t id = length > 0 ? packet_id((struct nlmsghdr *)buffer) : 0;

			if (length <= 0)
				break;
			if (id)
				last = id;
		}
		if (last == 0)
			continue;
		message = nfq_nlmsg_put(buffer, NFQNL_MSG_VERDICT_BATCH, queue);
		nfq_nlmsg_verdict_put(message, (int)last, NF_ACCEPT);
		send_message(socket, message);
	}
	return 0;
}
