/* SPDX-License-Identifier: MIT */
/* chaoseater-pipeline: the processes of the embedded pipeline, one program in six roles (roles.h).
 * Started by ChaosEater only; it prints nothing, because whoever runs it listens on channels. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/seam.h"
#include "pipeline/embedded/roles.h"

static const struct {
    const char *name;
    int arguments; /* after the role's name */
    int (*run)(const struct ce_role *role);
} roles[] = {
    {CE_ROLE_KEEPER, 3, ce_keeper_run},     {CE_ROLE_SUPERVISOR, 3, ce_supervisor_run},
    {CE_ROLE_RESOLVER, 2, ce_resolver_run}, {CE_ROLE_TRAINER, 2, ce_trainer_run},
    {CE_ROLE_SERVER, 3, ce_server_run},     {CE_ROLE_GATEWAY, 5, ce_gateway_run},
};

/* Every connection is a descriptor, and clients may leave many of them waiting. */
static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    ce_seam_leave();
    (void)signal(SIGPIPE, SIG_IGN);
    allow_many_descriptors();
    for (size_t i = 0; i < CE_COUNT(roles); i++) {
        if (argc != 2 + roles[i].arguments || strcmp(argv[1], roles[i].name) != 0)
            continue;
        char name[16];
        snprintf(name, sizeof name, "ce-%s", roles[i].name);
        (void)prctl(PR_SET_NAME, name);
        struct ce_role role = {
            .program = argv[0],
            .run_folder = argv[2],
            .hardened = strcmp(argv[3], "hardened") == 0,
            /* Whoever has one of these has it last. */
            .namespaces = argv[argc - 1],
            .model_host = argv[argc - 1],
            .port = argc > 4 ? atoi(argv[4]) : 0,
            .upstream_port = argc > 5 ? atoi(argv[5]) : 0,
        };
        return roles[i].run(&role);
    }
    fprintf(stderr, "%s is a part of ChaosEater and is of no use alone; see `chaoseater --help`\n",
            argv[0]);
    return 2;
}
