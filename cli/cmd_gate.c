/* SPDX-License-Identifier: MIT */
/* chaoseater gate FILE */
#include "cli.h"

static int gate(const struct cli_args *args, struct ce_error *err)
{
    return cli_run_file(args, true, err);
}

static const struct cli_option options[] = {
    {"min-score", CLI_SCORE, CLI_FIELD(min_score), "N",
     "the least score that passes, 0..100 (default 70)"},
    CLI_OPTION_ONLY,
    CLI_OPTION_SET,
    CLI_OPTION_SEED,
    CLI_OPTION_DRY_RUN,
    CLI_OPTION_REPORT,
    CLI_OPTION_HITS,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_gate = {
    .name = "gate",
    .operand = "FILE",
    .summary = "run them as a deployment gate: exit 0 or 1",
    .details =
        "Runs the document as `chaoseater run` does, and passes if every experiment passed with\n"
        "at least the minimum score. Control runs (rate 0, 0 ms) need to pass, whatever score.\n"
        "Exit: 0 passed, 1 deviated or below the gate, 2 to 6 as for `chaoseater run`.",
    .example = "chaoseater gate examples/mission.yaml --min-score 80",
    .options = options,
    .run = gate,
};
