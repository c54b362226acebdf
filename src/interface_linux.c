/* Linux: by netlink, in the namespace that the spec names. */
#include "interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "netns.h"

#define MTU_DEFAULT 1500 /* where the interface is not to be seen */

struct tf_interface {
	struct tf_links *links;
	int index; /* 0: not to be seen from here */
};

const char *const tf_interface_up_command[2] = {"ip link set ", " up"};

/* Opens netlink in the spec's namespace, whose number and words the device gets. */
static int open_links(struct tf_interface *interface, struct tf_device *device,
		      const struct tf_device_spec *spec, struct tf_error *error)
{
	struct stat there = {0};
	int fd, back, code;

	if (!*spec->netns) {
		if (stat("/proc/self/ns/net", &there) == 0)
			device->home = there.st_ino;
		return tf_links_open(&interface->links, error);
	}
	fd = tf_netns_open(spec->netns, device->where, sizeof(device->where), error);
	if (fd < 0)
		return fd;
	if (fstat(fd, &there) == 0)
		device->home = there.st_ino;
	code = tf_netns_enter(fd, &back, error);
	if (code == 0) {
		code = tf_links_open(&interface->links, error);
		tf_netns_return(back);
	}
	close(fd);
	return code;
}

static int configure(struct tf_interface *interface, struct tf_device *device,
		     const struct tf_device_spec *spec, struct tf_error *error)
{
	struct tf_link_state state;
	int has = 0, code;

	code = tf_link_tune(interface->links, interface->index, spec->mtu, 0, error);
	for (uint32_t i = 0; code == 0 && i < spec->address_count; i++)
		code = tf_link_add_address(interface->links, interface->index, &spec->addresses[i],
					   error);
	if (code == 0) {
		code = tf_link_up(interface->links, interface->index, error);
		if (code == UV_EPERM && spec->address_count == 0 && spec->mtu == 0)
			code = 0;
	}
	if (code == 0)
		code = tf_link_state(interface->links, interface->index, &state, error);
	if (code == 0)
		code = tf_link_has_address(interface->links, interface->index, &has, error);
	if (code < 0)
		return code;
	device->mtu = state.mtu;
	if (!has)
		device->home = 0;
	return 0;
}

int tf_interface_open(struct tf_interface **out, struct tf_device *device,
		      const struct tf_device_spec *spec, struct tf_error *error)
{
	struct tf_interface *interface = calloc(1, sizeof(*interface));
	int code;

	if (!interface)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	code = open_links(interface, device, spec, error);
	if (code < 0)
		goto fail;
	code = tf_link_index(interface->links, device->name, &interface->index, error);
	if (code == UV_ENODEV && spec->address_count == 0 && spec->mtu == 0) {
		interface->index = 0;
		device->mtu = MTU_DEFAULT;
		device->home = 0;
		code = 0;
	} else if (code == 0) {
		code = configure(interface, device, spec, error);
	}
	if (code < 0)
		goto fail;
	*out = interface;
	return 0;

fail:
	tf_interface_close(interface);
	return code;
}

int tf_interface_mtu(struct tf_interface *interface, uint32_t *mtu)
{
	struct tf_link_state state;
	int code;

	if (interface->index == 0)
		return UV_ENODEV;
	code = tf_link_state(interface->links, interface->index, &state, NULL);
	if (code == 0)
		*mtu = state.mtu;
	return code;
}

void tf_interface_close(struct tf_interface *interface)
{
	if (!interface)
		return;
	tf_links_close(interface->links);
	free(interface);
}
