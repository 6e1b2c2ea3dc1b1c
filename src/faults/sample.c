/* SPDX-License-Identifier: MIT */
#include "faults/sample.h"

#include "base/cleanup.h"
#include "faults/filter.h"

enum { REACH = 4096 };

static int take(const struct ce_traffic *traffic, uint64_t row, struct ce_sample *ret_sample,
                struct ce_error *err)
{
    const struct ce_target *target = traffic->target;
    struct ce_sample sample = {.row = row};
    if (!target->sample_request)
        return ce_fail(err, ENOTSUP, "%s offers no sample request to probe with", target->name);
    CE_TRY(target->sample_request(target->pipeline, row, &sample.path, &sample.body, &sample.size,
                                  err));
    if (ce_call_read(target->protocol, "POST", sample.path, &sample.call) != 1)
        sample.call = (struct ce_call){0};
    *ret_sample = sample;
    return 0;
}

struct ce_message ce_sample_message(const struct ce_target *target, const struct ce_sample *sample)
{
    return (struct ce_message){
        .protocol = sample->call.protocol,
        .content_type = ce_sample_type(target),
        .body = sample->body,
        .size = sample->size,
        .locator = target->locator,
    };
}

static bool passes(const struct ce_traffic *traffic, const struct ce_sample *sample)
{
    if (!ce_filter_path(traffic->filter, sample->path, &sample->call))
        return false;
    struct ce_message message = ce_sample_message(traffic->target, sample);
    return ce_filter_body(traffic->filter, &sample->call, &message) > 0;
}

int ce_sample_find(const struct ce_traffic *traffic, uint64_t from, struct ce_sample *ret_sample,
                   struct ce_error *err)
{
    for (uint64_t row = from; row < from + REACH; row++) {
        struct ce_sample sample;
        CE_TRY(take(traffic, row, &sample, err));
        if (passes(traffic, &sample)) {
            *ret_sample = sample;
            return 0;
        }
        free(sample.body);
    }
    return ce_fail(err, ENODATA,
                   "none of the first %d requests of %s is one that the filter lets through", REACH,
                   traffic->target->name);
}

int ce_sample_first(const struct ce_traffic *traffic, uint64_t *ret_row, struct ce_error *err)
{
    bool predictions = traffic->fault.scope == CE_TRAFFIC_PREDICTIONS;
    struct ce_sample sample;
    *ret_row = 0;
    if ((!traffic->filter && !predictions) || !traffic->target->sample_request)
        return 0;
    CE_TRY(ce_sample_find(traffic, 0, &sample, err));
    free(sample.body);
    if (predictions && !sample.call.protocol) {
        const struct ce_protocol *protocol = traffic->target->protocol;
        return ce_fail(err, ENODATA,
                       "no prediction request: %s asks for '%s', which protocol %s "
                       "has no predictions at",
                       traffic->target->name, sample.path,
                       protocol ? ce_protocol_name(protocol) : "auto");
    }
    *ret_row = sample.row;
    return 0;
}
