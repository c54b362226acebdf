/*
 * The header that the kernel and we put before each packet when a device is open with IFF_VNET_HDR:
 * what is still to be done to the packet (a checksum, segmentation).
 */
#ifndef TF_DEVICE_LINUX_VNET_H
#define TF_DEVICE_LINUX_VNET_H

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

/* Newer than the headers of some systems: Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Bytes of struct virtio_net_hdr, in the machine's own byte order: fits the headroom. */
#define TF_VNET_SIZE 10

_Static_assert(sizeof(struct virtio_net_hdr) == TF_VNET_SIZE, "the kernel's default");

#endif
