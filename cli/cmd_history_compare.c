/* SPDX-License-Identifier: MIT */
/* chaoseater history compare RUN RUN... */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { METRIC_WIDTH = 24, RUN_WIDTH = 24 };

static void print_texts(const json_t *runs, const char *key, const char *title)
{
    size_t i;
    json_t *run;
    printf("%-*s", METRIC_WIDTH, title);
    json_array_foreach(runs, i, run)
    {
        const char *text = json_string_value(json_object_get(run, key));
        putchar(' ');
        cli_print_cell(stdout, text ? text : "-", RUN_WIDTH);
    }
    putchar('\n');
}

/* The value, how far it is from the first run's, and a star at the best. */
static void print_metric(const json_t *metric)
{
    const json_t *values = json_object_get(metric, "values"),
                 *best = json_object_get(metric, "best");
    cli_print_cell(stdout, json_string_value(json_object_get(metric, "metric")), METRIC_WIDTH);
    for (size_t i = 0; i < json_array_size(values); i++) {
        char text[64] = "-";
        const json_t *value = json_array_get(values, i);
        const json_t *off = json_array_get(json_object_get(metric, "differences"), i);
        bool is_best = json_is_integer(best) && (size_t)json_integer_value(best) == i;
        if (json_is_number(value) && i > 0 && json_is_number(off))
            snprintf(text, sizeof text, "%.5g (%+.4g)%s", json_number_value(value),
                     json_number_value(off), is_best ? " *" : "");
        else if (json_is_number(value))
            snprintf(text, sizeof text, "%.5g%s", json_number_value(value), is_best ? " *" : "");
        putchar(' ');
        cli_print_cell(stdout, text, RUN_WIDTH);
    }
    putchar('\n');
}

static void print_comparison(const json_t *json)
{
    const json_t *runs = json_object_get(json, "runs");
    size_t i;
    json_t *metric;
    print_texts(runs, "id", "");
    print_texts(runs, "name", "experiment");
    print_texts(runs, "fault_type", "fault");
    print_texts(runs, "profile", "profile");
    print_texts(runs, "status", "status");
    print_texts(runs, "verdict", "verdict");
    json_array_foreach(json_object_get(json, "metrics"), i, metric) print_metric(metric);
}

static int compare_runs(struct ce_history *history, const struct cli_args *args, char **ret_text,
                        struct ce_error *err)
{
    size_t count = 2 + args->rest.count;
    const char **runs = calloc(count, sizeof *runs);
    if (!runs)
        return cli_fail_memory(err);
    runs[0] = args->operand;
    runs[1] = args->second;
    for (size_t i = 0; i < args->rest.count; i++)
        runs[2 + i] = args->rest.items[i];
    int r = ce_history_compare_json(history, runs, count, ret_text, err);
    free(runs);
    return cli_history_exit(r);
}

static int compare(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    char *text = NULL;
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    exit_code = compare_runs(history, args, &text, err);
    ce_history_close(history);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    print_comparison(json);
    json_decref(json);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    CLI_OPTION_DB, CLI_OPTION_STATE_DIR, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};

static const char details[] =
    "Every metric of the runs, how far it is from the first one's, and a star at the best.\n"
    "RUN is an id, the beginning of one, the name of an experiment (its newest run), or last.";

const struct cli_command cmd_history_compare = {
    .name = "history compare",
    .operand = "RUN",
    .second = "RUN...",
    .second_repeats = true,
    .summary = "runs side by side",
    .details = details,
    .example = "chaoseater history compare 20261122T100000 last",
    .options = options,
    .run = compare,
};

/* Under the shorter name, too. */
const struct cli_command cmd_compare = {
    .name = "compare",
    .operand = "RUN",
    .second = "RUN...",
    .second_repeats = true,
    .summary = "past runs side by side",
    .details = details,
    .example = "chaoseater compare 20261122T100000 last",
    .options = options,
    .run = compare,
};
