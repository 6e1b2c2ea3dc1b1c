/* SPDX-License-Identifier: MIT */
/* chaoseater data revert OUT KEYFILE -o BACK */
#include "cli.h"

#include <errno.h>
#include <string.h>

static int print_json(const char *out, struct ce_error *err)
{
    char *shown = ce_data_shown_name(out);
    if (!shown)
        return cli_fail_memory(err);
    int exit_code = cli_print_json(json_pack("{s:s, s:b}", "written", shown, "verified", 1), err);
    ce_string_free(shown);
    return exit_code;
}

static int revert(const struct cli_args *args, struct ce_error *err)
{
    if (!args->out)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "data revert needs to know where to write: -o BACK");
    bool to_stdout = strcmp(args->out, "-") == 0;
    if (to_stdout && args->json)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--json and -o - would both write to standard output");
    int r = ce_data_revert(args->operand, args->second, args->out, err);
    if (r < 0)
        return cli_data_exit(r);
    if (args->json)
        return print_json(args->out, err);
    FILE *to = to_stdout ? stderr : stdout;
    cli_print_data_name(to, args->out);
    fputs(": as it was before, by its hash\n", to);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"out", CLI_TEXT, CLI_FIELD(out), "BACK", "where the original goes", 'o'},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_revert = {
    .name = "data revert",
    .operand = "OUT",
    .second = "KEYFILE",
    .summary = "the table as it was before, by its answer key",
    .details = "Takes back what `data inject` changed. Refuses a file that is not the one the key "
               "was made\n"
               "for, and writes nothing unless the result has the original's hash.",
    .example = "chaoseater data revert out.csv key -o back.csv",
    .options = options,
    .run = revert,
};
