/* SPDX-License-Identifier: MIT */
/* What the files of this room share. */
#ifndef CE_TOOLKIT_TOOLKIT_INTERNAL_H
#define CE_TOOLKIT_TOOLKIT_INTERNAL_H

#include <pthread.h>
#include <regex.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "toolkit/toolkit.h"

/* ---- values ---- */

/* What the configuration and the secrets give names to. */
struct ce_settings {
    json_t *values;  /* {name: value} */
    json_t *secrets; /* {name: true}: those that came from the secrets */
};
int ce_settings_read(const struct ce_node *root, const char *const *vars, size_t var_count,
                     struct ce_settings *ret_settings, struct ce_error *err);
void ce_settings_done(struct ce_settings *settings);

/* The value as the document means it. NULL: no memory. */
json_t *ce_value_of(const struct ce_node *node);
/* A copy in which $name and ${name} are what the settings say, as Python's string.Template has it:
 * a name that nothing is known of stays as it is, and a text that is ${name} and nothing else takes
 * the value's type. *ret_secret becomes true when a secret was put in. NULL: no memory. */
json_t *ce_value_resolve(const json_t *value, const struct ce_settings *settings, bool *ret_secret);
/* As Python writes it: True, None, 1.0. NULL: no memory. Free with free(). */
char *ce_value_text(const json_t *value);
/* Of a mapping of headers, whose names are written in any case; NULL: there is none. */
const char *ce_value_header(const json_t *headers, const char *name);
/* JSON text of bytes from outside: what is no UTF-8 becomes question marks. */
json_t *ce_value_of_bytes(const char *bytes, size_t size);

/* ---- tolerances ---- */

enum ce_tolerance_kind {
    CE_TOLERANCE_NONE = 0,
    CE_TOLERANCE_STATUS, /* the status is one of a list */
    CE_TOLERANCE_RANGE,
    CE_TOLERANCE_PATTERN,
    CE_TOLERANCE_PATH,
};
struct ce_tolerance {
    enum ce_tolerance_kind kind;
    json_t *statuses; /* [number] */
    char *target;     /* which member of the output it looks at; NULL: all of it */
    double low, high; /* RANGE, inclusive */
    char *text;       /* of a pattern or a path, as written */
    regex_t *pattern;
    json_t *path;   /* its steps; see ce_path_parse() */
    json_t *expect; /* PATH; NULL: anything */
    int64_t count;  /* PATH: so many; -1: at least one */
};
/* What a probe yields: which members its output has. */
extern const char *const ce_http_members[], *const ce_process_members[]; /* NULL-terminated */
/* `members`: of the output of the probe that it is for. */
int ce_tolerance_read(const struct ce_node *node, const char *const *members,
                      const struct ce_settings *settings, struct ce_tolerance *ret_tolerance,
                      struct ce_error *err);
void ce_tolerance_done(struct ce_tolerance *tolerance);
/* Whether the output is within it; `why` says what was found, in a sentence. */
bool ce_tolerance_holds(const struct ce_tolerance *tolerance, const json_t *output, char *why,
                        size_t size);

/* Compiles a pattern that is written as Python reads it. -EINVAL: what this matcher does not have.
 */
int ce_pattern_compile(const char *pattern, regex_t *ret_pattern, struct ce_error *err);

/* Parses $.a['b'][0][*].*..c into its steps. */
int ce_path_parse(const char *path, json_t **ret_steps, struct ce_error *err);
/* All that it leads to: [value]. NULL: no memory. */
json_t *ce_path_match(const json_t *steps, json_t *value);

/* ---- giving up ---- */

/* A socket that somebody waits at. */
struct ce_waiting {
    int fd; /* a copy; -1: none */
    struct ce_waiting *next;
    struct ce_stopper *stopper;
};
/* Ends whatever goes on, from another thread. */
struct ce_stopper {
    pthread_mutex_t lock;
    int event; /* readable once it was pulled */
    atomic_bool pulled;
    struct ce_waiting *waiting;
    struct ce_journal *journal; /* that programs are noted in, under the lock; NULL: in none */
};
int ce_stopper_init(struct ce_stopper *stopper, struct ce_error *err);
void ce_stopper_done(struct ce_stopper *stopper);
void ce_stopper_pull(struct ce_stopper *stopper);
/* Sleeps, unless it is pulled: false. */
bool ce_stopper_pause(const struct ce_stopper *stopper, int64_t duration);

/* ---- providers ---- */

struct ce_outcome {
    json_t *output; /* null when it failed */
    char *failure;  /* why it failed; NULL: it did not */
    bool unasked;   /* it failed before it got to whom it was to ask */
    bool given_up;
};
void ce_outcome_done(struct ce_outcome *outcome);
/* The sentence; keeps the first. */
void ce_outcome_fail(struct ce_outcome *outcome, const char *fmt, ...) CE_PRINTF(2, 3);

/* Reads and resolves a provider into what ce_provider_run() takes: {"type": "process", "argv",
 * "timeout", "folder" (absent: this process's)} or {"type": "http", "method", "url", "headers",
 * "body", "timeout", "retries", "authorities"}; times in seconds, null: none. */
int ce_provider_read(const struct ce_node *node, const struct ce_settings *settings,
                     struct ce_names *notices, json_t **ret_provider, bool *ret_secret,
                     struct ce_error *err);
/* Does it, for at most its own timeout and `limit` ns. */
void ce_provider_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                     struct ce_outcome *ret_outcome);
void ce_command_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                    struct ce_outcome *outcome);
void ce_call_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                 struct ce_outcome *outcome);
/* Whether the URL can be asked at all. */
int ce_call_check(const char *url, struct ce_error *err);
/* "a=1&b=2" of a mapping. NULL: no memory. */
char *ce_call_form(const json_t *arguments);

/* ---- activities ---- */

struct ce_activity {
    bool is_action, background;
    json_t *written;  /* what the document says */
    const char *name; /* in `written` */
    json_t *provider;
    bool secret; /* a secret is in the provider */
    int64_t pause_before, pause_after;
    struct ce_tolerance tolerance;
};
struct ce_activities {
    struct ce_activity *items;
    size_t count;
};

/* What an activity that runs without a limit of its own is given when it has to end. */
#define CE_ROLLBACK_LIMIT (300 * CE_SECOND)

/* Pauses, adds its entry to `list` (under the lock of the stopper), does it, pauses. `begun` (may
 * be NULL) is posted when the entry is there, or a pause comes before. Returns the entry, which is
 * the list's; NULL: it was given up before it began. */
json_t *ce_activity_run(const struct ce_activity *activity, struct ce_stopper *stopper,
                        int64_t limit, json_t *list, sem_t *begun, struct ce_outcome *ret_outcome);
/* Why what it did says that it did not take effect; NULL: it does not say so. Free with free(). */
char *ce_activity_refused(const struct ce_activity *activity, const struct ce_outcome *outcome);

/* ---- the document ---- */

/* Something that has no effect here; kept as a notice. */
int ce_toolkit_note(struct ce_names *notices, struct ce_error *err, const char *fmt, ...)
    CE_PRINTF(3, 4);
/* Refuses a key that is nearly one of `known` (NULL-terminated), and notes any other unknown one.
 */
int ce_toolkit_check_keys(const struct ce_node *map, const char *const *known, const char *owner,
                          struct ce_names *notices, struct ce_error *err);

enum ce_look {
    CE_LOOK_BEFORE = 1,
    CE_LOOK_DURING = 2,
    CE_LOOK_AFTER = 4,
};
enum ce_rollbacks {
    CE_ROLLBACKS_DEFAULT = 0, /* once the method has begun */
    CE_ROLLBACKS_ALWAYS,
    CE_ROLLBACKS_NEVER,
    CE_ROLLBACKS_DEVIATED, /* also when it did not come to an end */
};
enum { CE_TOOLKIT_NAME_SIZE = 201 };

struct ce_toolkit {
    json_t *experiment;              /* as written, without its secrets */
    char name[CE_TOOLKIT_NAME_SIZE]; /* its title, on one line */
    struct ce_activities hypothesis, method, rollbacks;
    unsigned looks; /* enum ce_look */
    int64_t frequency;
    enum ce_rollbacks strategy;
    struct ce_names notices;
};
extern const char *const ce_rollbacks_names[]; /* by enum ce_rollbacks */

#endif
