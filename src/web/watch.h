/* SPDX-License-Identifier: MIT */
/* Listens, at a socket of its own in the state folder, to what suites say
 * (telemetry/event_stream.h). Suites come and go; each is known by the process at the other end.
 * One thread at a time. */
#ifndef CE_WEB_WATCH_H
#define CE_WEB_WATCH_H

#include <poll.h>
#include <stdbool.h>

#include "base/json.h"

enum { CE_WATCHED_MAX = 64 };

struct ce_watch;
/* A whole line, parsed and as it is. */
typedef void ce_watch_line_fn(void *ctx, const json_t *event, const char *line, size_t size);
/* The suite says no more. */
typedef void ce_watch_end_fn(void *ctx, const char *suite);

struct ce_watch_listener {
    ce_watch_line_fn *line;
    ce_watch_end_fn *end;
    void *ctx;
};
/* Makes the folder when it is missing. The socket is removed again by ce_watch_close(). */
int ce_watch_open(const char *state_dir, const struct ce_watch_listener *listener,
                  struct ce_watch **ret_watch, struct ce_error *err);
void ce_watch_close(struct ce_watch *watch); /* NULL is fine */

/* What is to be polled for: at most CE_WATCHED_MAX + 1. */
size_t ce_watch_poll(const struct ce_watch *watch, struct pollfd *polled);
/* Takes whatever has come. */
void ce_watch_take(struct ce_watch *watch);

/* Asks the process that leads a suite to end it, as by Ctrl-C. -ENOENT: there is no such suite. */
int ce_watch_interrupt(const struct ce_watch *watch, const char *suite, struct ce_error *err);

#endif
