/* SPDX-License-Identifier: MIT */
/* What a suite yields, and what follows from it: exit code, gate, reports. */
#ifndef CE_ORCHESTRATOR_RESULTS_H
#define CE_ORCHESTRATOR_RESULTS_H

#include "base/cleanup.h"
#include "chaoseater.h"
#include "observers/record.h"
#include "report/report.h"

struct ce_results {
    struct ce_record **records;
    json_t **earlier; /* how each one's experiment did before; NULL: not known, also each of them */
    size_t count;
    uint64_t seed;
    int signal; /* that ended the suite, or 0 */
    bool hits_lost;
    size_t resumed;
    char *push_warning;    /* about metrics that were not pushed; NULL: none */
    char *events_problem;  /* what is missing in the file of events; NULL: nothing is */
    char *history_problem; /* why runs are missing in the history; NULL: none is */
    bool has_gate;
    struct ce_report_gate gate;
    char *source; /* the file that they were read from; NULL: of this process */
};

struct ce_results *ce_results_new(uint64_t seed); /* NULL: out of memory */
CE_DEFINE_CLEANUP(struct ce_results, ce_results_free);
/* Takes over what the record owns, in every case. */
int ce_results_add(struct ce_results *results, struct ce_record *record, struct ce_error *err);
struct ce_history;
/* Looks up how the experiments did before. What cannot be looked up is not known. */
void ce_results_look_back(struct ce_results *results, struct ce_history *history);
/* Drops what a gate has found. */
void ce_results_ungate(struct ce_results *results);

#endif
