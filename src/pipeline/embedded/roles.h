/* SPDX-License-Identifier: MIT */
/* What the pipeline's processes agree on: their names, arguments and inherited descriptors.
 *
 *   chaoseater-pipeline keeper     RUN_FOLDER PROFILE NAMESPACES
 *   chaoseater-pipeline supervisor RUN_FOLDER PROFILE
 *   chaoseater-pipeline trainer    RUN_FOLDER PROFILE
 *   chaoseater-pipeline server     RUN_FOLDER PROFILE PORT
 *   chaoseater-pipeline gateway    RUN_FOLDER PROFILE PORT UPSTREAM_PORT */
#ifndef CE_PIPELINE_EMBEDDED_ROLES_H
#define CE_PIPELINE_EMBEDDED_ROLES_H

#include <stdbool.h>

#define CE_ROLE_KEEPER     "keeper"
#define CE_ROLE_SUPERVISOR "supervisor"
#define CE_ROLE_TRAINER    "trainer"
#define CE_ROLE_SERVER     "server"
#define CE_ROLE_GATEWAY    "gateway"

/* In the environment: what the server is to load (LD_PRELOAD), and nobody else. */
#define CE_SERVER_PRELOAD "CHAOSEATER_SERVER_PRELOAD"

/* NAMESPACES: which ones are the keeper's own and want setting up. */
#define CE_KEEPER_NETWORK "network,"
#define CE_KEEPER_PIDS    "pids,"

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
    int port, upstream_port; /* server, gateway; port 0: any */
};

/* Each runs one process until it ends; the result is its exit code. */
int ce_keeper_run(const struct ce_role *role);
int ce_supervisor_run(const struct ce_role *role);
int ce_trainer_run(const struct ce_role *role);
int ce_server_run(const struct ce_role *role);
int ce_gateway_run(const struct ce_role *role);

#endif
