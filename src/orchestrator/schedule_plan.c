/* SPDX-License-Identifier: MIT */
/* From a document to its schedules: an experiment with a `schedule` of its own has its own times,
 * the others have the document's. And what can be said of them without running anything: the next
 * times, and units of systemd. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/seam.h"
#include "orchestrator/claims.h"
#include "orchestrator/schedule.h"

int64_t ce_schedule_now(void)
{
    return ce_wall_now() + ce_seam_wall_shift();
}

/* ---- who runs when ---- */

void ce_schedule_plan_done(struct ce_schedule_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->lines[i].chosen);
    free(plan->lines);
    *plan = (struct ce_schedule_plan){0};
}

/* Every experiment that is not left out is on one line. `plan->lines` has room for all. */
static int fill(struct ce_schedule_plan *plan, struct ce_error *err)
{
    size_t count = ce_document_experiment_count(plan->doc);
    const struct ce_schedule *common = ce_document_schedule(plan->doc);
    struct ce_plan_line *shared = NULL;
    for (int own = 0; own <= 1; own++) {
        for (size_t i = 0; i < count; i++) {
            const struct ce_experiment *x = ce_document_experiment(plan->doc, i);
            bool has_own = x->schedule.text != NULL;
            if (x->left_out || has_own != own)
                continue;
            if (!has_own && !common)
                return ce_document_place_schedule(
                    plan->doc, x->name,
                    ce_fail(err, EINVAL,
                            "experiment '%s' has no schedule, and the document has none either",
                            x->name),
                    err);
            struct ce_plan_line *line = !own && shared ? shared : &plan->lines[plan->count];
            if (line == &plan->lines[plan->count]) {
                line->chosen = calloc(count, sizeof *line->chosen);
                if (!line->chosen)
                    return ce_fail_memory(err);
                line->schedule = own ? &x->schedule : common;
                line->experiment = own ? x->name : NULL;
                plan->count++;
                shared = own ? shared : line;
            }
            line->chosen[i] = true;
        }
    }
    return 0;
}

/* ---- schedules that are in each other's way ---- */

enum { STEPS_MAX = 5000 };

/* The first time at which both are due; INT64_MAX: none for a long while. */
static int64_t first_meeting(const struct ce_schedule *a, const struct ce_schedule *b, int64_t now)
{
    int64_t at_a = ce_schedule_next(a, now), at_b = ce_schedule_next(b, now);
    for (int i = 0; i < STEPS_MAX && at_a < INT64_MAX && at_b < INT64_MAX; i++) {
        if (at_a == at_b)
            return at_a;
        if (at_a < at_b)
            at_a = ce_schedule_next(a, at_a);
        else
            at_b = ce_schedule_next(b, at_b);
    }
    return INT64_MAX;
}

/* 1 when they act on the same thing. */
static int meets(const struct ce_document *doc, const char *state_dir, size_t a, size_t b,
                 struct ce_error *err)
{
    struct ce_names of_a = {0}, of_b = {0};
    const struct ce_pipeline_spec *pipeline = ce_document_pipeline(doc);
    int r = ce_claims_of(ce_document_experiment(doc, a), pipeline, state_dir, &of_a, err);
    if (r >= 0)
        r = ce_claims_of(ce_document_experiment(doc, b), pipeline, state_dir, &of_b, err);
    if (r >= 0)
        r = ce_claims_meet(&of_a, &of_b);
    ce_names_done(&of_a);
    ce_names_done(&of_b);
    return r;
}

static int check_pair(const struct ce_schedule_plan *plan, const char *state_dir,
                      const struct ce_plan_line *a, const struct ce_plan_line *b, int64_t at,
                      struct ce_error *err)
{
    size_t count = ce_document_experiment_count(plan->doc);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (!a->chosen[i] || !b->chosen[k])
                continue;
            int r = meets(plan->doc, state_dir, i, k, err);
            if (r == 0)
                continue;
            CE_TRY(r);
            char when[CE_SCHEDULE_TIME_SIZE];
            ce_schedule_time(b->schedule, at, when);
            r = ce_fail(err, EINVAL,
                        "experiments '%s' and '%s' act on the same thing and are both due at %s; "
                        "give them different times, or one of them `overlap: true`",
                        ce_document_experiment(plan->doc, i)->name,
                        ce_document_experiment(plan->doc, k)->name, when);
            return ce_document_place_schedule(plan->doc, b->experiment, r, err);
        }
    }
    return 0;
}

static int check_meetings(const struct ce_schedule_plan *plan, const char *state_dir, int64_t now,
                          struct ce_error *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        for (size_t k = i + 1; k < plan->count; k++) {
            const struct ce_plan_line *a = &plan->lines[i], *b = &plan->lines[k];
            if (a->schedule->overlap || b->schedule->overlap)
                continue;
            int64_t at = first_meeting(a->schedule, b->schedule, now);
            if (at < INT64_MAX)
                CE_TRY(check_pair(plan, state_dir, a, b, at, err));
        }
    }
    return 0;
}

int ce_schedule_plan_make(const struct ce_document *doc, const char *state_dir, int64_t now,
                          struct ce_schedule_plan *ret_plan, struct ce_error *err)
{
    ce_autofree char *folder = state_dir ? strdup(state_dir) : ce_state_dir();
    struct ce_schedule_plan plan = {.doc = doc};
    plan.lines = calloc(ce_document_experiment_count(doc), sizeof *plan.lines);
    int r = plan.lines && folder ? fill(&plan, err) : ce_fail_memory(err);
    if (r >= 0)
        r = check_meetings(&plan, folder, now, err);
    if (r < 0)
        ce_schedule_plan_done(&plan);
    else
        *ret_plan = plan;
    return r;
}

/* ---- the next times ---- */

static json_t *names_of(const struct ce_schedule_plan *plan, const struct ce_plan_line *line)
{
    json_t *names = json_array();
    for (size_t i = 0; i < ce_document_experiment_count(plan->doc); i++)
        if (line->chosen[i])
            (void)json_array_append_new(names,
                                        json_string(ce_document_experiment(plan->doc, i)->name));
    return names;
}

static json_t *list_line(const struct ce_schedule_plan *plan, const struct ce_plan_line *line,
                         size_t count, int64_t now)
{
    json_t *next = json_array(), *local = json_array();
    int64_t at = now;
    for (size_t i = 0; i < count && (at = ce_schedule_next(line->schedule, at)) < INT64_MAX; i++) {
        char utc[CE_TIMESTAMP_SIZE], text[CE_SCHEDULE_TIME_SIZE];
        ce_timestamp(at, utc);
        ce_schedule_time(line->schedule, at, text);
        (void)json_array_append_new(next, json_string(utc));
        (void)json_array_append_new(local, json_string(text));
    }
    return json_pack("{s:s?, s:s, s:b, s:f, s:o, s:o, s:o}", "experiment", line->experiment,
                     "schedule", line->schedule->text, "overlap", line->schedule->overlap, "jitter",
                     (double)line->schedule->jitter / CE_SECOND, "experiments",
                     names_of(plan, line), "next", next, "next_local", local);
}

int ce_schedule_list_json(const struct ce_document *doc, const char *state_dir, size_t count,
                          char **ret_json, struct ce_error *err)
{
    struct ce_schedule_plan plan;
    int64_t now = ce_schedule_now();
    CE_TRY(ce_schedule_plan_make(doc, state_dir, now, &plan, err));
    json_t *list = json_array();
    for (size_t i = 0; i < plan.count; i++)
        (void)json_array_append_new(list, list_line(&plan, &plan.lines[i], count, now));
    ce_autojson json_t *json = json_pack("{s:o}", "schedules", list);
    ce_schedule_plan_done(&plan);
    char *text = json ? ce_json_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

/* ---- units of systemd ---- */

/* One word in quotes, in which systemd expands what is `doubled`. */
static void print_quoted(FILE *out, const char *text, const char *doubled)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (strchr(doubled, *p))
            fputc(*p, out);
        if (strchr("\"\\", *p))
            fputc('\\', out);
        if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\x%02x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

/* An argument of ExecStart. */
static void print_argument(FILE *out, const char *text)
{
    print_quoted(out, text, "%$");
}

/* The service finds its state where this process would; --state-dir is in its command line. */
static void print_environment(FILE *out, const char *state_dir)
{
    static const char name[] = "CHAOSEATER_STATE_DIR";
    const char *value = getenv(name);
    if (state_dir || !value || !*value)
        return;
    ce_autofree char *assignment = ce_format("%s=%s", name, value);
    fputs("Environment=", out);
    print_quoted(out, assignment ? assignment : "", "%");
    fputc('\n', out);
}

/* A value to the end of its line, where only % means something. */
static void print_setting(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=", name);
    for (const char *p = value; *p != '\0'; p++)
        fprintf(out, *p == '%' ? "%%%%" : "%c", *p);
    fputc('\n', out);
}

static void print_service(FILE *out, const struct ce_schedule_plan *plan,
                          const struct ce_plan_line *line, const char *state_dir,
                          const char *const *command)
{
    bool all = true;
    for (size_t i = 0; i < ce_document_experiment_count(plan->doc); i++)
        all = all && line->chosen[i];
    fputs("[Unit]\nDescription=ChaosEater: scheduled experiments\n\n[Service]\nType=oneshot\n"
          "ExecStart=",
          out);
    for (size_t i = 0; command[i]; i++) {
        fputs(i > 0 ? " " : "", out);
        print_argument(out, command[i]);
    }
    for (size_t i = 0; !all && i < ce_document_experiment_count(plan->doc); i++) {
        if (line->chosen[i]) {
            fputs(" --only ", out);
            print_argument(out, ce_document_experiment(plan->doc, i)->name);
        }
    }
    fputc('\n', out);
    ce_autofree char *folder = get_current_dir_name(); /* paths on the command line start here */
    if (folder)
        print_setting(out, "WorkingDirectory", folder);
    print_environment(out, state_dir);
    /* Only the program itself is asked to end: it ends its children, once all is undone. */
    fputs("KillMode=mixed\nTimeoutStopSec=5min\n", out);
}

static void print_timer(FILE *out, const struct ce_plan_line *line, const char *service,
                        const char *calendar)
{
    fprintf(out, "# %s\n", line->schedule->text);
    if (line->schedule->overlap)
        fputs("# overlap: systemd starts no service that still runs\n", out);
    fprintf(out,
            "[Unit]\nDescription=ChaosEater: when experiments are due\n\n[Timer]\n%s"
            "AccuracySec=1s\nPersistent=%s\nUnit=%s\n\n[Install]\nWantedBy=timers.target\n",
            calendar, line->schedule->interval > 0 ? "false" : "true", service);
}

/* "chaoseater-NAME.service", of characters that unit names may have. */
static char *unit_name(const char *name, const struct ce_plan_line *line, const char *suffix)
{
    char *text = ce_format("chaoseater-%s%s%s.%s", name, line->experiment ? "-" : "",
                           line->experiment ? line->experiment : "", suffix);
    size_t size = text ? strlen(text) : 0;
    for (size_t i = 0; i < size; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.-", text[i]))
            text[i] = '_';
    return text;
}

static int add_unit(json_t *units, const char *name, FILE *out, char *const *text,
                    struct ce_error *err)
{
    int r = fclose(out) == 0
                ? json_array_append_new(units, json_pack("{s:s, s:s}", "name", name, "text", *text))
                : -1;
    free(*text);
    return r < 0 ? ce_fail_memory(err) : 0;
}

static int add_units(const struct ce_schedule_plan *plan, const struct ce_plan_line *line,
                     const char *state_dir, const char *name, const char *const *command,
                     json_t *units, struct ce_error *err)
{
    ce_autofree char *service = unit_name(name, line, "service");
    ce_autofree char *timer = unit_name(name, line, "timer");
    ce_autofree char *calendar = ce_schedule_calendar(line->schedule);
    char *text = NULL;
    size_t size;
    FILE *out = service && timer && calendar ? open_memstream(&text, &size) : NULL;
    if (!out)
        return ce_fail_memory(err);
    print_service(out, plan, line, state_dir, command);
    CE_TRY(add_unit(units, service, out, &text, err));
    if (!(out = open_memstream(&text, &size)))
        return ce_fail_memory(err);
    print_timer(out, line, service, calendar);
    return add_unit(units, timer, out, &text, err);
}

int ce_schedule_units_json(const struct ce_document *doc, const char *state_dir, const char *name,
                           const char *const *command, char **ret_json, struct ce_error *err)
{
    struct ce_schedule_plan plan;
    CE_TRY(ce_schedule_plan_make(doc, state_dir, ce_schedule_now(), &plan, err));
    json_t *units = json_array();
    int r = 0;
    for (size_t i = 0; i < plan.count && r >= 0; i++)
        r = add_units(&plan, &plan.lines[i], state_dir, name, command, units, err);
    ce_autojson json_t *json = json_pack("{s:o}", "units", units);
    ce_schedule_plan_done(&plan);
    CE_TRY(r);
    char *text = json ? ce_json_text(json) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}
