/* SPDX-License-Identifier: MIT */
/* chaoseater gate FILE */
#include "cli.h"

#include <errno.h>

enum { MAX_DROP = 5 }; /* points, when --max-drop does not say it */

/* All that can be wrong with the gate is known before anything runs. */
static int gate(const struct cli_args *args, struct ce_error *err)
{
    struct ce_results *baseline = NULL;
    if (args->max_drop >= 0 && !args->baseline)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "--max-drop says nothing without --baseline");
    if (args->baseline && ce_results_read(args->baseline, &baseline, err) < 0)
        return CE_EXIT_USAGE;
    struct ce_gate_options options = {
        .min_score = args->min_score,
        .on = args->on,
        .baseline = baseline,
        .max_drop = args->max_drop >= 0 ? args->max_drop : MAX_DROP,
    };
    int exit_code =
        ce_gate_check(&options, err) < 0 ? CE_EXIT_USAGE : cli_run_file(args, &options, err);
    ce_results_free(baseline);
    return exit_code;
}

static const struct cli_option options[] = {
    {"min-score", CLI_SCORE, CLI_FIELD(min_score), "N",
     "the least score that passes, 0..100 (default 70)",
     .both = "at least so much (70) of each run, layer or mean"},
    {"on", CLI_TEXT, CLI_FIELD(on), "WHAT",
     "what must have it: each run (default), the mean of each layer, or mean of all"},
    {"baseline", CLI_TEXT, CLI_FIELD(baseline), "FILE",
     "an earlier report (`run --json`) that must not be much better",
     .both = "a report to compare with; points that may be lost (5)"},
    {"max-drop", CLI_SCORE, CLI_FIELD(max_drop), "N",
     "points that an experiment may have lost since (default 5), besides noise"},
    CLI_OPTIONS_RUN,
};

const struct cli_command cmd_gate = {
    .name = "gate",
    .operand = "FILE",
    .summary = "run them as a deployment gate: exit 0 or 1",
    .details =
        "Runs the document as `chaoseater run` does, and passes if every experiment was measured,\n"
        "verified, put back and passed, with at least the minimum score. Control runs (rate 0, 0 "
        "ms)\n"
        "need to pass, whatever score. The report ends with the reasons why it did not pass.\n"
        "Exit: 0 passed, 1 deviated or below the gate, 2 to 6 as for `chaoseater run`.",
    .example = "chaoseater gate examples/mission.yaml --min-score 80",
    .options = options,
    .run = gate,
};
