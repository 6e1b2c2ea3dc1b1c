/* SPDX-License-Identifier: MIT */
/* chaoseater run FILE */
#include "cli.h"

static int run(const struct cli_args *args, struct ce_error *err)
{
    return cli_run_file(args, NULL, err);
}

static const struct cli_option options[] = {CLI_OPTIONS_RUN};

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
