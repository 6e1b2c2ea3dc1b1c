/* SPDX-License-Identifier: MIT */
/* ChaosEater: chaos engineering for ML pipelines. The library without the command line.
 *
 * It breaks data, models and infrastructure on purpose, proves that the break happened, measures
 * what it did to the pipeline, puts everything back, and says with a score whether the pipeline may
 * be deployed.
 *
 * Conventions
 *   Errors      functions return 0 (or a useful non-negative number), or a negative errno value;
 * then `err`, if not NULL, holds one sentence. On failure the ret_ parameters are untouched.
 *   Ownership   whoever gets a pointer through a ret_ parameter, or a `char *` result, frees it
 * with the function named in the comment. `const` pointers are borrowed. Threads     different
 * objects may be used from different threads; one object from one thread at a time. ce_suite_run()
 * starts threads and child processes of its own and has ended them all when it returns. Output the
 * library never prints, except to a FILE that the caller hands in.
 */
#ifndef CHAOSEATER_H
#define CHAOSEATER_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CE_API __attribute__((visibility("default")))

/* ---- errors ---- */

struct ce_error {
    int code;          /* positive errno value; 0 while nothing failed */
    char where[160];   /* "plan.yaml:14:9", or "" when no input is at fault */
    char message[512]; /* one sentence, no trailing newline */
};

/* Exit codes of the command line, and of ce_results_exit_code(). */
enum ce_exit {
    CE_EXIT_PASSED = 0,
    CE_EXIT_DEVIATED = 1, /* deviated, or below the gate */
    CE_EXIT_USAGE = 2,    /* bad input or usage; nothing ran */
    CE_EXIT_ABORTED = 3,  /* by a stop condition */
    CE_EXIT_FAILED = 4,   /* could not run, or an injection that was not seen to take effect */
    CE_EXIT_DIRTY = 5,    /* something could not be put back */
    CE_EXIT_BASELINE = 6, /* the pipeline was not healthy before anything was injected */
    CE_EXIT_SIGINT = 130,
    CE_EXIT_SIGTERM = 143,
};

CE_API const char *ce_version(void);

/* Frees a string that this library returned. NULL is fine. */
CE_API void ce_string_free(char *text);

/* Debug messages go to `sink` (NULL: nowhere, the default). Call before any other thread uses the
 * library. */
typedef void ce_log_fn(void *ctx, const char *message);
CE_API void ce_log_to(ce_log_fn *sink, void *ctx);

/* ---- faults ---- */

struct ce_fault;

/* Every fault, in the order in which they are listed. ce_fault_at(i) is NULL for i >=
 * ce_fault_count(). */
CE_API size_t ce_fault_count(void);
CE_API const struct ce_fault *ce_fault_at(size_t i);
/* NULL when no fault has that name; ce_fault_nearest() then says which one was probably meant. */
CE_API const struct ce_fault *ce_fault_find(const char *name);
CE_API const char *ce_fault_nearest(const char *name);
CE_API const char *ce_fault_name(const struct ce_fault *fault);
CE_API const char *
ce_fault_layer(const struct ce_fault *fault); /* "data", "model" or "infrastructure" */
CE_API const char *ce_fault_summary(const struct ce_fault *fault);
/* Whether this host can run it; if not, `reason` (may be NULL) says why in one sentence. */
CE_API bool ce_fault_available(const struct ce_fault *fault, char *reason, size_t size);
/* What `chaoseater explain FAULT` prints: parameters, units, defaults, needs, example. */
CE_API void ce_fault_explain(const struct ce_fault *fault, FILE *out);
/* The documents that `faults --json` and `explain FAULT --json` print. Free with ce_string_free().
 * NULL: no memory. */
CE_API char *ce_faults_json(void);
CE_API char *ce_fault_json(const struct ce_fault *fault);

/* ---- experiment documents ---- */

struct ce_document;

/* Loads a YAML document from `path` ("-": standard input). Nothing is validated beyond YAML itself
 * until ce_document_validate(), so that ce_document_set() may still change values. Free with
 * ce_document_free(). */
CE_API int ce_document_load(const char *path, struct ce_document **ret_doc, struct ce_error *err);
/* The same from memory; `name` is what messages call it. `text` is not kept. */
CE_API int ce_document_parse(const char *text, size_t size, const char *name,
                             struct ce_document **ret_doc, struct ce_error *err);
CE_API void ce_document_free(struct ce_document *doc);
/* The document of `chaoseater demo`: every fault once, seconds each. */
CE_API int ce_document_demo(struct ce_document **ret_doc, struct ce_error *err);
/* "duration=3s", "parameters.corruption_rate=0.2": for every experiment that has such a key or
 * parameter. */
CE_API int ce_document_set(struct ce_document *doc, const char *assignment, struct ce_error *err);
/* A selector is an experiment's name, "tag:NAME" or "layer:NAME"; -ENOENT when it means none.
 * `only` keeps what it means (may be called several times: keeps them all), `skip` leaves it out.
 */
CE_API int ce_document_only(struct ce_document *doc, const char *selector, struct ce_error *err);
CE_API int ce_document_skip(struct ce_document *doc, const char *selector, struct ce_error *err);
/* Checks every experiment against the tables. Must succeed before ce_suite_run(). No experiment's
 * fault is live for longer than CHAOSEATER_MAX_DURATION of the environment, if that is set
 * (seconds, or a number with a unit); notices and reports say which were cut. */
CE_API int ce_document_validate(struct ce_document *doc, struct ce_error *err);
/* After validation. */
CE_API size_t ce_document_experiment_count(const struct ce_document *doc);
/* One line each about what is accepted but has no effect in this version; NULL past the last one.
 * After validation. */
CE_API const char *ce_document_notice(const struct ce_document *doc, size_t i);
/* What a validated document comes to, for programs that do not read YAML: the keys of the document,
 * "pipeline", "prometheus", "opentelemetry", "grafana" (null: not there), and "experiments", each
 * with its keys and "parameters", defaults included; durations in seconds. Other sections of an
 * experiment are not in it. Free *ret_json with ce_string_free(). */
CE_API int ce_document_json(const struct ce_document *doc, char **ret_json, struct ce_error *err);
/* JSON Schema of the document. Free with ce_string_free(). NULL: no memory. */
CE_API char *ce_document_schema(void);

/* ---- running ---- */

/* What a run tells while it goes on; see ce_progress_fn. */
struct ce_progress {
    size_t run, run_count;  /* 0-based, and how many there will be */
    size_t ended;           /* how many have ended, this one included if it has */
    const char *experiment; /* name */
    const char *profile;    /* of the embedded pipeline: "naive" or "hardened" */
    int repeat;             /* 1.. when the experiment repeats, else 0 */
    const char *fault;
    const char *phase;   /* "baseline", "injecting", "verifying", "observing", ... or "ended" */
    double fraction;     /* of this run, 0..1 */
    const char *status;  /* "" until the run has ended */
    const char *verdict; /* "" until the run has ended */
    double score;        /* once ended; negative when null */
};
/* Called on the thread that called ce_suite_run(); pointers are valid during the call. */
typedef void ce_progress_fn(void *ctx, const struct ce_progress *progress);

/* A metric of the caller's own. It stands wherever those of the workload do: in events, reports,
 * history and metrics, its mean by phase. */
struct ce_observer {
    const char *name;
    /* Called twice a second while a run goes on, on the thread that leads it; with several runs at
     * once, in a copy of the process for each. NaN: not known now. Must not block. */
    double (*measure)(void *ctx);
    void *ctx;
};

struct ce_suite_options {
    const char *state_dir; /* NULL: the default of ce_state_dir() */
    bool has_seed;
    uint64_t seed;     /* used for every experiment that states none */
    bool dry_run;      /* validate and resolve only */
    unsigned parallel; /* how many may run at once; 0: as many as the document says */
    bool fail_fast;    /* one that did not pass ends the suite; also if the document says so */
    bool resume;       /* an interrupted suite of the same document goes on: what had ended in it is
                          not run again */
    const bool *chosen; /* for each experiment of the document: whether it is run; NULL: all that
                           are not left out. Not together with `resume`. */
    bool both_profiles; /* run everything on the naive and on the hardened embedded pipeline */
    const char *hits;   /* file that gets a line of JSON for each live request that a fault hit, and
                           what was done to it; NULL: none */
    struct ce_metrics *metrics; /* where runs say what they do; NULL: nowhere */
    const char *events; /* file that gets a line of JSON for whatever happens, at its end; "-":
                           standard output; NULL: none. Who listens at a socket watch/NAME.sock of
                           the state folder is told the same */
    const struct ce_observer *observers; /* metrics of your own; NULL: none */
    size_t observer_count;
    const char *db;  /* the history that runs are recorded in; NULL: history.db in the state folder.
                        What cannot be recorded is said by ce_results_history_problem() */
    bool no_history; /* record nothing */
    const volatile sig_atomic_t
        *signal; /* becomes SIGINT or SIGTERM when the caller wants to stop; may be NULL */
    ce_progress_fn *progress;
    void *progress_ctx;
};

struct ce_results;

/* Runs every experiment of a validated document. Leftovers of a crashed run are undone first.
 * Returns 0 when the suite could be started, whatever its verdicts: ask ce_results_exit_code().
 * -ECANCELED: ce_stop() was called. -EUCLEAN: an earlier run left something that could not be put
 * back. -EINVAL: a file that the document names is of no use (no such dataset, no such column).
 * Free with ce_results_free(). */
CE_API int ce_suite_run(const struct ce_document *doc, const struct ce_suite_options *options,
                        struct ce_results **ret_results, struct ce_error *err);
CE_API void ce_results_free(struct ce_results *results);
/* Reads results that were written as "json": such a document, or one of its runs. -EINVAL when it
 * is none. Free with ce_results_free(). */
CE_API int ce_results_read(const char *path, struct ce_results **ret_results, struct ce_error *err);

struct ce_gate_options {
    double min_score;                  /* 0..100 */
    const char *on;                    /* what has to have that score: "each" run, the mean of each
                                          "layer", or the "mean" of all; NULL: "each" */
    const struct ce_results *baseline; /* what was measured before; NULL: nothing is compared */
    double max_drop; /* points, 0..100, that an experiment may have lost since; two
                        standard errors more where it was repeated */
};
/* -ERANGE or -EINVAL when one of them is wrong: known before anything runs. */
CE_API int ce_gate_check(const struct ce_gate_options *options, struct ce_error *err);
/* Applies the gate: every run must have been measured, verified, put back and passed, and have the
 * score, which control runs need not. */
CE_API int ce_results_gate(struct ce_results *results, const struct ce_gate_options *options,
                           struct ce_error *err);
/* How a command that ran this suite should exit; the gravest ending wins. */
CE_API int ce_results_exit_code(const struct ce_results *results);
/* Whether lines are missing in the file of hits, because it could not be written. */
CE_API bool ce_results_hits_lost(const struct ce_results *results);
/* How many of the runs had ended in the suite that was resumed. */
CE_API size_t ce_results_resumed(const struct ce_results *results);
/* One sentence about metrics that the document's Pushgateway did not take; NULL: it took them all,
 * or there is none. Valid as long as the results. */
CE_API const char *ce_results_push_warning(const struct ce_results *results);
/* What is missing in the file of events, in a sentence; NULL: nothing is. Valid as long as the
 * results. */
CE_API const char *ce_results_events_problem(const struct ce_results *results);
/* Why runs are missing in the history, in a sentence; NULL: they are not. */
CE_API const char *ce_results_history_problem(const struct ce_results *results);
/* Whether every run was completed, verified and left nothing behind, whatever its verdict. */
CE_API bool ce_results_clean(const struct ce_results *results);

/* The names of the formats that reports are written in; NULL past the last one. */
CE_API const char *ce_report_format_at(size_t i);
/* Writes a report. `color` asks for ANSI colours ("text" only). */
CE_API int ce_results_write(const struct ce_results *results, const char *format, FILE *out,
                            bool color, struct ce_error *err);

/* ---- documents of the Chaos Toolkit ---- */

/* Whether a loaded document is one of these, and not one of this project's: a mapping with "title"
 * and "method". */
CE_API bool ce_document_is_toolkit(const struct ce_document *doc);
/* Reads it: configuration and secrets put in, programs found, patterns compiled. `vars`:
 * "name=value" or "name:type=value", in the place of what the configuration says. -EINVAL, -ENOTSUP
 * or -ENOENT with the place of what cannot be run. Free with ce_toolkit_free(). */
struct ce_toolkit;
CE_API int ce_toolkit_read(const struct ce_document *doc, const char *const *vars, size_t var_count,
                           struct ce_toolkit **ret_toolkit, struct ce_error *err);
CE_API void ce_toolkit_free(struct ce_toolkit *toolkit); /* NULL is fine */
CE_API const char *ce_toolkit_title(const struct ce_toolkit *toolkit);
/* Of the hypothesis, the method and the rollbacks together. */
CE_API size_t ce_toolkit_activity_count(const struct ce_toolkit *toolkit);
/* One line each about what has no effect here; NULL past the last one. */
CE_API const char *ce_toolkit_notice(const struct ce_toolkit *toolkit, size_t i);
/* Runs it: results with one run, as of ce_suite_run(). Of the options, state_dir, dry_run, signal,
 * db, no_history, metrics, events and progress are looked at. Call it from a process without other
 * threads. */
CE_API int ce_toolkit_run(const struct ce_toolkit *toolkit, const struct ce_suite_options *options,
                          struct ce_results **ret_results, struct ce_error *err);

/* ---- schedules ---- */

enum ce_schedule_what {
    CE_SCHEDULE_WAITS = 0, /* for what is due next */
    CE_SCHEDULE_STARTS,
    CE_SCHEDULE_ENDED,
    CE_SCHEDULE_MISSED,
    CE_SCHEDULE_STOPPED,  /* by ce_stop(): what is due is not started until it is */
    CE_SCHEDULE_RELEASED, /* again */
};

struct ce_schedule_event {
    enum ce_schedule_what what;
    const char *experiment; /* whose schedule it is; NULL: the document's */
    const char *due;        /* "2026-11-24T03:00:00+01:00", in the schedule's time zone; STOPPED and
                               RELEASED: NULL */
    double seconds;         /* WAITS: until then */
    uint64_t missed;        /* MISSED: how many, of which `due` is the first */
    const char *reason;     /* MISSED: why. ENDED: why the suite could not be run, else NULL */
    int exit_code;          /* ENDED: as of ce_results_exit_code() */
    const struct ce_results *results; /* ENDED: NULL when it could not be run */
};
/* Pointers are valid during the call; calls never overlap, nor do those of the suite's progress. */
typedef void ce_schedule_event_fn(void *ctx, const struct ce_schedule_event *event);

struct ce_schedule_options {
    const struct ce_suite_options *suite; /* how each is run; `chosen` and `resume` are not looked
                                             at. Must be given */
    bool once;                            /* return after the next one */
    bool tick; /* say what is waited for once a second, and not only when it changes */
    ce_schedule_event_fn *event;
    void *event_ctx;
};

/* Runs the experiments of a validated document whenever its schedules say so, until the suite's
 * signal comes (what runs then is undone), `once` has been done, or nothing comes any more. Returns
 * 0 and the gravest exit code of all runs, or of the signal, whatever happened in them. -EINVAL:
 * the schedules are of no use: an experiment has none, or two are in each other's way. `ret_json`
 * (may be NULL) is what `schedule --json` prints at the end; free it with ce_string_free(). Call it
 * from a process in which the signal is handled by this thread. */
CE_API int ce_schedule_run(const struct ce_document *doc, const struct ce_schedule_options *options,
                           int *ret_exit_code, char **ret_json, struct ce_error *err);
/* The next `count` times of each schedule: {"schedules": [{"experiment", "schedule", "overlap",
 * "jitter", "experiments", "next", "next_local"}]}. Free with ce_string_free(). */
CE_API int ce_schedule_list_json(const struct ce_document *doc, const char *state_dir, size_t count,
                                 char **ret_json, struct ce_error *err);
/* The same schedules as units of systemd, a service and a timer each: {"units": [{"name",
 * "text"}]}. `name` is what they are called after, `command` (NULL-terminated) what a service
 * executes, to which `--only NAME` is added where there are several. Free with ce_string_free(). */
CE_API int ce_schedule_units_json(const struct ce_document *doc, const char *state_dir,
                                  const char *name, const char *const *command, char **ret_json,
                                  struct ce_error *err);

/* ---- the history ---- */

/* Every run that has ended, in an SQLite database. Runs of suites and schedules are recorded as
 * they end (struct ce_suite_options); several processes may do so at once. What is stable for SQL
 * is the view runs(id, name, layer, fault_type, status, verdict, resilience_score, recovery_time,
 * accuracy_degradation, pipeline_downtime, error_count, duration, started_at, ended_at, seed,
 * tags).
 *
 * A run is called by its id, by the beginning of its id, by its experiment's name (the newest run
 * of it), or "last". Functions fail with
 *     -ENOENT   no such file, run or name
 *     -EINVAL   what was asked is not possible; or the file is no history
 *     -EBADMSG  the database is damaged
 *     -ENOTSUP  it is of a newer version
 *     -EBUSY    others have held it for too long */
struct ce_history;
/* `path` NULL: history.db in `state_dir` (NULL: the default of ce_state_dir()). With `write` it is
 * made if it is not there. Without, nothing can be changed; no file of the usual name is an empty
 * history, none at `path` is -ENOENT. */
CE_API int ce_history_open(const char *path, const char *state_dir, bool write,
                           struct ce_history **ret_history, struct ce_error *err);
CE_API void ce_history_close(struct ce_history *history); /* NULL is fine */

/* Which runs are meant, and in which order. Zeroed: all of them, newest first. NULL: any. */
struct ce_history_filter {
    const char *layer, *fault, *status, *verdict, *profile, *tag;
    const char *name; /* with *, ? and [...] as in a shell */
    bool has_min_score, has_max_score;
    double min_score, max_score;
    const char *since, *until; /* "2026-11-22", "2026-11-22T10:00:00Z", or "7d", "12h": so long ago.
                                  A day counts to its end */
    /* A column of the view; METRIC or METRIC@PHASE: "p99_ms", "operations@recovery",
     * "baseline_accuracy", or a metric of the pipeline; runs without it are left out then. ":asc"
     * or ":desc" behind it; without, texts go up and numbers and times down. */
    const char *sort;
    size_t limit;  /* 0: none */
    size_t offset; /* so many of them are passed over first */
};
/* All texts that these return are freed with ce_string_free(). `filter` NULL: all runs. */
/* What `history list --json` prints: an array of runs, each with the columns of the view. */
CE_API int ce_history_list_json(struct ce_history *history, const struct ce_history_filter *filter,
                                char **ret_json, struct ce_error *err);
/* How many runs that filter means, whatever its limit. */
CE_API int ce_history_count(struct ce_history *history, const struct ce_history_filter *filter,
                            size_t *ret_count, struct ce_error *err);
/* RUN as `run --json` printed it, with "environment" beside. */
CE_API int ce_history_show_json(struct ce_history *history, const char *run, char **ret_json,
                                struct ce_error *err);
/* The document that it was an experiment of, as YAML that can be run. */
CE_API int ce_history_document(struct ce_history *history, const char *run, char **ret_text,
                               struct ce_error *err);
/* Those runs as results, for ce_results_write(). Free with ce_results_free(). */
CE_API int ce_history_results(struct ce_history *history, const char *const *runs, size_t count,
                              struct ce_results **ret_results, struct ce_error *err);
/* The rows of one SELECT: an array of objects. It is given up after so many seconds (0: never). */
CE_API int ce_history_query_json(struct ce_history *history, const char *sql, double seconds,
                                 char **ret_json, struct ce_error *err);
/* How the experiment of that name has done in the last days (0: ever): {"name", "days", "runs",
 * "total_runs", "mean", "sd", "min", "max", "slope": points a day, "slope_ci": [low, high],
 * "confidence", "success_rate", "change_points": [{"run", "at", "before", "after"}]}. `profile`
 * may be NULL. */
CE_API int ce_history_trends_json(struct ce_history *history, const char *name, size_t days,
                                  const char *profile, char **ret_json, struct ce_error *err);
/* {"runs", "metrics": [{"metric", "values", "differences": from the first, "best": which}]}. */
CE_API int ce_history_compare_json(struct ce_history *history, const char *const *runs,
                                   size_t count, char **ret_json, struct ce_error *err);
/* {"runs", "experiments", "mean_resilience_score", ..., "success_rate", "first", "last",
 * "statuses", "verdicts", "by_layer", "by_fault"}. */
CE_API int ce_history_summary_json(struct ce_history *history,
                                   const struct ce_history_filter *filter, char **ret_json,
                                   struct ce_error *err);
/* Writes the columns of the view to a file ("-": standard output) that appears when it is complete.
 * `format`: "csv", "jsonl", "parquet" (-ENOTSUP without DuckDB's library). */
CE_API int ce_history_export(struct ce_history *history, const struct ce_history_filter *filter,
                             const char *format, const char *path, struct ce_error *err);

/* The following write. */

/* Adds the runs of a report that was written as "json": those that are not there yet. */
CE_API int ce_history_import(struct ce_history *history, const char *path, size_t *ret_added,
                             struct ce_error *err);
/* What stays; 0: nothing is dropped for that reason. */
struct ce_history_retention {
    size_t days;  /* runs that began so long ago, or later */
    size_t runs;  /* so many of each experiment, the newest */
    bool dry_run; /* only count */
};
CE_API int ce_history_prune(struct ce_history *history, const struct ce_history_retention *keep,
                            size_t *ret_removed, struct ce_error *err);

/* ---- fault proxy ---- */

/* A fault proxy in front of a model server, outside any experiment, with the rules that were added
 * to it; more may come and go through its control API while traffic flows. */
struct ce_fault_proxy;
CE_API int ce_fault_proxy_new(struct ce_fault_proxy **ret_proxy, struct ce_error *err);
CE_API void ce_fault_proxy_free(struct ce_fault_proxy *proxy); /* NULL is fine */
/* Adds a rule: a fault by name, with its defaults. -ENOENT with the nearest name. */
CE_API int ce_fault_proxy_add(struct ce_fault_proxy *proxy, const char *fault,
                              struct ce_error *err);
/* "latency_ms=200", "share=0.5": a parameter of the fault that was added last. What is wrong with
 * it is said by ce_fault_proxy_run(). */
CE_API int ce_fault_proxy_set(struct ce_fault_proxy *proxy, const char *assignment,
                              struct ce_error *err);

/* Addresses: HOST:PORT, [V6]:PORT or unix:/PATH; port 0 to listen on is any that is free. Times:
 * "250ms", "30s", "2m". NULL is the default that stands here. */
struct ce_fault_proxy_options {
    const char *listen;   /* where clients connect to; must be given */
    const char *upstream; /* the model server: an address, or http://, https://, h2c:// before one;
                             must be given */
    const char *control;  /* address of the control API; NULL: there is none */
    const char *protocol; /* "oip", "mlflow", ...; NULL: told by each request's path */
    const char *prediction; /* protocol json: path to the prediction, as in $.result.score */
    const char *tls_cert, *tls_key; /* PEM files: clients speak TLS; both or neither */
    const char *upstream_ca;        /* PEM file that https upstreams are checked against; NULL: the
                                       system's */
    const char *hits;               /* file that gets a line of JSON for each hit; NULL: none */
    const char *stats;            /* dataset for the statistics that data faults on requests need */
    const char *id_header;        /* field that names a request; "X-Request-Id" */
    const char *upstream_timeout; /* "30s": without a byte from the upstream; then 504 */
    const char *drain;            /* "10s": how long requests may go on after the signal */
    unsigned threads;             /* 0: as many as there are processors */
    bool mark; /* responses of which a rule made something get X-Chaos-Fault: NAME */
    bool has_seed;
    uint64_t seed;                       /* drawn when none is given; the result names it */
    const volatile sig_atomic_t *signal; /* becomes non-zero when the caller wants to stop */
    /* It serves now: {"listen", "upstream", "control", "seed", "rules"}; may be NULL. */
    void (*ready)(void *ctx, const char *json);
    void *ready_ctx;
};
/* Serves until the signal, then drains. Nothing outlives it. `ret_json` (may be NULL) is what
 * `proxy --json` prints at the end: {"seed", "drained", "hits_lost", "requests", "responses",
 * "errors", "connections", "refused", "rules"}; free it with ce_string_free(). -EADDRINUSE: an
 * address to listen on is taken; -EINVAL, -ENOENT, -ERANGE, -ENOTSUP: an option or a rule is wrong.
 * Call it from a process in which the signal is handled by this thread. */
CE_API int ce_fault_proxy_run(const struct ce_fault_proxy *proxy,
                              const struct ce_fault_proxy_options *options, char **ret_json,
                              struct ce_error *err);

/* ---- metrics ---- */

/* Where ce_suite_run() says in numbers what its runs do and how they end, for Prometheus:
 * ce_suite_options.metrics. Any number of suites, one after the other or at once. */
struct ce_metrics;
/* `state_dir`: whose journals and stop it shows, as of ce_state_dir(). Free with ce_metrics_free().
 */
CE_API int ce_metrics_new(const char *state_dir, struct ce_metrics **ret_metrics,
                          struct ce_error *err);
CE_API void ce_metrics_free(struct ce_metrics *metrics); /* NULL is fine; ends what it serves */
/* What is known now, in the format that a client with that field "Accept" (may be NULL) would
 * rather have: Prometheus text or OpenMetrics. *ret_type (may be NULL) is its Content-Type, a
 * constant. Free with ce_string_free(). NULL: no memory. Any thread. */
CE_API char *ce_metrics_text(struct ce_metrics *metrics, const char *accept, const char **ret_type);
/* Answers at http://ADDRESS/metrics from now on; starts a thread. *ret_url is that URL, with the
 * real port; free it with ce_string_free(). -EINVAL: `listen` is no address; -EADDRINUSE: it is
 * taken. */
CE_API int ce_metrics_serve(struct ce_metrics *metrics, const char *listen, char **ret_url,
                            struct ce_error *err);
/* Deletes what a Pushgateway has of an experiment; it is fine when that is nothing. `job` NULL: as
 * documents have it by default; `experiment` NULL: what is said of the host. -EINVAL: `gateway` is
 * no URL; -EREMOTEIO: it refused. */
CE_API int ce_metrics_delete(const char *gateway, const char *job, const char *experiment,
                             struct ce_error *err);
/* Sends what a Pushgateway could not take earlier and is kept in the state folder: how many groups
 * it took. *ret_left (may be NULL): how many are still kept for it. Errors as above. */
CE_API int ce_metrics_send_kept(const char *gateway, const char *state_dir, size_t *ret_left,
                                struct ce_error *err);

/* ---- the live page ---- */

struct ce_serve_options {
    const char *state_dir; /* whose suites and history are shown; NULL: as of ce_state_dir() */
    const char *db;        /* the history; NULL: history.db in the state folder */
    const char *listen;    /* NULL: "127.0.0.1:8686" */
    const char *const *documents; /* files that may be run from the page, besides "demo" */
    size_t document_count;
    const char *program; /* that runs them, as `chaoseater` does; NULL: this process's own */
    const volatile sig_atomic_t *signal; /* becomes non-zero when the caller wants to stop */
    /* It serves now: {"url", "listen", "token"}; may be NULL. */
    void (*ready)(void *ctx, const char *json);
    void *ready_ctx;
};
/* Serves the live page, its API and /metrics until the signal comes; suites that the page has
 * started are interrupted then, and undone. Whoever reads on a loopback address needs no token;
 * whoever acts, or comes by another address, does. -EADDRINUSE: the address is taken; -EINVAL: it
 * is none, or there is no token in its file; -EPERM: others could read the token. Call it from a
 * process in which the signal is handled by this thread. */
CE_API int ce_serve_run(const struct ce_serve_options *options, struct ce_error *err);

/* ---- Grafana ---- */

struct ce_grafana_dashboard_options {
    const char *title;         /* NULL: one that says what it shows */
    const char *const *panels; /* files with panels of your own: JSON, one or an array of them */
    size_t panel_count;
};
/* A dashboard of these metrics in Grafana's classic JSON, for any data source of the type
 * prometheus: what is live, scores, what the faults did, what is still to be undone. `options`
 * NULL: the defaults. -EINVAL: a file is no panel. Free with ce_string_free(). */
CE_API int ce_grafana_dashboard(const struct ce_grafana_dashboard_options *options, char **ret_json,
                                struct ce_error *err);

struct ce_grafana_alert_options {
    const char *format;     /* "prometheus" (NULL): a rule file; "grafana": one to provision it */
    bool json;              /* as JSON, which both read as well, and not as YAML */
    const char *datasource; /* the uid of the one that Grafana asks; NULL: "prometheus" */
    bool has_min_score;
    double min_score;           /* else 70 */
    const char *max_error_rate; /* share of operations that fail under a fault; NULL: "0.1" */
    const char *max_recovery;   /* NULL: "30s" */
};
/* Alert rules: low score, steady state left, errors, slow recovery; a run that failed, or proves
 * nothing; a host on which something is still to be undone. `options` NULL: the defaults. -EINVAL:
 * one of them is wrong. Free with ce_string_free(). */
CE_API int ce_grafana_alerts(const struct ce_grafana_alert_options *options, char **ret_text,
                             struct ce_error *err);

struct ce_grafana_push_options {
    const char *url;    /* "https://host/prefix"; must be given */
    const char *token;  /* of a service account that may edit; in no message; must be given */
    const char *folder; /* its name; NULL: "ChaosEater". It is made when it is not there */
    const struct ce_grafana_dashboard_options *dashboard; /* NULL: the defaults */
    const struct ce_grafana_alert_options *alerts; /* likewise; of its datasource: the one that is
                                                      the default, or the first. `format` and `json`
                                                      are not looked at */
};
/* Puts both into a Grafana. What an earlier call has put there is replaced. `ret_json`:
 * {"datasource", "folder", "dashboard": uids, "path": of the dashboard, "rules": how many}; free it
 * with ce_string_free(). -EINVAL: an option is wrong. -EACCES: it does not know the token, or its
 * account may not; -ENOENT: it has no such API, or no Prometheus; -EEXIST: something else is in the
 * way; -EREMOTEIO, -EPROTO: it failed; or what kept the call from an answer. */
CE_API int ce_grafana_push(const struct ce_grafana_push_options *options, char **ret_json,
                           struct ce_error *err);

/* ---- tables ---- */

/* Faults to be applied to a table, in the order in which they were added. */
struct ce_data_job;
CE_API int ce_data_job_new(struct ce_data_job **ret_job, struct ce_error *err);
CE_API void ce_data_job_free(struct ce_data_job *job); /* NULL is fine */
/* Adds a data fault by name, with its defaults. -ENOENT with the nearest name; -ENOTSUP when it is
 * no fault that changes a table. */
CE_API int ce_data_job_add(struct ce_data_job *job, const char *fault, struct ce_error *err);
/* "missing_rate=0.1", "columns=age,city": a parameter of the fault that was added last. */
CE_API int ce_data_job_set(struct ce_data_job *job, const char *assignment, struct ce_error *err);
/* The same for every fault of the job that has such a parameter; -EINVAL when none has. */
CE_API int ce_data_job_set_all(struct ce_data_job *job, const char *assignment,
                               struct ce_error *err);

struct ce_data_job_options {
    bool has_seed;
    uint64_t seed;               /* drawn when none is given; the result names it */
    const char *key;             /* where the answer key goes; NULL: none is written */
    const char *stats;           /* statistics of the input, for what is read once: a table, or what
                                    ce_data_profile_json() wrote (*.json); may be NULL */
    unsigned threads;            /* 0: as many as there are processors */
    unsigned shard, shard_count; /* write the shard-th part (from 1) of the rows; 0, 0: all */
    char delimiter;              /* CSV; 0: found out */
    bool headerless;             /* CSV without a header: columns are column1, column2, ... */
    bool backslash;              /* CSV: a backslash escapes the byte after it */
    char comment;                /* CSV: lines that start with it are no rows; 0: there are none */
    const volatile sig_atomic_t *signal; /* becomes non-zero when the caller wants to stop: the
                                            call ends with -EINTR and without output; may be NULL */
    void (*progress)(void *ctx, double fraction); /* negative: not known; may be NULL */
    void *progress_ctx;
    /* Of ce_data_job_stream() alone: called when the stream has been pulled to its end, with what
     * `data inject --json` prints; may be NULL. */
    void (*result)(void *ctx, const char *json);
    void *result_ctx;
};

/* A table in a database may stand wherever these functions take a file of data, by its address:
 *     sqlite:PATH?table=NAME
 *     postgresql://USER@HOST/DATABASE?table=NAME      (NAME or SCHEMA.NAME)
 * As an output it is a new table (-EEXIST when there is one), with the columns of the file. */

/* What a file or table is called where others read it: an address without its password. Free with
 * ce_string_free(). NULL: no memory. */
CE_API char *ce_data_shown_name(const char *name);

/* Reads `in`, applies the faults, writes `out`: CSV and its dialects or JSON lines (plain, gzip,
 * zstd), Parquet, Arrow IPC; "-" is standard input or output. Files appear when they are complete.
 * Untouched cells of text formats keep every byte. `ret_json` (may be NULL): what `data inject
 * --json` prints; free with ce_string_free(). */
CE_API int ce_data_job_run(const struct ce_data_job *job, const char *in, const char *out,
                           const struct ce_data_job_options *options, char **ret_json,
                           struct ce_error *err);

struct ce_data_switch_options {
    const char *state_dir; /* NULL: the default of ce_state_dir() */
    const char *hold;      /* how long the faults stay there: "30s", "2m", "1.5h" */
    bool in_place;         /* change the rows of the table itself, instead of putting another in its
                              place: no reader can miss it */
    bool has_seed;
    uint64_t seed;                       /* drawn when none is given; the result names it */
    const volatile sig_atomic_t *signal; /* becomes non-zero when the caller wants to stop: what is
                                            held is put back at once; may be NULL */
    void (*held)(void *ctx);             /* the faulted rows are there now; may be NULL */
    void *held_ctx;
};
/* Puts the faulted copy of a table in a database in the table's place, holds it there, and puts the
 * table back. Everything is written to the journal first, and a process of its own puts it back
 * should this one die. Leftovers of crashed runs are undone first. Returns 0 once the table is back
 * and gives the bytes it gave before, also when a signal came while it was held. If others wrote to
 * it meanwhile, the table as it was by then stays beside it, as NAME__chaoseater_kept. `ret_json`
 * (may be NULL) is what `data switch --json` prints, to be freed with ce_string_free().
 *     -EINTR    a signal came before anything was changed
 *     -EUCLEAN  something could not be put back, or is not what it was: see ce_recover()
 *     -EBUSY    somebody holds the table, or wrote to it before its rows were changed
 *     -EEXIST   there is a table NAME__chaoseater_kept, of an earlier call
 *     -EINVAL   the address has a password, which would stand in the journal; or bad options
 *     -ENOENT   no such database, table or column
 *     -ETIMEDOUT  it took too long, and was put back at the deadline
 * Call it from a process without other threads, or at least from one in which fork() is safe. */
CE_API int ce_data_job_switch(const struct ce_data_job *job, const char *address,
                              const struct ce_data_switch_options *options, char **ret_json,
                              struct ce_error *err);

/* Writes to `back` the content that `out` was made from. Refuses (-EINVAL) a file that is not the
 * one the key was made for; the result's hash is checked before `back` appears. */
CE_API int ce_data_revert(const char *out, const char *key, const char *back, struct ce_error *err);
/* The entries of an answer key for people and programs: row, column, old value, and the new one if
 * `out` (may be NULL) is the file it was made for. The format is that of the name `to`: .csv or
 * .jsonl ("-": CSV). */
CE_API int ce_data_key_export(const char *key, const char *out, const char *to,
                              struct ce_error *err);
/* How b differs from a: what `data diff --json` prints, at most `listed` changed cells listed. Free
 * *ret_json with ce_string_free(). Returns 1 when they differ, 0 when they do not. */
CE_API int ce_data_diff_json(const char *a, const char *b, size_t listed, char **ret_json,
                             struct ce_error *err);
/* Statistics of a table, and, unless `reference` is NULL, how far it has moved from that one: what
 * `data profile --json` prints. `threads` as above. Free *ret_json with ce_string_free(). */
CE_API int ce_data_profile_json(const char *path, const char *reference, unsigned threads,
                                char **ret_json, struct ce_error *err);

/* Tables in memory: the Arrow C stream interface (declared by its own specification). */
struct ArrowArrayStream;
/* Moves `in`; *ret_out gives the changed batches as they are pulled, and must be released before
 * the job is freed. The statistics that some faults need come from `options->stats`, else from
 * `profiled`, a second stream over the same table, which is read and released first; without both
 * these faults fail with -EINVAL. The key is complete once *ret_out has been pulled to its end;
 * hashes of the contents are taken for a key alone, and are null in the result without one. Below a
 * cell of float32 or float64 that was emptied stands NaN. */
CE_API int ce_data_job_stream(const struct ce_data_job *job, struct ArrowArrayStream *in,
                              struct ArrowArrayStream *profiled,
                              const struct ce_data_job_options *options,
                              struct ArrowArrayStream *ret_out, struct ce_error *err);

/* Moves `changed`, which an earlier job's stream gave; *ret_out gives what the job was given, batch
 * by batch. Whether it is that is known at the end: then get_next() fails with EINVAL if it is not.
 * -EINVAL: the key is none, or not one of a table with these columns. */
CE_API int ce_data_revert_stream(struct ArrowArrayStream *changed, const char *key,
                                 struct ArrowArrayStream *ret_out, struct ce_error *err);
/* ce_data_profile_json() of tables in memory. Reads and releases both; `reference` may be NULL. */
CE_API int ce_data_profile_stream_json(struct ArrowArrayStream *in,
                                       struct ArrowArrayStream *reference, char **ret_json,
                                       struct ce_error *err);

/* ---- the host ---- */

/* Where the journal lives: $CHAOSEATER_STATE_DIR, else /var/lib/chaoseater for root, else
 * $XDG_STATE_HOME/chaoseater, else ~/.local/state/chaoseater. Free with ce_string_free(). NULL: no
 * memory. */
CE_API char *ce_state_dir(void);

struct ce_recovery {
    size_t undone;  /* put back now */
    size_t failed;  /* could not be put back: still live */
    size_t foreign; /* no longer the thing that was changed; left alone */
};
/* Undoes whatever journals under `state_dir` (NULL: default) still call live. Safe to call again.
 */
CE_API int ce_recover(const char *state_dir, struct ce_recovery *ret_recovery,
                      struct ce_error *err);
/* Ends every run of that state folder, which is undone at once, and refuses new ones until it is
 * called with `release`. Returns before they have ended: ce_status_json() says what is live. 1 when
 * it was released, 0 when it was engaged or there was nothing to release. */
CE_API int ce_stop(const char *state_dir, bool release, struct ce_error *err);
/* What is live now: {"live": [...], "stopped"}. Free with ce_string_free(). */
CE_API int ce_status_json(const char *state_dir, char **ret_json, struct ce_error *err);
/* What this host can and cannot do, and why: {"checks": [...]}. Free with ce_string_free(). NULL:
 * no memory. */
CE_API char *ce_doctor_json(void);

#ifdef __cplusplus
}
#endif
#endif
