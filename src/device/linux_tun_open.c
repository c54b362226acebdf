#include "linux_tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../doctor.h"
#include "../log.h"
#include "../netns.h"

#define NODE	    "/dev/net/tun"
#define TAP_MTU_MAX (TF_IP_MAX - 14) /* the kernel's bound: the frame stays below 64 KiB */

static int check_name(const struct tf_device_spec *spec, struct tf_error *error)
{
	const char *name = spec->name;

	if (strlen(name) >= IFNAMSIZ)
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" is too long for an interface's name: at "
				    "most %d bytes",
				    name, IFNAMSIZ - 1);
	if (name[strcspn(name, "/:% \t\n\v\f\r")] || !strcmp(name, ".") || !strcmp(name, ".."))
		return tf_error_set(error, TF_EOPTION,
				    "\"%s\" can't be an interface's name: no spaces, "
				    "\"/\", \":\" or \"%%\", and not \".\" or \"..\"",
				    name);
	if (!strcmp(spec->kind, "tap") && spec->mtu > TAP_MTU_MAX)
		return tf_error_set(error, TF_EOPTION, "\"mtu=%u\": the largest MTU of a tap is %d",
				    spec->mtu, TAP_MTU_MAX);
	return 0;
}

static int open_node(int *fd, struct tf_error *error)
{
	char text[1024];
	int code;

	*fd = open(NODE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	code = -errno;
	tf_doctor_tun(-code, text, sizeof(text));
	return tf_error_set(error, code, "%s", text);
}

/*
 * Opens what belongs to one namespace: the node (its interface will be made there), once a queue, and
 * netlink.
 */
static int open_here(struct tf_tun *tun, const struct tf_device_spec *spec, struct tf_error *error)
{
	uint32_t more = spec->queues > 1 ? spec->queues - 1 : 0;
	int code = open_node(&tun->fd, error);

	tun->device.wakes = tun->fd + 1;
	if (code == 0 && more && !(tun->queues = calloc(more, sizeof(*tun->queues))))
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	while (code == 0 && tun->queue_count < more)
		code = open_node(&tun->queues[tun->queue_count++], error);
	if (code < 0)
		return code;
	code = tf_links_open(&tun->links, error);
	return code < 0 ? code : tf_links_watch(tun->links, &tun->news_fd, error);
}

/* Watches the folder of the namespace's name. We can do without. */
static void watch_names(struct tf_tun *tun)
{
	char folder[sizeof(tun->netns_path)];

	strcpy(folder, tun->netns_path);
	*strrchr(folder, '/') = 0;
	tun->names_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (inotify_add_watch(tun->names_fd, *folder ? folder : "/", IN_DELETE | IN_CREATE | IN_MOVE | IN_ATTRIB) < 0)
		tf_log(TF_LOG_DEBUG, "can't watch %s: %s", folder, strerror(errno));
}

/* Remembers where the namespace's name lies, if it has one that could be deleted. */
static void remember_path(struct tf_tun *tun, const char *word, ino_t inode)
{
	struct stat named;

	snprintf(tun->netns_path, sizeof(tun->netns_path), "%s%s",
		 strchr(word, '/') ? "" : TF_NETNS_NAMES "/", word);
	tun->netns_inode = inode;
	if (stat(tun->netns_path, &named) < 0 || named.st_ino != inode)
		*tun->netns_path = 0;
	else
		watch_names(tun);
}

/* The same in the namespace that the spec names, whose number *home gets. */
static int open_there(struct tf_tun *tun, const struct tf_device_spec *spec, uint64_t *home,
		      struct tf_error *error)
{
	struct stat there = {0};
	int code, back, fd = spec->netns_fd;

	if (stat("/proc/self/ns/net", &there) == 0)
		*home = there.st_ino;
	if (fd < 0 && !*spec->netns)
		return open_here(tun, spec, error);
	if (fd < 0)
		fd = tf_netns_open(spec->netns, tun->device.where, sizeof(tun->device.where),
				   error);
	else
		snprintf(tun->device.where, sizeof(tun->device.where), "%s", spec->netns);
	if (fd < 0)
		return fd;
	if (fstat(fd, &there) == 0)
		*home = there.st_ino;
	if (fd != spec->netns_fd)
		remember_path(tun, spec->netns, there.st_ino);
	code = tf_netns_enter(fd, &back, error);
	if (code == 0) {
		code = open_here(tun, spec, error);
		tf_netns_return(back);
	}
	if (fd != spec->netns_fd)
		close(fd);
	return code;
}

/* The kernel answers EINVAL for an interface that is there but not as we ask for it. */
static int explain_mismatch(const struct tf_link_state *state, const struct tf_device_spec *spec,
			    struct tf_error *error)
{
	const char *kind = spec->kind, *other = state->tap ? "tap" : "tun";

	if (strcmp(state->kind, "tun"))
		return tf_error_set(error, UV_EEXIST,
				    "\"%s\" is an interface of another kind (%s), no "
				    "%s: choose another name",
				    state->name,
				    *state->kind ? state->kind : "hardware or loopback", kind);
	if (strcmp(other, kind))
		return tf_error_set(error, UV_EEXIST, "\"%s\" is a %s, no %s: write %s:%s",
				    state->name, other, kind, other, state->name);
	if (spec->queues > 1 && !state->multi_queue)
		return tf_error_set(
			error, UV_EINVAL,
			"\"%s\" was made for one queue, and --workers %u takes %u: make it anew "
			"with `ip tuntap del dev %s mode %s` and `ip tuntap add dev %s mode %s "
			"multi_queue`, or leave --workers out",
			state->name, spec->queues, spec->queues, state->name, kind, state->name,
			kind);
	return tf_error_set(error, UV_EINVAL, "the kernel refuses to open \"%s\" as a %s: %s",
			    state->name, kind, uv_strerror(UV_EINVAL));
}

/* Why TUNSETIFF failed; state is that of an interface of this name, or NULL. */
static int explain_attach(int code, const struct tf_device_spec *spec,
			  const struct tf_link_state *state, struct tf_error *error)
{
	if (code == UV_EBUSY)
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\": end it, or choose "
				    "another name",
				    spec->name);
	if (code == UV_ENFILE && !*spec->name)
		return tf_error_set(error, TF_EEXHAUSTED, "no free %s device is left: %s",
				    spec->kind, uv_strerror(code));
	if (code == UV_EINVAL && state)
		return explain_mismatch(state, spec, error);
	if (code == UV_EPERM && state)
		return tf_error_set(
			error, code,
			"may not open \"%s\": it belongs to another user. Use "
			"sudo, or let root give it to you: `ip tuntap add dev %s mode %s user "
			"$USER`",
			spec->name, spec->name, spec->kind);
	if (code == UV_EPERM)
		return tf_error_set(
			error, code,
			"may not create a %s interface: that takes root (sudo) "
			"or CAP_NET_ADMIN. `tunfilter lab` needs neither; or let root make "
			"one for you: `ip tuntap add dev NAME mode %s user $USER`",
			spec->kind, spec->kind);
	return tf_error_set(error, code, "can't open %s%s%s as a %s: %s",
			    *spec->name ? "\"" : "the next free interface", spec->name,
			    *spec->name ? "\"" : "", spec->kind, uv_strerror(code));
}

/* What the kernel may leave to us, a bit each; one that needs another stands behind it. */
static const unsigned int offers[] = {TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN,
				      TF_TUN_USO};

enum { CSUM = 1, TSO4 = 2, TSO6 = 4, ECN = 8, USO = 16, NOTHING = 0, ALL = 31 };

static int set_offload(int fd, int bits)
{
	unsigned int flags = 0;

	for (int i = 0; bits >> i; i++)
		flags |= bits & 1 << i ? offers[i] : 0;
	return ioctl(fd, TUNSETOFFLOAD, flags);
}

/* Which of these bits the kernel takes, or the errno as a negative code. */
static int offer(int fd, int bits)
{
	int size = TF_VNET_SIZE, little = 1, taken = NOTHING;

	/* A persistent interface has kept what a program before us has set. */
	if (bits && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	if (bits)
		ioctl(fd, TUNSETVNETLE, &little); /* before Linux 4.1 it was the machine's order */
	if (set_offload(fd, bits) == 0)
		return bits;
	if (set_offload(fd, NOTHING) < 0)
		return -errno;
	for (int bit = 1; bit <= bits; bit <<= 1)
		if (set_offload(fd, taken | bit) == 0)
			taken |= bit;
	return taken;
}

int tf_tun_try_offload(void)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open(NODE, O_RDWR | O_CLOEXEC), taken = -1;

	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0) {
		taken = offer(fd, ALL);
		taken = taken < 0 ? NOTHING : taken;
	}
	if (fd >= 0)
		close(fd);
	return taken;
}

const char *tf_tun_offload_text(int offload)
{
	static const char *const tso[] = {"", ", TSO4", ", TSO6", ", TSO"};
	static char text[32];
	int has = (offload & (TSO4 | TSO6)) / TSO4;

	if (offload < 0)
		return NULL;
	snprintf(text, sizeof(text), "%s%s%s%s", offload & CSUM ? "checksum" : "none", tso[has],
		 has && !(offload & ECN) ? " (no ECN)" : "", offload & USO ? ", USO" : "");
	return text;
}

/* Settles with the kernel what it leaves to us: large packets, checksums. */
static int agree_on_offload(struct tf_tun *tun, const struct tf_device_spec *spec, int created,
			    struct tf_error *error)
{
	int taken;

	tun->was_there = !created;
	if (ioctl(tun->fd, TUNGETVNETHDRSZ, &tun->vnet_size) < 0 || ioctl(tun->fd, TUNGETVNETLE, &tun->vnet_little) < 0)
		tun->vnet_size = 0;
	taken = offer(tun->fd, spec->no_offload ? NOTHING : ALL);
	if (taken < 0 && created) /* such a kernel has none */
		taken = NOTHING;
	if (taken < 0)
		return tf_error_set(error, taken, "can't set the offload of \"%s\": %s",
				    tun->device.name, uv_strerror(taken));
	tun->vnet = !spec->no_offload;
	for (int i = 0; taken >> i; i++)
		tun->offload |= taken & 1 << i ? offers[i] : 0;
	strcpy(tun->device.offload, tf_tun_offload_text(taken));
	return 0;
}

static int explain_queue(int code, const struct tf_tun *tun, uint32_t number, struct tf_error *error)
{
	return tf_error_set(error, code, "can't open queue %u of \"%s\": %s", number, tun->device.name,
			    uv_strerror(code));
}

/* Creates the interface or attaches to the one there is; *created tells which. */
static int attach(struct tf_tun *tun, const struct tf_device_spec *spec, int *created,
		  struct tf_error *error)
{
	int mode = tun->device.link == TF_LINK_ETHERNET ? IFF_TAP : IFF_TUN;
	struct tf_link_state state;
	struct ifreq request = {.ifr_flags = (short)(mode | IFF_NO_PI)};

	*created = !*spec->name || tf_link_index(tun->links, spec->name, &tun->index, NULL) < 0 ||
		   tf_link_state(tun->links, tun->index, &state, NULL) < 0;
	if (!*created && state.multi_queue && state.queues > 0)
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\", with %u queue%s: end it, or choose "
				    "another name",
				    spec->name, state.queues, state.queues == 1 ? "" : "s");
	if (spec->queues > 1 || (!*created && state.multi_queue))
		request.ifr_flags |= IFF_MULTI_QUEUE;
	strcpy(request.ifr_name, spec->name);
	if (!spec->no_offload)
		request.ifr_flags |= IFF_VNET_HDR;
	if (ioctl(tun->fd, TUNSETIFF, &request) < 0)
		return explain_attach(-errno, spec, *created ? NULL : &state, error);
	strcpy(tun->device.name, request.ifr_name);
	strcpy(tun->now, request.ifr_name);
	/* Before the interface is up, so that no packet comes on another queue than those after it. */
	for (uint32_t i = 0; i < tun->queue_count; i++)
		if (ioctl(tun->queues[i], TUNSETIFF, &request) < 0)
			return explain_queue(-errno, tun, i + 2, error);
	return tf_link_index(tun->links, tun->device.name, &tun->index, error);
}

/* Sets what the spec asks for, then brings the interface up. */
static int configure(struct tf_tun *tun, const struct tf_device_spec *spec, int created,
		     struct tf_error *error)
{
	uint32_t queue = spec->queue ? spec->queue : created ? TF_QUEUE_DEFAULT : 0;
	struct tf_link_state state;
	int code;

	code = tf_link_tune(tun->links, tun->index, spec->mtu, queue, error);
	if (code == 0 && spec->quiet)
		code = tf_link_quiet(tun->links, tun->index, error);
	for (uint32_t i = 0; code == 0 && i < spec->address_count; i++)
		code = tf_link_add_address(tun->links, tun->index, &spec->addresses[i], error);
	if (code == 0)
		code = tf_link_state(tun->links, tun->index, &state, error);
	if (code < 0)
		return code;
	tun->device.mtu_now = mmap(NULL, sizeof(*tun->device.mtu_now), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tun->device.mtu_now == MAP_FAILED) {
		tun->device.mtu_now = NULL;
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	}
	tun->device.mtu = state.mtu;
	*tun->device.mtu_now = state.mtu;
	tun->dropped_before = state.tx_dropped;
	tun->quiet_tap = spec->quiet && tun->device.link == TF_LINK_ETHERNET;
	tun->up = 1;
	if (state.up)
		return 0;
	code = tf_link_up(tun->links, tun->index, error);
	if (code == UV_EPERM && !created) { /* somebody else's to bring up: wait for that */
		tun->up = 0;
		tf_tun_say_down(tun);
		return 0;
	}
	return code;
}

/*
 * An interface keeps what was agreed on: the next program, which may know nothing of virtio_net_hdrs, would
 * read large packets without their checksums. None is what every interface begins with.
 */
static void take_back(struct tf_tun *tun)
{
	set_offload(tun->fd, NOTHING);
	if (!tun->vnet || !tun->vnet_size)
		return;
	ioctl(tun->fd, TUNSETVNETHDRSZ, &tun->vnet_size);
	ioctl(tun->fd, TUNSETVNETLE, &tun->vnet_little);
}

void tf_tun_free(struct tf_tun *tun)
{
	if (tun->was_there)
		take_back(tun);
	if (tun->links) {
		tf_links_close(tun->links);
		if (tun->device.mtu_now)
			munmap((void *)tun->device.mtu_now, sizeof(*tun->device.mtu_now));
	}
	for (uint32_t i = 0; i < tun->queue_count; i++)
		if (tun->queues[i] >= 0)
			close(tun->queues[i]);
	free(tun->queues);
	tf_tun_writer_free(tun->writer);
	if (tun->fd >= 0)
		close(tun->fd);
	if (tun->names_fd >= 0)
		close(tun->names_fd);
	free(tun->cut);
	free(tun->rest);
	free(tun);
}

int tf_tun_queue(struct tf_device **out, struct tf_device *device, uint32_t i,
		 struct tf_error *error)
{
	struct tf_tun *first = (struct tf_tun *)device, *tun = calloc(1, sizeof(*tun));

	if (!tun)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	tun->device = first->device;
	strcpy(tun->now, first->now);
	tun->index = first->index;
	tun->news_fd = tun->names_fd = -1;
	tun->up = first->up;
	tun->quiet_tap = first->quiet_tap;
	tun->offload = first->offload;
	tun->vnet = first->vnet;
	if (tun->vnet && !(tun->cut = malloc(sizeof(*tun->cut)))) {
		free(tun);
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	}
	tun->fd = first->queues[i - 1];
	tun->device.wakes = tun->fd + 1;
	first->queues[i - 1] = -1;
	*out = &tun->device;
	return 0;
}

int tf_tun_open(struct tf_device **out, const struct tf_device_spec *spec,
		const struct tf_device_ops *ops, uint8_t link, struct tf_error *error)
{
	struct tf_tun *tun;
	int code, created, has = 0;
	uint64_t home = 0;

	code = check_name(spec, error);
	if (code < 0)
		return code;
	tun = calloc(1, sizeof(*tun));
	if (!tun)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	tun->fd = tun->names_fd = -1;
	tun->device.ops = ops;
	tun->device.link = link;
	code = open_there(tun, spec, &home, error);
	if (code == 0)
		code = attach(tun, spec, &created, error);
	if (code == 0)
		code = agree_on_offload(tun, spec, created, error);
	if (code == 0)
		code = configure(tun, spec, created, error);
	if (code == 0)
		code = tf_link_has_address(tun->links, tun->index, &has, error);
	if (code < 0) {
		tf_tun_free(tun);
		return code;
	}
	tun->device.home = has ? home : 0;
	*out = &tun->device;
	return 0;
}
