/* The network's side of the stand-in's one adapter. */
#ifndef TF_TEST_PEER_H
#define TF_TEST_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <winsock2.h>

/* A socket that the adapter of this name will send to; its port is in the stand-in's environment. */
static inline SOCKET open_peer(const char *adapter)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	SOCKET peer;
	WSADATA data;
	char text[64];
	int size = sizeof(here);

	WSAStartup(MAKEWORD(2, 2), &data);
	peer = socket(AF_INET, SOCK_DGRAM, 0);
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind(peer, (struct sockaddr *)&here, sizeof(here));
	getsockname(peer, (struct sockaddr *)&here, &size);
	snprintf(text, sizeof(text), "STANDIN_ADAPTERS=%s=%d", adapter, ntohs(here.sin_port));
	putenv(text);
	return peer;
}

#endif
