/* SPDX-License-Identifier: MIT */
/* chaoseater data key KEYFILE [OUT] */
#include "cli.h"

static int export_key(const struct cli_args *args, struct ce_error *err)
{
    const char *to = args->out ? args->out : "-";
    int r = ce_data_key_export(args->operand, args->second, to, err);
    if (r < 0)
        return cli_data_exit(r);
    return args->json && args->out ? cli_print_json(json_pack("{s:s}", "written", args->out), err)
                                   : CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"out", CLI_TEXT, CLI_FIELD(out), "FILE", "where it goes, .csv, .jsonl or .parquet (default: CSV to stdout)", 'o'},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_key = {
    .name = "data key",
    .operand = "KEYFILE",
    .second = "OUT",
    .second_optional = true,
    .summary = "an answer key as a table: row, column, old value",
    .details = "Lists what an answer key holds: what was changed, by which fault, in which row and "
               "column, the old\n"
               "value, and the new one if the changed file is given as well.",
    .example = "chaoseater data key key out.csv -o changes.csv",
    .options = options,
    .run = export_key,
};
