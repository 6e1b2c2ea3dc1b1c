/* SPDX-License-Identifier: MIT */
/* chaoseater history trends NAME */
#include "cli.h"

#include <string.h>

enum { RUNS_SHOWN = 20 };

static double number_of(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static void print_slope(const json_t *trends)
{
    const json_t *interval = json_object_get(trends, "slope_ci");
    double low = json_number_value(json_array_get(interval, 0));
    double high = json_number_value(json_array_get(interval, 1));
    if (!json_is_array(interval)) {
        puts("trend     not known: fewer than three scores");
        return;
    }
    printf("trend     %+.3g points a day, with %g %% confidence from %+.3g to %+.3g%s\n",
           number_of(trends, "slope"), 100 * number_of(trends, "confidence"), low, high,
           low <= 0 && high >= 0 ? ": none that is certain" : "");
}

static void print_changes(const json_t *changes)
{
    size_t i;
    json_t *change;
    json_array_foreach(changes, i, change)
        printf("%s %s: from %.1f to %.1f on average (run %s)\n", i == 0 ? "changed  " : "         ",
               json_string_value(json_object_get(change, "at")), number_of(change, "before"),
               number_of(change, "after"), json_string_value(json_object_get(change, "run")));
}

static void print_runs(const json_t *runs)
{
    size_t count = json_array_size(runs), first = count > RUNS_SHOWN ? count - RUNS_SHOWN : 0;
    printf("\n%-24s %-24s %-12s %6s %8s\n", "RUN", "STARTED", "ENDED", "SCORE", "RECOVERY");
    for (size_t i = first; i < count; i++) {
        const json_t *run = json_array_get(runs, i);
        const char *status = json_string_value(json_object_get(run, "status"));
        const char *verdict = json_string_value(json_object_get(run, "verdict"));
        printf("%-24s %-24s %-12s", json_string_value(json_object_get(run, "id")),
               json_string_value(json_object_get(run, "started_at")),
               strcmp(status, "completed") == 0 ? verdict : status);
        cli_print_number(json_object_get(run, "resilience_score"), 6, "%.1f");
        cli_print_number(json_object_get(run, "recovery_time"), 8, "%.2f");
        putchar('\n');
    }
}

static void print_trends(const json_t *trends)
{
    const json_t *runs = json_object_get(trends, "runs"), *rate;
    size_t count = json_array_size(runs);
    cli_print_cell(stdout, json_string_value(json_object_get(trends, "name")), 0);
    if (number_of(trends, "days") > 0)
        printf(", %g days", number_of(trends, "days"));
    printf(": %zu run%s", count, count == 1 ? "" : "s");
    rate = json_object_get(trends, "success_rate");
    if (json_is_number(rate))
        printf(", %.0f %% passed", 100 * json_number_value(rate));
    putchar('\n');
    if (json_is_number(json_object_get(trends, "mean"))) {
        printf("score     mean");
        cli_print_number(json_object_get(trends, "mean"), 0, "%.1f");
        printf(", sd");
        cli_print_number(json_object_get(trends, "sd"), 0, "%.1f");
        printf(", from %.1f to %.1f\n", number_of(trends, "min"), number_of(trends, "max"));
        print_slope(trends);
        print_changes(json_object_get(trends, "change_points"));
    }
    if (count > 0)
        print_runs(runs);
}

static int trends(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    char *text = NULL;
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_history_trends_json(history, args->operand, (size_t)args->days, args->profile, &text,
                                   err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    print_trends(json);
    json_decref(json);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    {"days", CLI_COUNT, CLI_FIELD(days), "N", "of the last N days (30; 0: of all)"},
    {"profile", CLI_TEXT, CLI_FIELD(profile), "PROFILE",
     "on that embedded pipeline: naive or hardened"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_history_trends = {
    .name = "history trends",
    .operand = "NAME",
    .summary = "how an experiment has done over time",
    .details =
        "The scores of its runs: mean, the slope of a line through them and how certain that is,\n"
        "share of runs that passed, and the runs at which the mean changed for good.",
    .example = "chaoseater history trends slow_answers --days 90",
    .options = options,
    .run = trends,
};
