/* SPDX-License-Identifier: MIT */
/* One activity, and the entry that a journal has of it. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "toolkit/toolkit_internal.h"

/* As Python's isoformat() writes it. */
static json_t *stamp(void)
{
    char text[CE_TIMESTAMP_SIZE];
    ce_timestamp(ce_wall_now(), text);
    size_t size = strlen(text);
    return json_sprintf("%.*s+00:00", (int)(size - 1), text);
}

static void close_entry(json_t *entry, const struct ce_outcome *outcome, int64_t began)
{
    const char *status = outcome->given_up ? "aborted" : outcome->failure ? "failed" : "succeeded";
    json_object_set(entry, "output", outcome->output ? outcome->output : json_null());
    json_object_set_new(entry, "status", json_string(status));
    if (outcome->failure)
        json_object_set_new(
            entry, "exception",
            json_pack("[o]", ce_value_of_bytes(outcome->failure, strlen(outcome->failure))));
    json_object_set_new(entry, "end", stamp());
    json_object_set_new(entry, "duration",
                        json_real((double)(ce_now() - began) / (double)CE_SECOND));
}

json_t *ce_activity_run(const struct ce_activity *activity, struct ce_stopper *stopper,
                        int64_t limit, json_t *list, sem_t *begun, struct ce_outcome *ret_outcome)
{
    *ret_outcome = (struct ce_outcome){0};
    if (begun && activity->pause_before > 0)
        (void)sem_post(ce_take(begun));
    if (!ce_stopper_pause(stopper, activity->pause_before)) {
        ret_outcome->given_up = true;
        if (begun)
            (void)sem_post(begun);
        return NULL;
    }
    int64_t began = ce_now();
    json_t *entry =
        json_pack("{s:O, s:n, s:o}", "activity", activity->written, "output", "start", stamp());
    (void)pthread_mutex_lock(&stopper->lock);
    int r = json_array_append_new(list, entry);
    (void)pthread_mutex_unlock(&stopper->lock);
    if (begun)
        (void)sem_post(begun);
    ce_provider_run(activity->provider, stopper, limit, ret_outcome);
    if (r < 0) {
        ce_outcome_fail(ret_outcome, "out of memory");
        return NULL;
    }
    (void)pthread_mutex_lock(&stopper->lock);
    close_entry(entry, ret_outcome, began);
    (void)pthread_mutex_unlock(&stopper->lock);
    (void)ce_stopper_pause(stopper, activity->pause_after);
    return entry;
}

char *ce_activity_refused(const struct ce_activity *activity, const struct ce_outcome *outcome)
{
    json_int_t status = json_integer_value(json_object_get(outcome->output, "status"));
    bool is_http = json_object_get(outcome->output, "body") != NULL;
    if (outcome->failure)
        return ce_format("'%.100s' failed: %.300s", activity->name, outcome->failure);
    if (is_http && status >= 400)
        return ce_format("'%.100s' was answered %d", activity->name, (int)status);
    if (!is_http && status < 0)
        return ce_format("'%.100s' was ended by signal %d", activity->name, (int)-status);
    if (!is_http && status > 0)
        return ce_format("'%.100s' exited with %d", activity->name, (int)status);
    return NULL;
}
