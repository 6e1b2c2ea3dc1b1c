/* SPDX-License-Identifier: MIT */
/* Arrow batches on their way from one thread to another: a queue of few places, at whose full or
 * empty end a thread waits. */
#ifndef CE_DATA_PARQUET_RELAY_H
#define CE_DATA_PARQUET_RELAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "data/arrow/abi.h"

#define CE_RELAY_BATCHES 64

struct ce_relay {
    size_t places; /* that are used: at most CE_RELAY_BATCHES */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct ArrowArray batches[CE_RELAY_BATCHES]; /* a ring */
    size_t first, count;
    bool ended;   /* nothing follows */
    bool failed;  /* ... because the producer failed */
    bool refused; /* the consumer takes no more */
};

void ce_relay_init(struct ce_relay *relay, size_t places);
void ce_relay_done(struct ce_relay *relay); /* when neither thread uses it any more */

/* Takes over the batch, waiting for a place. False: it is not wanted any more, and released. */
bool ce_relay_put(struct ce_relay *relay, struct ArrowArray *batch);
void ce_relay_end(struct ce_relay *relay, bool failed);

/* Waits for a batch: 1, 0 at the end, -1 when the producer failed. */
int ce_relay_take(struct ce_relay *relay, struct ArrowArray *ret_batch);
void ce_relay_refuse(struct ce_relay *relay);

#endif
