/* SPDX-License-Identifier: MIT */
/* A probe asks the pipeline, or what surrounds it, one question and holds the answer against what
 * is expected.
 *
 * The answer is one of three: it is as expected, it is not, or it could not be had. The last is no
 * deviation: a monitoring system that is down says nothing about the pipeline. */
#ifndef CE_PROBE_PROBE_H
#define CE_PROBE_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "params/params.h"

enum ce_probe_kind {
    CE_PROBE_WORKLOAD = 0, /* a measurement of the workload's own, as it is now */
    CE_PROBE_HTTP,
    CE_PROBE_TCP,
    CE_PROBE_COMMAND,
    CE_PROBE_FILE,
    CE_PROBE_PROMETHEUS,
};

/* When it is asked. */
enum ce_probe_mode {
    CE_PROBE_EDGE = 0,   /* before the fault, and again after recovery */
    CE_PROBE_START,      /* before the fault */
    CE_PROBE_END,        /* after recovery */
    CE_PROBE_CONTINUOUS, /* from before the fault to the end, at its interval */
    CE_PROBE_ON_CHAOS,   /* while the fault is live, at its interval */
};

/* What the answer has to be: all that is given holds. */
struct ce_expect {
    char *equals;    /* the whole answer, as a number when both are; NULL: not asked */
    double min, max; /* bounds, inclusive; -inf and inf: not asked */
    char *regex;     /* POSIX extended, searched in the answer; NULL: not asked */
    char *jsonpath;  /* picks from a JSON answer what the others hold against; NULL: all of it */
    int64_t status;  /* http: the status; command: the exit code; -1: not asked */
    double max_ms;   /* how long the answer may take; inf: not asked */
};
extern const struct ce_param ce_expect_params[];
/* One that asks nothing: what a table is read on top of. */
struct ce_expect ce_expect_nothing(void);
/* Sets what a bare value stands for: a whole number is the status of http and the exit code of a
 * command; `exists` is the file; anything else is the whole answer. -EINVAL: no answer has such a
 * status; -ENOMEM. */
int ce_expect_bare(int kind, const char *value, struct ce_expect *expect, struct ce_error *err);

struct ce_probe_spec {
    int kind, mode;
    char *name;              /* for reports; NULL: made from what it asks */
    char *url;               /* http, prometheus */
    char *method, *body;     /* http; NULL: GET, none */
    struct ce_names headers; /* http: "Name: value" */
    char *host;              /* tcp */
    int64_t port;
    struct ce_names command;   /* a list, or one string for sh -c */
    char *workdir;             /* command; NULL: this process's */
    char *path;                /* file */
    char *query;               /* prometheus */
    char *metric;              /* workload: accuracy, error_ratio, p99_ms, ... */
    int64_t interval, timeout; /* ns */
    int64_t window;            /* workload: how far back it looks, ns */
    int64_t failures;          /* so many in a row make a deviation */
    struct ce_expect expect;
};
extern const struct ce_param ce_probe_params[]; /* all but expect */
void ce_probe_spec_done(struct ce_probe_spec *spec);

/* The metrics of every workload; NULL-terminated. Trials may have others. */
extern const char *const ce_workload_metrics[];
/* Between which values it can be, both included; anything, where nothing is known of it. */
void ce_metric_range(const char *metric, double *ret_least, double *ret_most);
/* Whether it says in milliseconds how long operations took. */
bool ce_metric_is_latency(const char *metric);

/* Whether the keys fit each other and the expectation can match such an answer at all. *ret_key:
 * the key at fault; only on failure. */
int ce_probe_check(const struct ce_probe_spec *spec, const char **ret_key, struct ce_error *err);
/* The JSON Schema of a probe's keys, `expect` included. */
json_t *ce_probe_schema(void);
/* "http http://127.0.0.1:8080/health", or its name. */
void ce_probe_text(const struct ce_probe_spec *spec, char *text, size_t size);

/* Silence of whom the probe asks is an answer: a server that refuses, a command that does not end.
 * What could not be asked says nothing: no such name or program, no monitoring that could tell. */
enum ce_probe_result {
    CE_PROBE_HELD = 0, /* as expected */
    CE_PROBE_FAILED,   /* not as expected */
    CE_PROBE_ERROR,    /* could not be asked */
};
struct ce_probe_answer {
    enum ce_probe_result result;
    double value;   /* when it is a number; else NaN */
    int64_t took;   /* ns */
    int64_t at;     /* when it came, ce_now() time */
    char text[256]; /* one sentence: what was asked, answered, and expected */
};

/* Asks, for at most its timeout. Any thread. Not for probes of the workload: their metric is with
 * whoever measures. Processes that it starts have ended when it returns. */
void ce_probe_ask(const struct ce_probe_spec *spec, struct ce_probe_answer *ret_answer);
/* Makes UTF-8 of words that were cut, or came from anywhere. */
void ce_probe_make_text(char *words);
/* Holds a number that was measured elsewhere against the expectation; NaN: could not be had. */
void ce_probe_judge(const struct ce_probe_spec *spec, double value,
                    struct ce_probe_answer *ret_answer);

/* Answers of one sort in a row; start from zero. */
struct ce_in_row {
    int64_t failed, errors;
};
/* Counts an answer. A probe has settled once it held, or failed or erred `failures` times in a row;
 * an error breaks off no row of failures. */
bool ce_probe_settles(const struct ce_probe_spec *spec, enum ce_probe_result result,
                      struct ce_in_row *row);

/* ---- asking at intervals ---- */

struct ce_watch;

/* Starts to ask every probe at its interval, each on a thread of its own, so that a slow one holds
 * up no other. `specs` is borrowed. Probes of the workload may be among them; they are not asked.
 */
int ce_watch_start(const struct ce_probe_spec *const *specs, size_t count,
                   struct ce_watch **ret_watch, struct ce_error *err);
/* The same, each only until it has settled. */
int ce_watch_settle(const struct ce_probe_spec *const *specs, size_t count,
                    struct ce_watch **ret_watch, struct ce_error *err);
/* The next answer that came, of the `*ret_index`-th: 1, or 0 when there is none now. */
int ce_watch_next(struct ce_watch *watch, size_t *ret_index, struct ce_probe_answer *ret_answer);
/* Ends it; a question under way is given up. NULL is fine. */
void ce_watch_stop(struct ce_watch *watch);

#endif
