/*
 * Packets on their way from the worker that read them to the one whose flow they are of (steer.h). Each
 * worker has an inbox, of whole batches and bounded, from which they go through its script as if it had
 * read them itself. What one worker hands over of a flow stays in its order.
 */
#ifndef TF_EXCHANGE_H
#define TF_EXCHANGE_H

#include <uv.h>

#include "batch.h"
#include "steer.h"

/* Batches that wait in an inbox: 4,096 packets, as many as an interface queues, and fewer of large ones. */
enum { TF_EXCHANGE_BATCHES = 16 };

struct tf_exchange;

/* Packets that one worker has read and others are to have; that worker's alone. */
struct tf_away;

/* For so many workers of one process. The table is the caller's. 0 or UV_ENOMEM; destroy takes NULL. */
int tf_exchange_create(struct tf_exchange **out, struct tf_steer *steer, unsigned int workers);
void tf_exchange_destroy(struct tf_exchange *exchange);

/* Before any packet: what wakes a worker when there is something for it. */
void tf_exchange_wake(struct tf_exchange *exchange, unsigned int worker, uv_async_t *async);

struct tf_away *tf_away_create(struct tf_exchange *exchange, unsigned int worker, uint32_t most);
void tf_away_destroy(struct tf_away *away);

/*
 * Parses the packets of a batch just read, and takes those out that are other workers'. They lie in the
 * batch's memory until tf_away_send, which is before the batch is reset. 1, or 0 and nothing was done, since
 * nobody has changed a flow yet.
 */
int tf_away_take(struct tf_away *away, struct tf_batch *batch, double now);

/* Hands them over, and adds to lost, by side, how many found no room. */
void tf_away_send(struct tf_away *away, uint64_t lost[2]);

/* This worker writes the packet, with other ends than it was read with; its headers may have been parsed before that. */
void tf_away_enter(struct tf_away *away, const struct tf_packet *packet, double now);

/* The next batch that was handed to this worker, parsed; NULL if there is none. tf_away_done before the one after that. */
struct tf_batch *tf_away_next(struct tf_away *away);
void tf_away_done(struct tf_away *away);

#endif
