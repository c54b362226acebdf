/* The network of a lab: which addresses, which routes, the filter between, who listens. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "host_linux.h"
#include "lab_linux.h"
#include "link.h"
#include "log.h"
#include "netns.h"

const char *tf_address_text(const struct tf_prefix *address, char text[INET6_ADDRSTRLEN])
{
	inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, text,
		  INET6_ADDRSTRLEN);
	return text;
}

/* Whether the kernel has IPv6 at all, and on such a device: RFC 8200, section 5. */
static int has_ipv6(const struct tf_device_spec *spec)
{
	return access("/proc/net/if_inet6", F_OK) == 0 && (spec->mtu == 0 || spec->mtu >= TF_MTU_MIN_IP6);
}

static void default_addresses(struct tf_device_spec *spec, int side)
{
	struct tf_prefix *v4 = &spec->addresses[0], *v6 = &spec->addresses[1];

	*v4 = (struct tf_prefix){.family = 4, .length = 24};
	*v6 = (struct tf_prefix){.family = 6, .length = 64};
	inet_pton(AF_INET, side == TF_LEFT ? "10.77.0.1" : "10.77.0.2", v4->bytes);
	inet_pton(AF_INET6, side == TF_LEFT ? "fd77::1" : "fd77::2", v6->bytes);
	spec->address_count = has_ipv6(spec) ? 2 : 1;
}

/* The device's "where" in the start lines: "10.77.0.1 and fd77::1" says more than a namespace. */
static void name_place(struct tf_device_spec *spec)
{
	char text[INET6_ADDRSTRLEN];
	size_t used = 0;

	for (uint32_t i = 0; i < spec->address_count && used < sizeof(spec->netns); i++)
		used += (size_t)snprintf(spec->netns + used, sizeof(spec->netns) - used, "%s%s",
					 i ? " and " : "",
					 tf_address_text(&spec->addresses[i], text));
}

int tf_lab_options(struct tf_options *lab, const struct tf_options *asked, struct tf_error *error)
{
	struct tf_device_spec *left = &lab->device[TF_LEFT], *right = &lab->device[TF_RIGHT];
	int small = 0;

	*lab = *asked;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		struct tf_device_spec *spec = &lab->device[side];

		if (strcmp(spec->kind, "tun") && strcmp(spec->kind, "tap"))
			return tf_error_set(error, TF_EOPTION,
					    "--%s: a lab is made of tun or tap devices, not %s",
					    tf_host_names[side], spec->kind);
		if (spec->netns[0])
			return tf_error_set(error, TF_EOPTION,
					    "--%s: a lab makes its own namespaces; netns= is for "
					    "`tunfilter run`",
					    tf_host_names[side]);
	}
	/* `--left tap` alone: the other side is as it comes, so that it is meant to be a tap too.
	 */
	if (!strcmp(left->kind, "tap") && !right->name[0])
		strcpy(right->kind, "tap");
	if (!strcmp(right->kind, "tap") && !left->name[0])
		strcpy(left->kind, "tap");
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		struct tf_device_spec *spec = &lab->device[side];

		if (!spec->name[0])
			snprintf(spec->name, sizeof(spec->name), "%s0", spec->kind);
		if (!spec->address_count)
			default_addresses(spec, side);
		name_place(spec);
		spec->netns_fd = TF_LAB_NETNS_FD(side);
		spec->quiet = 1;
		small |= spec->mtu != 0 && spec->mtu < TF_MTU_MIN_IP6;
	}
	if (small)
		tf_log(TF_LOG_INFO, "no IPv6 where the MTU is below %d, the least that it allows", TF_MTU_MIN_IP6);
	return 0;
}

/* Whatever a host sends goes to the filter: a script may answer for any address. */
static int add_routes(const struct tf_device_spec *spec, struct tf_error *error)
{
	struct tf_links *links;
	int err, index, back;

	err = tf_netns_enter(spec->netns_fd, &back, error);
	if (err < 0)
		return err;
	err = tf_links_open(&links, error);
	tf_netns_return(back);
	if (err < 0)
		return err;
	err = tf_link_index(links, spec->name, &index, error);
	if (err == 0)
		err = tf_link_add_default(links, index, 4, error);
	if (err == 0 && has_ipv6(spec))
		err = tf_link_add_default(links, index, 6, error);
	tf_links_close(links);
	return err;
}

static int add_all_routes(const struct tf_options *lab, struct tf_error *error)
{
	int err = add_routes(&lab->device[TF_LEFT], error);

	if (err == 0)
		err = add_routes(&lab->device[TF_RIGHT], error);
	/* The lab's process keeps them; who runs the script has no use for them. */
	close(TF_LAB_NETNS_FD(TF_LEFT));
	close(TF_LAB_NETNS_FD(TF_RIGHT));
	return err;
}

int tf_lab_filter(const struct tf_options *lab, void (*ready)(void))
{
	return tf_app(lab, add_all_routes, ready);
}

int tf_lab_listens(void)
{
	/* state: of a socket that waits for anybody; 0: any socket in the table waits for packets
	 */
	static const struct {
		const char *path;
		unsigned int state;
	} tables[] = {
		{"/proc/self/net/tcp", 0x0a}, {"/proc/self/net/tcp6", 0x0a},
		{"/proc/self/net/udp", 0x07}, {"/proc/self/net/udp6", 0x07},
		{"/proc/self/net/raw", 0},    {"/proc/self/net/raw6", 0},
		{"/proc/self/net/icmp", 0},   {"/proc/self/net/icmp6", 0},
		{"/proc/self/net/packet", 0},
	};
	int found = 0;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !found; i++) {
		FILE *table = fopen(tables[i].path, "re");
		unsigned int state;
		char line[512];

		if (!table)
			continue;
		if (fgets(line, sizeof(line), table)) /* the heading */
			while (!found && fgets(line, sizeof(line), table))
				found = !tables[i].state ||
					(sscanf(line, "%*d: %*s %*s %x", &state) == 1 &&
					 state == tables[i].state);
		fclose(table);
	}
	return found;
}
