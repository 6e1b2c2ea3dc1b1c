/* SPDX-License-Identifier: MIT */
/* What a fault is. One file per fault in data/, model/ or infra/, ending with its descriptor; one
 * line in faults.list.h. CONTRIBUTING.md walks through it; tests/unit/skeleton.c is the template.
 */
#ifndef CE_FAULTS_FAULT_H
#define CE_FAULTS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "data/counts.h"
#include "data/radius.h"
#include "faults/target.h"
#include "host/helper_bits.h"
#include "journal/journal.h"
#include "params/params.h"

enum ce_layer {
    CE_LAYER_DATA = 0,
    CE_LAYER_MODEL,
    CE_LAYER_INFRASTRUCTURE,
    CE_LAYER_COUNT_,
};
const char *ce_layer_name(enum ce_layer layer);

/* What the target must offer; checked before anything is injected. */
enum {
    CE_NEEDS_DATASET = 1,       /* target->dataset and target->reload */
    CE_NEEDS_REQUEST_ROUTE = 2, /* live requests, before the pipeline sees them */
    CE_NEEDS_MODEL_ROUTE = 4,   /* predictions, between model server and its caller */
    CE_NEEDS_PROCESS = 8,       /* a serving process */
    CE_NEEDS_COLUMNS = 16,      /* target->dataset: the columns that requests are made of */
    /* Of target->locate: */
    CE_NEEDS_NETWORK = 32, /* packets that enter it */
    CE_NEEDS_FOLDER = 64,  /* a folder in which it keeps files, or a block device */
    CE_NEEDS_TREE = 128,   /* a process and all that is below it, or a control group */
    /* A target that ChaosEater starts, so that it loads what these faults need. */
    CE_NEEDS_LEAK_HELPER = CE_HELPER_LEAK,
    CE_NEEDS_GPU_HELPER = CE_HELPER_GPU,
    CE_NEEDS_CLOCK_HELPER = CE_HELPER_CLOCK,
    CE_NEEDS_SYSCALL_HELPER = CE_HELPER_SYSCALLS,
    CE_NEEDS_BATCHES = 4096, /* predictions, as CE_NEEDS_MODEL_ROUTE, or target->fail_trials */
};

/* What verification saw, as one sentence with numbers, and how often it looked. */
struct ce_evidence {
    char text[320];
};

/* One fault at work. Everything a fault keeps lives in `state` (state_size zeroed bytes); file
 * scope holds constants. */
struct ce_injection {
    const struct ce_fault *fault;
    const void *params; /* the fault's parameter struct */
    void *state;
    const struct ce_target *target;
    struct ce_journal *journal;
    uint64_t seed;
    int64_t duration; /* of the fault phase, ns */
    const char
        *rule;      /* its name among the rules of a proxy that stands alone; NULL in experiments */
    unsigned place; /* of that rule: see struct ce_hook */
    struct ce_reach *reach; /* NULL: as far as the parameters say */
};

struct ce_mutation; /* data/mutation.h */

/* How a fault's mutation of a table is to be made. */
struct ce_dose {
    uint64_t seed;
    double intensity;  /* 0..1 of what the parameters say */
    const char *label; /* the table's label column: left alone unless it is named; NULL: unknown */
    const struct ce_radius *radius; /* which rows it may touch; NULL: all */
};

/* How far the document lets a fault reach among live requests or rows of the training data, and
 * what came of it. Faults note it, on any thread. */
struct ce_reach {
    struct ce_radius radius;
    _Atomic uint64_t eligible, chosen; /* how many there were, and how many of them lay within */
};

/* Callbacks run on the controller's thread, in the order in which they stand here. Each may be NULL
 * except inject, verify and revert. They may block for as long as the deed takes. */
struct ce_fault {
    const char *name;
    const char *summary; /* a sentence without full stop: "Delay a share of the predictions" */
    enum ce_layer layer;
    unsigned needs;                /* of the default parameters; `needs_of` overrides */
    unsigned helpers;              /* CE_HELPER_ bits: what a target that ChaosEater starts loads
                                      besides, which the fault can do without */
    const struct ce_param *params; /* ends with CE_END_PARAMS; never NULL */
    size_t params_size, state_size;
    const char
        *example; /* YAML of `parameters:` for explain, one line, flow style: "{latency_ms: 200}" */

    /* Whether this host can do it; if not, says why in one sentence. NULL: always. */
    bool (*available)(char *reason, size_t size);
    unsigned (*needs_of)(const void *params);
    /* What stands for `helpers` with these parameters. NULL: that. */
    unsigned (*helpers_of)(const void *params);
    /* Rules across fields; ranges are in the table. The message names both fields. NULL: none. */
    int (*check)(const void *params, struct ce_error *err);
    /* Whether these parameters make the fault a no-op (rate 0, 0 ms): a control run, with nothing
     * to verify. */
    bool (*is_control)(const void *params);
    /* How it changes a table: the same for training data, for live requests and for `data inject`.
     * What the intensity scales, the rate or a magnitude, is for the fault's file to say. The
     * mutation borrows from params and dose, which must outlive it; end it with ce_mutation_done().
     * NULL: the fault changes no table. Any thread. */
    int (*mutate)(const void *params, const struct ce_dose *dose, struct ce_mutation *ret_mutation,
                  struct ce_error *err);

    /* Does the deed at full intensity. Notes the undo before every change (journal.h). On failure
     * the controller calls revert. Returns 0, -ENODATA when there was nothing to hit
     * (inconclusive), or -errno. */
    int (*inject)(struct ce_injection *injection, struct ce_error *err);
    /* Observes the effect from outside the fault: 1 seen, 0 not seen, -ENODATA when there is
     * nothing that it hits (inconclusive), -errno when it could not look. Fills the evidence in
     * every case but an error. */
    int (*verify)(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err);
    /* Changes the magnitude while live: 0 nothing .. 1 as configured. NULL: the fault is on or off.
     */
    int (*adjust)(struct ce_injection *injection, double intensity, struct ce_error *err);
    /* From now on that share of the requests, those of ce_spared(), is not hit; 1: none is. It only
     * grows. Whoever can do it at all accepts 0; else -ENOTSUP. NULL: the same. */
    int (*spare)(struct ce_injection *injection, double share, struct ce_error *err);
    /* Puts everything back and frees what state holds. Idempotent; also called after a failed
     * inject. */
    int (*revert)(struct ce_injection *injection, struct ce_error *err);
    /* Looks whether everything is back: 0, or -errno with what is still different. NULL: revert has
     * checked itself. */
    int (*verify_undo)(struct ce_injection *injection, struct ce_error *err);
    /* What was hit during the fault phase. Called before revert. */
    void (*count)(const struct ce_injection *injection, struct ce_fault_counts *ret_counts);
};

#endif
