/*
 * The hosts on both sides of a filter: who sends, and who counts what arrives.
 *
 *   bench_traffic flood ADDRESS PORT BYTES SECONDS [FLOWS [RATE [PACKETS]]]
 *       UDP datagrams as fast as it can, or RATE (0) of them a second, for SECONDS or until
 *       PACKETS (0: no limit) are sent. BYTES: of the whole IPv4 packet. With FLOWS (1) above one
 *       the datagrams go to as many places in turn, 64 ports of an address, then of the next.
 *       Prints how many the kernel took.
 *   bench_traffic sink PORT COUNT
 *       Has COUNT UDP ports open and reads nothing: the kernel counts what reaches them.
 *   bench_traffic echo PORT
 *       Sends each datagram back.
 *   bench_traffic ping ADDRESS PORT BYTES SECONDS
 *       One datagram there and back, then the next; one is given up after half a second, and all
 *       of it when none of 20 came back. Prints how many came back, how many did not, and what half
 *       of them and 99% of them took at most, in nanoseconds.
 *   bench_traffic receive ADDRESS PORT STREAMS WARMUP SECONDS
 *       Opens STREAMS connections, or takes them where ADDRESS is "-", and reads; after WARMUP
 *       seconds counts the bytes that SECONDS bring. Prints them and the seconds it really took.
 *   bench_traffic send ADDRESS PORT STREAMS SECONDS
 *       Writes to such connections until the other end closes, SECONDS at most.
 *
 * What waits for others prints "ready" first, and ends by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	    64
#define FLOWS_MAX   1000000
#define PORTS	    64
#define STRIDE	    700001 /* prime: flows come in this order, neighbours far apart */
#define STREAMS_MAX 64
#define TIMES_MAX   (1 << 20)

static char buffer[1 << 17];

static void check(int bad, const char *what)
{
	if (!bad)
		return;
	perror(what);
	exit(3);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
	struct timespec t = {.tv_sec = (time_t)when};

	t.tv_nsec = (long)((when - (double)t.tv_sec) * 1e9);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	check(address != NULL && inet_pton(AF_INET, address, &in.sin_addr) != 1, address);
	return in;
}

static int connected(int type, struct sockaddr_in to)
{
	int sock = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	check(sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof(to)) != 0, "connect");
	return sock;
}

static int bound(int type, struct sockaddr_in at)
{
	int one = 1, sock = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	check(sock < 0, "socket");
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(bind(sock, (struct sockaddr *)&at, sizeof(at)) != 0, "bind");
	return sock;
}

/* Where the datagrams of a flow go: a port, and a new address for every PORTS flows. */
static struct sockaddr_in flow_address(struct sockaddr_in to, uint32_t flow)
{
	to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + flow % PORTS));
	to.sin_addr.s_addr = htonl(ntohl(to.sin_addr.s_addr) + flow / PORTS);
	return to;
}

static void flood(char **argv, uint32_t flows, double rate, double limit)
{
	struct sockaddr_in first = address_of(argv[0], argv[1]), to[BATCH];
	struct iovec iov = {.iov_base = buffer, .iov_len = (size_t)atoi(argv[2]) - 28};
	struct mmsghdr messages[BATCH] = {0};
	uint64_t sent = 0, turn = 0;
	double start, end;
	int sock = flows == 1 ? connected(SOCK_DGRAM, first)
			      : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(sock < 0, "socket");
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
		if (flows > 1) {
			messages[i].msg_hdr.msg_name = &to[i];
			messages[i].msg_hdr.msg_namelen = sizeof(to[i]);
		}
	}
	start = now();
	end = start + atof(argv[3]);
	while (now() < end && (limit == 0 || (double)sent < limit)) {
		unsigned int count = BATCH;
		int taken;

		if (limit != 0 && limit - (double)sent < BATCH)
			count = (unsigned int)(limit - (double)sent);
		for (unsigned int i = 0; flows > 1 && i < count; i++)
			to[i] = flow_address(first, (uint32_t)(turn++ * STRIDE % flows));
		taken = sendmmsg(sock, messages, count, 0);
		if (taken > 0)
			sent += (uint64_t)taken;
		if (rate > 0)
			sleep_until(start + (double)sent / rate);
	}
	printf("%llu\n", (unsigned long long)sent);
}

static void sink(const char *port, int count)
{
	struct sockaddr_in at = address_of(NULL, port);
	int least = 1;

	for (int i = 0; i < count; i++) {
		int sock = bound(SOCK_DGRAM, at);

		setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &least, sizeof(least));
		/* What waits to be read is not counted, so nothing more has room from here on. */
		for (int j = 0; j < 16; j++)
			sendto(sock, buffer, 36, 0, (struct sockaddr *)&at, sizeof(at));
		at.sin_port = htons((uint16_t)(ntohs(at.sin_port) + 1));
	}
	ready();
	for (;;)
		pause();
}

static void echo(const char *port)
{
	int sock = bound(SOCK_DGRAM, address_of(NULL, port));

	ready();
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t length =
			recvfrom(sock, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size);

		if (length > 0)
			sendto(sock, buffer, (size_t)length, 0, (struct sockaddr *)&from, size);
	}
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void ping(char **argv)
{
	static uint32_t times[TIMES_MAX];
	int sock = connected(SOCK_DGRAM, address_of(argv[0], argv[1]));
	size_t length = (size_t)atoi(argv[2]) - 28;
	struct timeval patience = {.tv_usec = 500000};
	double end = now() + atof(argv[3]), sent;
	uint32_t number = 0, answer = 0, count = 0, lost = 0;

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (((sent = now()) < end || (count == 0 && lost < 20)) && count < TIMES_MAX) {
		ssize_t got;

		memcpy(buffer, &(uint32_t){++number}, sizeof(number));
		send(sock, buffer, length, 0);
		do /* an answer that was given up may come late */
			got = recv(sock, buffer, sizeof(buffer), 0);
		while (got > 0 && (memcpy(&answer, buffer, sizeof(answer)), answer != number));
		if (got > 0)
			times[count++] = (uint32_t)((now() - sent) * 1e9);
		else
			lost++;
	}
	qsort(times, count, sizeof(times[0]), ascending);
	printf("%u %u %u %u\n", count, lost, times[count / 2], times[(uint64_t)count * 99 / 100]);
}

/* So many connections to an address, or from anybody where it is "-". */
static void open_streams(struct pollfd *polls, char **where, int streams, short events)
{
	int listener = -1;

	if (strcmp(where[0], "-") == 0) {
		listener = bound(SOCK_STREAM, address_of(NULL, where[1]));
		check(listen(listener, streams) != 0, "listen");
		ready();
	}
	for (int i = 0; i < streams; i++) {
		polls[i].fd = listener < 0 ? connected(SOCK_STREAM, address_of(where[0], where[1]))
					   : accept(listener, NULL, NULL);
		polls[i].events = events;
		check(polls[i].fd < 0, "accept");
	}
}

static void receive(char **where, int streams, double warmup, double seconds)
{
	struct pollfd polls[STREAMS_MAX];
	double start, t = 0;
	uint64_t bytes = 0;

	open_streams(polls, where, streams, POLLIN);
	start = now() + warmup;
	for (; t < start + seconds && poll(polls, (nfds_t)streams, 1000) >= 0; t = now())
		for (int i = 0; i < streams; i++) {
			ssize_t length = polls[i].revents ? recv(polls[i].fd, buffer,
								 sizeof(buffer), MSG_DONTWAIT)
							  : 0;

			if (length > 0 && t >= start)
				bytes += (uint64_t)length;
		}
	printf("%llu %f\n", (unsigned long long)bytes, t - start);
}

static void send_streams(char **where, int streams, double seconds)
{
	struct pollfd polls[STREAMS_MAX];
	double end = now() + seconds;

	signal(SIGPIPE, SIG_IGN);
	open_streams(polls, where, streams, POLLOUT);
	while (now() < end && poll(polls, (nfds_t)streams, 1000) >= 0)
		for (int i = 0; i < streams; i++)
			if (polls[i].revents &&
			    send(polls[i].fd, buffer, sizeof(buffer), MSG_DONTWAIT) < 0 &&
			    errno != EAGAIN)
				return; /* the other end has seen enough */
}

static int between(const char *text, int least, int most)
{
	int n = atoi(text);

	if (n >= least && n <= most)
		return n;
	fprintf(stderr, "bench_traffic: %s is not from %d to %d\n", text, least, most);
	exit(2);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	int count = argc - 2;

	argv += 2;
	if (strcmp(word, "flood") == 0 && count >= 4 && count <= 7) {
		between(argv[2], 28, 65535);
		flood(argv, count > 4 ? (uint32_t)between(argv[4], 1, FLOWS_MAX) : 1,
		      count > 5 ? atof(argv[5]) : 0, count > 6 ? atof(argv[6]) : 0);
	} else if (strcmp(word, "sink") == 0 && count == 2) {
		sink(argv[0], between(argv[1], 1, PORTS));
	} else if (strcmp(word, "echo") == 0 && count == 1) {
		echo(argv[0]);
	} else if (strcmp(word, "ping") == 0 && count == 4) {
		between(argv[2], 32, 65535);
		ping(argv);
	} else if (strcmp(word, "receive") == 0 && count == 5) {
		receive(argv, between(argv[2], 1, STREAMS_MAX), atof(argv[3]), atof(argv[4]));
	} else if (strcmp(word, "send") == 0 && count == 4) {
		send_streams(argv, between(argv[2], 1, STREAMS_MAX), atof(argv[3]));
	} else {
		fprintf(stderr, "usage: bench_traffic flood|sink|echo|ping|receive|send …; "
				"the words are told at the top of traffic.c\n");
		return 2;
	}
	return 0;
}
