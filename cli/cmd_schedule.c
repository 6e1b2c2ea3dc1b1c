/* SPDX-License-Identifier: MIT */
/* chaoseater schedule FILE */
#include "cli.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- reports ---- */

static void list_done(struct cli_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((char *)list->items[i]);
    free(list->items);
}

/* Of strftime; none of those that would make a folder or a line of their own. */
static const char placeholders[] = "aAbBCdeFgGhHIjkmMpPrRsSTuUVwWXyYzZ%";

static int check_placeholders(const char *report, struct ce_error *err)
{
    for (const char *p = strchr(report, '%'); p; p = strchr(p + 2, '%'))
        if (p[1] == '\0' || !strchr(placeholders, p[1]))
            return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                            "--report: '%s' has '%%%.1s', which is no placeholder for a time such "
                            "as %%Y, %%m, %%d, %%H, %%M or %%S; %%%% is a percent sign",
                            report, p + 1);
    return CE_EXIT_PASSED;
}

/* The --report options with the placeholders of their paths filled in, as strftime() does. */
static int reports_now(const struct cli_args *args, struct cli_list *ret_reports,
                       struct ce_error *err)
{
    struct cli_list reports = {.items = calloc(args->reports.count + 1, sizeof *reports.items)};
    time_t now = time(NULL);
    struct tm local;
    (void)localtime_r(&now, &local);
    for (size_t i = 0; reports.items && i < args->reports.count; i++) {
        char text[PATH_MAX + 64];
        const char *report = args->reports.items[i];
        bool fits = strchr(report, '%') && strftime(text, sizeof text, report, &local) > 0;
        if (!(reports.items[reports.count] = strdup(fits ? text : report)))
            break;
        reports.count++;
    }
    if (!reports.items || reports.count < args->reports.count) {
        list_done(&reports);
        return cli_fail_memory(err);
    }
    *ret_reports = reports;
    return CE_EXIT_PASSED;
}

static int check_reports(const struct cli_args *args, struct ce_error *err)
{
    struct cli_args now = *args;
    int exit_code = CE_EXIT_PASSED;
    for (size_t i = 0; i < args->reports.count && exit_code == CE_EXIT_PASSED; i++)
        exit_code = check_placeholders(args->reports.items[i], err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = reports_now(args, &now.reports, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    exit_code = cli_reports_check(&now, err);
    list_done(&now.reports);
    return exit_code;
}

/* ---- in the foreground ---- */

struct foreground {
    const struct cli_args *args;
    struct cli_progress progress;
    char waits_for[CLI_LINE_SIZE]; /* what was last said to be next */
    size_t running;
    bool drawn; /* the terminal's line shows it */
    bool failed;
};

static void clear_line(struct foreground *shown)
{
    if (shown->drawn)
        fputs("\r\033[K", stderr);
    shown->drawn = false;
}

static void show_wait(struct foreground *shown, const struct ce_schedule_event *event)
{
    char of[CLI_SHORT_SIZE], when[96], text[sizeof shown->waits_for];
    const char *name = event->experiment ? event->experiment : "the document";
    long seconds = (long)(event->seconds + 0.5);
    if (shown->progress.live && shown->running == 0) {
        size_t columns = cli_progress_columns();
        snprintf(when, sizeof when, " at %.40s, in %ld:%02ld:%02ld", event->due, seconds / 3600,
                 seconds / 60 % 60, seconds % 60);
        size_t others = strlen("next: ") + strlen(when);
        (void)cli_shorten(name, columns > others + 8 ? columns - others : 8, of);
        snprintf(text, sizeof text, "next: %s%s", of, when);
        fprintf(stderr, "\r\033[K%.*s", (int)cli_fitting(text, columns), text);
        fflush(stderr);
        shown->drawn = true;
    } else if (!shown->progress.live && !shown->args->json) {
        (void)cli_shorten(name, CLI_COLUMNS_MAX, of);
        snprintf(text, sizeof text, "next: %s at %s", of, event->due);
        if (strcmp(text, shown->waits_for) != 0)
            fprintf(stderr, "chaoseater: %s\n", text);
        memcpy(shown->waits_for, text, sizeof text);
    }
}

static void show_missed(const struct foreground *shown, const struct ce_schedule_event *event)
{
    if (shown->args->json)
        return;
    fprintf(stderr, "chaoseater: missed: %s at %s",
            event->experiment ? event->experiment : "the document", event->due);
    if (event->missed > 1)
        fprintf(stderr, " and %llu after it", (unsigned long long)event->missed - 1);
    fprintf(stderr, ": %s\n", event->reason);
}

static void show_lever(struct foreground *shown, bool stopped)
{
    if (shown->args->json)
        return;
    cli_progress_end(&shown->progress);
    fputs(stopped ? "chaoseater: stopped by `chaoseater stop`: what is due is not started until "
                    "`chaoseater stop --release`\n"
                  : "chaoseater: released: what is due is started again\n",
          stderr);
}

static void show_end(struct foreground *shown, const struct ce_schedule_event *event)
{
    struct cli_args now = *shown->args;
    struct ce_error err = {0};
    cli_progress_end(&shown->progress);
    if (event->reason)
        fprintf(stderr, "chaoseater: due at %s: %s\n", event->due, event->reason);
    if (!event->results)
        return;
    cli_results_warn(event->results, shown->args);
    if (reports_now(shown->args, &now.reports, &err) != CE_EXIT_PASSED) {
        shown->failed = true;
        return;
    }
    int exit_code = now.json ? cli_reports_write(event->results, &now)
                             : cli_results_print(event->results, &now, &err);
    shown->failed = shown->failed || exit_code != CE_EXIT_PASSED;
    fflush(stdout);
    list_done(&now.reports);
}

static void on_event(void *ctx, const struct ce_schedule_event *event)
{
    struct foreground *shown = ctx;
    if (event->what == CE_SCHEDULE_WAITS) {
        show_wait(shown, event);
        return;
    }
    clear_line(shown);
    switch (event->what) {
    case CE_SCHEDULE_STARTS:
        shown->running++;
        break;
    case CE_SCHEDULE_ENDED:
        shown->running--;
        show_end(shown, event);
        break;
    case CE_SCHEDULE_STOPPED:
    case CE_SCHEDULE_RELEASED:
        show_lever(shown, event->what == CE_SCHEDULE_STOPPED);
        break;
    default:
        show_missed(shown, event);
        break;
    }
}

/* What --metrics asks for; NULL when it was not given. */
static int serve_metrics(const struct cli_args *args, struct ce_metrics **ret_metrics,
                         struct ce_error *err)
{
    struct ce_metrics *metrics = NULL;
    char *url = NULL, *folder = args->state_dir ? strdup(args->state_dir) : ce_state_dir();
    if (!folder)
        return cli_fail_memory(err);
    int r = ce_metrics_new(folder, &metrics, err);
    free(folder);
    if (r >= 0)
        r = ce_metrics_serve(metrics, args->metrics, &url, err);
    if (r < 0) {
        ce_metrics_free(metrics);
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    }
    if (!args->json)
        fprintf(stderr, "chaoseater: metrics at %s\n", url);
    ce_string_free(url);
    *ret_metrics = metrics;
    return CE_EXIT_PASSED;
}

static int run_foreground(const struct ce_document *doc, const struct cli_args *args,
                          struct ce_metrics *metrics, struct ce_error *err)
{
    struct foreground shown = {.args = args};
    struct cli_signals before;
    struct ce_suite_options suite = cli_suite_options(args, &shown.progress);
    suite.metrics = metrics;
    suite.signal = cli_signals_catch(&before);
    cli_progress_start(&shown.progress, args->json);
    const struct ce_schedule_options options = {
        .suite = &suite,
        .once = args->once,
        .tick = shown.progress.live,
        .event = on_event,
        .event_ctx = &shown,
    };
    int exit_code;
    char *json = NULL;
    int r = ce_schedule_run(doc, &options, &exit_code, args->json ? &json : NULL, err);
    clear_line(&shown);
    cli_signals_release(&before);
    if (r < 0)
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    if (args->json && cli_print_json_text(json, err) != CE_EXIT_PASSED)
        shown.failed = true;
    /* What could not be put back outweighs a report that could not be written. */
    return shown.failed && exit_code != CE_EXIT_DIRTY ? CE_EXIT_FAILED : exit_code;
}

static int run_and_serve(const struct ce_document *doc, const struct cli_args *args,
                         struct ce_error *err)
{
    struct ce_metrics *metrics = NULL;
    int exit_code = args->metrics ? serve_metrics(args, &metrics, err) : CE_EXIT_PASSED;
    if (exit_code == CE_EXIT_PASSED)
        exit_code = run_foreground(doc, args, metrics, err);
    ce_metrics_free(metrics);
    return exit_code;
}

/* ---- the next times ---- */

static int print_list(const struct ce_document *doc, const struct cli_args *args,
                      struct ce_error *err)
{
    char *text;
    int r = ce_schedule_list_json(doc, args->state_dir, (size_t)args->list, &text, err);
    if (r < 0)
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    size_t i, k;
    json_t *schedule, *time;
    json_array_foreach(json_object_get(json, "schedules"), i, schedule)
    {
        const char *of = json_string_value(json_object_get(schedule, "experiment"));
        printf("%s: %s\n", of ? of : "the document",
               json_string_value(json_object_get(schedule, "schedule")));
        json_array_foreach(json_object_get(schedule, "next_local"), k, time)
            printf("  %s\n", json_string_value(time));
    }
    json_decref(json);
    return CE_EXIT_PASSED;
}

/* ---- units of systemd ---- */

enum { COMMAND_MAX = 64 };

/* What a service executes. `program` and `file` are absolute paths. */
static int make_command(const struct cli_args *args, const char *program, const char *file,
                        char seed[32], char parallel[32], const char *command[COMMAND_MAX],
                        struct ce_error *err)
{
    const struct {
        const char *name;
        const struct cli_list *list;
    } lists[] = {{"--set", &args->set}, {"--report", &args->reports}};
    size_t n = 0;
    command[n++] = program;
    command[n++] = "run";
    command[n++] = file;
    for (size_t i = 0; i < CLI_LENGTH(lists); i++) {
        for (size_t k = 0; k < lists[i].list->count; k++) {
            if (n + 16 > COMMAND_MAX)
                return cli_fail(err, CE_EXIT_USAGE, E2BIG, "too many options for a service");
            if (lists[i].list == &args->reports && strchr(lists[i].list->items[k], '%'))
                return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                                "--report: '%s' has a placeholder, which `chaoseater run` in a "
                                "service does not fill in",
                                lists[i].list->items[k]);
            command[n++] = lists[i].name;
            command[n++] = lists[i].list->items[k];
        }
    }
    if (args->seed.given) {
        snprintf(seed, 32, "%llu", (unsigned long long)args->seed.value);
        command[n++] = "--seed";
        command[n++] = seed;
    }
    if (args->state_dir) {
        command[n++] = "--state-dir";
        command[n++] = args->state_dir;
    }
    if (args->db) {
        command[n++] = "--db";
        command[n++] = args->db;
    }
    if (args->events) {
        command[n++] = "--events";
        command[n++] = args->events;
    }
    if (args->hits) {
        command[n++] = "--hits";
        command[n++] = args->hits;
    }
    if (args->parallel > 0) {
        snprintf(parallel, 32, "%llu", (unsigned long long)args->parallel);
        command[n++] = "--parallel";
        command[n++] = parallel;
    }
    if (args->fail_fast)
        command[n++] = "--fail-fast";
    command[n] = NULL;
    return CE_EXIT_PASSED;
}

static int write_unit(const char *folder, const char *name, const char *text, struct ce_error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "we");
    bool failed = !out || fputs(text, out) < 0;
    if (out && fclose(out) != 0)
        failed = true;
    if (failed)
        return cli_fail(err, CE_EXIT_FAILED, errno, "cannot write '%s': %s", path, strerror(errno));
    printf("%s\n", path);
    return CE_EXIT_PASSED;
}

/* To the folder of --out, or all of them to stdout, each after a comment with its name. */
static int print_units(char *text, const struct cli_args *args, struct ce_error *err)
{
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err), *unit;
    int exit_code = json ? CE_EXIT_PASSED : CE_EXIT_FAILED;
    size_t i;
    json_array_foreach(json_object_get(json, "units"), i, unit)
    {
        const char *name = json_string_value(json_object_get(unit, "name"));
        const char *content = json_string_value(json_object_get(unit, "text"));
        if (!args->out)
            printf("%s# /etc/systemd/system/%s\n%s", i > 0 ? "\n" : "", name, content);
        else if (exit_code == CE_EXIT_PASSED)
            exit_code = write_unit(args->out, name, content, err);
    }
    json_decref(json);
    return exit_code;
}

static int print_systemd(const struct ce_document *doc, const struct cli_args *args,
                         struct ce_error *err)
{
    char program[PATH_MAX], file[PATH_MAX], seed[32], parallel[32], stem[PATH_MAX], *text;
    const char *command[COMMAND_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size < 0 || !realpath(args->operand, file))
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--systemd: '%s' is not a file that a service could open", args->operand);
    program[size] = '\0';
    int exit_code = make_command(args, program, file, seed, parallel, command, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    snprintf(stem, sizeof stem, "%s", file);
    char *name = basename(stem), *dot = strrchr(name, '.');
    if (dot && dot > name)
        *dot = '\0';
    int r = ce_schedule_units_json(doc, args->state_dir, name, command, &text, err);
    if (r < 0)
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    return print_units(text, args, err);
}

/* ---- the command ---- */

static int check_out(const char *folder, struct ce_error *err)
{
    struct stat info;
    int code = stat(folder, &info) < 0           ? errno
               : !S_ISDIR(info.st_mode)          ? ENOTDIR
               : access(folder, W_OK | X_OK) < 0 ? errno
                                                 : 0;
    return code == 0 ? CE_EXIT_PASSED
                     : cli_fail(err, CE_EXIT_USAGE, code, "--out: cannot write into '%s': %s",
                                folder, strerror(code));
}

/* What is asked for instead of running anything goes with nothing that is about running. */
static int check_options(const struct cli_args *args, struct ce_error *err)
{
    const char *instead = args->list > 0 ? "list" : "systemd";
    const char *other = args->list > 0 && args->systemd ? "systemd"
                        : args->once                    ? "once"
                        : args->metrics                 ? "metrics"
                                                        : NULL;
    if ((args->list > 0 || args->systemd) && other)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--%s runs nothing and does not go with --%s: leave one of them out",
                        instead, other);
    if (args->out && !args->systemd)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "--out goes with --systemd");
    return args->out ? check_out(args->out, err) : CE_EXIT_PASSED;
}

static int run(const struct cli_args *args, struct ce_error *err)
{
    struct ce_document *doc = NULL;
    int exit_code = check_options(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = check_reports(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = cli_document_load(args, &doc, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    exit_code = args->list > 0  ? print_list(doc, args, err)
                : args->systemd ? print_systemd(doc, args, err)
                                : run_and_serve(doc, args, err);
    ce_document_free(doc);
    return exit_code;
}

static const struct cli_option options[] = {
    {"once", CLI_FLAG, CLI_FIELD(once), NULL, "wait for what is due next, run it, and exit",
     .both = "wait for what is due next, run it, exit; or print N times"},
    {"list", CLI_COUNT, CLI_FIELD(list), "N", "print the next N times of each schedule, and exit",
     .least = 1, .most = 1000},
    {"systemd", CLI_FLAG, CLI_FIELD(systemd), NULL, "print a service and a timer for systemd",
     .both = "print a service and a timer for systemd; or files there"},
    {"out", CLI_TEXT, CLI_FIELD(out), "DIR", "write those to files there", 'o'},
    CLI_OPTIONS_SUITE,
    CLI_OPTION_FAIL_FAST,
    CLI_OPTION_REPORT,
    {"metrics", CLI_TEXT, CLI_FIELD(metrics), "ADDRESS",
     "answer Prometheus at http://ADDRESS/metrics"},
    CLI_OPTIONS_EVENTS_HITS,
    CLI_OPTIONS_LAST,
};

const struct cli_command cmd_schedule = {
    .name = "schedule",
    .operand = "FILE",
    .summary = "run them when they are due, in the foreground",
    .details =
        "Waits, and runs the experiments whenever the document's `schedule`, or their own, says\n"
        "so: \"0 3 * * *\", \"@daily\", \"every 15m\". What is due while it still runs is missed, "
        "and\n"
        "said so. --report is written at each run: its path may hold %Y, %m, %d, %H, %M, %S.\n"
        "With --json one document of all runs is printed at the end.\n"
        "Exit: 130 or 143 when a signal ended it; with --once that of `chaoseater run`.",
    .example = "chaoseater schedule nightly.yaml --report json=runs/%Y-%m-%d.json",
    .options = options,
    .run = run,
};
