/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdio.h>

static ce_log_fn *log_sink;
static void *log_ctx;

void ce_log_to(ce_log_fn *sink, void *ctx)
{
    log_sink = sink;
    log_ctx = ctx;
}

void ce_log(const char *fmt, ...)
{
    if (!log_sink)
        return;
    char message[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    log_sink(log_ctx, message);
}
