/* SPDX-License-Identifier: MIT */
/* chaoseater schema */
#include "cli.h"

static int schema(const struct cli_args *args, struct ce_error *err)
{
    return cli_print_json_text(ce_document_schema(), err);
}

static const struct cli_option options[] = {CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS};

const struct cli_command cmd_schema = {
    .name = "schema",
    .summary = "the document's JSON Schema, for editors",
    .details = "Prints the JSON Schema (2020-12) of the experiment document, made from the same "
               "tables that\n"
               "validate it, so that an editor completes and checks what is typed.",
    .example = "chaoseater schema > chaoseater.schema.json",
    .options = options,
    .run = schema,
};
