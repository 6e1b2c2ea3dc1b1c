/* SPDX-License-Identifier: MIT */
/* chaoseater history summary */
#include "cli.h"

#include <string.h>

static double number_of(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static void print_group(const char *name, const json_t *group)
{
    cli_print_cell(stdout, name, 28);
    cli_print_number(json_object_get(group, "runs"), 8, "%.0f");
    cli_print_number(json_object_get(group, "mean_resilience_score"), 10, "%.1f");
    cli_print_number(json_object_get(group, "min_resilience_score"), 10, "%.1f");
    cli_print_number(json_object_get(group, "max_resilience_score"), 10, "%.1f");
    cli_print_number(json_object_get(group, "mean_recovery_time"), 10, "%.2f");
    cli_print_number(json_object_get(group, "success_rate"), 8, "%.2f");
    putchar('\n');
}

static void print_summary(json_t *json)
{
    const char *name;
    json_t *group;
    if (number_of(json, "runs") == 0) {
        puts("no runs");
        return;
    }
    printf("%.0f runs of %.0f experiments, %s to %s\n\n", number_of(json, "runs"),
           number_of(json, "experiments"), json_string_value(json_object_get(json, "first")),
           json_string_value(json_object_get(json, "last")));
    printf("%-28s %8s %10s %10s %10s %10s %8s\n", "", "RUNS", "MEAN SCORE", "LEAST", "MOST",
           "RECOVERY", "PASSED");
    print_group("all", json);
    json_object_foreach(json_object_get(json, "by_layer"), name, group) print_group(name, group);
    json_object_foreach(json_object_get(json, "by_fault"), name, group)
    {
        char indented[64];
        snprintf(indented, sizeof indented, "  %s", name);
        print_group(indented, group);
    }
}

static int summary(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    struct ce_history_filter filter = cli_history_filter(args);
    char *text = NULL;
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_history_summary_json(history, &filter, &text, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    print_summary(json);
    json_decref(json);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    CLI_OPTIONS_FILTER,
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_history_summary = {
    .name = "history summary",
    .summary = "all runs in a few numbers, by layer and fault",
    .details = "Counts, scores, recovery times and the share that passed, of which runs that were\n"
               "interrupted or skipped are no part.",
    .example = "chaoseater history summary --since 30d",
    .options = options,
    .run = summary,
};
