/*
 * What a write to a device that is open with IFF_VNET_HDR is made of: the virtio_net_hdr, which
 * says what is still to be done to the packet (a checksum, segmentation), and the packet's bytes.
 */
#ifndef TF_DEVICE_LINUX_VNET_H
#define TF_DEVICE_LINUX_VNET_H

#include <stddef.h>
#include <sys/uio.h>

#include "../join.h"
#include "linux_tun.h"

#define TF_VNET_PIECES 80 /* 65,535 bytes by 1,024, and some */

/* One write: the pieces of memory that it is made of, the first of which begins with the header. */
struct tf_vnet_write {
	struct iovec pieces[TF_VNET_PIECES];
	int count;	    /* of pieces */
	size_t length;	    /* bytes in them */
	size_t scratch_len; /* bytes in use */
	uint8_t scratch[TF_VNET_SIZE + TF_JOIN_HEADER_MAX + TF_IP_MAX];
};

/* A packet by itself. Its headroom is used, and so is the checksum field of a TF_PARTIAL one. */
void tf_vnet_single(struct tf_vnet_write *write, struct tf_packet *packet);

/* A run of tf_join's. The packets stay as they are, but of a single one, likewise. */
void tf_vnet_run(struct tf_vnet_write *write, const struct tf_join *join, const struct tf_run *run);

#endif
