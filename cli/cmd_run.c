/* SPDX-License-Identifier: MIT */
/* chaoseater run FILE */
#include "cli.h"

static int run(const struct cli_args *args, struct ce_error *err)
{
    return cli_run_file(args, NULL, err);
}

static const struct cli_option options[] = {
    CLI_OPTIONS_WHICH,  CLI_OPTION_SET,    CLI_OPTIONS_SEED_PARALLEL, CLI_OPTIONS_END_EARLY,
    CLI_OPTION_DRY_RUN, CLI_OPTION_REPORT, CLI_OPTION_HITS,           CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,    CLI_OPTION_HELP,   CLI_END_OPTIONS,
};

const struct cli_command cmd_run = {
    .name = "run",
    .operand = "FILE",
    .summary = "run the experiments of a document",
    .details =
        "Runs every experiment of the document (-: standard input) and prints what each did\n"
        "to the pipeline. Nothing runs if any experiment is invalid; whatever happens then,\n"
        "everything is undone.\n"
        "Exit: 0 all passed, 1 deviated, 2 bad input, 3 ended by a stop condition, 4 could not run "
        "or\n"
        "not seen to take effect, 5 not undone, 6 unhealthy before anything was injected, 130 or "
        "143\n"
        "interrupted.",
    .example = "chaoseater run examples/mission.yaml --set duration=5s --report json=report.json",
    .options = options,
    .run = run,
};
