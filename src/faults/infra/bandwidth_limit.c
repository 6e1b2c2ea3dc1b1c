/* SPDX-License-Identifier: MIT */
/* bandwidth_limit: packets of the target pass at a limited rate.
 *
 * A token bucket of the kernel (tbf) lets what enters the target through at `rate`; what comes
 * faster waits, and what does not find room to wait is lost, so that TCP slows down. Each direction
 * has a limit of its own. Of intensity i the rate is rate/i: twice as asked at one half, and none
 * that could be felt at 0. */
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "faults/infra/packet_fault.h"
#include "host/packets/rate_probe.h"

struct bandwidth_limit {
    char *rate;
    double burst;
    int direction;
};

static const struct ce_param params[] = {
    CE_TEXT(struct bandwidth_limit, rate, .def = "1mbit",
            .doc = "Bits per second with a unit: bit, kbit, mbit, gbit; or bytes: Bps, kBps, MBps, "
                   "GBps; or `unlimited`."),
    CE_NUMBER(struct bandwidth_limit, burst, .min = 0, .max = 1e9, .def = "0", .unit = "bytes",
              .doc = "What may pass at once after a pause; 0: what the rate is in 10 ms, and the "
                     "largest packet."),
    CE_CHOICE(struct bandwidth_limit, direction, .choices = ce_packet_directions, .def = "in",
              .doc = "Which packets are limited."),
    CE_END_PARAMS,
};

enum { LO_PACKET = 65536 };

/* ---- rates ---- */

static const struct unit {
    const char *name;
    double bits;
} units[] = {
    {"", 1},         {"bit", 1},        {"kbit", 1e3},     {"mbit", 1e6},   {"gbit", 1e9},
    {"kibit", 1024}, {"mibit", 0x1p20}, {"gibit", 0x1p30}, {"Bps", 8},      {"kBps", 8e3},
    {"KBps", 8e3},   {"MBps", 8e6},     {"GBps", 8e9},     {"KiBps", 8192}, {"MiBps", 0x1p23},
};

static int parse_rate(const char *text, uint64_t *ret_rate, struct ce_error *err)
{
    char *end;
    if (strcmp(text, "unlimited") == 0) {
        *ret_rate = CE_PACKETS_UNLIMITED;
        return 0;
    }
    double number =
        text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : (end = (char *)text, -1);
    for (size_t i = 0; i < CE_COUNT(units) && end > text; i++) {
        bool bits = !strchr(units[i].name, 'B');
        if (bits ? strcasecmp(end, units[i].name) != 0 : strcmp(end, units[i].name) != 0)
            continue;
        double rate = number * units[i].bits;
        if (rate < 1000 || rate > (double)CE_PACKETS_UNLIMITED)
            return ce_fail(err, EINVAL, "rate: '%s' is not between 1kbit and 1000gbit", text);
        *ret_rate = (uint64_t)rate;
        return 0;
    }
    if (end > text && strcasecmp(end + (end[0] && strchr("kmgKMG", end[0])), "bps") == 0)
        return ce_fail(err, EINVAL, "rate: '%s' may be bits or bytes: write mbit or MBps", text);
    return ce_fail(err, EINVAL,
                   "rate: '%s' is no rate: write a number with bit, kbit, mbit, gbit, kBps, MBps "
                   "or GBps, or unlimited",
                   text);
}

static uint64_t rate_of(const struct bandwidth_limit *want)
{
    uint64_t rate = CE_PACKETS_UNLIMITED;
    (void)parse_rate(want->rate, &rate, NULL);
    return rate;
}

static int check(const void *p, struct ce_error *err)
{
    const struct bandwidth_limit *want = p;
    uint64_t rate;
    return parse_rate(want->rate, &rate, err);
}

static bool is_control(const void *p)
{
    return rate_of(p) == CE_PACKETS_UNLIMITED;
}

/* ---- the deed ---- */

static bool available(char *reason, size_t size)
{
    return ce_packets_available(CE_PACKETS_LIMIT, reason, size);
}

static int inject(struct ce_injection *injection, struct ce_error *err)
{
    const struct bandwidth_limit *want = injection->params;
    struct ce_packet_fault *state = injection->state;
    if (is_control(want))
        return 0;
    CE_TRY(ce_packet_fault_find(injection, state, want->direction, err));
    state->deed = (struct ce_packet_deed){
        .kind = CE_PACKETS_LIMIT, .rate = rate_of(want), .burst = (uint64_t)want->burst};
    return ce_packets_begin(injection->journal, &state->subject.place, &state->subject.packets,
                            &state->deed, NULL, &state->packets, err);
}

/* ---- verify ---- */

/* An address at which datagrams would be limited, too. */
static bool aim(const struct ce_subject *subject, struct sockaddr_storage *ret_to)
{
    const struct ce_packet_filter *filter = &subject->packets;
    struct sockaddr_in loopback = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (filter->protocol == IPPROTO_TCP || filter->peer_count > 0 || filter->peer_port != 0 ||
        (filter->interface[0] && strcmp(filter->interface, "lo") != 0))
        return false;
    if (subject->probe.ss_family != 0) {
        *ret_to = subject->probe;
        return true;
    }
    memset(ret_to, 0, sizeof *ret_to);
    memcpy(ret_to, &loopback, sizeof loopback);
    return filter->port_count == 0;
}

/* The tokens for the largest packet pass at once; then what some datagrams take at that rate, or
 * half a second, is measured. */
static int look(const struct ce_packet_fault *state, const struct sockaddr_storage *to,
                bool leaving, struct ce_rate_seen *ret_seen, struct ce_error *err)
{
    enum { DATAGRAMS = 40, LEAST_BITS = 8 * 80 };
    double rate = (double)state->deed.rate;
    double burst = fmax((double)state->deed.burst, rate / 8 / 100);
    double seconds = fmin(fmax(DATAGRAMS * LEAST_BITS / rate, 0.5), 5);
    struct ce_rate_probe probe = {
        .to = *to,
        .leaving = leaving,
        .rate = state->deed.rate,
        .burst = (uint64_t)fmax(burst, LO_PACKET),
        .largest = LO_PACKET,
        .window = (int64_t)(seconds * (double)CE_SECOND),
        .patience = (int64_t)((2 * seconds + 1 + 8 * burst / rate) * (double)CE_SECOND),
    };
    return ce_rate_probe(&state->subject.place, &probe, ret_seen, err);
}

/* Datagrams that the target's own traffic has left no room for are fewer, never more. */
static bool judge(const struct ce_packet_fault *state, const struct ce_rate_seen *seen,
                  const char *way, char *text, size_t size)
{
    double asked = (double)state->deed.rate;
    bool enough = seen->offered > 1.3 * asked;
    snprintf(text, size, "%zu datagrams %s arrived at %.3g Mbit/s of %.3g (sent at %.3g)%s",
             (size_t)seen->packets, way, seen->rate / 1e6, asked / 1e6, seen->offered / 1e6,
             seen->rate < 0.9 * asked ? ", beside other traffic" : "");
    return enough && seen->rate < 1.1 * asked && seen->rate > 0.3 * asked;
}

static int verify(struct ce_injection *injection, struct ce_evidence *ret_evidence,
                  struct ce_error *err)
{
    struct ce_packet_fault *state = injection->state;
    enum ce_packet_direction direction = state->subject.packets.direction;
    struct sockaddr_storage to;
    char texts[2][140] = {"", ""};
    bool seen = true;
    if (!aim(&state->subject, &to))
        return ce_packet_fault_await_hits(state, "held back", ret_evidence, err);
    for (int leaving = 0; leaving < 2; leaving++) {
        struct ce_rate_seen rate;
        if (direction != CE_PACKETS_BOTH && leaving != (direction == CE_PACKETS_OUT))
            continue;
        CE_TRY(look(state, &to, leaving, &rate, err));
        seen &= judge(state, &rate, leaving ? "out" : "in", texts[leaving], sizeof texts[leaving]);
    }
    snprintf(ret_evidence->text, sizeof ret_evidence->text, "%s: %s%s%s",
             ce_packets_means(state->packets), texts[0], texts[0][0] && texts[1][0] ? "; " : "",
             texts[1]);
    return seen;
}

const struct ce_fault ce_fault_bandwidth_limit = {
    .name = "bandwidth_limit",
    .summary = "Limit the rate at which packets enter the target",
    .layer = CE_LAYER_INFRASTRUCTURE,
    .needs = CE_NEEDS_NETWORK,
    .params = params,
    .params_size = sizeof(struct bandwidth_limit),
    .state_size = sizeof(struct ce_packet_fault),
    .example = "{rate: 500kbit}",
    .available = available,
    .check = check,
    .is_control = is_control,
    .inject = inject,
    .verify = verify,
    .adjust = ce_packet_fault_adjust,
    .revert = ce_packet_fault_revert,
    .count = ce_packet_fault_count,
};
