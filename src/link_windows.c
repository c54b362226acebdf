#include "link_windows.h"

#include <iphlpapi.h>
#include <netioapi.h>
#include <string.h>

#include "system_windows.h"

#define MTU_MIN_IP6 1280

/* A function of iphlpapi.dll, which is loaded since libuv needs it; NULL with a sentence if it has
 * none. */
static void *find(const char *name, struct tf_error *error)
{
	void *function = (void *)GetProcAddress(GetModuleHandleW(L"iphlpapi.dll"), name);

	if (function == NULL)
		tf_error_set(error, UV_ENOSYS, "this system's iphlpapi.dll has no %s", name);
	return function;
}

static int failed(DWORD status, const char *what, struct tf_error *error)
{
	char reason[200];

	if (status == ERROR_ACCESS_DENIED)
		return tf_error_set(error, UV_EACCES,
				    "may not %s: that takes a window that was opened with \"Run as "
				    "administrator\"",
				    what);
	return tf_error_set(error, uv_translate_sys_error((int)status), "can't %s: %s", what,
			    tf_system_error(status, reason, sizeof(reason)));
}

static int get_interface(MIB_IPINTERFACE_ROW *row, uint64_t luid, ADDRESS_FAMILY family,
			 struct tf_error *error)
{
	DWORD(WINAPI * get)(MIB_IPINTERFACE_ROW * row) = find("GetIpInterfaceEntry", error);
	DWORD status;

	if (get == NULL)
		return UV_ENOSYS;
	memset(row, 0, sizeof(*row));
	row->Family = family;
	row->InterfaceLuid.Value = luid;
	status = get(row);
	return status == NO_ERROR ? 0 : failed(status, "ask for the interface's settings", error);
}

static int set_mtu(uint64_t luid, ADDRESS_FAMILY family, uint32_t mtu, struct tf_error *error)
{
	DWORD(WINAPI * set)(MIB_IPINTERFACE_ROW * row) = find("SetIpInterfaceEntry", error);
	MIB_IPINTERFACE_ROW row;
	DWORD status;
	int code;

	if (set == NULL)
		return UV_ENOSYS;
	code = get_interface(&row, luid, family, error);
	if (code < 0)
		return code;
	row.NlMtu = mtu;
	row.SitePrefixLength = 0; /* what it was answered as is refused for IPv4 */
	status = set(&row);
	return status == NO_ERROR ? 0 : failed(status, "set the MTU", error);
}

int tf_interface_set_mtu(uint64_t luid, uint32_t mtu, struct tf_error *error)
{
	int code = set_mtu(luid, AF_INET, mtu, error);

	if (code == 0 && mtu >= MTU_MIN_IP6)
		code = set_mtu(luid, AF_INET6, mtu, error);
	return code;
}

int tf_interface_mtu(uint64_t luid, uint32_t *mtu, struct tf_error *error)
{
	MIB_IPINTERFACE_ROW row;
	int code = get_interface(&row, luid, AF_INET, error);

	if (code == 0)
		*mtu = row.NlMtu;
	return code;
}

int tf_interface_add_address(uint64_t luid, const struct tf_prefix *address, struct tf_error *error)
{
	void(WINAPI * initialize)(MIB_UNICASTIPADDRESS_ROW * row) =
		find("InitializeUnicastIpAddressEntry", error);
	DWORD(WINAPI * create)
	(const MIB_UNICASTIPADDRESS_ROW *row) = find("CreateUnicastIpAddressEntry", error);
	MIB_UNICASTIPADDRESS_ROW row;
	DWORD status;

	if (initialize == NULL || create == NULL)
		return UV_ENOSYS;
	initialize(&row);
	row.InterfaceLuid.Value = luid;
	row.OnLinkPrefixLength = address->length;
	row.DadState = IpDadStatePreferred;
	if (address->family == 4) {
		row.Address.Ipv4.sin_family = AF_INET;
		memcpy(&row.Address.Ipv4.sin_addr, address->bytes, 4);
	} else {
		row.Address.Ipv6.sin6_family = AF_INET6;
		memcpy(&row.Address.Ipv6.sin6_addr, address->bytes, 16);
	}
	status = create(&row);
	return status == NO_ERROR || status == ERROR_OBJECT_ALREADY_EXISTS
		       ? 0
		       : failed(status, "add an address", error);
}

int tf_interface_dropped(uint64_t luid, uint64_t *packets)
{
	DWORD(WINAPI * get)(MIB_IF_ROW2 * row) = find("GetIfEntry2", NULL);
	MIB_IF_ROW2 row;

	if (get == NULL)
		return UV_ENOSYS;
	memset(&row, 0, sizeof(row));
	row.InterfaceLuid.Value = luid;
	if (get(&row) != NO_ERROR)
		return UV_ENODEV;
	*packets = row.OutDiscards;
	return 0;
}
