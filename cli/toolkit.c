/* SPDX-License-Identifier: MIT */
/* `run` and `validate` for documents of the Chaos Toolkit. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>

/* What chooses among experiments, or is about faults of ours, has no meaning for one of theirs. */
static int check_options(const struct cli_args *args, bool gate, struct ce_error *err)
{
    const char *option = args->only.count > 0   ? "--only"
                         : args->skip.count > 0 ? "--skip"
                         : args->resume         ? "--resume"
                         : args->hits           ? "--hits"
                                                : NULL;
    if (option)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "%s says nothing about an experiment of the Chaos Toolkit", option);
    if (gate)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "an experiment of the Chaos Toolkit has no score for a gate; `chaoseater "
                        "run` exits with 0 only if it passed");
    return CE_EXIT_PASSED;
}

static int read_toolkit(const struct ce_document *doc, const struct cli_args *args, bool gate,
                        struct ce_toolkit **ret_toolkit, struct ce_error *err)
{
    int exit_code = check_options(args, gate, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_toolkit_read(doc, args->set.items, args->set.count, ret_toolkit, err);
    if (r < 0)
        return r == -ENOMEM ? CE_EXIT_FAILED : CE_EXIT_USAGE;
    const char *notice;
    for (size_t i = 0; !args->json && (notice = ce_toolkit_notice(*ret_toolkit, i)); i++)
        fprintf(stderr, "chaoseater: %s\n", notice);
    return CE_EXIT_PASSED;
}

static int run_toolkit(const struct ce_toolkit *toolkit, const struct cli_args *args,
                       struct ce_results **ret_results, struct ce_error *err)
{
    struct cli_progress progress;
    struct cli_signals before;
    struct ce_suite_options options = {
        .state_dir = args->state_dir,
        .dry_run = args->dry_run,
        .events = args->events,
        .signal = cli_signals_catch(&before),
        .progress = cli_progress_show,
        .progress_ctx = &progress,
    };
    cli_history_options(&options, args);
    cli_progress_start(&progress, args->json);
    int r = ce_toolkit_run(toolkit, &options, ret_results, err);
    cli_progress_end(&progress);
    cli_signals_release(&before);
    if (r == 0)
        cli_results_warn(*ret_results, args);
    return cli_run_exit(r);
}

static int print(const struct ce_results *results, const struct ce_toolkit *toolkit,
                 const struct cli_args *args, struct ce_error *err)
{
    int exit_code = ce_results_exit_code(results);
    if (args->dry_run && !args->json) {
        printf("%s: %zu activities would run; nothing was touched\n", args->operand,
               ce_toolkit_activity_count(toolkit));
        return exit_code;
    }
    int printed = cli_results_print(results, args, err);
    return printed != CE_EXIT_PASSED && exit_code != CE_EXIT_DIRTY ? printed : exit_code;
}

int cli_toolkit_run(const struct ce_document *doc, const struct cli_args *args, bool gate,
                    struct ce_error *err)
{
    struct ce_toolkit *toolkit = NULL;
    struct ce_results *results = NULL;
    int exit_code = read_toolkit(doc, args, gate, &toolkit, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = run_toolkit(toolkit, args, &results, err);
    if (results)
        exit_code = print(results, toolkit, args, err);
    ce_results_free(results);
    ce_toolkit_free(toolkit);
    return exit_code;
}

int cli_toolkit_validate(const struct ce_document *doc, const struct cli_args *args,
                         struct ce_error *err)
{
    struct ce_toolkit *toolkit = NULL;
    int exit_code = read_toolkit(doc, args, false, &toolkit, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    size_t count = ce_toolkit_activity_count(toolkit);
    if (!args->json) {
        printf("%s: an experiment of the Chaos Toolkit, %zu activit%s, valid\n", args->operand,
               count, count == 1 ? "y" : "ies");
    } else {
        json_t *notices = json_array();
        const char *notice;
        for (size_t i = 0; (notice = ce_toolkit_notice(toolkit, i)); i++)
            json_array_append_new(notices, json_string(notice));
        exit_code = cli_print_json(json_pack("{s:s, s:b, s:i, s:I, s:o}", "file", args->operand,
                                             "valid", 1, "experiments", 1, "activities",
                                             (json_int_t)count, "notices", notices),
                                   err);
    }
    ce_toolkit_free(toolkit);
    return exit_code;
}
