/*
 * Which of many programs select a packet, at a cost that hardly grows with their number.
 *
 * All programs run at once, as one automaton: a state is what is left to ask of each of them, the
 * value that one of them asks for next is looked at once for all, and what it is leads to the next
 * state. States are made when packets first need them, and kept within bounds (TF_CLASSIFIER_BYTES):
 * where packets need more, all are forgotten and made anew, which costs such a packet about what
 * running every program would.
 */
#ifndef TF_CLASSIFY_H
#define TF_CLASSIFY_H

#include <pcap/pcap.h>

#include "packet.h"

#define TF_CLASSIFIER_BYTES (8u << 20)

struct tf_classifier;

/* Those that select a packet: count numbers, rising. */
struct tf_selected {
	uint32_t count;
	const uint32_t *numbers;
};

/* NULL without memory. */
struct tf_classifier *tf_classifier_create(void);

/* NULL is fine. */
void tf_classifier_destroy(struct tf_classifier *classifier);

/*
 * Adds a program under a number, above that of the one before; NULL selects every packet. Before the
 * first find. 0, or -1 without memory or for a program that has to be run as it is (predicate.h).
 */
int tf_classifier_add(struct tf_classifier *classifier, const struct bpf_program *bpf,
		      uint32_t number);

/*
 * What bpf_filter() would say of the packet as it now is, for every program: 0 and *selected, good
 * until the next call; -1 without memory. The program sees the packet from `prefix` bytes before
 * its data on. Any bytes are safe. What a program reads of a packet that was cut is settled.
 */
int tf_classifier_find(struct tf_classifier *classifier, struct tf_packet *packet, uint32_t prefix,
		       struct tf_selected *selected);

#endif
