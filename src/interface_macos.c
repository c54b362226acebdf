/*
 * macOS: by ioctl. An address on a point-to-point interface brings no route to its network, so the
 * routing socket gets one. Structures that not every set of headers has are declared here.
 */
#include "interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_dl.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <unistd.h>

struct tf_interface {
	int fd; /* of any datagram socket: ioctls want one */
	char name[IFNAMSIZ];
};

/* struct in6_aliasreq of <netinet6/in6_var.h>. */
struct alias6 {
	char name[IFNAMSIZ];
	struct sockaddr_in6 address, destination, mask;
	int flags;
	struct {
		time_t expire, preferred;
		uint32_t valid_for, preferred_for; /* seconds */
	} lifetime;
};

#define ADD_ADDRESS6 _IOW('i', 26, struct alias6) /* SIOCAIFADDR_IN6 */
#define NO_DETECTION 0x0020			  /* IN6_IFF_NODAD: usable at once */
#define FOR_EVER     0xffffffffu		  /* ND6_INFINITE_LIFETIME */

_Static_assert(sizeof(struct alias6) == 128, "as the kernel's struct in6_aliasreq");
_Static_assert(sizeof(struct ifaliasreq) == 64, "as the kernel's struct ifaliasreq");

const char *const tf_interface_up_command[2] = {"sudo ifconfig ", " up"};

static int refused(const struct tf_interface *interface, const char *what, struct tf_error *error)
{
	int code = -errno;

	return tf_error_set(error, code, "can't %s \"%s\": %s%s", what, interface->name,
			    uv_strerror(code),
			    code == UV_EPERM || code == UV_EACCES ? "; that takes root (sudo)" : "");
}

static struct ifreq request_of(const struct tf_interface *interface)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, interface->name, sizeof(request.ifr_name));
	return request;
}

static struct sockaddr_in address4(uint32_t host_order)
{
	struct sockaddr_in address = {.sin_len = sizeof(address), .sin_family = AF_INET};

	address.sin_addr.s_addr = htonl(host_order);
	return address;
}

/* 0, or -1 with errno. */
static int add_route(const char *name, uint32_t network, uint32_t mask)
{
	struct {
		struct rt_msghdr header;
		struct sockaddr_in destination;
		struct sockaddr_dl gateway;
		struct sockaddr_in mask;
	} message = {
		.header = {.rtm_msglen = sizeof(message),
			   .rtm_version = RTM_VERSION,
			   .rtm_type = RTM_ADD,
			   .rtm_flags = RTF_UP | RTF_STATIC,
			   .rtm_addrs = RTA_DST | RTA_GATEWAY | RTA_NETMASK,
			   .rtm_seq = 1},
		.destination = address4(network),
		.gateway = {.sdl_len = sizeof(message.gateway),
			    .sdl_family = AF_LINK,
			    .sdl_index = (uint16_t)if_nametoindex(name)},
		.mask = address4(mask),
	};
	int fd = socket(PF_ROUTE, SOCK_RAW, AF_INET), saved;
	ssize_t length;

	if (fd < 0)
		return -1;
	length = write(fd, &message, sizeof(message));
	saved = errno;
	close(fd);
	errno = saved;
	return length == sizeof(message) || saved == EEXIST ? 0 : -1;
}

static int add_address4(const struct tf_interface *interface, const struct tf_prefix *prefix,
			int point_to_point, struct tf_error *error)
{
	struct ifaliasreq alias = {0};
	uint32_t address, mask = prefix->length ? 0xffffffffu << (32 - prefix->length) : 0;
	struct sockaddr_in ours, other, mask_of;

	memcpy(&address, prefix->bytes, 4);
	address = ntohl(address);
	ours = address4(address);
	/* A point-to-point interface's peer is itself: whom we talk to is a whole network. */
	other = point_to_point ? ours : address4(address | ~mask);
	mask_of = address4(mask);
	memcpy(alias.ifra_name, interface->name, sizeof(alias.ifra_name));
	memcpy(&alias.ifra_addr, &ours, sizeof(ours));
	memcpy(&alias.ifra_broadaddr, &other, sizeof(other));
	memcpy(&alias.ifra_mask, &mask_of, sizeof(mask_of));
	if (ioctl(interface->fd, SIOCAIFADDR, &alias) < 0 && errno != EEXIST)
		return refused(interface, "add an address to", error);
	if (point_to_point && prefix->length < 32 &&
	    add_route(interface->name, address & mask, mask) < 0)
		return refused(interface, "add a route to the network of an address of", error);
	return 0;
}

static int add_address6(const struct tf_interface *interface, const struct tf_prefix *prefix,
			struct tf_error *error)
{
	struct alias6 alias = {
		.address = {.sin6_len = sizeof(alias.address), .sin6_family = AF_INET6},
		.mask = {.sin6_len = sizeof(alias.mask), .sin6_family = AF_INET6},
		.flags = NO_DETECTION,
		.lifetime = {.valid_for = FOR_EVER, .preferred_for = FOR_EVER},
	};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), code = 0;

	if (fd < 0)
		return refused(interface, "add an IPv6 address to", error);
	memcpy(alias.name, interface->name, sizeof(alias.name));
	memcpy(&alias.address.sin6_addr, prefix->bytes, 16);
	for (int bit = 0; bit < prefix->length; bit++)
		alias.mask.sin6_addr.s6_addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	if (ioctl(fd, ADD_ADDRESS6, &alias) < 0 && errno != EEXIST)
		code = refused(interface, "add an IPv6 address to", error);
	close(fd);
	return code;
}

static int bring_up(const struct tf_interface *interface, struct tf_error *error)
{
	struct ifreq request = request_of(interface);

	if (ioctl(interface->fd, SIOCGIFFLAGS, &request) < 0)
		return refused(interface, "ask for the state of", error);
	if (request.ifr_flags & IFF_UP)
		return 0;
	request.ifr_flags |= IFF_UP;
	return ioctl(interface->fd, SIOCSIFFLAGS, &request) < 0
		       ? refused(interface, "bring up", error)
		       : 0;
}

/* Whether it has an address other than those that the system makes up (fe80::). */
static int has_address(const char *name)
{
	struct ifaddrs *all, *one;
	int has = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (one = all; one; one = one->ifa_next) {
		struct sockaddr_in6 address;

		if (strcmp(one->ifa_name, name) || !one->ifa_addr)
			continue;
		if (one->ifa_addr->sa_family == AF_INET)
			has = 1;
		if (one->ifa_addr->sa_family != AF_INET6)
			continue;
		memcpy(&address, one->ifa_addr, sizeof(address));
		has |= !IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr);
	}
	freeifaddrs(all);
	return has;
}

static int configure(struct tf_interface *interface, struct tf_device *device,
		     const struct tf_device_spec *spec, struct tf_error *error)
{
	struct ifreq request = request_of(interface);
	int code = 0;

	if (spec->mtu) {
		request.ifr_mtu = (int)spec->mtu;
		if (ioctl(interface->fd, SIOCSIFMTU, &request) < 0)
			return refused(interface, "set the MTU of", error);
	}
	for (uint32_t i = 0; code == 0 && i < spec->address_count; i++)
		code = spec->addresses[i].family == 4
			       ? add_address4(interface, &spec->addresses[i],
					      device->link == TF_LINK_IP, error)
			       : add_address6(interface, &spec->addresses[i], error);
	if (code < 0)
		return code;
	code = bring_up(interface, error);
	if (code == UV_EPERM && spec->address_count == 0 && spec->mtu == 0)
		code = 0;
	if (code == 0 && tf_interface_mtu(interface, &device->mtu) < 0)
		code = refused(interface, "ask for the MTU of", error);
	device->home = has_address(interface->name); /* there is one network, number 1 */
	return code;
}

int tf_interface_open(struct tf_interface **out, struct tf_device *device,
		      const struct tf_device_spec *spec, struct tf_error *error)
{
	struct tf_interface *interface;
	int code;

	if (*spec->netns)
		return tf_error_set(error, TF_EOPTION,
				    "\"netns=%s\": network namespaces are Linux's; leave it out",
				    spec->netns);
	interface = calloc(1, sizeof(*interface));
	if (!interface)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	strlcpy(interface->name, device->name, sizeof(interface->name));
	interface->fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (interface->fd < 0) {
		code = refused(interface, "ask for", error);
		free(interface);
		return code;
	}
	fcntl(interface->fd, F_SETFD, FD_CLOEXEC);
	code = configure(interface, device, spec, error);
	if (code < 0) {
		tf_interface_close(interface);
		return code;
	}
	*out = interface;
	return 0;
}

int tf_interface_mtu(struct tf_interface *interface, uint32_t *mtu)
{
	struct ifreq request = request_of(interface);

	if (ioctl(interface->fd, SIOCGIFMTU, &request) < 0)
		return -errno;
	*mtu = (uint32_t)request.ifr_mtu;
	return 0;
}

void tf_interface_close(struct tf_interface *interface)
{
	if (!interface)
		return;
	close(interface->fd);
	free(interface);
}
