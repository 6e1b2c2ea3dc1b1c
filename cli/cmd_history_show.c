/* SPDX-License-Identifier: MIT */
/* chaoseater history show RUN */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>

static int print_document(struct ce_history *history, const struct cli_args *args,
                          struct ce_error *err)
{
    char *text;
    int r = ce_history_document(history, args->operand, &text, err);
    if (r < 0)
        return cli_history_exit(r);
    fputs(text, stdout);
    ce_string_free(text);
    return CE_EXIT_PASSED;
}

static int print_json(struct ce_history *history, const struct cli_args *args, struct ce_error *err)
{
    char *text;
    int r = ce_history_show_json(history, args->operand, &text, err);
    return r < 0 ? cli_history_exit(r) : cli_print_json_text(text, err);
}

/* The report of the run, to where the options say. */
static int print_reports(struct ce_history *history, const struct cli_args *args,
                         struct ce_error *err)
{
    struct ce_results *results = NULL;
    int r = ce_history_results(history, &args->operand, 1, &results, err);
    if (r < 0)
        return cli_history_exit(r);
    int exit_code =
        args->json ? cli_reports_write(results, args) : cli_results_print(results, args, err);
    ce_results_free(results);
    return exit_code;
}

static int show(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    if (args->document && (args->json || args->reports.count > 0))
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--document prints the document of the run, and nothing else");
    int exit_code = cli_reports_check(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    if (args->document)
        exit_code = print_document(history, args, err);
    else if (!args->json || args->reports.count > 0)
        exit_code = print_reports(history, args, err);
    if (exit_code == CE_EXIT_PASSED && args->json)
        exit_code = print_json(history, args, err);
    ce_history_close(history);
    return exit_code;
}

/* clang-format off */
static const struct cli_option options[] = {
    CLI_OPTION_REPORT,
    {"document", CLI_FLAG, CLI_FIELD(document), NULL, "print the document that was run, as YAML"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_history_show = {
    .name = "history show",
    .operand = "RUN",
    .summary = "the report of a run, in any format",
    .details =
        "RUN is an id, the beginning of one, the name of an experiment (its newest run), or\n"
        "last. --json prints what `run --json` has for it, and where it ran: host, kernel,\n"
        "version, git commit.",
    .example = "chaoseater history show last --report html=run.html",
    .options = options,
    .run = show,
};
