/* SPDX-License-Identifier: MIT */
/* chaoseater history import FILE */
#include "cli.h"

static int import(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    size_t added = 0;
    int exit_code = cli_history_open(args, true, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_history_import(history, args->operand, &added, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json(json_pack("{s:I}", "added", (json_int_t)added), err);
    printf("%zu run%s added\n", added, added == 1 ? "" : "s");
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    CLI_OPTION_DB, CLI_OPTION_STATE_DIR, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};

const struct cli_command cmd_history_import = {
    .name = "history import",
    .operand = "FILE",
    .summary = "add the runs of a report: `run --json`",
    .details = "For runs of other machines, such as those of CI. Runs that are there already are "
               "left\n"
               "as they are.",
    .example = "chaoseater history import report.json --db team.db",
    .options = options,
    .run = import,
};
