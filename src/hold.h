/* Packets that a script holds for a while: copies, ordered by due time, bounded in number and bytes. */
#ifndef TF_HOLD_H
#define TF_HOLD_H

#include "outbox.h"
#include "packet.h"

#define TF_HOLD_PACKETS 65536
#define TF_HOLD_BYTES	(64u << 20)

struct tf_hold;

/* NULL without memory. */
struct tf_hold *tf_hold_create(void);

/* Frees it and what it holds; NULL is fine. */
void tf_hold_destroy(struct tf_hold *hold);

/*
 * Copies a packet in, to go to a side when packet->due (seconds on the run's clock) is reached;
 * equal times keep their order. TF_SEND_OK, TF_SEND_FULL or TF_SEND_NOMEM.
 */
int tf_hold_add(struct tf_hold *hold, struct tf_packet *packet, uint8_t side);

/* Takes all out, in the order in which they are due; each is the function's for the time of the call. */
void tf_hold_empty(struct tf_hold *hold, void (*each)(void *arg, struct tf_packet *packet, uint8_t side), void *arg);

/* When the first is due, in seconds; above 1e299 if none is held. */
double tf_hold_due(const struct tf_hold *hold);

/* How many are held; and how many of them go to a side. */
uint32_t tf_hold_count(const struct tf_hold *hold);
uint32_t tf_hold_count_to(const struct tf_hold *hold, uint8_t side);

/*
 * Moves all that are due at this time to the outbox, as going before packet `before` of the batch.
 * What the outbox cannot take now stays.
 */
void tf_hold_release(struct tf_hold *hold, double now, struct tf_outbox *outbox, uint32_t before);

#endif
