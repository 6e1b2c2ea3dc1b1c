/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/worker.h"

#include <stdio.h>
#include <unistd.h>

#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"

int ce_worker_report_failure(const struct ce_error *err)
{
    char text[CE_CHANNEL_TEXT];
    snprintf(text, sizeof text, "failed %d %s%s%s", err->code, err->where, *err->where ? ": " : "",
             err->message);
    return ce_channel_send(CE_FD_SUPERVISOR, text, -1, 0);
}

void ce_worker_serve(int r, const struct ce_error *err, int port,
                     int (*reload)(void *ctx, struct ce_error *err), void *ctx)
{
    char text[32];
    snprintf(text, sizeof text, "ready %d", port);
    if (r < 0) {
        (void)ce_worker_report_failure(err);
        _exit(1);
    }
    r = ce_channel_send(CE_FD_SUPERVISOR, text, -1, 0);

    struct ce_channel_message message;
    while (r == 0 && ce_channel_receive(CE_FD_SUPERVISOR, INT64_MAX, &message) > 0) {
        struct ce_error why = {0};
        r = reload(ctx, &why) < 0 ? ce_worker_report_failure(&why)
                                  : ce_channel_send(CE_FD_SUPERVISOR, "reloaded", -1, 0);
    }
    _exit(0);
}
