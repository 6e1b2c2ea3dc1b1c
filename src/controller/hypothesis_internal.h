/* SPDX-License-Identifier: MIT */
/* What the two files of the hypothesis share: what was heard of each probe so far. */
#ifndef CE_CONTROLLER_HYPOTHESIS_INTERNAL_H
#define CE_CONTROLLER_HYPOTHESIS_INTERNAL_H

#include "controller/hypothesis.h"

/* One probe, or one stop condition's. */
struct item {
    const struct ce_probe_spec *spec;
    const struct ce_stop *stop; /* NULL: a probe of the hypothesis */
    uint64_t looks, failed, errors;
    struct ce_in_row row; /* of this round */
    bool settled;         /* in this round */
    bool known;           /* it was answered when that mattered last */
    bool deviated;
    int64_t next;                /* workload: when it is looked at */
    int64_t since;               /* stop: when it was first met without a break; 0: it is not */
    int64_t seen;                /* stop: when it was last looked at */
    struct ce_probe_answer last; /* the one that says most: a failure that counted, else the last */
};

struct span {
    struct ce_watch *watch;
    const struct ce_probe_spec **specs;
    size_t *items; /* which item each is */
    size_t count;
};

struct ce_hypothesis {
    const struct ce_experiment *experiment;
    const struct ce_live *live;
    struct ce_customs *customs;
    int64_t timeout;
    struct item *items; /* the probes, then the stop conditions */
    size_t count;
    enum ce_round round;
    struct span settling, chaos, whole;
    int64_t injected_at, polled_at;
    const struct item *stopped; /* the stop condition that is met */
    bool stopped_blind;         /* it is not met, but was not seen for too long */
    double stopped_value;
    int64_t stopped_at;
    char sentence[CE_TEXT_SHOWN_SIZE + 512];
};

/* Whether this round has to settle for the item. */
bool ce_hypothesis_awaits(const struct ce_hypothesis *hypothesis, const struct item *item);

#endif
