/* SPDX-License-Identifier: MIT */
/* The controller's side of the embedded pipeline's processes.
 *
 * They form a tree: keeper (pid 1 of the namespaces, ChaosEater's own, no fault's target) -
 * supervisor - trainer, server and gateway. Two channels lead there: one to the keeper, which hands
 * out sockets of its network namespace, and one to the supervisor, which obeys commands. When both
 * end, so does the tree. */
#ifndef CE_PIPELINE_EMBEDDED_PROCESSES_H
#define CE_PIPELINE_EMBEDDED_PROCESSES_H

#include <stdbool.h>

#include "base/identity.h"
#include "journal/journal.h"
#include "net/endpoint.h"

struct ce_processes;

/* Starts keeper and supervisor, as well isolated as this host allows, noted in the journal.
 * `profile` is "naive" or "hardened". `helpers`: see struct ce_pipeline_site. */
int ce_processes_start(struct ce_journal *journal, const char *run_folder, const char *profile,
                       unsigned helpers, int64_t inference_time,
                       struct ce_processes **ret_processes, struct ce_error *err);
/* Ends the whole tree, waits for that, and settles the note. NULL is fine. */
void ce_processes_stop(struct ce_processes *processes);

/* "user, network, mount and pid namespaces", or less and why. */
const char *ce_processes_isolation(const struct ce_processes *processes);
/* Whether the pipeline's disk is a filesystem of its own (roles.h). */
bool ce_processes_own_mounts(const struct ce_processes *processes);
/* A loopback address as the processes see it. Any thread may use it as long as `processes` lives.
 */
struct ce_endpoint ce_processes_endpoint(struct ce_processes *processes, int port);

/* Gives the supervisor a command and waits for its answer at most `timeout` ns. */
struct ce_answer {
    int port;  /* of what was asked about; 0: none */
    pid_t pid; /* as this process numbers it; 0: none */
};
int ce_processes_ask(struct ce_processes *processes, const char *command, int64_t timeout,
                     struct ce_answer *ret_answer, struct ce_error *err);

/* Whether this host gives this user network and pid namespaces; `reason` says which isolation there
 * is, and why no better. */
bool ce_processes_probe(char *reason, size_t size);

#endif
