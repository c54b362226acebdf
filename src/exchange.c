#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "parse.h"
#include "pipeline.h"

struct inbox {
	uv_mutex_t mutex;
	uv_async_t *wake;
	_Atomic uint32_t waiting; /* batches; for a look without the mutex */
	uint32_t first;		  /* the oldest of those, in the ring */
	/* A place has its batch from its first use on; the last one that waits may have room. */
	struct tf_batch *ring[TF_EXCHANGE_BATCHES];
	int out; /* the oldest is being worked on, and is not added to */
};

struct tf_exchange {
	struct tf_steer *steer;
	unsigned int count;
	struct inbox inbox[]; /* count of them */
};

struct tf_away {
	struct tf_exchange *exchange;
	struct inbox *inbox; /* its worker's own */
	unsigned int worker;
	uint32_t count;
	struct tf_packet *packets; /* count of them, in the order of the batch */
	uint8_t *to;		   /* the worker of each */
};

int tf_exchange_create(struct tf_exchange **out, struct tf_steer *steer, unsigned int workers)
{
	struct tf_exchange *exchange = calloc(1, sizeof(*exchange) + workers * sizeof(exchange->inbox[0]));

	if (!exchange)
		return UV_ENOMEM;
	for (; exchange->count < workers; exchange->count++) {
		if (uv_mutex_init(&exchange->inbox[exchange->count].mutex) < 0) {
			tf_exchange_destroy(exchange);
			return UV_ENOMEM;
		}
	}
	exchange->steer = steer;
	tf_steer_begin(steer);
	*out = exchange;
	return 0;
}

void tf_exchange_destroy(struct tf_exchange *exchange)
{
	if (!exchange)
		return;
	for (unsigned int i = 0; i < exchange->count; i++) {
		uv_mutex_destroy(&exchange->inbox[i].mutex);
		for (int place = 0; place < TF_EXCHANGE_BATCHES; place++)
			tf_batch_destroy(exchange->inbox[i].ring[place]);
	}
	free(exchange);
}

void tf_exchange_wake(struct tf_exchange *exchange, unsigned int worker, uv_async_t *async)
{
	exchange->inbox[worker].wake = async;
}

struct tf_away *tf_away_create(struct tf_exchange *exchange, unsigned int worker, uint32_t most)
{
	struct tf_away *away = calloc(1, sizeof(*away));

	if (!away)
		return NULL;
	away->exchange = exchange;
	away->inbox = &exchange->inbox[worker];
	away->worker = worker;
	away->packets = calloc(most, sizeof(*away->packets));
	away->to = calloc(most, sizeof(*away->to));
	if (!away->packets || !away->to) {
		tf_away_destroy(away);
		return NULL;
	}
	return away;
}

void tf_away_destroy(struct tf_away *away)
{
	if (!away)
		return;
	free(away->packets);
	free(away->to);
	free(away);
}

int tf_away_take(struct tf_away *away, struct tf_batch *batch, double now)
{
	const struct tf_large *large = NULL;
	uint32_t kept = 0;
	int to = -1;

	if (!tf_steer_used(away->exchange->steer))
		return 0;
	for (uint32_t i = 0; i < batch->count; i++) {
		struct tf_packet *packet = &batch->packets[i];

		if (!(packet->flags & (TF_CUT | TF_PARTIAL))) /* those have been */
			tf_parse(packet);
		if (!large || packet->large != large) /* all that is cut from one is of one flow */
			to = tf_steer_find(away->exchange->steer, packet, now);
		large = packet->large;
		/* A script may have written anything into the table. */
		if (to >= 0 && to != (int)away->worker && to < (int)away->exchange->count) {
			away->to[away->count] = (uint8_t)to;
			away->packets[away->count++] = *packet;
			continue;
		}
		if (kept < i) {
			batch->packets[kept] = *packet;
			if (large && large->first == packet)
				packet->large->first = &batch->packets[kept];
		}
		kept++;
	}
	memset(&batch->packets[kept], 0, (batch->count - kept) * sizeof(batch->packets[0]));
	batch->count = kept;
	return 1;
}

/* A batch with room for a packet, or NULL. With the mutex. */
static struct tf_batch *batch_for(struct inbox *inbox)
{
	uint32_t waiting = atomic_load_explicit(&inbox->waiting, memory_order_relaxed);
	struct tf_batch **place = &inbox->ring[(inbox->first + waiting - 1) % TF_EXCHANGE_BATCHES];

	if (waiting > (uint32_t)inbox->out && tf_batch_room(*place))
		return *place;
	place = &inbox->ring[(inbox->first + waiting) % TF_EXCHANGE_BATCHES];
	if (waiting == TF_EXCHANGE_BATCHES || (!*place && tf_batch_create(place, TF_BUDGET) < 0))
		return NULL;
	tf_batch_reset(*place, 0, 0);
	atomic_store_explicit(&inbox->waiting, waiting + 1, memory_order_relaxed);
	return *place;
}

static void copy(struct tf_batch *batch, const struct tf_packet *packet)
{
	struct tf_packet *made = tf_batch_commit(batch, packet->len);
	const struct tf_packet place = *made;
	uint32_t here = packet->flags & TF_CUT ? packet->payload : packet->len;

	memcpy(place.data, packet->data, here);
	if (here < packet->len)
		memcpy(place.data + here, packet->tail, packet->len - here);
	*made = *packet;
	made->data = place.data;
	made->room = place.room;
	made->flags &= (uint8_t)~TF_CUT;
	made->tail = NULL;
	made->large = NULL;
}

/* How many of the packets found room: the first of them. */
static uint32_t put(struct inbox *inbox, const struct tf_packet *packets, uint32_t count)
{
	struct tf_batch *batch;
	uint32_t i = 0;

	uv_mutex_lock(&inbox->mutex);
	for (; i < count && (batch = batch_for(inbox)) != NULL; i++)
		copy(batch, &packets[i]);
	uv_mutex_unlock(&inbox->mutex);
	if (i > 0)
		uv_async_send(inbox->wake);
	return i;
}

void tf_away_send(struct tf_away *away, uint64_t lost[2])
{
	for (uint32_t first = 0, end; first < away->count; first = end) {
		uint32_t taken;

		for (end = first + 1; end < away->count && away->to[end] == away->to[first];)
			end++;
		taken = put(&away->exchange->inbox[away->to[first]], &away->packets[first], end - first);
		for (uint32_t i = first + taken; i < end; i++)
			lost[away->packets[i].from]++;
	}
	away->count = 0;
}

void tf_away_enter(struct tf_away *away, const struct tf_packet *packet, double now)
{
	tf_steer_enter(away->exchange->steer, packet, away->worker, now);
}

struct tf_batch *tf_away_next(struct tf_away *away)
{
	struct inbox *inbox = away->inbox;
	struct tf_batch *batch;

	if (atomic_load_explicit(&inbox->waiting, memory_order_relaxed) == 0)
		return NULL;
	uv_mutex_lock(&inbox->mutex);
	inbox->out = 1;
	batch = inbox->ring[inbox->first];
	uv_mutex_unlock(&inbox->mutex);
	return batch;
}

void tf_away_done(struct tf_away *away)
{
	struct inbox *inbox = away->inbox;

	uv_mutex_lock(&inbox->mutex);
	inbox->out = 0;
	inbox->first = (inbox->first + 1) % TF_EXCHANGE_BATCHES;
	atomic_fetch_sub_explicit(&inbox->waiting, 1, memory_order_relaxed);
	uv_mutex_unlock(&inbox->mutex);
}
