/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/child.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/spawn.h"
#include "pipeline/helpers.h"

int ce_child_start(struct ce_child *child, const struct ce_role *supervisor, int upstream_port,
                   struct ce_error *err)
{
    int ends[2], gate;
    CE_TRY(ce_channel_pair(ends, err));
    ce_autofd int mine = ends[0];
    ce_autofd int its = ends[1];

    char port[16], upstream[16];
    snprintf(port, sizeof port, "%d", child->port);
    snprintf(upstream, sizeof upstream, "%d", upstream_port);
    bool forwards = strcmp(child->role, CE_ROLE_GATEWAY) == 0;
    bool serves = strcmp(child->role, CE_ROLE_SERVER) == 0;
    const char *argv[] = {supervisor->program,
                          child->role,
                          supervisor->run_folder,
                          supervisor->hardened ? "hardened" : "naive",
                          serves || forwards ? port : NULL,
                          forwards ? upstream : NULL,
                          supervisor->model_host,
                          NULL};
    ce_autofree char *preload = NULL;
    ce_autofree const char **env = NULL;
    if (serves && getenv(CE_SERVER_PRELOAD)) {
        preload = ce_format("LD_PRELOAD=%s", getenv(CE_SERVER_PRELOAD));
        env = preload ? ce_environment_with((const char *const[]){preload}, 1) : NULL;
        if (!env)
            return ce_fail_memory(err);
    }
    const char *const prefix[] = {serves ? getenv(CE_SERVER_PREFIX) : NULL, NULL};
    ce_autofree const char **command = ce_helpers_argv(prefix, argv);
    if (!command)
        return ce_fail_memory(err);
    struct ce_spawn spawn = {
        .argv = command,
        .env = env,
        .fds = {{its, CE_FD_SUPERVISOR}},
        .fd_count = 1,
        .parent_death_signal = SIGKILL,
    };
    struct ce_process_id id;
    CE_TRY(ce_spawn(&spawn, &id, &gate, err));
    int r = ce_spawn_go(gate, err);
    if (r < 0) {
        (void)ce_process_reap(&id, CE_SECOND, NULL);
        return r;
    }
    child->id = id;
    child->channel = ce_take_fd(mine);
    child->ready = false;
    child->start_at = 0;
    child->started_at = ce_now();
    return 0;
}

void ce_child_kill(const struct ce_child *child)
{
    if (child->id.pid > 0)
        (void)ce_process_signal(&child->id, SIGKILL);
}

void ce_child_ended(struct ce_child *child)
{
    if (child->channel >= 0)
        (void)close(ce_take_fd(child->channel));
    child->id = (struct ce_process_id){0};
    child->ready = false;
}

int ce_child_receive(struct ce_child *child, struct ce_channel_message *ret_message)
{
    if (child->channel < 0)
        return 0;
    int r = ce_channel_receive(child->channel, 0, ret_message);
    if (r == 1 && ret_message->fd >= 0)
        (void)close(ret_message->fd);
    if (r == 0 || (r < 0 && r != -ETIMEDOUT))
        (void)close(ce_take_fd(child->channel));
    return r == 1;
}
