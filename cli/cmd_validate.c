/* SPDX-License-Identifier: MIT */
/* chaoseater validate FILE */
#include "cli.h"

static int print_valid(const struct ce_document *doc, const struct cli_args *args,
                       struct ce_error *err)
{
    size_t count = ce_document_experiment_count(doc);
    if (!args->json) {
        printf("%s: %zu experiment%s, valid\n", args->operand, count, count == 1 ? "" : "s");
        return CE_EXIT_PASSED;
    }
    json_t *notices = json_array();
    const char *notice;
    for (size_t i = 0; (notice = ce_document_notice(doc, i)); i++)
        json_array_append_new(notices, json_string(notice));
    return cli_print_json(json_pack("{s:s, s:b, s:I, s:o}", "file", args->operand, "valid", 1,
                                    "experiments", (json_int_t)count, "notices", notices),
                          err);
}

static int validate(const struct cli_args *args, struct ce_error *err)
{
    struct ce_document *doc = NULL;
    int exit_code = cli_document_open(args, &doc, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    if (ce_document_is_toolkit(doc))
        exit_code = cli_toolkit_validate(doc, args, err);
    else if ((exit_code = cli_document_prepare(doc, args, err)) == CE_EXIT_PASSED)
        exit_code = print_valid(doc, args, err);
    ce_document_free(doc);
    return exit_code;
}

static const struct cli_option options[] = {
    CLI_OPTIONS_WHICH, CLI_OPTION_SET, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};

const struct cli_command cmd_validate = {
    .name = "validate",
    .operand = "FILE",
    .summary = "check a document without running it",
    .details =
        "Checks every experiment of the document (-: standard input). What is wrong is named with "
        "file,\n"
        "line and column, what was found, what would be accepted, and the nearest known name.\n"
        "Exit: 0 valid, 2 not.",
    .example = "chaoseater validate examples/mission.yaml",
    .options = options,
    .run = validate,
};
