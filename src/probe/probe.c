/* SPDX-License-Identifier: MIT */
/* The keys of a probe, which of them belong together, and asking. */
#include "probe/probe.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "probe/probe_internal.h"

static const struct ce_choice kinds[] = {
    {"workload", CE_PROBE_WORKLOAD, "a measurement of the workload's own, as it is now"},
    {"http", CE_PROBE_HTTP, "an HTTP request"},
    {"tcp", CE_PROBE_TCP, "a connection that is accepted"},
    {"command", CE_PROBE_COMMAND, "a command's exit code and output"},
    {"file", CE_PROBE_FILE, "a file that exists, and its content"},
    {"prometheus", CE_PROBE_PROMETHEUS, "an instant query"},
    {NULL, 0, NULL},
};

static const struct ce_choice modes[] = {
    {"edge", CE_PROBE_EDGE, "before the fault, and again after recovery"},
    {"start", CE_PROBE_START, "before the fault"},
    {"end", CE_PROBE_END, "after recovery"},
    {"continuous", CE_PROBE_CONTINUOUS, "from before the fault to the end"},
    {"on_chaos", CE_PROBE_ON_CHAOS, "while the fault is live"},
    {NULL, 0, NULL},
};

const char *const ce_workload_metrics[] = {"accuracy", "error_ratio", "error_count", "throughput",
                                           "p50_ms",   "p90_ms",      "p99_ms",      "max_ms",
                                           "downtime", NULL};

void ce_metric_range(const char *metric, double *ret_least, double *ret_most)
{
    static const char *const shares[] = {"accuracy", "error_ratio"};
    size_t count = 0;
    while (ce_workload_metrics[count])
        count++;
    *ret_least = ce_text_is_among(metric, ce_workload_metrics, count) ? 0 : -INFINITY;
    *ret_most = ce_text_is_among(metric, shares, CE_COUNT(shares)) ? 1 : INFINITY;
}

bool ce_metric_is_latency(const char *metric)
{
    static const char *const latencies[] = {"p50_ms", "p90_ms", "p99_ms", "max_ms"};
    return ce_text_is_among(metric, latencies, CE_COUNT(latencies));
}

#define HOURS (3600 * (double)CE_SECOND)

const struct ce_param ce_probe_params[] = {
    {.name = "probe",
     .type = CE_PARAM_CHOICE,
     .offset = CE_PARAM_FIELD_(struct ce_probe_spec, kind, int),
     .choices = kinds,
     .doc = "What it asks."},
    CE_CHOICE(struct ce_probe_spec, mode, .choices = modes, .def = "edge",
              .doc = "When it is asked."),
    CE_TEXT(struct ce_probe_spec, name, .def = "", .doc = "What reports call it."),
    CE_TEXT(struct ce_probe_spec, url, .def = "",
            .doc = "http: what is asked for; prometheus: the server."),
    CE_TEXT(struct ce_probe_spec, method, .def = "", .doc = "http: GET unless it says another."),
    CE_TEXT(struct ce_probe_spec, body, .def = "", .doc = "http: sent along."),
    CE_NAMES(struct ce_probe_spec, headers, .def = "",
             .doc = "http: lines such as 'Accept: text/plain'."),
    CE_TEXT(struct ce_probe_spec, host, .def = "", .doc = "tcp: a name or an address."),
    CE_INTEGER(struct ce_probe_spec, port, .min = 1, .max = 65535, .def = "", .doc = "tcp."),
    CE_NAMES(struct ce_probe_spec, command, .def = "",
             .doc = "command: a program and its arguments, or one line for sh."),
    CE_TEXT(struct ce_probe_spec, workdir, .def = "",
            .doc = "command: where it runs; the folder of the document unless it says another."),
    CE_TEXT(struct ce_probe_spec, path, .def = "", .doc = "file."),
    CE_TEXT(struct ce_probe_spec, query, .def = "", .doc = "prometheus: yields one number."),
    CE_TEXT(struct ce_probe_spec, metric, .def = "",
            .doc = "workload: accuracy, error_ratio, error_count, throughput, p50_ms, p90_ms, "
                   "p99_ms, max_ms, downtime, or one that trials report."),
    CE_SECONDS(struct ce_probe_spec, interval, .min = 20 * CE_MILLISECOND, .max = HOURS,
               .def = "1s", .doc = "From one look to the next."),
    CE_SECONDS(struct ce_probe_spec, timeout, .min = CE_MILLISECOND, .max = HOURS, .def = "2s",
               .doc = "How long an answer is waited for."),
    CE_SECONDS(struct ce_probe_spec, window, .min = 100 * CE_MILLISECOND, .max = HOURS, .def = "2s",
               .doc = "workload: how far back a measurement looks."),
    CE_INTEGER(struct ce_probe_spec, failures, .min = 1, .max = 1000000, .def = "1",
               .doc = "So many in a row make a deviation."),
    CE_END_PARAMS,
};

void ce_probe_spec_done(struct ce_probe_spec *spec)
{
    ce_params_done(ce_probe_params, spec);
    ce_params_done(ce_expect_params, &spec->expect);
}

/* ---- keys ---- */

void ce_probe_list_keys(const struct ce_probe_spec *spec, struct ce_probe_key keys[CE_PROBE_KEYS])
{
    enum {
        HTTP = 1 << CE_PROBE_HTTP,
        TCP = 1 << CE_PROBE_TCP,
        COMMAND = 1 << CE_PROBE_COMMAND,
        FILE_ = 1 << CE_PROBE_FILE,
        PROMETHEUS = 1 << CE_PROBE_PROMETHEUS,
        WORKLOAD = 1 << CE_PROBE_WORKLOAD,
    };
    const struct ce_probe_key all[CE_PROBE_KEYS] = {
        {"url", HTTP | PROMETHEUS, HTTP | PROMETHEUS, spec->url},
        {"method", HTTP, 0, spec->method},
        {"body", HTTP, 0, spec->body},
        {"headers", HTTP, 0, spec->headers.count > 0},
        {"host", TCP, TCP, spec->host},
        {"port", TCP, TCP, spec->port > 0},
        {"command", COMMAND, COMMAND, spec->command.count > 0},
        {"workdir", COMMAND, 0, spec->workdir},
        {"path", FILE_, FILE_, spec->path},
        {"query", PROMETHEUS, PROMETHEUS, spec->query},
        {"metric", WORKLOAD, WORKLOAD, spec->metric},
    };
    memcpy(keys, all, sizeof all);
}

int ce_probe_check(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err)
{
    struct ce_probe_key keys[CE_PROBE_KEYS];
    unsigned kind = 1U << spec->kind;
    const char *name = kinds[spec->kind].name;
    ce_probe_list_keys(spec, keys);
    for (size_t i = 0; i < CE_COUNT(keys); i++) {
        *ret_key = keys[i].name;
        if (keys[i].given && !(keys[i].kinds & kind))
            return ce_fail(err, EINVAL, "%s: is no key of the probe %s", keys[i].name, name);
        *ret_key = NULL;
        if (!keys[i].given && keys[i].required & kind)
            return ce_fail(err, EINVAL, "the probe %s needs the key '%s'", name, keys[i].name);
    }
    if (spec->kind == CE_PROBE_HTTP || spec->kind == CE_PROBE_PROMETHEUS)
        CE_TRY(ce_probe_check_http(spec, ret_key, err));
    if (spec->kind == CE_PROBE_TCP)
        CE_TRY(ce_probe_check_tcp(spec, ret_key, err));
    return ce_expect_check(spec, ret_key, err);
}

/* ---- words ---- */

static void asked_text(const struct ce_probe_spec *spec, char *text, size_t size)
{
    switch (spec->kind) {
    case CE_PROBE_WORKLOAD:
        snprintf(text, size, "%s", spec->metric);
        break;
    case CE_PROBE_HTTP:
        snprintf(text, size, "%s%s%s", spec->method ? spec->method : "", spec->method ? " " : "",
                 spec->url);
        break;
    case CE_PROBE_TCP:
        snprintf(text, size, strchr(spec->host, ':') ? "[%s]:%lld" : "%s:%lld", spec->host,
                 (long long)spec->port);
        break;
    case CE_PROBE_COMMAND:
        snprintf(text, size, "%s", spec->command.names[0]);
        break;
    case CE_PROBE_FILE:
        snprintf(text, size, "%s", spec->path);
        break;
    case CE_PROBE_PROMETHEUS:
        snprintf(text, size, "%s", spec->query);
        break;
    }
}

void ce_probe_make_text(char *words)
{
    json_t *text = json_string(words);
    for (char *p = words; !text && *p != '\0'; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    json_decref(text);
}

void ce_probe_text(const struct ce_probe_spec *spec, char *text, size_t size)
{
    char asked[512], shown[CE_TEXT_SHOWN_SIZE];
    if (spec->name) {
        snprintf(text, size, "%s", spec->name);
    } else {
        asked_text(spec, asked, sizeof asked);
        ce_text_show(asked, shown);
        snprintf(text, size, "%s %s", kinds[spec->kind].name, shown);
    }
    ce_probe_make_text(text);
}

void ce_probe_say(const struct ce_probe_spec *spec, enum ce_probe_result result,
                  struct ce_probe_answer *answer, const char *fmt, ...)
{
    char name[CE_TEXT_SHOWN_SIZE + 16], said[sizeof answer->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(said, sizeof said, fmt, args);
    va_end(args);
    ce_probe_text(spec, name, sizeof name);
    answer->result = result;
    (void)snprintf(answer->text, sizeof answer->text, "%s: %.150s", name, said);
    ce_probe_make_text(answer->text);
}

/* ---- asking ---- */

bool ce_probe_is_ours(int r)
{
    static const int ours[] = {EADDRNOTAVAIL, ENOMEM, EMFILE,       ENFILE,      ECANCELED,
                               EINVAL,        EACCES, EAFNOSUPPORT, ENETUNREACH, EPERM};
    for (size_t i = 0; i < CE_COUNT(ours); i++)
        if (r == -ours[i])
            return true;
    return false;
}

void ce_heard_done(struct ce_heard *heard)
{
    free(heard->text);
    heard->text = NULL;
}

void ce_probe_ask_until(const struct ce_probe_spec *spec, struct ce_asking *asking,
                        struct ce_probe_answer *ret_answer)
{
    asking->begun = ce_now();
    *ret_answer = (struct ce_probe_answer){.result = CE_PROBE_ERROR, .value = NAN};
    switch (spec->kind) {
    case CE_PROBE_HTTP:
        ce_probe_ask_http(spec, asking, ret_answer);
        break;
    case CE_PROBE_PROMETHEUS:
        ce_probe_ask_prometheus(spec, asking, ret_answer);
        break;
    case CE_PROBE_TCP:
        ce_probe_ask_tcp(spec, asking, ret_answer);
        break;
    case CE_PROBE_COMMAND:
        ce_probe_ask_command(spec, asking, ret_answer);
        break;
    case CE_PROBE_FILE:
        ce_probe_ask_file(spec, ret_answer);
        break;
    default:
        ce_probe_say(spec, CE_PROBE_ERROR, ret_answer, "only whoever measures can tell");
        break;
    }
    ret_answer->at = ce_now();
    ret_answer->took = ret_answer->at - asking->begun;
}

void ce_probe_ask(const struct ce_probe_spec *spec, struct ce_probe_answer *ret_answer)
{
    struct ce_asking asking = {.lock = PTHREAD_MUTEX_INITIALIZER, .give_up = -1, .socket = -1};
    ce_probe_ask_until(spec, &asking, ret_answer);
    (void)pthread_mutex_destroy(&asking.lock);
}

bool ce_probe_settles(const struct ce_probe_spec *spec, enum ce_probe_result result,
                      struct ce_in_row *row)
{
    switch (result) {
    case CE_PROBE_HELD:
        *row = (struct ce_in_row){0};
        return true;
    case CE_PROBE_FAILED:
        row->failed++;
        row->errors = 0;
        break;
    case CE_PROBE_ERROR:
        row->errors++;
        break;
    }
    return row->failed >= spec->failures || row->errors >= spec->failures;
}

void ce_probe_judge(const struct ce_probe_spec *spec, double value,
                    struct ce_probe_answer *ret_answer)
{
    *ret_answer = (struct ce_probe_answer){.value = NAN, .at = ce_now()};
    ce_expect_judge_number(spec, value, ret_answer);
}
