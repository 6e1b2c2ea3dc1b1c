/* SPDX-License-Identifier: MIT */
/* Ending activities from outside, and what came of each. */
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "toolkit/toolkit_internal.h"

int ce_stopper_init(struct ce_stopper *stopper, struct ce_error *err)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return ce_fail(err, errno, "cannot make an event: %s", strerror(errno));
    *stopper = (struct ce_stopper){.event = event};
    (void)pthread_mutex_init(&stopper->lock, NULL);
    return 0;
}

void ce_stopper_done(struct ce_stopper *stopper)
{
    (void)close(stopper->event);
    (void)pthread_mutex_destroy(&stopper->lock);
}

void ce_stopper_pull(struct ce_stopper *stopper)
{
    (void)pthread_mutex_lock(&stopper->lock);
    stopper->pulled = true;
    for (struct ce_waiting *w = stopper->waiting; w; w = w->next)
        if (w->fd >= 0)
            (void)shutdown(w->fd, SHUT_RDWR);
    (void)eventfd_write(stopper->event, 1);
    (void)pthread_mutex_unlock(&stopper->lock);
}

bool ce_stopper_pause(const struct ce_stopper *stopper, int64_t duration)
{
    struct pollfd fd = {.fd = stopper->event, .events = POLLIN};
    int64_t end = ce_now() + duration, left;
    while ((left = end - ce_now()) > 0) {
        int64_t ms = left / CE_MILLISECOND + 1;
        if (poll(&fd, 1, ms < 60000 ? (int)ms : 60000) > 0)
            return false;
    }
    return poll(&fd, 1, 0) <= 0;
}

void ce_outcome_done(struct ce_outcome *outcome)
{
    json_decref(outcome->output);
    free(outcome->failure);
    *outcome = (struct ce_outcome){0};
}

void ce_outcome_fail(struct ce_outcome *outcome, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!outcome->failure)
        outcome->failure = strdup(text);
}

void ce_provider_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                     struct ce_outcome *ret_outcome)
{
    const json_t *timeout = json_object_get(provider, "timeout");
    double seconds = json_is_number(timeout) ? json_number_value(timeout) : 0;
    struct ce_outcome outcome = {0};
    if (seconds > 0 && seconds < (double)limit / (double)CE_SECOND)
        limit = (int64_t)(seconds * (double)CE_SECOND);
    if (strcmp(json_string_value(json_object_get(provider, "type")), "http") == 0)
        ce_call_run(provider, stopper, limit, &outcome);
    else
        ce_command_run(provider, stopper, limit, &outcome);
    *ret_outcome = outcome;
}
