/* SPDX-License-Identifier: MIT */
/* chaoseater metrics delete EXPERIMENT --gateway URL */
#include "cli.h"

#include <errno.h>

static int delete_group(const struct cli_args *args, struct ce_error *err)
{
    if (!args->gateway)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "metrics delete needs to know where: --gateway URL");
    int r = ce_metrics_delete(args->gateway, args->job, args->operand, err);
    if (r < 0)
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    if (args->json)
        return cli_print_json(json_pack("{s:s}", "deleted", args->operand), err);
    printf("%s: the gateway has nothing of it any more\n", args->operand);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    CLI_OPTION_GATEWAY,
    {"job", CLI_TEXT, CLI_FIELD(job), "NAME", "its job_name (default chaos_eater)"},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_metrics_delete = {
    .name = "metrics delete",
    .operand = "EXPERIMENT",
    .summary = "delete what a Pushgateway has of an experiment",
    .details = "A Pushgateway keeps what was pushed for ever. It is fine when there is nothing.\n"
               "Exit: 0 deleted, 2 bad input, 4 the gateway could not be reached or refused.",
    .example = "chaoseater metrics delete latency --gateway http://localhost:9091",
    .options = options,
    .run = delete_group,
};
