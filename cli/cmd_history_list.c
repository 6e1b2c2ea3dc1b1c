/* SPDX-License-Identifier: MIT */
/* chaoseater history list */
#include "cli.h"

#include <string.h>

static const char *text_of(const json_t *run, const char *key)
{
    const char *text = json_string_value(json_object_get(run, key));
    return text ? text : "-";
}

/* What the runs are ranked by, if that is no column of theirs: it stands behind these. */
static const char *ranked_by(json_t *run)
{
    const char *last = NULL, *key;
    json_t *value;
    json_object_foreach(run, key, value) last = key;
    return last && strcmp(last, "tags") != 0 ? last : NULL;
}

static void print_run(const json_t *run, const char *more)
{
    const char *status = text_of(run, "status");
    bool completed = strcmp(status, "completed") == 0;
    cli_print_cell(stdout, text_of(run, "id"), 24);
    putchar(' ');
    cli_print_cell(stdout, text_of(run, "name"), 24);
    putchar(' ');
    cli_print_cell(stdout, text_of(run, "fault_type"), 20);
    putchar(' ');
    cli_print_cell(stdout, completed ? text_of(run, "verdict") : status, 12);
    cli_print_number(json_object_get(run, "resilience_score"), 6, "%.1f");
    cli_print_number(json_object_get(run, "recovery_time"), 8, "%.2f");
    if (more)
        cli_print_number(json_object_get(run, more), (int)strlen(more), "%.6g");
    putchar('\n');
}

static void print_list(const json_t *list, uint64_t most)
{
    size_t i;
    json_t *run;
    if (json_array_size(list) == 0) {
        puts("no runs");
        return;
    }
    const char *more = ranked_by(json_array_get(list, 0));
    printf("%-24s %-24s %-20s %-12s %6s %8s", "RUN", "EXPERIMENT", "FAULT", "ENDED", "SCORE",
           "RECOVERY");
    if (more) {
        putchar(' ');
        cli_print_cell(stdout, more, (int)strlen(more));
    }
    putchar('\n');
    json_array_foreach(list, i, run) print_run(run, more);
    if (most > 0 && json_array_size(list) == most)
        printf("(there may be more: --limit N)\n");
}

static int list(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    struct ce_history_filter filter = cli_history_filter(args);
    char *text = NULL;
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    filter.sort = args->sort;
    filter.limit = (size_t)args->most;
    int r = ce_history_list_json(history, &filter, &text, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    print_list(json, args->most);
    json_decref(json);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    CLI_OPTIONS_FILTER,
    {"sort", CLI_TEXT, CLI_FIELD(sort), "KEY", "a column, or a metric such as p99_ms@fault; KEY:asc, KEY:desc",
     .both = "by column or metric (p99_ms@fault:asc); at most so many"},
    {"limit", CLI_COUNT, CLI_FIELD(most), "N", "at most so many runs (50; 0: all)"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_history_list = {
    .name = "history list",
    .summary = "which runs there were",
    .details =
        "Lists runs, newest first. Other orders are rankings: of runs by any column (score,\n"
        "recovery_time, ...), of a phase by operations, errors, p50_ms, p90_ms, p99_ms,\n"
        "max_ms (@fault, @recovery), or by a metric of the pipeline.",
    .example = "chaoseater history list --layer model --since 7d --sort resilience_score:asc",
    .options = options,
    .run = list,
};
