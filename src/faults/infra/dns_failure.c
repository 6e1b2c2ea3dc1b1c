/* SPDX-License-Identifier: MIT */
/* dns_failure: a share of the target's queries for names fails.
 *
 * A resolver of ours answers that share with an error, with a wrong address, or not at all, and
 * hands all others on to the target's name servers, unchanged (host/names/resolver.h). Each query
 * counts: one that a program repeats after a timeout is drawn anew. That they fail is witnessed by
 * another process that asks the target's first name server for a name which it knew before. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/fault.h"
#include "host/names/dns_probe.h"
#include "host/names/resolv_conf.h"
#include "host/names/resolver.h"
#include "host/subject.h"

enum { BY_AUTO, BY_REDIRECT, BY_RESOLV_CONF };

/* The default, which is as good as not stated. */
#define WRONG_ADDRESS "192.0.2.1"

struct dns_failure {
    double failure_rate;
    int mode, mechanism;
    char *address;
    struct ce_names names;
};

static const struct ce_choice modes[] = {
    {"nxdomain", CE_DNS_FAIL_NXDOMAIN, "there is no such name"},
    {"servfail", CE_DNS_FAIL_SERVFAIL, "the name server could not find out"},
    {"timeout", CE_DNS_FAIL_TIMEOUT, "no answer"},
    {"wrong_address", CE_DNS_FAIL_WRONG_ADDRESS, "the address is `address`"},
    {NULL, 0, NULL},
};
static const struct ce_choice mechanisms[] = {
    {"auto", BY_AUTO, "redirect where that can be done, else resolv_conf"},
    {"redirect", BY_REDIRECT, "packets for the target's name servers are redirected"},
    {"resolv_conf", BY_RESOLV_CONF, "another /etc/resolv.conf in the target's mount namespace"},
    {NULL, 0, NULL},
};
static const struct ce_param params[] = {
    CE_RATE(struct dns_failure, failure_rate, .def = "0.5",
            .doc = "Share of the queries that fail."),
    CE_CHOICE(struct dns_failure, mode, .choices = modes, .def = "nxdomain",
              .doc = "How they fail."),
    CE_TEXT(struct dns_failure, address, .def = WRONG_ADDRESS,
            .doc = "The wrong address, IPv4 or IPv6; the other kind is said not to exist."),
    CE_NAMES(struct dns_failure, names, .def = "",
             .doc = "Only queries for these names and those below them fail; none: all."),
    CE_CHOICE(struct dns_failure, mechanism, .choices = mechanisms, .def = "auto",
              .doc = "How the queries get to ChaosEater's resolver."),
    CE_END_PARAMS,
};

struct state {
    struct ce_resolver *resolver;
    bool begun; /* there was one */
    struct ce_place place;
    struct ce_dns_probe probe; /* for a name that did not fail before */
    struct ce_dns_seen witnessed;
    uint64_t seen, failed; /* as counted last */
};

enum { BASELINE_QUERIES = 4, QUERIES_LEAST = 200, FAILURES_WANTED = 20 };
static const int64_t spacing = CE_MILLISECOND;
static const int64_t patience = 2 * CE_SECOND;

static void read_address(const char *text, struct ce_dns_address *ret_address)
{
    *ret_address = (struct ce_dns_address){.size = 0};
    if (inet_pton(AF_INET, text, ret_address->bytes) == 1)
        ret_address->size = 4;
    else if (inet_pton(AF_INET6, text, ret_address->bytes) == 1)
        ret_address->size = 16;
}

static const char *mode_name(int mode)
{
    const struct ce_choice *choice = modes;
    while (choice->name && choice->value != mode)
        choice++;
    return choice->name ? choice->name : "?";
}

static int check(const void *p, struct ce_error *err)
{
    const struct dns_failure *want = p;
    struct ce_dns_address address;
    uint8_t query[CE_DNS_ANSWER_MAX];
    read_address(want->address ? want->address : "", &address);
    if (address.size == 0)
        return ce_fail(err, EINVAL, "address: '%s' is no IPv4 or IPv6 address",
                       want->address ? want->address : "");
    if (want->mode != CE_DNS_FAIL_WRONG_ADDRESS && strcmp(want->address, WRONG_ADDRESS) != 0)
        return ce_fail(err, EINVAL,
                       "address: '%s' plays no part with mode %s; only wrong_address takes it",
                       want->address, mode_name(want->mode));
    for (size_t i = 0; i < want->names.count; i++)
        if (ce_dns_write_query(0, want->names.names[i], CE_DNS_A, query) == 0)
            return ce_fail(err, EINVAL, "names: '%s' is no name such as example.com",
                           want->names.names[i]);
    return 0;
}

static bool is_control(const void *p)
{
    return ((const struct dns_failure *)p)->failure_rate == 0;
}

static bool available(char *reason, size_t size)
{
    return ce_resolver_available(reason, size);
}

/* ---- the witness's name ---- */

static int ask(struct state *state, size_t count, struct ce_dns_seen *ret_seen,
               struct ce_error *err)
{
    ce_autofree struct ce_resolv_conf *conf = calloc(1, sizeof *conf);
    if (!conf)
        return ce_fail_memory(err);
    CE_TRY(ce_resolv_conf_read(&state->place, conf, err));
    state->probe.server = conf->servers[0];
    state->probe.count = count;
    return ce_dns_probe(&state->place, &state->probe, ret_seen, err);
}

/* Whether a failure could be told from what the name server says of that name by itself. 1 or 0. */
static int is_telling(struct state *state, const struct dns_failure *want, const char *name,
                      uint16_t type, struct ce_error *err)
{
    struct ce_dns_seen seen;
    bool meant = want->names.count == 0;
    for (size_t i = 0; !meant && i < want->names.count; i++)
        meant = ce_dns_is_within(name, want->names.names[i]);
    if (!meant || !ce_dns_can_fail(type, (enum ce_dns_failure)want->mode))
        return 0;
    snprintf(state->probe.name, sizeof state->probe.name, "%s", name);
    state->probe.type = type;
    CE_TRY(ask(state, BASELINE_QUERIES, &seen, err));
    return ce_dns_failed(&seen, (enum ce_dns_failure)want->mode) == 0;
}

/* A name that the fault is meant for, one that the target looks up, or one that every name server
 * knows. */
static int choose_name(struct state *state, const struct dns_failure *want, const char *resolves,
                       struct ce_error *err)
{
    uint16_t type = state->probe.wrong.size == 16 ? CE_DNS_AAAA : CE_DNS_A;
    int r = 0;
    for (size_t i = 0; r == 0 && i < want->names.count; i++)
        r = is_telling(state, want, want->names.names[i], type, err);
    if (r == 0 && resolves[0])
        r = is_telling(state, want, resolves, type, err);
    if (r == 0)
        r = is_telling(state, want, "localhost", type, err);
    if (r == 0)
        r = is_telling(state, want, ".", CE_DNS_NS, err);
    if (r != 0)
        return r < 0 ? r : 0;
    if (want->mode == CE_DNS_FAIL_TIMEOUT)
        return ce_fail(err, ENODATA,
                       "the target's name server does not answer as it is: without answers there "
                       "is nothing to lose");
    return ce_fail(err, ENODATA,
                   "the target's name server answers '%s' as it is to every name that was tried: "
                   "set `names` to one that it knows",
                   modes[want->mode].name);
}

/* ---- the fault ---- */

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct dns_failure *want = injection->params;
    const struct ce_target *target = injection->target;
    struct state *state = injection->state;
    struct ce_subject subject = {.has = 0};
    if (is_control(want))
        return 0;
    if (!target->locate)
        return ce_fail(err, ENOTSUP, "%s has no network that is known", target->name);
    CE_TRY(target->locate(target->located, NULL, &subject, err));
    if (!(subject.has & CE_SUBJECT_NETWORK))
        return ce_fail(err, ENOTSUP, "the network namespace of %s is not known", subject.name);

    struct ce_resolver_deed deed = {
        .failure = (enum ce_dns_failure)want->mode,
        .domains = &want->names,
        .share = want->failure_rate,
        .seed = injection->seed,
    };
    read_address(want->address, &deed.address);
    state->place = subject.place;
    state->probe.spacing = spacing;
    state->probe.patience = patience;
    if (want->mode == CE_DNS_FAIL_WRONG_ADDRESS)
        state->probe.wrong = deed.address;
    CE_TRY(choose_name(state, want, subject.resolves, err));
    CE_TRY(ce_resolver_begin(injection->journal, &state->place, &deed,
                             want->mechanism == BY_AUTO ? NULL : mechanisms[want->mechanism].name,
                             &state->resolver, err));
    state->begun = true;
    return 0;
}

/* So many queries that the share shows. */
static size_t queries_for(double share)
{
    double wanted = FAILURES_WANTED / share;
    return wanted < QUERIES_LEAST      ? QUERIES_LEAST
           : wanted < CE_DNS_PROBE_MAX ? (size_t)wanted
                                       : CE_DNS_PROBE_MAX;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    const struct dns_failure *want = injection->params;
    struct state *state = injection->state;
    struct ce_dns_seen seen;
    char server[INET6_ADDRSTRLEN] = "";
    CE_TRY(ask(state, queries_for(want->failure_rate), &seen, err));
    state->witnessed = seen;
    const void *address =
        state->probe.server.ss_family == AF_INET6
            ? (const void *)&((struct sockaddr_in6 *)&state->probe.server)->sin6_addr
            : &((struct sockaddr_in *)&state->probe.server)->sin_addr;
    (void)inet_ntop(state->probe.server.ss_family, address, server, sizeof server);

    double failed = (double)ce_dns_failed(&seen, (enum ce_dns_failure)want->mode);
    double n = (double)seen.sent, p = want->failure_rate;
    /* One more than the binomial: a datagram may always be lost. */
    double slack = 4 * sqrt(n * p * (1 - p)) + 1;
    snprintf(ret_evidence->text, sizeof ret_evidence->text,
             "%.0f of %.0f queries for '%.100s' to %s failed (%s): %.1f %%, asked %.1f %%, 4 sigma "
             "allow %.0f to %.0f; by %s",
             failed, n, state->probe.name, server, modes[want->mode].name, 100 * failed / n,
             100 * p, fmax(0, ceil(n * p - slack)), fmin(n, floor(n * p + slack)),
             ce_resolver_means(state->resolver));
    return failed > 0 && fabs(failed - n * p) <= slack;
}

static int adjust(struct ce_injection *injection, double intensity, struct ce_error *err)
{
    const struct dns_failure *want = injection->params;
    struct state *state = injection->state;
    if (!state->resolver)
        return 0;
    return ce_resolver_adjust(state->resolver, intensity * want->failure_rate, err);
}

static int revert(struct ce_injection *injection, struct ce_error *err)
{
    struct state *state = injection->state;
    return ce_resolver_end(ce_take(state->resolver), err);
}

/* The name is found again: a few queries lost are the network's own affair. */
static int verify_undo(struct ce_injection *injection, struct ce_error *err)
{
    const struct dns_failure *want = injection->params;
    struct state *state = injection->state;
    struct ce_dns_seen seen;
    enum { QUERIES = 20 };
    if (!state->begun)
        return 0;
    int r = ask(state, QUERIES, &seen, err);
    if (r < 0)
        return r == -ESRCH ? 0 : r; /* the target is gone, and all of it */
    size_t failed = ce_dns_failed(&seen, (enum ce_dns_failure)want->mode);
    if (failed > (want->mode == CE_DNS_FAIL_TIMEOUT ? QUERIES / 4 : 0))
        return ce_fail(err, EBUSY, "%zu of %d queries for '%s' still fail", failed, QUERIES,
                       state->probe.name);
    return 0;
}

/* Without what the witness asked. */
static void count(const struct ce_injection *injection, struct ce_fault_counts *ret_counts)
{
    const struct dns_failure *want = injection->params;
    struct state *state = injection->state;
    if (state->resolver)
        (void)ce_resolver_count(state->resolver, &state->seen, &state->failed, NULL);
    uint64_t asked = state->witnessed.sent;
    uint64_t failed = ce_dns_failed(&state->witnessed, (enum ce_dns_failure)want->mode);
    uint64_t seen = state->seen > asked ? state->seen - asked : 0;
    uint64_t hit = state->failed > failed ? state->failed - failed : 0;
    hit = hit < seen ? hit : seen;
    *ret_counts = (struct ce_fault_counts){.eligible = seen, .selected = hit, .changed = hit};
}

const struct ce_fault ce_fault_dns_failure = {
    .name = "dns_failure",
    .summary = "Let a share of the queries for names fail",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_NETWORK,
    .params = params,
    .params_size = sizeof(struct dns_failure),
    .state_size = sizeof(struct state),
    .example = "{failure_rate: 0.5, mode: servfail}",
    .available = available,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = adjust,
    .revert = revert,
    .verify_undo = verify_undo,
    .count = count,
};
