/* SPDX-License-Identifier: MIT */
/* chaoseater history prune */
#include "cli.h"

#include <errno.h>

static int prune(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    size_t removed = 0;
    const struct ce_history_retention keep = {
        .days = (size_t)args->keep_days,
        .runs = (size_t)args->keep_runs,
        .dry_run = args->dry_run,
    };
    if (keep.days == 0 && keep.runs == 0)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "history prune needs to know what stays: --keep-days N, --keep-runs N");
    int exit_code = cli_history_open(args, true, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_history_prune(history, &keep, &removed, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json(json_pack("{s:I}", "removed", (json_int_t)removed), err);
    printf(args->dry_run ? "%zu run%s would be removed\n" : "%zu run%s removed\n", removed,
           removed == 1 ? "" : "s");
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    {"keep-days", CLI_COUNT, CLI_FIELD(keep_days), "N", "runs of the last N days stay"},
    {"keep-runs", CLI_COUNT, CLI_FIELD(keep_runs), "N", "the newest N of each experiment stay"},
    {"dry-run", CLI_FLAG, CLI_FIELD(dry_run), NULL, "only say how many would go"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_history_prune = {
    .name = "history prune",
    .summary = "remove old runs",
    .details = "What is older, or beyond that number, goes with all that was recorded of it. With "
               "both\n"
               "options a run stays only if both say so.",
    .example = "chaoseater history prune --keep-days 365 --keep-runs 1000",
    .options = options,
    .run = prune,
};
