/*
 * A stand-in for iphlpapi.dll, whose functions for addresses and MTUs wine has not: they say on
 * standard error what they were asked. STANDIN_FAIL=SetIpInterfaceEntry:5,… has them fail with this
 * code.
 */
#include <iphlpapi.h>
#include <netioapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static DWORD mtu_of[2] = {1500, 1500}; /* IPv4, IPv6 */

static DWORD fails(const char *call)
{
	const char *found = getenv("STANDIN_FAIL");

	found = found ? strstr(found, call) : NULL;
	return found && found[strlen(call)] == ':' ? (DWORD)atoi(found + strlen(call) + 1)
						   : NO_ERROR;
}

NETIO_STATUS WINAPI get_interface(MIB_IPINTERFACE_ROW *row)
{
	if (row->Family != AF_INET && row->Family != AF_INET6)
		return ERROR_INVALID_PARAMETER;
	row->NlMtu = mtu_of[row->Family == AF_INET6];
	row->SitePrefixLength = 64; /* which Windows does not take back for IPv4 */
	return fails("GetIpInterfaceEntry");
}

NETIO_STATUS WINAPI set_interface(MIB_IPINTERFACE_ROW *row)
{
	if (row->Family == AF_INET && row->SitePrefixLength > 32)
		return ERROR_INVALID_PARAMETER;
	if (fails("SetIpInterfaceEntry"))
		return fails("SetIpInterfaceEntry");
	mtu_of[row->Family == AF_INET6] = row->NlMtu;
	fprintf(stderr, "iphlpapi: interface %llx IPv%d mtu %lu\n",
		(unsigned long long)row->InterfaceLuid.Value, row->Family == AF_INET ? 4 : 6,
		row->NlMtu);
	return NO_ERROR;
}

void WINAPI initialize_address(MIB_UNICASTIPADDRESS_ROW *row)
{
	memset(row, 0, sizeof(*row));
	row->PrefixOrigin = IpPrefixOriginManual;
	row->ValidLifetime = row->PreferredLifetime = 0xffffffff;
	row->OnLinkPrefixLength = 255;
}

NETIO_STATUS WINAPI create_address(const MIB_UNICASTIPADDRESS_ROW *row)
{
	const SOCKADDR_INET *address = &row->Address;
	char text[64] = "?";

	if (row->ValidLifetime == 0 || row->OnLinkPrefixLength > 128)
		return ERROR_INVALID_PARAMETER;
	inet_ntop(address->si_family,
		  address->si_family == AF_INET ? (const void *)&address->Ipv4.sin_addr
						: (const void *)&address->Ipv6.sin6_addr,
		  text, sizeof(text));
	fprintf(stderr, "iphlpapi: interface %llx address %s/%u%s\n",
		(unsigned long long)row->InterfaceLuid.Value, text, row->OnLinkPrefixLength,
		row->DadState == IpDadStatePreferred ? "" : ", not at once");
	return fails("CreateUnicastIpAddressEntry");
}

NETIO_STATUS WINAPI get_counters(MIB_IF_ROW2 *row)
{
	static unsigned calls;

	row->OutDiscards = 10 + 5 * calls++; /* of before us, then more */
	return fails("GetIfEntry2");
}

/* libuv links with it, and the program does not ask. */
ULONG WINAPI get_adapters(ULONG family, ULONG flags, void *reserved,
			  IP_ADAPTER_ADDRESSES *addresses, ULONG *size)
{
	(void)family, (void)flags, (void)reserved, (void)addresses, (void)size;
	return ERROR_NOT_SUPPORTED;
}
