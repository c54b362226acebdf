/*
 * Packets as parts of large ones: whatever a test shows to a script, the kernel could have handed
 * over so.
 */
#ifndef TF_TEST_PART_H
#define TF_TEST_PART_H

#include "batch.h"

/*
 * Makes a packet that was just committed to a batch one that was cut from a large packet, between
 * others where its flags allow that (segment.h): its payload is not at data, its checksum not
 * computed. What has no payload only lacks its checksum. Nothing is done, and 0 returned, where a
 * kernel could not do it: to other protocols, fragments, what is malformed, or has a wrong
 * checksum.
 *
 * The large packet lives until parts_forget(), for the packets of this thread; that nobody wrote
 * into it is checked then.
 */
int part_of_large(struct tf_batch *batch, struct tf_packet *packet);
void parts_forget(void);

#endif
