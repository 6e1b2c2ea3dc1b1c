/* SPDX-License-Identifier: MIT */
/* The proof: probes that are sent twice, straight to the upstream and through the route. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/sample.h"
#include "proxy/h2/call.h"
#include "proxy/h2/grpc.h"

/* How long an upstream may take to answer a probe that nothing stands in the way of. */
#define DIRECT_TIMEOUT (2 * CE_SECOND)
/* How long it may take until it answers as fast through the proxy as directly. */
#define QUIET_WITHIN (2 * CE_SECOND)

int64_t ce_probe_pick(ce_hits_fn *hits, const void *ctx, bool want, int64_t from,
                      char ret_id[CE_PROBE_ID_SIZE], struct ce_error *err)
{
    int reach = want ? 1 << 24 : 1 << 12;
    char id[CE_PROBE_ID_SIZE];
    for (int64_t k = from; k < from + reach; k++) {
        snprintf(id, sizeof id, CE_PROBE_PREFIX "%lld", (long long)k);
        if (hits(ctx, id) != want)
            continue;
        memcpy(ret_id, id, sizeof id);
        return k + 1;
    }
    return ce_fail(err, ENODATA, "the fault found nothing to %s: no probe of %d is one that it %s",
                   want ? "hit" : "spare", reach, want ? "selects" : "spares");
}

/* ---- asking ---- */

/* The same request over HTTP/1.1 or, in gRPC, over HTTP/2. */
struct probe {
    const struct ce_sample *sample;
    const char *host; /* NULL: the address that is connected to */
    const char *headers;
};

static bool is_grpc(const struct ce_protocol *protocol)
{
    return protocol && strcmp(ce_protocol_name(protocol), "oip_grpc") == 0;
}

static int call_http(const struct ce_endpoint *endpoint, const struct probe *probe,
                     int64_t timeout_ns, struct ce_http_answer *ret_answer, struct ce_error *err)
{
    struct ce_http_call call = {
        .method = "POST",
        .path = probe->sample->path,
        .host = probe->host,
        .headers = probe->headers,
        .body = probe->sample->body,
        .body_size = probe->sample->size,
        .timeout_ns = timeout_ns,
    };
    return ce_http_call(endpoint, &call, ret_answer, err);
}

/* The answer as if it had come over HTTP/1.1; that of an error is its reason. */
static int call_grpc(const struct ce_endpoint *endpoint, const struct probe *probe,
                     int64_t timeout_ns, struct ce_http_answer *ret_answer, struct ce_error *err)
{
    struct ce_grpc_answer answer;
    struct ce_grpc_call call = {
        .path = probe->sample->path,
        .authority = probe->host,
        .headers = probe->headers,
        .message = {probe->sample->body, probe->sample->size},
        .timeout_ns = timeout_ns,
    };
    CE_TRY(ce_grpc_call(endpoint, &call, &answer, err));
    bool ok = answer.status == CE_GRPC_OK;
    *ret_answer = (struct ce_http_answer){
        .status = ce_grpc_http_of(answer.status),
        .body = ok ? ce_take(answer.message) : ce_take(answer.reason),
        .first_byte_ns = answer.first_byte_ns,
        .total_ns = answer.total_ns,
    };
    if (ret_answer->body)
        ret_answer->body_size = ok ? answer.message_size : strlen(ret_answer->body);
    ce_grpc_answer_done(&answer);
    return 0;
}

static int ask_both(const struct ce_traffic *traffic, const struct probe *probe, int64_t timeout_ns,
                    struct ce_witness *witness, struct ce_error *err)
{
    int (*call)(const struct ce_endpoint *, const struct probe *, int64_t, struct ce_http_answer *,
                struct ce_error *) = is_grpc(witness->protocol) ? call_grpc : call_http;
    witness->direct_result =
        call(ce_route_upstream(traffic->route), probe, DIRECT_TIMEOUT, &witness->direct, err);
    witness->routed_result =
        call(ce_route_endpoint(traffic->route), probe, timeout_ns, &witness->routed, NULL);
    int r = witness->direct_result;
    return r < 0 ? ce_fail_context(err, r, "probing %s directly", traffic->target->name) : 0;
}

/* As ce_witness_ask(), but *ret_witness tells of an upstream that does not answer, too. */
static int ask(const struct ce_traffic *traffic, const char *id, uint64_t row, int64_t timeout_ns,
               struct ce_witness *ret_witness, struct ce_error *err)
{
    const struct ce_target *target = traffic->target;
    struct ce_sample sample;
    CE_TRY(ce_sample_find(traffic, row, &sample, err));
    struct ce_witness witness = {
        .protocol = sample.call.protocol, .locator = target->locator, .row = sample.row};
    char type[160] = "", headers[256];
    if (!is_grpc(witness.protocol)) /* else the call knows it */
        snprintf(type, sizeof type, "Content-Type: %s\r\n", ce_sample_type(target));
    snprintf(headers, sizeof headers, "%sX-Request-Id: %s\r\n", type, id);
    int r = ask_both(traffic, &(struct probe){&sample, target->sample_host, headers}, timeout_ns,
                     &witness, err);
    free(sample.body);
    *ret_witness = witness;
    return r;
}

int ce_witness_ask(const struct ce_traffic *traffic, const char *id, uint64_t row,
                   int64_t timeout_ns, struct ce_witness *ret_witness, struct ce_error *err)
{
    struct ce_witness witness = {0};
    int r = ask(traffic, id, row, timeout_ns, &witness, err);
    if (r < 0)
        ce_witness_done(&witness);
    else
        *ret_witness = witness;
    return r;
}

int ce_witness_status(const struct ce_witness *witness, int status)
{
    return is_grpc(witness->protocol) ? ce_grpc_http_of(ce_grpc_status_of(status)) : status;
}

void ce_witness_done(struct ce_witness *witness)
{
    ce_http_answer_done(&witness->direct);
    ce_http_answer_done(&witness->routed);
}

int ce_target_answers(const struct ce_target *target, uint64_t row, int64_t timeout_ns,
                      struct ce_error *err)
{
    const struct ce_traffic all = {.target = target, .route = target->request_route};
    struct ce_http_answer answer = {0};
    struct ce_sample sample;
    CE_TRY(ce_sample_find(&all, row, &sample, err));
    bool grpc = is_grpc(sample.call.protocol);
    char type[160] = "", headers[256];
    if (!grpc)
        snprintf(type, sizeof type, "Content-Type: %s\r\n", ce_sample_type(target));
    snprintf(headers, sizeof headers, "%sX-Request-Id: " CE_PROBE_PREFIX "behind\r\n", type);
    const struct probe probe = {&sample, target->sample_host, headers};
    int r = (grpc ? call_grpc : call_http)(ce_route_upstream(all.route), &probe, timeout_ns,
                                           &answer, err);
    free(sample.body);
    int status = answer.status;
    ce_http_answer_done(&answer);
    CE_TRY(r);
    return status == 200 ? 0 : ce_fail(err, EPROTO, "%s answers %d", target->name, status);
}

/* ---- comparing ---- */

static bool read_answer(const struct ce_witness *witness, const struct ce_http_answer *answer,
                        struct ce_values *ret_values)
{
    struct ce_message message = {
        .protocol = witness->protocol,
        .content_type = "",
        .body = answer->body,
        .size = answer->body_size,
        .locator = witness->locator,
    };
    return witness->protocol && ce_message_outputs(&message, ret_values, NULL) == 0;
}

static bool same_predictions(const struct ce_values *a, const struct ce_values *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!ce_value_same(&a->values[i], &b->values[i]))
            return false;
    return true;
}

bool ce_witness_same(const struct ce_witness *witness)
{
    const struct ce_http_answer *a = &witness->direct, *b = &witness->routed;
    if (witness->routed_result < 0 || a->status != b->status)
        return false;
    struct ce_values in_a = {0}, in_b = {0};
    bool same;
    if (read_answer(witness, a, &in_a) && read_answer(witness, b, &in_b))
        same = same_predictions(&in_a, &in_b);
    else
        same = ce_slice_same((struct ce_slice){a->body, a->body_size},
                             (struct ce_slice){b->body, b->body_size});
    ce_values_done(&in_a);
    ce_values_done(&in_b);
    return same;
}

/* ---- what verify and verify_undo look at ---- */

/* A probe named `id` is answered through the route as it is directly, and at most `slack_ns` later.
 * The best of a few tries counts: the machine may be busy. 0; -EIO when not (the error says how it
 * differs); or another -errno: it could not look. */
static int unaffected(const struct ce_traffic *traffic, const char *id, int64_t slack_ns,
                      struct ce_error *err)
{
    /* A server that is behind with its work takes a while until nobody waits. */
    enum { TRIES = 5, TRIES_MAX = 200 };
    int64_t direct = INT64_MAX, routed = INT64_MAX, until = ce_now() + QUIET_WITHIN;
    for (int i = 0; i < TRIES || (i < TRIES_MAX && ce_now() < until); i++) {
        struct ce_witness witness;
        CE_TRY(ce_witness_ask(traffic, id, traffic->first_row, DIRECT_TIMEOUT, &witness, err));
        bool same = ce_witness_same(&witness);
        if (witness.direct.total_ns < direct)
            direct = witness.direct.total_ns;
        if (same && witness.routed.total_ns < routed)
            routed = witness.routed.total_ns;
        ce_witness_done(&witness);
        if (routed != INT64_MAX && routed - direct <= slack_ns)
            return 0;
    }
    if (routed == INT64_MAX)
        return ce_fail(err, EIO, "%s is not answered through the proxy as it is directly", id);
    return ce_fail(err, EIO, "%s takes %.1f ms through the proxy, %.1f ms directly", id,
                   (double)routed / 1e6, (double)direct / 1e6);
}

int ce_traffic_verify_spared(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                             int64_t slack_ns, struct ce_evidence *evidence, struct ce_error *err)
{
    char id[CE_PROBE_ID_SIZE];
    struct ce_error why = {0};
    if (ce_probe_pick(hits, ctx, false, 0, id, NULL) < 0)
        return 1;
    int r = unaffected(traffic, id, slack_ns, &why);
    if (r == 0) {
        size_t n = strlen(evidence->text);
        snprintf(evidence->text + n, sizeof evidence->text - n,
                 "; %s, which it spares, came through untouched", id);
        return 1;
    }
    if (r == -EIO) {
        snprintf(evidence->text, sizeof evidence->text, "the recipe spares it, yet %.280s",
                 why.message);
        return 0;
    }
    if (err)
        *err = why;
    return r;
}

/* What came back through the route instead of an answer like the direct one. */
static void note_error(const struct ce_witness *witness, char text[96])
{
    if (witness->routed_result < 0)
        snprintf(text, 96, ", the last error: %s", strerror(-witness->routed_result));
    else if (witness->routed.status != witness->direct.status)
        snprintf(text, 96, ", the last error: status %d", witness->routed.status);
}

/* Why nothing could be changed: the server's answer holds no prediction. */
static void note_unreadable(const struct ce_witness *witness, char text[96])
{
    struct ce_values values = {0};
    if (!read_answer(witness, &witness->direct, &values))
        snprintf(text, 96, ", unreadable: status %d without predictions in protocol %s",
                 witness->direct.status,
                 witness->protocol ? ce_protocol_name(witness->protocol) : "auto");
    ce_values_done(&values);
}

int ce_traffic_verify_hit(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                          const char *of_which, struct ce_evidence *ret_evidence,
                          struct ce_error *err)
{
    enum { TRIES = 16, ENOUGH = 3 };
    int looked = 0, changed = 0;
    int64_t next = 0;
    uint64_t row = 0;
    char error[96] = "", unreadable[96] = "";
    for (; looked < TRIES && changed < ENOUGH; looked++) {
        char id[CE_PROBE_ID_SIZE];
        struct ce_witness witness;
        next = ce_probe_pick(hits, ctx, true, next, id, err);
        if (next < 0)
            return (int)next;
        CE_TRY(ce_witness_ask(traffic, id, row, DIRECT_TIMEOUT, &witness, err));
        row = witness.row + 1;
        changed += witness.routed_result == 0 && !ce_witness_same(&witness);
        note_error(&witness, error);
        note_unreadable(&witness, unreadable);
        ce_witness_done(&witness);
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%d of %d probes %s were answered differently through the proxy than directly%s%s",
             changed, looked, of_which, error, changed == 0 ? unreadable : "");
    return changed > 0;
}

int ce_traffic_verify_changed(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                              const char *of_which, struct ce_evidence *ret_evidence,
                              struct ce_error *err)
{
    int r = ce_traffic_verify_hit(traffic, hits, ctx, of_which, ret_evidence, err);
    if (r <= 0)
        return r;
    return ce_traffic_verify_spared(traffic, hits, ctx, CE_SECOND, ret_evidence, err);
}

/* The upstream does not answer, and the way through the route is no other: the proxy says so
 * itself, or waits as long. */
static bool is_gone(const struct ce_traffic *traffic, const char *id)
{
    struct ce_witness witness = {0};
    (void)ask(traffic, id, traffic->first_row, DIRECT_TIMEOUT, &witness, NULL);
    int routed = witness.routed_result, status = witness.routed.status;
    int unreachable = is_grpc(witness.protocol) ? 503 : 502;
    bool said = routed == 0 && (status == unreachable || status == 504);
    bool gone = witness.direct_result < 0 && (said || routed == witness.direct_result);
    ce_witness_done(&witness);
    return gone;
}

int ce_traffic_verify_undo(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                           int64_t slack_ns, struct ce_error *err)
{
    char id[CE_PROBE_ID_SIZE] = CE_PROBE_PREFIX "0";
    if (!traffic->target)
        return 0;
    if (hits)
        (void)ce_probe_pick(hits, ctx, true, 0, id, NULL);
    struct ce_error why = {0};
    int r = unaffected(traffic, id, slack_ns, &why);
    /* That a server has died is not left of the fault; recovery waits for it. */
    if (r == 0 || (r != -EIO && is_gone(traffic, id)))
        return 0;
    if (err)
        *err = why;
    return r;
}
