/* SPDX-License-Identifier: MIT */
/* What the pipeline's processes agree on: their names, arguments and inherited descriptors.
 *
 *   chaoseater-pipeline keeper     RUN_FOLDER PROFILE NAMESPACES
 *   chaoseater-pipeline supervisor RUN_FOLDER PROFILE MODEL_HOST
 *   chaoseater-pipeline resolver   RUN_FOLDER PROFILE
 *   chaoseater-pipeline trainer    RUN_FOLDER PROFILE
 *   chaoseater-pipeline server     RUN_FOLDER PROFILE PORT
 *   chaoseater-pipeline gateway    RUN_FOLDER PROFILE PORT UPSTREAM_PORT MODEL_HOST */
#ifndef CE_PIPELINE_EMBEDDED_ROLES_H
#define CE_PIPELINE_EMBEDDED_ROLES_H

#include <stdbool.h>

#define CE_ROLE_KEEPER     "keeper"
#define CE_ROLE_SUPERVISOR "supervisor"
#define CE_ROLE_RESOLVER   "resolver"
#define CE_ROLE_TRAINER    "trainer"
#define CE_ROLE_SERVER     "server"
#define CE_ROLE_GATEWAY    "gateway"

/* In the environment: what the server is to load (LD_PRELOAD), and nobody else. */
#define CE_SERVER_PRELOAD "CHAOSEATER_SERVER_PRELOAD"
/* And the program that is to start it, if any (pipeline/helpers.h). */
#define CE_SERVER_PREFIX "CHAOSEATER_SERVER_PREFIX"
/* And that it is to compute on an accelerator (accelerator.h). */
#define CE_SERVER_ACCELERATOR "CHAOSEATER_SERVER_ACCELERATOR"

/* In the environment: processor time that the server spends on each request, ns. */
#define CE_SERVER_TIME "CHAOSEATER_INFERENCE_TIME"

/* NAMESPACES: which ones are the keeper's own and want setting up. */
#define CE_KEEPER_NETWORK "network,"
#define CE_KEEPER_MOUNTS  "mounts,"
#define CE_KEEPER_PIDS    "pids,"

/* In the run's folder, made by the controller: where the pipeline keeps what it writes while it
 * serves. With a mount namespace of its own it is a small filesystem. */
#define CE_DISK "disk"

/* All that listens is at CE_MODEL_ADDRESS, but for the resolver.
 *
 * MODEL_HOST: where the gateway finds its model server. The name, which the resolver knows; or the
 * address, where the pipeline has no resolver because network or mounts are the host's. */
#define CE_MODEL_HOST       "model.pipeline.internal"
#define CE_MODEL_ADDRESS    "127.0.0.1"
#define CE_RESOLVER_ADDRESS "127.0.0.53"

/* keeper: the controller's socket requests; supervisor's children: their channel to the supervisor.
 */
enum {
    CE_FD_SOCKETS = 3,
    CE_FD_COMMANDS = 4, /* keeper and supervisor: the controller's commands */
    CE_FD_SUPERVISOR = 3,
};

struct ce_role {
    const char *program; /* argv[0] */
    const char *run_folder;
    bool hardened;
    const char *namespaces;  /* keeper */
    const char *model_host;  /* supervisor, gateway */
    int port, upstream_port; /* server, gateway; port 0: any */
};

/* Each runs one process until it ends; the result is its exit code. */
int ce_keeper_run(const struct ce_role *role);
int ce_supervisor_run(const struct ce_role *role);
int ce_resolver_run(const struct ce_role *role);
int ce_trainer_run(const struct ce_role *role);
int ce_server_run(const struct ce_role *role);
int ce_gateway_run(const struct ce_role *role);

#endif
