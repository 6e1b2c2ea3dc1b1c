/* SPDX-License-Identifier: MIT */
/* chaoseater explain FAULT */
#include "cli.h"

#include <errno.h>

static int explain(const struct cli_args *args, struct ce_error *err)
{
    const struct ce_fault *fault = ce_fault_find(args->operand);
    if (!fault) {
        const char *nearest = ce_fault_nearest(args->operand);
        if (nearest)
            return cli_fail(err, CE_EXIT_USAGE, ENOENT,
                            "no fault is called '%s'; did you mean '%s'?", args->operand, nearest);
        return cli_fail(err, CE_EXIT_USAGE, ENOENT,
                        "no fault is called '%s'; `chaoseater faults` lists them", args->operand);
    }
    if (args->json)
        return cli_print_json_text(ce_fault_json(fault), err);
    ce_fault_explain(fault, stdout);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS};

const struct cli_command cmd_explain = {
    .name = "explain",
    .operand = "FAULT",
    .summary = "a fault's parameters, units, defaults, needs, example",
    .details =
        "Says what a fault does, its parameters with units and defaults, what it needs, whether\n"
        "this host can run it, and how to write it down.",
    .example = "chaoseater explain slow_inference",
    .options = options,
    .run = explain,
};
