/* SPDX-License-Identifier: MIT */
/* What main.c and the commands share.
 *
 * The command line stands on the public header alone: what it cannot do with that, the library
 * lacks. A command ends with its descriptor (cmd_*.c); usage, help and parsing are all made from
 * it. A command returns its exit code; when it fills `err` as well, main.c prints that, once: as
 * one line, or as a document under --json. */
#ifndef CE_CLI_CLI_H
#define CE_CLI_CLI_H

#include <jansson.h>

#include "chaoseater.h"

#define CLI_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* ---- options ---- */

/* Values of a repeatable option, in the order given. */
struct cli_list {
    const char **items;
    size_t count;
};

struct cli_seed {
    bool given;
    uint64_t value;
};

/* A --fault and the --param that follow it. */
struct cli_fault {
    const char *name;
    struct cli_list params;
};
struct cli_faults {
    struct cli_fault *items;
    size_t count;
};

/* What a command was told. Strings are borrowed from argv. */
struct cli_args {
    const char *operand; /* the command's FILE or FAULT; NULL when it takes none */
    const char *second;  /* the other one of a command that takes two; NULL when it was left out */
    const char *state_dir;
    const char *out;
    struct cli_list only, skip, set, reports;
    struct cli_seed seed;
    double min_score, max_drop; /* max_drop: negative when it was not given */
    const char *on, *baseline;
    bool dry_run, json, help, fail_fast, resume, release;
    uint64_t parallel;

    /* metrics */
    const char *gateway, *job, *events;

    /* the history */
    const char *db; /* "none": nothing is recorded */
    const char *layer, *fault, *status, *verdict, *profile, *name, *tag, *since, *until, *sort;
    const char *format;
    double score_low, score_high; /* negative: not given */
    uint64_t most, days, keep_days, keep_runs, seconds;
    bool document;
    struct cli_list rest; /* operands after the second, or of a command that takes any number */

    /* grafana */
    const char *title, *datasource, *max_error_rate, *max_recovery, *url, *token, *folder;
    struct cli_list panels;

    /* schedule */
    const char *metrics;
    bool once, systemd;
    uint64_t list;

    /* data */
    struct cli_faults faults;
    struct cli_list dialect;
    const char *key, *stats, *columns, *where, *mechanism, *shard;
    uint64_t threads, limit; /* `limit`: of what is listed */
    const char *hold;
    bool exact, nested, no_header, in_place;

    /* proxy */
    const char *listen, *upstream, *control, *protocol, *prediction, *hits, *id_header;
    const char *tls_cert, *tls_key, *upstream_ca, *upstream_timeout, *drain;
    bool mark;
};

enum cli_kind {
    CLI_FLAG,  /* bool */
    CLI_TEXT,  /* const char * */
    CLI_LIST,  /* struct cli_list */
    CLI_SEED,  /* struct cli_seed: a whole number in 0..2^63-1 */
    CLI_SCORE, /* double in 0..100 */
    CLI_COUNT, /* uint64_t: a whole number in `least`..`most` */
    CLI_FAULT, /* struct cli_faults: one more */
    CLI_PARAM, /* struct cli_faults: a parameter of the last one */
};

struct cli_option {
    const char *name; /* without the dashes; NULL ends a table */
    enum cli_kind kind;
    size_t offset;     /* of the field in struct cli_args */
    const char *value; /* what --help calls the value; NULL for a flag */
    const char *doc;
    char letter; /* `-o` for short; 0: there is none */
    const char
        *both; /* it shares a line of --help with the next one: what that line says; or NULL */
    uint64_t least, most; /* of a count; both 0: 0..10^9 */
};

/* Rows that several commands share. */
#define CLI_FIELD(field) offsetof(struct cli_args, field)
/* clang-format off */
#define CLI_OPTIONS_WHICH \
    {"only", CLI_LIST, CLI_FIELD(only), "WHICH", "a NAME, tag:NAME or layer:NAME only (repeatable)", \
     .both = "only these, not these: NAME, tag:NAME, layer:NAME"}, \
    {"skip", CLI_LIST, CLI_FIELD(skip), "WHICH", "leave these out (repeatable)"}
#define CLI_OPTIONS_SEED_PARALLEL \
    {"seed", CLI_SEED, CLI_FIELD(seed), "N", "seed of experiments that state none", \
     .both = "seed where none is stated; how many may run at once"}, \
    {"parallel", CLI_COUNT, CLI_FIELD(parallel), "N", "how many may run at once", .least = 1, .most = 64}
#define CLI_OPTION_FAIL_FAST \
    {"fail-fast", CLI_FLAG, CLI_FIELD(fail_fast), NULL, "end when one does not pass"}
#define CLI_OPTIONS_END_EARLY \
    {"fail-fast", CLI_FLAG, CLI_FIELD(fail_fast), NULL, "end when one does not pass", \
     .both = "end when one fails; go on with an interrupted suite"}, \
    {"resume", CLI_FLAG, CLI_FIELD(resume), NULL, "go on with an interrupted suite"}
#define CLI_OPTION_SET \
    {"set", CLI_LIST, CLI_FIELD(set), "KEY=VALUE", "set this wherever it occurs (repeatable)"}
#define CLI_OPTION_DRY_RUN \
    {"dry-run", CLI_FLAG, CLI_FIELD(dry_run), NULL, "validate and resolve, touch nothing"}
#define CLI_OPTION_REPORT \
    {"report", CLI_LIST, CLI_FIELD(reports), "FORMAT=PATH", "a report, -: instead of the text (repeatable)"}
#define CLI_OPTIONS_EVENTS_HITS \
    {"events", CLI_TEXT, CLI_FIELD(events), "FILE", "a line of JSON for whatever happens; -: not the text", \
     .both = "a line of JSON for each event (-: stdout), each hit"}, \
    {"hits", CLI_TEXT, CLI_FIELD(hits), "FILE", "a line of JSON for each hit on a live request"}
#define CLI_OPTION_GATEWAY \
    {"gateway", CLI_TEXT, CLI_FIELD(gateway), "URL", "the Pushgateway"}
#define CLI_OPTION_STATE_DIR \
    {"state-dir", CLI_TEXT, CLI_FIELD(state_dir), "DIR", "where the undo journal lives"}
#define CLI_OPTIONS_STATE_AND_DB \
    {"state-dir", CLI_TEXT, CLI_FIELD(state_dir), "DIR", "where the undo journal lives", \
     .both = "where the journal lives; the history (none: record none)"}, \
    {"db", CLI_TEXT, CLI_FIELD(db), "FILE", "the history that runs are recorded in; none: in none"}
#define CLI_OPTION_DB \
    {"db", CLI_TEXT, CLI_FIELD(db), "FILE", "the history (default: history.db in the state folder)"}
#define CLI_OPTION_JSON \
    {"json", CLI_FLAG, CLI_FIELD(json), NULL, "print one JSON document and nothing else"}
#define CLI_OPTION_HELP \
    {"help", CLI_FLAG, CLI_FIELD(help), NULL, "print this", 'h'}
/* What is run, of the document; how it ends; and all that `run` and `gate` have in common. */
#define CLI_OPTIONS_SUITE \
    CLI_OPTIONS_WHICH, CLI_OPTION_SET, CLI_OPTIONS_SEED_PARALLEL
#define CLI_OPTIONS_LAST \
    CLI_OPTIONS_STATE_AND_DB, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS
#define CLI_OPTIONS_RUN \
    CLI_OPTIONS_SUITE, CLI_OPTIONS_END_EARLY, CLI_OPTION_DRY_RUN, CLI_OPTION_REPORT, \
    CLI_OPTIONS_EVENTS_HITS, CLI_OPTIONS_LAST
/* clang-format on */
#define CLI_END_OPTIONS                                                                            \
    {                                                                                              \
        .name = NULL                                                                               \
    }

struct cli_progress;

/* ---- commands ---- */

struct cli_command {
    const char *name;    /* "run"; of a group with the group's word: "data inject" */
    const char *operand; /* "FILE", "FAULT", or NULL when there is none */
    const char *second;  /* a second one, or NULL */
    bool second_optional, second_repeats;
    bool any_number; /* of operands, all of them in `rest`; then `operand` is what --help says */
    const char *summary; /* a line of `chaoseater --help` */
    const char *details; /* what `chaoseater NAME --help` says, lines of at most 100 columns; may be
                            "" */
    const char *example; /* its last line */
    const struct cli_option *options;
    int (*run)(const struct cli_args *args, struct ce_error *err);
};

extern const struct cli_command cmd_demo, cmd_run, cmd_gate, cmd_validate, cmd_schema, cmd_faults,
    cmd_explain, cmd_doctor, cmd_recover, cmd_status, cmd_stop, cmd_data_inject, cmd_data_revert,
    cmd_data_diff, cmd_data_profile, cmd_data_key, cmd_data_switch, cmd_proxy, cmd_schedule,
    cmd_metrics_delete, cmd_metrics_send, cmd_history_list, cmd_history_show, cmd_history_query,
    cmd_history_trends, cmd_history_compare, cmd_history_summary, cmd_history_export,
    cmd_history_import, cmd_history_prune, cmd_compare, cmd_grafana_dashboard, cmd_grafana_alerts,
    cmd_grafana_push, cmd_serve;

/* Parses what follows the command's name. Returns CE_EXIT_PASSED, or CE_EXIT_USAGE with a sentence
 * that helps. End with cli_args_done(), also after a failure. */
int cli_args_parse(const struct cli_command *command, char **argv, struct cli_args *args,
                   struct ce_error *err);
void cli_args_done(struct cli_args *args);
int cli_command_help(const struct cli_command *command, bool json, struct ce_error *err);
/* Which of the names was probably meant; NULL when none is near. */
const char *cli_nearest(const char *text, const char *const *names, size_t count);

/* ---- output ---- */

/* Fills `err`; returns the exit code, so that commands write `return cli_fail(...)`. */
int cli_fail(struct ce_error *err, int exit_code, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "out of memory"; returns CE_EXIT_FAILED. */
int cli_fail_memory(struct ce_error *err);
void cli_print_error(const struct ce_error *err, int exit_code, bool json);

/* Prints a document and drops the reference; NULL is "out of memory". Returns CE_EXIT_PASSED or
 * CE_EXIT_FAILED. */
int cli_print_json(json_t *json, struct ce_error *err);
/* The same for the text of a document that the library made: frees it. */
int cli_print_json_text(char *text, struct ce_error *err);
/* Reads such a text, to show it to people; frees it. NULL: `err` says why. */
json_t *cli_read_json(char *text, struct ce_error *err);

/* Whether colours and redrawn lines are welcome on that stream. */
bool cli_is_terminal(FILE *stream);
bool cli_wants_color(FILE *stream);
/* Ends a line of which `column` columns are written; what does not fit into the terminal's width,
 * or 100 columns, goes on in lines that are indented so far. */
void cli_print_wrapped(FILE *out, const char *text, int column, int indent);
/* Whether stdout is a pipe that nobody reads any more. */
bool cli_reader_is_gone(void);

/* ---- suites: what run, gate and demo share ---- */

/* Applies --set and --only, validates, and prints the notices unless --json. Returns an exit
 * code. */
int cli_document_prepare(struct ce_document *doc, const struct cli_args *args,
                         struct ce_error *err);
/* Loads args->operand, and no more: it may be one of the Chaos Toolkit. Returns an exit code. */
int cli_document_open(const struct cli_args *args, struct ce_document **ret_doc,
                      struct ce_error *err);
/* Loads and prepares it: one that is to be ours. Free *ret_doc with
 * ce_document_free(). */
int cli_document_load(const struct cli_args *args, struct ce_document **ret_doc,
                      struct ce_error *err);
/* What the command line says about a suite; `progress` is where it is shown. */
struct ce_suite_options cli_suite_options(const struct cli_args *args,
                                          struct cli_progress *progress);
/* Runs it with live progress; SIGINT and SIGTERM end it in order. Returns CE_EXIT_PASSED when it
 * could be started, whatever came of it. Free *ret_results with ce_results_free(). */
int cli_suite_run(const struct ce_document *doc, const struct cli_args *args, bool both_profiles,
                  struct ce_results **ret_results, struct ce_error *err);
/* Says on stderr what was lost that is no part of the results: hits, events, pushed metrics,
 * history. */
void cli_results_warn(const struct ce_results *results, const struct cli_args *args);
/* What a failed ce_suite_run(), or ce_toolkit_run(), means for the exit code. */
int cli_run_exit(int r);
/* Whether every --report, --events and --hits can be written, each to a file of its own, before
 * anything runs. Returns an exit code. */
int cli_reports_check(const struct cli_args *args, struct ce_error *err);
/* Whether stdout is for events: then nothing else is printed there. */
bool cli_events_are_printed(const struct cli_args *args);
/* Writes every --report. Returns CE_EXIT_PASSED or CE_EXIT_FAILED. */
int cli_reports_write(const struct ce_results *results, const struct cli_args *args);
/* Writes every --report, and the results to stdout. Returns CE_EXIT_PASSED or CE_EXIT_FAILED. */
int cli_results_print(const struct ce_results *results, const struct cli_args *args,
                      struct ce_error *err);
/* One report to a file. Returns CE_EXIT_PASSED or CE_EXIT_FAILED. Says on stderr what went wrong,
 * even under --json: stdout is for the results, which are not lost with a copy of them. */
int cli_report_write(const struct ce_results *results, const char *format, const char *path);
/* The whole of `run`, and of `gate` once the gate is known (NULL: there is none). */
int cli_run_file(const struct cli_args *args, const struct ce_gate_options *gate,
                 struct ce_error *err);

/* The whole of `run` and `validate` for a document of the Chaos Toolkit. */
int cli_toolkit_run(const struct ce_document *doc, const struct cli_args *args, bool gate,
                    struct ce_error *err);
int cli_toolkit_validate(const struct ce_document *doc, const struct cli_args *args,
                         struct ce_error *err);

/* ---- the history ---- */

/* Where runs are recorded: as --db says. */
void cli_history_options(struct ce_suite_options *options, const struct cli_args *args);
/* What a failed ce_history_ function means for the exit code. */
int cli_history_exit(int r);
/* Opens what --db and --state-dir say. Returns an exit code. */
int cli_history_open(const struct cli_args *args, bool write, struct ce_history **ret_history,
                     struct ce_error *err);
/* Which runs are meant by --layer, --name and so on. */
struct ce_history_filter cli_history_filter(const struct cli_args *args);
/* clang-format off */
#define CLI_OPTIONS_FILTER \
    {"name", CLI_TEXT, CLI_FIELD(name), "PATTERN", "of that name; *, ? and [...] as in a shell", \
     .both = "of that name (*, ?, [...] as in a shell); with that tag"}, \
    {"tag", CLI_TEXT, CLI_FIELD(tag), "TAG", "with that tag"}, \
    {"layer", CLI_TEXT, CLI_FIELD(layer), "LAYER", "data, model or infrastructure", \
     .both = "of that layer (data, model, infrastructure), that fault"}, \
    {"fault", CLI_TEXT, CLI_FIELD(fault), "FAULT", "of that fault"}, \
    {"status", CLI_TEXT, CLI_FIELD(status), "STATUS", "that ended so: completed, failed, ...", \
     .both = "that ended so (completed, ...), with that verdict"}, \
    {"verdict", CLI_TEXT, CLI_FIELD(verdict), "VERDICT", "passed, deviated, inconclusive or invalid"}, \
    {"min-score", CLI_SCORE, CLI_FIELD(score_low), "N", "with at least that score", \
     .both = "with such a score, 0..100"}, \
    {"max-score", CLI_SCORE, CLI_FIELD(score_high), "N", "with at most that score"}, \
    {"since", CLI_TEXT, CLI_FIELD(since), "TIME", "begun since then: 2026-11-22, 7d, 12h", \
     .both = "begun then: 2026-11-22T10:00:00Z, 2026-11-22, 7d, 12h"}, \
    {"until", CLI_TEXT, CLI_FIELD(until), "TIME", "begun until then"}, \
    {"profile", CLI_TEXT, CLI_FIELD(profile), "PROFILE", "of that embedded pipeline: naive or hardened"}
/* clang-format on */
/* A text that others wrote, in a column of that width; without control characters. Cut if it is
 * longer. Width 0: as it is. */
void cli_print_cell(FILE *out, const char *text, int width);
/* A number in a column; "-" for null. */
void cli_print_number(const json_t *value, int width, const char *format)
    __attribute__((format(printf, 3, 0)));

/* ---- tables ---- */

/* What a failed ce_data_ function means for the exit code: 2 when what the user named is wrong, 4
 * when the machine could not do it. */
int cli_data_exit(int r);
/* Adds the faults, their parameters, and the options that are a parameter of each. Returns an exit
 * code. */
int cli_job_fill(struct ce_data_job *job, const struct cli_args *args, struct ce_error *err);
/* The document of an injection, for people; `name` is what it calls the input. */
void cli_job_print(FILE *out, const char *name, const json_t *result);
/* A file, or a table's address without its password. */
void cli_print_data_name(FILE *out, const char *name);

/* ---- signals ---- */

struct cli_signals {
    struct sigaction actions[2];
};
/* From here on SIGINT and SIGTERM only set what is returned; `before` says what they did. */
const volatile sig_atomic_t *cli_signals_catch(struct cli_signals *before);
/* Once nothing is live any more, whatever blocks (a report's reader, say) may be interrupted. */
void cli_signals_release(const struct cli_signals *before);

/* ---- progress ---- */

/* Texts in columns of a terminal, UTF-8. Their width is never taken for less than it is. */
enum {
    CLI_COLUMNS_MAX = 300,
    CLI_SHORT_SIZE = 4 * CLI_COLUMNS_MAX + 4,
    CLI_APART_SIZE = 40,
    CLI_LINE_SIZE = CLI_SHORT_SIZE + 128,
};
size_t cli_columns(const char *text);
/* How many bytes of it take so many columns at most. */
size_t cli_fitting(const char *text, size_t columns);
/* Leaves out its middle when it takes more than `columns`, 8 to CLI_COLUMNS_MAX; returns how many
 * it takes then. */
size_t cli_shorten(const char *text, size_t columns, char ret_text[CLI_SHORT_SIZE]);

struct cli_running {
    size_t run;
    char name[CLI_SHORT_SIZE]; /* none: the place is free */
    char apart[CLI_APART_SIZE], phase[32];
    double fraction;
};
/* On a terminal one line for what goes on, redrawn in place; elsewhere one for each finished run.
 */
struct cli_progress {
    bool live, color, quiet;    /* quiet: no plain lines */
    char drawn[CLI_SHORT_SIZE]; /* what the terminal's line shows now */
    struct cli_running running[16];
};
void cli_progress_start(struct cli_progress *progress, bool json);
/* How many columns a line of stderr may have that is drawn over. */
size_t cli_progress_columns(void);
ce_progress_fn cli_progress_show;
/* For work that is only long: a share, negative when it is not known. */
void cli_progress_share(void *ctx, double fraction);
/* Leaves the terminal without a half-drawn line. */
void cli_progress_end(struct cli_progress *progress);

#endif
