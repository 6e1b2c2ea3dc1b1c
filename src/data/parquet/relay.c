/* SPDX-License-Identifier: MIT */
#include "data/parquet/relay.h"

void ce_relay_init(struct ce_relay *relay, size_t places)
{
    *relay = (struct ce_relay){.places = places};
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->changed, NULL);
}

void ce_relay_done(struct ce_relay *relay)
{
    for (; relay->count > 0; relay->count--) {
        struct ArrowArray *batch = &relay->batches[relay->first++ % CE_RELAY_BATCHES];
        batch->release(batch);
    }
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
}

bool ce_relay_put(struct ce_relay *relay, struct ArrowArray *batch)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->count == relay->places && !relay->refused)
        pthread_cond_wait(&relay->changed, &relay->lock);
    bool wanted = !relay->refused;
    if (wanted) {
        relay->batches[(relay->first + relay->count) % CE_RELAY_BATCHES] = *batch;
        relay->count++;
        pthread_cond_signal(&relay->changed);
    }
    pthread_mutex_unlock(&relay->lock);
    if (!wanted)
        batch->release(batch);
    return wanted;
}

void ce_relay_end(struct ce_relay *relay, bool failed)
{
    pthread_mutex_lock(&relay->lock);
    relay->ended = true;
    relay->failed = failed;
    pthread_cond_signal(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
}

int ce_relay_take(struct ce_relay *relay, struct ArrowArray *ret_batch)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->count == 0 && !relay->ended)
        pthread_cond_wait(&relay->changed, &relay->lock);
    int r = relay->failed ? -1 : relay->count > 0;
    if (r > 0) {
        *ret_batch = relay->batches[relay->first];
        relay->first = (relay->first + 1) % CE_RELAY_BATCHES;
        relay->count--;
        pthread_cond_signal(&relay->changed);
    }
    pthread_mutex_unlock(&relay->lock);
    return r;
}

void ce_relay_refuse(struct ce_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->refused = true;
    pthread_cond_signal(&relay->changed);
    pthread_mutex_unlock(&relay->lock);
}
