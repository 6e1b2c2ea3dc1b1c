/* SPDX-License-Identifier: MIT */
/* When each packet may go on, and which is next: the arithmetic of a delay, without any packets.
 *
 * A delay is drawn for every packet from a stream of counter-based random numbers. Correlated draws
 * follow each other as a Gaussian process does (each is the last one times the correlation, plus
 * something new) and are then bent into the wanted distribution: so correlation changes in which
 * order the delays come, not how they are spread. */
#ifndef CE_HOST_PACKETS_DELAY_QUEUE_H
#define CE_HOST_PACKETS_DELAY_QUEUE_H

#include "base/random.h"
#include "host/packets/packets.h"

enum { CE_DELAY_LANES = 4096 };

struct ce_delay {
    struct ce_packet_deed deed;
    struct ce_stream stream;
    uint64_t drawn;
    double last;                   /* standard normal: the last draw, before it was bent */
    int64_t lanes[CE_DELAY_LANES]; /* when the last packet of a connection goes on */
};
void ce_delay_init(struct ce_delay *delay, const struct ce_packet_deed *deed);
/* Other numbers from the next packet on; the seed and keep_order stay as they were. */
void ce_delay_change(struct ce_delay *delay, const struct ce_packet_deed *deed);
/* When a packet that comes `now` may go on. `connection` is any number that packets of one
 * connection and direction share. */
int64_t ce_delay_until(struct ce_delay *delay, int64_t now, uint64_t connection);
/* Whether the next packet is to be lost instead. */
bool ce_delay_loses(struct ce_delay *delay);
/* The median of what is drawn, ns: what a measurement should find. */
int64_t ce_delay_median(const struct ce_packet_deed *deed);

/* Packets by the time at which they go on; equal times in the order in which they came. Starts
 * zeroed. */
struct ce_delay_queue {
    struct ce_delayed {
        int64_t at;
        uint64_t order;
        uint32_t packet;
    } * heap; /* owned */
    size_t count, capacity;
    uint64_t next_order;
};
/* 0 or -ENOMEM. */
int ce_delay_queue_put(struct ce_delay_queue *queue, int64_t at, uint32_t packet);
/* When the next one goes on; INT64_MAX: there is none. */
int64_t ce_delay_queue_next(const struct ce_delay_queue *queue);
/* Takes the next one. There must be one. */
uint32_t ce_delay_queue_take(struct ce_delay_queue *queue);
void ce_delay_queue_done(struct ce_delay_queue *queue);

#endif
