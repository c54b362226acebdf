/*
 * Sends UDP datagrams as fast as it can, for a while.
 *
 *   bench_blast ADDRESS PORT BYTES SECONDS [FLOWS [PACKETS]]
 *
 * BYTES is the length of the whole IPv4 packet, at least 28; FLOWS (1) source ports in turn. Ends
 * after SECONDS, or after PACKETS (0: no limit). Prints how many the kernel took.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH	  64
#define FLOWS_MAX 1024

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static char payload[65536];
	static int sockets[FLOWS_MAX];
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct iovec iov = { .iov_base = payload };
	struct mmsghdr messages[BATCH];
	int flows = argc > 5 ? atoi(argv[5]) : 1;
	double end, limit = argc > 6 ? atof(argv[6]) : 0;
	uint64_t sent = 0;

	if (argc < 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || atoi(argv[3]) < 28 || flows < 1 ||
	    flows > FLOWS_MAX) {
		fprintf(stderr, "usage: bench_blast ADDRESS PORT BYTES SECONDS [FLOWS [PACKETS]]\n");
		return 2;
	}
	to.sin_port = htons((uint16_t) atoi(argv[2]));
	iov.iov_len = (size_t) atoi(argv[3]) - 28;
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &iov;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (int i = 0; i < flows; i++) {
		sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
		if (sockets[i] < 0 || connect(sockets[i], (struct sockaddr *) &to, sizeof(to)) != 0) {
			perror(argv[1]);
			return 3;
		}
	}
	end = now() + atof(argv[4]);
	for (int flow = 0; now() < end && (limit == 0 || (double) sent < limit); flow = (flow + 1) % flows) {
		int n = sendmmsg(sockets[flow], messages, BATCH, 0);

		if (n > 0)
			sent += (uint64_t) n;
	}
	printf("%llu\n", (unsigned long long) sent);
	return 0;
}
