/*
 * Linux's virtual interfaces: tun carries IP packets, tap Ethernet frames.
 * linux_tun_open.c opens and sets up; linux_tun.c watches and reads; linux_tun_write.c and
 * linux_vnet.c write.
 */
#ifndef TF_DEVICE_LINUX_TUN_H
#define TF_DEVICE_LINUX_TUN_H

#include <errno.h>
#include <net/if.h>

#include "../device.h"
#include "../link.h"
#include "../segment.h"

enum {
	TF_VNET_SIZE = 10,	/* bytes of a virtio_net_hdr; its numbers are little-endian here */
	TF_VNET_GSO_UDP = 5,	/* VIRTIO_NET_HDR_GSO_UDP_L4 */
	TF_TUN_USO = 0x20 | 0x40 /* TUN_F_USO4, TUN_F_USO6: not in the headers of Linux before 6.2 */
};

extern const struct tf_device_ops tf_device_linux_tun;
extern const struct tf_device_ops tf_device_linux_tap;

struct tf_tun {
	struct tf_device device;
	char now[IFNAMSIZ];	 /* what it is called now; device.name is what it was at open */
	int fd;			 /* of the TUN node, non-blocking */
	int *queues;		 /* further ones, attached, that no device has yet: -1 where one has */
	uint32_t queue_count;
	int index;		 /* of the interface; stays when it is renamed */
	struct tf_links *links;	 /* in the interface's namespace; NULL but for the first queue */
	int news_fd;		 /* of links: readable when an interface changed */
	char netns_path[512];	 /* where the namespace's name is, or "" */
	ino_t netns_inode;	 /* what it names */
	int names_fd;		 /* inotify's, of the folder of that name: who runs a script may ask for none; -1: none */
	uint64_t dropped_before; /* the kernel's count when we opened */
	uint64_t dropped;	 /* since then, as last read */
	uint32_t offload;	 /* TUN_F_…: what the kernel leaves to us and we to it */
	uint8_t vnet;		 /* a virtio_net_hdr stands before each packet, both ways */
	uint8_t was_there;	 /* the interface is not of our making; then also: */
	int vnet_size;		 /* bytes of a virtio_net_hdr on it as we found it, 0: unknown */
	int vnet_little;	 /* and whether its numbers were little-endian */
	struct tf_cut *cut;	 /* a large packet that is being cut; NULL before the first one */
	uint8_t *rest;		 /* its bytes, while device.more of its packets fit in no batch; or NULL */
	uint64_t refused;	 /* packets that were not what their virtio_net_hdr said */
	struct tf_tun_writer *writer; /* NULL without vnet, and before the first write */
	uint8_t up;		 /* as last heard */
	uint8_t quiet_tap;	 /* the kernel's own reports are to be left out */
	uint8_t failure_logged;
	uint8_t freed;	     /* close was called before the handles had closed */
	uint8_t handles;     /* of those below, from the first on, how many are open or closing */
	uv_poll_t packets;   /* fd */
	uv_poll_t news;	     /* news_fd */
	uv_poll_t names;     /* names_fd, unless that is -1 */
	tf_device_ready_cb ready; /* NULL once it was told that the device is gone */
	void *arg;
};

int tf_tun_open(struct tf_device **out, const struct tf_device_spec *spec,
		const struct tf_device_ops *ops, uint8_t link, struct tf_error *error);
int tf_tun_queue(struct tf_device **out, struct tf_device *device, uint32_t i,
		 struct tf_error *error);
void tf_tun_free(struct tf_tun *tun);

/* Which offload a new device has here, for tf_tun_offload_text(); -1: there can be no device. */
int tf_tun_try_offload(void);

/* "checksum, TSO, USO" … "none", until the next call; NULL for a number below 0. */
const char *tf_tun_offload_text(int offload);

void tf_tun_say_down(const struct tf_tun *tun);

/* Remembers whether the interface is up, and says so when that is news. */
void tf_tun_set_up(struct tf_tun *tun, int up);

/* write_batch of both kinds. */
int tf_tun_write_batch(struct tf_device *device, struct tf_packet *const *packets, uint32_t count,
		       struct tf_written *written);

/* What writing keeps with the device; NULL is fine. */
void tf_tun_writer_free(struct tf_tun_writer *writer);

/* Whether this errno says that the interface is no more. */
static inline int tf_tun_is_gone(int error_number)
{
	return error_number == EBADFD || error_number == EBADF || error_number == ENODEV;
}

#endif
