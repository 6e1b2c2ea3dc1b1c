/* SPDX-License-Identifier: MIT */
/* The server's request log: a line for each inference request, on the pipeline's disk.
 *
 *   2026-11-22T10:00:00.123Z b-17.1 churn/2 rows=1 prediction=0.0631 {"inputs":[...]}
 *
 * The file is opened, appended to, made durable and closed for each line, so that it always goes to
 * what is mounted there now. At FILE_LIMIT it becomes FILE.1, in place of the one before: by itself
 * the log never fills the disk.
 *
 * In the foreground whoever adds a line waits for it, and learns that it could not be written. In
 * the background a thread writes; nobody waits: lines for which there is no room are dropped, as
 * are those that cannot be written, and the next one that can be is followed by "dropped N". */
#ifndef CE_PIPELINE_EMBEDDED_REQUEST_LOG_H
#define CE_PIPELINE_EMBEDDED_REQUEST_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define CE_REQUEST_LOG "requests.log"

enum {
    CE_REQUEST_LOG_LIMIT = 1 << 20, /* bytes in a file */
    CE_REQUEST_LOG_QUEUE = 1024,    /* lines that may wait for the thread */
    CE_REQUEST_LOG_BODY = 2048,     /* of a request, in its line */
};

struct ce_request_entry {
    const char *id; /* NULL: none */
    const char *model, *version;
    size_t rows;
    double prediction; /* of the first row */
    const char *body;
    size_t size;
};

struct ce_request_log;
/* Serves until the process ends; the disk is not touched yet. */
int ce_request_log_open(const char *folder, bool in_background, struct ce_request_log **ret_log,
                        struct ce_error *err);
/* One caller at a time. In the background always 0. */
int ce_request_log_add(struct ce_request_log *log, const struct ce_request_entry *entry,
                       struct ce_error *err);

#endif
