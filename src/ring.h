/*
 * Packets on their way from one thread to another, in order: one thread puts them in, the other takes
 * them out, and neither waits. A packet is read straight into the ring: tf_ring_room, then
 * tf_ring_put. When the ring is full there is no room, and whoever puts in decides what is lost.
 */
#ifndef TF_RING_H
#define TF_RING_H

#include <stdint.h>

struct tf_ring;

/* For up to count packets (at least 1) of size bytes each as a rule. 0, or UV_ENOMEM. */
int tf_ring_create(struct tf_ring **out, uint32_t count, uint32_t size);
void tf_ring_destroy(struct tf_ring *ring); /* NULL is fine */

/* The thread that puts in: room for TF_PACKET_MAX bytes, or NULL when full; then the len it has. */
uint8_t *tf_ring_room(struct tf_ring *ring);
void tf_ring_put(struct tf_ring *ring, uint32_t len);

/* The thread that takes out: the oldest packet and its length, NULL if there is none; then on. */
const uint8_t *tf_ring_first(struct tf_ring *ring, uint32_t *len);
void tf_ring_take(struct tf_ring *ring);

#endif
