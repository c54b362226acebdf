/* Misuses the stand-in in one way, which its argument names, to see that it notices. */
#include "../../src/device/wintun_library.h"
#include "peer.h"

#include <stdio.h>
#include <string.h>

static struct tf_wintun_library wintun;

/* A packet of the session's own, from itself: the peer of the adapter is its own port's. */
static void receive_one(struct tf_wintun_session *session, SOCKET peer, BYTE **packet)
{
	struct sockaddr_in from;
	char hello[64] = {0x45};
	int from_size = sizeof(from);
	DWORD size;

	recvfrom(peer, hello, sizeof(hello), 0, (struct sockaddr *)&from, &from_size);
	hello[0] = 0x45;
	sendto(peer, hello, 20, 0, (struct sockaddr *)&from, from_size);
	WaitForSingleObject(wintun.GetReadWaitEvent(session), 20000);
	*packet = wintun.ReceivePacket(session, &size);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct tf_wintun_adapter *adapter;
	struct tf_wintun_session *session;
	SOCKET peer = open_peer("a");
	BYTE *packet, *room;

	wintun.module = LoadLibraryW(L"wintun.dll");
#define LOOK_UP(result, name, arguments)                                                           \
	wintun.name =                                                                              \
		(result(WINAPI *) arguments)(void *)GetProcAddress(wintun.module, "Wintun" #name);
	TF_WINTUN_EXPORTS(LOOK_UP)
#undef LOOK_UP
	adapter = wintun.CreateAdapter(L"a", L"test", NULL);
	session = wintun.StartSession(adapter, strcmp(what, "odd ring") ? 0x20000 : 0x20001);
	receive_one(session, peer, &packet);
	if (!strcmp(what, "too long"))
		wintun.AllocateSendPacket(session, 0x10000);
	room = wintun.AllocateSendPacket(session, 20);
	if (packet == NULL || room == NULL)
		return 1;
	room[0] = strcmp(what, "no packet") ? 0x45 : 0;
	if (strcmp(what, "keep a packet"))
		wintun.ReleaseReceivePacket(session, packet);
	if (!strcmp(what, "release twice"))
		wintun.ReleaseReceivePacket(session, packet);
	if (strcmp(what, "send nothing"))
		wintun.SendPacket(session, room);
	if (!strcmp(what, "send twice"))
		wintun.SendPacket(session, room);
	if (strcmp(what, "close first"))
		wintun.EndSession(session);
	if (!strcmp(what, "end twice"))
		wintun.EndSession(session);
	if (strcmp(what, "leave open"))
		wintun.CloseAdapter(adapter);
	if (!strcmp(what, "close twice"))
		wintun.CloseAdapter(adapter);
	return 0;
}
