/* SPDX-License-Identifier: MIT */
/* What a model server said last, for each path: what a server that is stuck would say again. */
#ifndef CE_FAULTS_MODEL_LAST_ANSWERS_H
#define CE_FAULTS_MODEL_LAST_ANSWERS_H

#include <pthread.h>

#include "faults/traffic.h"

#define CE_LAST_ANSWERS_MAX 16 /* paths; those beyond share */

/* An answer's copy. All zero: none. */
struct ce_last_answer {
    uint64_t path;             /* its hash */
    struct ce_message message; /* its slices point into `memory` */
    char *memory;
};

/* Part of a fault's state. */
struct ce_last_answers {
    pthread_mutex_t lock;
    struct ce_last_answer answers[CE_LAST_ANSWERS_MAX];
};
void ce_last_answers_init(struct ce_last_answers *last);
/* When no callback runs any more. A zeroed one is fine. */
void ce_last_answers_done(struct ce_last_answers *last);

/* Keeps a copy of the message for that path, and hands out the one that was kept before: *ret is
 * the caller's to end, zeroed when there was none. Probes are kept to themselves. 0 or -ENOMEM. */
int ce_last_answers_swap(struct ce_last_answers *last, const struct ce_exchange *exchange,
                         const struct ce_message *message, struct ce_last_answer *ret);
void ce_last_answer_done(struct ce_last_answer *answer);

#endif
