/* SPDX-License-Identifier: MIT */
/* What all faults on live traffic share: who is hit, what is counted, and proof by a second client.
 *
 * Who is hit is a pure function of (seed, fault, route, id of the request, unit within the
 * message), so that it depends on no order of arrival, and nested over rates: whoever is hit at 0.1
 * is hit at 0.2 too. That is also how intensity works.
 *
 * The proof: verification sends requests of its own ("probe-0", "probe-1", ...) twice, straight to
 * the route's upstream and through the route, and compares. It picks ids that the recipe selects,
 * so that a rate of 0.01 needs few of them, and one that it does not select, which must come
 * through untouched. Probes meet the fault like any request and are not counted.
 *
 * An armed rule lives in this process and dies with it, so a fault on traffic has nothing to note
 * in the journal. */
#ifndef CE_FAULTS_TRAFFIC_H
#define CE_FAULTS_TRAFFIC_H

#include "base/random.h"
#include "faults/fault.h"
#include "proxy/client.h"
#include "proxy/proxy.h"

/* ---- who is hit, and by what ---- */

struct ce_recipe {
    struct ce_stream select, value;
};
/* `route` is the route's name: "requests" or "model". */
struct ce_recipe ce_recipe_init(uint64_t seed, const char *fault, const char *route);
/* Whether unit `unit` (0 for the request as a whole, else the row of a batch) of the request `id`
 * is hit at that rate. */
bool ce_recipe_hits(const struct ce_recipe *recipe, const char *id, uint64_t unit, double rate);
/* The random words of that unit; `sub` when it needs more than two. Independent of whether it is
 * hit. */
void ce_recipe_random(const struct ce_recipe *recipe, const char *id, uint64_t unit, uint64_t sub,
                      uint64_t ret_words[2]);

/* ---- the armed rule ---- */

/* Part of a fault's state. All zero: not armed. The proxy's thread writes the counts, any thread
 * reads them. */
struct ce_traffic {
    struct ce_hook hook;
    struct ce_rule *rule;
    _Atomic double intensity; /* 0..1; the callbacks read it for every message */
    _Atomic uint64_t eligible, selected, changed;
    struct {
        _Atomic(const char *) reason; /* a constant */
        _Atomic uint64_t count;
    } skipped[CE_SKIP_REASONS_MAX];
};

/* Arms the hook at intensity 1. `ctx` must live until ce_traffic_disarm(); it usually is the
 * fault's state. */
int ce_traffic_arm(struct ce_traffic *traffic, struct ce_route *route, const struct ce_hook *hook,
                   void *ctx, struct ce_error *err);
/* Idempotent; fine when never armed. No callback runs any more when it returns; the counts stay. */
void ce_traffic_disarm(struct ce_traffic *traffic);

/* Whether an exchange counts: it is no probe, and no operation of another phase ("b-", "r-", "v-"
 * and a number). */
bool ce_traffic_counted(const struct ce_exchange *exchange);
/* Whether it asks for a prediction: in every inference protocol that is a POST, and nothing else
 * is. */
bool ce_traffic_is_prediction(const struct ce_exchange *exchange);
/* One unit that was skipped, and why (a constant). On the proxy's thread, as all writing of counts.
 */
void ce_traffic_skip(struct ce_traffic *traffic, const char *reason);
/* A consistent copy: changed <= selected <= eligible if the callbacks count in the order eligible,
 * selected, changed. */
void ce_traffic_count(const struct ce_traffic *traffic, struct ce_fault_counts *ret_counts);

/* ---- proof by a second client ---- */

#define CE_PROBE_ID_SIZE 24
/* The first probe id from number `from` on for which `hits` answers `want`, and the number after
 * it: 0 or more. -ENOENT when there is none within reach (16 million), which only rates below 1e-6
 * come near. */
int64_t ce_probe_pick(bool (*hits)(const void *ctx, const char *id), const void *ctx, bool want,
                      int64_t from, char ret_id[CE_PROBE_ID_SIZE], struct ce_error *err);

/* The same sample request, sent twice. */
struct ce_witness {
    struct ce_http_answer direct, routed; /* `routed` is empty unless routed_result is 0 */
    int routed_result; /* 0, or the negative errno that ended the call through the route */
};
/* Sends the sample request for dataset row `row` straight to the upstream, then through the route.
 * `timeout_ns` is for the call through the route. 0; or -errno when it could not look: no sample
 * request, or the upstream itself does not answer. */
int ce_witness_ask(const struct ce_target *target, const struct ce_route *route, const char *id,
                   uint64_t row, int64_t timeout_ns, struct ce_witness *ret_witness,
                   struct ce_error *err);
void ce_witness_done(struct ce_witness *witness); /* a zeroed one is fine */
/* Whether both answers have the same status and the same predictions (the same bytes if they hold
 * none). */
bool ce_witness_same(const struct ce_witness *witness);

/* A probe named `id` is answered through the route as it is directly, and at most `slack_ns` later.
 * The best of a few tries counts: the machine may be busy. 0; -EIO when not (the error says how it
 * differs); or another -errno: it could not look. */
int ce_traffic_unaffected(const struct ce_target *target, const struct ce_route *route,
                          const char *id, int64_t slack_ns, struct ce_error *err);
/* For verify, once it has seen those that are selected: the same for a probe that the recipe does
 * not select. 1: untouched, which is added to the evidence (or the rate is so near to 1 that there
 * is none); 0: it was hit all the same, and the evidence says how; or -errno. */
int ce_traffic_verify_spared(const struct ce_target *target, const struct ce_route *route,
                             bool (*hits)(const void *ctx, const char *id), const void *ctx,
                             int64_t slack_ns, struct ce_evidence *evidence, struct ce_error *err);
/* For verify_undo: the same for a probe that the recipe used to select (see ce_probe_pick; NULL:
 * any probe). */
int ce_traffic_verify_undo(const struct ce_target *target, const struct ce_route *route,
                           bool (*hits)(const void *ctx, const char *id), const void *ctx,
                           int64_t slack_ns, struct ce_error *err);

#endif
