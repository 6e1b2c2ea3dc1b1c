/* SPDX-License-Identifier: MIT */
#include "faults/model/failure.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

struct ce_failure_shape {
    const struct ce_protocol *protocol;
    char *headers, *body;
    size_t size;
};

/* ---- answers ---- */

static int shape_init(struct ce_failure_shape *shape, const struct ce_protocol *protocol,
                      int status, const char *sentence, int64_t retry_after_ns,
                      struct ce_error *err)
{
    const char *type = "Content-Type: application/json\r\n";
    char retry[64] = "";
    if (retry_after_ns >= 0)
        snprintf(retry, sizeof retry, "Retry-After: %lld\r\n",
                 (long long)((retry_after_ns + CE_SECOND - 1) / CE_SECOND));
    shape->protocol = protocol;
    if (protocol) {
        shape->body = ce_protocol_error(protocol, status, sentence, &shape->size, &type);
    } else {
        shape->body = ce_format("{\"error\":\"%s\"}", sentence);
        shape->size = shape->body ? strlen(shape->body) : 0;
    }
    shape->headers = ce_format("%s%s", type, retry);
    return shape->body && shape->headers ? 0 : ce_fail_memory(err);
}

int ce_failure_init(struct ce_failure *failure, enum ce_failure_way way, int status,
                    const char *sentence, int64_t retry_after_ns, struct ce_error *err)
{
    size_t count = ce_protocol_count() + 1;
    *failure = (struct ce_failure){.way = way, .status = status};
    failure->shapes = calloc(count, sizeof *failure->shapes);
    if (!failure->shapes)
        return ce_fail_memory(err);
    failure->shape_count = count;
    for (size_t i = 0; i < count; i++)
        CE_TRY(shape_init(&failure->shapes[i], ce_protocol_at(i), status, sentence, retry_after_ns,
                          err));
    return 0;
}

void ce_failure_done(struct ce_failure *failure)
{
    for (size_t i = 0; i < failure->shape_count; i++) {
        free(failure->shapes[i].headers);
        free(failure->shapes[i].body);
    }
    free(failure->shapes);
    *failure = (struct ce_failure){0};
}

/* A request that is none for a prediction gets the answer of the protocol that is spoken here. */
static void answer(const struct ce_failure *failure, const struct ce_visit *visit,
                   struct ce_action *action)
{
    const struct ce_protocol *protocol =
        visit->call.protocol ? visit->call.protocol : visit->traffic->target->protocol;
    const struct ce_failure_shape *shape = failure->shapes;
    while (shape->protocol && shape->protocol != protocol)
        shape++;
    action->kind = CE_ACT_ANSWER;
    action->status = failure->status;
    action->headers = shape->headers;
    action->body = malloc(shape->size + 1);
    if (!action->body)
        return;
    memcpy(action->body, shape->body, shape->size);
    action->body_size = shape->size;
}

void ce_failure_act(const struct ce_failure *failure, const struct ce_visit *visit,
                    struct ce_action *action)
{
    size_t size = visit->exchange->body_size;
    switch (failure->way) {
    case CE_FAILURE_ERROR:
        answer(failure, visit, action);
        ce_visit_did(visit, action, 1, "answered with status %d", failure->status);
        return;
    case CE_FAILURE_HANG:
        action->kind = CE_ACT_HANG;
        ce_visit_did(visit, action, 1, "never answered");
        return;
    case CE_FAILURE_CUT:
        action->kind = CE_ACT_CUT;
        action->cut = size / 2;
        ce_visit_did(visit, action, 1, "cut after %zu of %zu bytes", size / 2, size);
        return;
    case CE_FAILURE_RESET:
    case CE_FAILURE_REFUSED:
        action->kind = CE_ACT_RESET;
        ce_visit_did(visit, action, 1, "connection reset");
        return;
    }
}

/* ---- the proof ---- */

/* How long a probe waits for an answer that should not come. */
#define HANG_PATIENCE (300 * CE_MILLISECOND)

static bool failed_as_asked(const struct ce_failure *failure, bool nobody_listens,
                            const struct ce_witness *witness)
{
    int r = witness->routed_result;
    if (nobody_listens)
        return r == -ECONNREFUSED;
    switch (failure->way) {
    case CE_FAILURE_ERROR:
        return r == 0 && witness->routed.status == ce_witness_status(witness, failure->status) &&
               witness->direct.status != witness->routed.status;
    case CE_FAILURE_HANG:
        return r == -ETIMEDOUT && witness->direct.total_ns < HANG_PATIENCE / 2;
    default:
        return r == -ECONNRESET || r == -EPIPE;
    }
}

static void describe(const char *id, int64_t timeout, const struct ce_witness *witness,
                     struct ce_evidence *ret_evidence)
{
    char routed[96];
    if (witness->routed_result == -ETIMEDOUT)
        snprintf(routed, sizeof routed, "no answer within %.0f ms", (double)timeout / 1e6);
    else if (witness->routed_result < 0)
        snprintf(routed, sizeof routed, "%s", strerror(-witness->routed_result));
    else
        snprintf(routed, sizeof routed, "status %d", witness->routed.status);
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%s through the proxy: %s; directly: status %d after %.1f ms", id, routed,
             witness->direct.status, (double)witness->direct.total_ns / 1e6);
}

int ce_failure_verify(const struct ce_failure *failure, bool nobody_listens,
                      const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                      struct ce_evidence *ret_evidence, struct ce_error *err)
{
    enum { TRIES = 3 }; /* a busy server may once be too slow to tell from a hanging one */
    int64_t timeout = failure->way == CE_FAILURE_HANG ? HANG_PATIENCE : 2 * CE_SECOND;
    int64_t next = 0;
    bool seen = false;
    for (int i = 0; i < TRIES && !seen; i++) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(hits, ctx, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(ce_witness_ask(traffic, id, (uint64_t)i, timeout, &witness, err));
        seen = failed_as_asked(failure, nobody_listens, &witness);
        describe(id, timeout, &witness, ret_evidence);
        ce_witness_done(&witness);
    }
    if (!seen || nobody_listens)
        return seen;
    return ce_traffic_verify_spared(traffic, hits, ctx, CE_SECOND, ret_evidence, err);
}
