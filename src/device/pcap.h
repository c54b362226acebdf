/*
 * The pcap device: packets come from a capture file and go to another. It is both sides of a
 * replay, since the file has both sides' packets, and what is written must keep its order.
 */
#ifndef TF_DEVICE_PCAP_H
#define TF_DEVICE_PCAP_H

#include "../capture_read.h"
#include "../device.h"

struct tf_pcap_config {
	const char *in;	 /* "-": standard input */
	const char *out; /* NULL: nothing is written; "-": standard output */
	const struct tf_prefix
		*left; /* packets from these addresses come from the left, else NULL */
	uint32_t left_count;
};

/*
 * Opens both files and reads the first packet, which says what the device carries. The sides: by
 * config->left; else the first interface of a capture with several is the left one; else all
 * packets come from the left. What stands before IP in cooked and loopback captures is kept apart
 * and written again. 0, or a code with a sentence.
 */
int tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config,
		 struct tf_error *error);

/* The sentence of the error that a read or write of the device answered. */
const char *tf_pcap_error(const struct tf_device *device);

/* Before the first read: when the first packet came, ns since the epoch; 0 if there is none. */
int64_t tf_pcap_first(const struct tf_device *device);

/* Packets that no script sees (empty, or longer than TF_PACKET_MAX): written as they are. */
uint64_t tf_pcap_unseen(const struct tf_device *device);

/* LINKTYPE_… that the packets have for scripts: without what stands before IP. */
uint16_t tf_pcap_linktype(const struct tf_device *device);

/* For a progress bar; see tf_capture_progress. */
void tf_pcap_progress(const struct tf_device *device, uint64_t *at, uint64_t *size);

/* Writes out what is left: 0, or the first error of all writing, with tf_pcap_error. */
int tf_pcap_finish(struct tf_device *device);

#endif
