/* SPDX-License-Identifier: MIT */
/* What all faults on live traffic share: who is hit, what is counted and noted, and proof by a
 * second client.
 *
 * Who is hit is a pure function of (seed, fault, route, id of the request, unit within the
 * message), so that it depends on no order of arrival, and nested over rates: whoever is hit at 0.1
 * is hit at 0.2 too. That is also how intensity works. A rule of a proxy that stands alone draws
 * from a stream of its own, told apart by its name.
 *
 * Between the proxy and the fault stands this layer's own hook. It knows the filter (path, header,
 * model, feature predicate) and the share, finds out what a request asks for, and calls the fault
 * for what is left. All callbacks may run on several threads at once: a fault's state is constant
 * while it is armed, or atomic.
 *
 * The proof: verification sends requests of its own ("probe-0", "probe-1", ...) twice, straight to
 * the route's upstream and through the route, and compares. It picks ids that the recipe selects,
 * so that a rate of 0.01 needs few of them, and one that it does not select, which must come
 * through untouched. Probes meet the fault like any request, but for the header filter, which they
 * pass; they are not counted.
 *
 * An armed rule lives in this process and dies with it, so a fault on traffic has nothing to note
 * in the journal. */
#ifndef CE_FAULTS_TRAFFIC_H
#define CE_FAULTS_TRAFFIC_H

#include "base/random.h"
#include "faults/fault.h"
#include "inference/inference.h"
#include "net/client.h"
#include "proxy/proxy.h"

/* ---- the parameters of all of them ---- */

/* First member, called `traffic`, of the parameter struct of a fault on traffic. */
struct ce_traffic_params {
    double share;
    char *path, *header, *model, *where; /* NULL: all */
};

#define CE_TRAFFIC_PARAM_(s, field, kind, ...)                                                     \
    {                                                                                              \
        .name = #field, .type = kind, .offset = offsetof(s, traffic.field), __VA_ARGS__            \
    }
/* Their rows, at the end of the fault's table; `s` is the fault's struct. */
#define CE_TRAFFIC_PARAMS(s)                                                                       \
    CE_TRAFFIC_PARAM_(s, share, CE_PARAM_RATE, .min = 0, .max = 1, .def = "1",                     \
                      .doc = "Share of the requests that the fault looks at, of those that the "   \
                             "filter lets through."),                                              \
        CE_TRAFFIC_PARAM_(s, path, CE_PARAM_TEXT, .def = "",                                       \
                          .doc = "Filter: only requests whose target this regular expression "     \
                                 "matches (POSIX extended), such as ^/v2/models/."),               \
        CE_TRAFFIC_PARAM_(s, header, CE_PARAM_TEXT, .def = "",                                     \
                          .doc = "Filter: only requests with such a field, as 'Name: regular "     \
                                 "expression'."),                                                  \
        CE_TRAFFIC_PARAM_(s, model, CE_PARAM_TEXT, .def = "",                                      \
                          .doc = "Filter: only requests to this model, as 'name' or "              \
                                 "'name/version'."),                                               \
        CE_TRAFFIC_PARAM_(                                                                         \
            s, where, CE_PARAM_TEXT, .def = "",                                                    \
            .doc = "Filter: only requests with a row of features of which this is true, such as "  \
                   "age > 60 and city = 'Paris'.")

/* For check: -EINVAL with what is malformed, and where. */
int ce_traffic_check(const struct ce_traffic_params *params, struct ce_error *err);

/* ---- the draws ---- */

struct ce_recipe {
    struct ce_stream select, value, share;
};
/* `route` is the route's name: "requests" or "model"; `rule` the rule's, NULL in experiments. */
struct ce_recipe ce_recipe_init(uint64_t seed, const char *fault, const char *route,
                                const char *rule);
/* Whether unit `unit` (0 for the request as a whole, else the row of a batch) of the request `id`
 * is hit at that rate. */
bool ce_recipe_hits(const struct ce_recipe *recipe, const char *id, uint64_t unit, double rate);
/* The random words of that unit; `sub` when it needs more than two. Independent of whether it is
 * hit. */
void ce_recipe_random(const struct ce_recipe *recipe, const char *id, uint64_t unit, uint64_t sub,
                      uint64_t ret_words[2]);
/* Whether the request is one of the share. Independent of all the others. */
bool ce_recipe_shares(const struct ce_recipe *recipe, const char *id, double share);

/* Whether the request is one of the share that is spared first when a fault is taken back by and
 * by. Another attempt at it ("f-17.2") is, too; and whoever is at 0.1 is at 0.2. */
bool ce_spared(uint64_t seed, const char *id, double share);

/* ---- arming ---- */

struct ce_traffic;

/* One message on its way past a fault. Valid during the callback only. */
struct ce_visit {
    struct ce_traffic *traffic;
    const struct ce_exchange *exchange;
    struct ce_call call; /* what its request asks for; .protocol NULL: no prediction, as far as can
                            be told */
    bool counted;        /* it is no probe, and no operation of another phase */
};

/* Which requests a fault is about. */
enum ce_traffic_scope {
    CE_TRAFFIC_ALL = 0,     /* whatever they ask for */
    CE_TRAFFIC_CALLS,       /* for predictions; where no protocol is named, every POST that may be
                               one: visit->call.protocol may be NULL */
    CE_TRAFFIC_PREDICTIONS, /* for predictions in a protocol that is known; other POSTs are counted
                               as skipped, "no prediction request" */
};

/* Each callback may be NULL. They are called for what filter and share let through; must not
 * block. */
struct ce_traffic_hook {
    unsigned wants; /* CE_HOOK_REQUEST_BODY, CE_HOOK_RESPONSE_BODY */
    enum ce_traffic_scope scope;
    bool on_requests; /* of the route into the pipeline; else the one to the model server */
    void (*on_request)(void *ctx, const struct ce_visit *visit, struct ce_action *action);
    void (*on_response)(void *ctx, const struct ce_visit *visit, struct ce_action *action);
};

struct ce_filter;

/* Part of a fault's state. All zero: never armed. The proxy's threads write the counts, any thread
 * reads them. */
struct ce_traffic {
    _Atomic double intensity; /* 0..1; the callbacks read it for every message */
    _Atomic double spared; /* the share of the requests that is not shown to the fault any more */

    /* Set by arming, and left alone from then on. */
    struct ce_recipe recipe;
    uint64_t seed;
    const struct ce_target *target;
    struct ce_route *route;
    double share;
    struct ce_reach *reach; /* NULL: everywhere */

    /* The layer's own. */
    struct ce_hook hook;
    struct ce_traffic_hook fault;
    void *ctx;
    const char *name, *rule_name;
    struct ce_filter *filter; /* while it is armed */
    struct ce_rule *rule;
    uint64_t first_row;       /* of the dataset, whose sample request the filter lets through */
    uint64_t requests_before; /* on the route, at arming */
    _Atomic uint64_t eligible, selected, changed;
    struct {
        _Atomic(const char *) reason; /* a constant */
        _Atomic uint64_t count;
    } skipped[CE_SKIP_REASONS_MAX];
};

/* Arms the hook at intensity 1, with the injection's seed, target and rule. `ctx` must live until
 * ce_traffic_disarm(); it usually is the fault's state. `params` NULL: no filter. 0; -ENODATA: the
 * target's requests are none that the filter lets through; or another -errno. */
int ce_traffic_arm(struct ce_traffic *traffic, const struct ce_injection *injection,
                   const struct ce_traffic_params *params, const struct ce_traffic_hook *hook,
                   void *ctx, struct ce_error *err);
/* Idempotent; fine when never armed. No callback runs any more when it returns; the counts, and
 * what the proof needs, stay. */
void ce_traffic_disarm(struct ce_traffic *traffic);
/* The callback `spare` of a fault whose state begins with its struct ce_traffic. */
int ce_traffic_spare(struct ce_injection *injection, double share, struct ce_error *err);
/* A consistent copy: changed <= selected <= eligible if the callbacks count in the order eligible,
 * selected, changed. */
void ce_traffic_count(const struct ce_traffic *traffic, struct ce_fault_counts *ret_counts);
/* Whether the request is one that the fault looks at: of the share, and within the blast radius. */
bool ce_traffic_shares(const struct ce_traffic *traffic, const char *id);
/* Whether a request of that id is hit: it is one of those, and its unit is hit at that rate. */
bool ce_traffic_hits(const struct ce_traffic *traffic, const char *id, uint64_t unit, double rate);

/* ---- within the callbacks ---- */

/* Counts the unit as eligible and, when it is hit at that rate, as selected. Whether it is hit. */
bool ce_visit_select(const struct ce_visit *visit, uint64_t unit, double rate);
/* The random words of that unit. */
void ce_visit_random(const struct ce_visit *visit, uint64_t unit, uint64_t sub,
                     uint64_t ret_words[2]);
/* The number of the request among those of its phase, from 0: the number at the end of its id
 * ("f-17" is 17), else how many came before it since arming. */
uint64_t ce_visit_index(const struct ce_visit *visit);
/* One unit that was skipped, and why (a constant). */
void ce_visit_skip(const struct ce_visit *visit, const char *reason);
/* So many units were changed by this action: sets action->acted, counts them, and notes the hit
 * with the sentence ("delayed 512.3 ms"), which is made only if somebody keeps it. At most once for
 * each message. */
void ce_visit_did(const struct ce_visit *visit, struct ce_action *action, uint64_t units,
                  const char *fmt, ...) CE_PRINTF(4, 5);

/* The message at hand, for ce_message_inputs(), ce_message_rows() and so on; its protocol is the
 * request's. */
struct ce_message ce_visit_message(const struct ce_visit *visit);
/* Reads the predictions of the response at hand. NULL: there is at least one, and *ret_message and
 * *ret_values are filled (end the latter with ce_values_done()); else why not: "error answer",
 * "encoded", "no values", "unreadable". */
const char *ce_visit_outputs(const struct ce_visit *visit, struct ce_message *ret_message,
                             struct ce_values *ret_values);
/* Puts the message in the place of the one at hand; takes remade->body over. */
void ce_visit_replace(const struct ce_visit *visit, struct ce_action *action,
                      struct ce_remade *remade);

/* ---- proof by a second client: for verify and verify_undo ---- */

#define CE_PROBE_ID_SIZE 32
/* Whether a request of that id is hit, as a fault defines it; `ctx` usually is the fault's state.
 */
typedef bool ce_hits_fn(const void *ctx, const char *id);

/* The first probe id from number `from` on for which `hits` answers `want`, and the number after
 * it: 0 or more. -ENODATA when there is none within reach: 16 million, which only rates below 1e-6
 * come near, or 4096 when one is wanted that is not hit. */
int64_t ce_probe_pick(ce_hits_fn *hits, const void *ctx, bool want, int64_t from,
                      char ret_id[CE_PROBE_ID_SIZE], struct ce_error *err);

/* The same sample request, sent twice. */
struct ce_witness {
    const struct ce_protocol *protocol;   /* of the request; NULL: none that is known */
    const char *locator;                  /* see struct ce_message */
    struct ce_http_answer direct, routed; /* empty unless their results are 0 */
    int direct_result, routed_result;     /* 0, or the negative errno that ended the call */
    uint64_t row;                         /* the dataset row that it was about */
};
/* Sends the sample request for the first dataset row from `row` on that the filter lets through,
 * straight to the upstream, then through the route. `timeout_ns` is for the call through the route.
 * 0; or -errno when it could not look: no sample request, or the upstream itself does not answer.
 * Also after ce_traffic_disarm(). */
int ce_witness_ask(const struct ce_traffic *traffic, const char *id, uint64_t row,
                   int64_t timeout_ns, struct ce_witness *ret_witness, struct ce_error *err);
void ce_witness_done(struct ce_witness *witness); /* a zeroed one is fine */
/* What an HTTP status of the proxy is for the caller: gRPC has fewer of them. */
int ce_witness_status(const struct ce_witness *witness, int status);
/* Whether both answers have the same status and the same predictions (the same bytes if they hold
 * none). */
bool ce_witness_same(const struct ce_witness *witness);

/* Whether the target answers the sample request for that row, sent straight to where its requests
 * go: 0, or -errno and why not. */
int ce_target_answers(const struct ce_target *target, uint64_t row, int64_t timeout_ns,
                      struct ce_error *err);

/* For verify, once it has seen those that are selected: the same for a probe that is not. 1:
 * untouched, which is added to the evidence (or so few are spared that none was found); 0: it was
 * hit all the same, and the evidence says how; or -errno. */
int ce_traffic_verify_spared(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                             int64_t slack_ns, struct ce_evidence *evidence, struct ce_error *err);
/* For verify of faults that change what is predicted: a single prediction that is selected may well
 * stay as it was (a label drawn at random), so it looks at several probes that are hit. The
 * evidence is "3 of 4 probes `of_which` were answered differently through the proxy than directly",
 * and names the last error that it saw. 1: one was; 0: none; or -errno. */
int ce_traffic_verify_hit(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                          const char *of_which, struct ce_evidence *ret_evidence,
                          struct ce_error *err);
/* The same, and then one that is spared. */
int ce_traffic_verify_changed(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                              const char *of_which, struct ce_evidence *ret_evidence,
                              struct ce_error *err);
/* For verify_undo: unaffected, for a probe that used to be hit (see ce_probe_pick; NULL, or if
 * there is none: any probe), or not answered in either way. 0 when the fault was never armed. */
int ce_traffic_verify_undo(const struct ce_traffic *traffic, ce_hits_fn *hits, const void *ctx,
                           int64_t slack_ns, struct ce_error *err);

#endif
