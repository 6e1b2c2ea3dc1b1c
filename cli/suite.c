/* SPDX-License-Identifier: MIT */
/* What run, gate and demo have in common: a document is prepared and run with live progress. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the document ---- */

/* What a failed ce_document_ function means for the exit code. */
static int document_exit(int r)
{
    return r == -ENOMEM ? CE_EXIT_FAILED : CE_EXIT_USAGE;
}

int cli_document_prepare(struct ce_document *doc, const struct cli_args *args, struct ce_error *err)
{
    int r = 0;
    for (size_t i = 0; i < args->set.count && r >= 0; i++)
        r = ce_document_set(doc, args->set.items[i], err);
    for (size_t i = 0; i < args->only.count && r >= 0; i++)
        r = ce_document_only(doc, args->only.items[i], err);
    for (size_t i = 0; i < args->skip.count && r >= 0; i++)
        r = ce_document_skip(doc, args->skip.items[i], err);
    if (r >= 0)
        r = ce_document_validate(doc, err);
    if (r < 0)
        return document_exit(r);

    const char *notice;
    for (size_t i = 0; !args->json && (notice = ce_document_notice(doc, i)); i++)
        fprintf(stderr, "chaoseater: %s\n", notice);
    return CE_EXIT_PASSED;
}

int cli_document_open(const struct cli_args *args, struct ce_document **ret_doc,
                      struct ce_error *err)
{
    int r = ce_document_load(args->operand, ret_doc, err);
    return r < 0 ? document_exit(r) : CE_EXIT_PASSED;
}

int cli_document_load(const struct cli_args *args, struct ce_document **ret_doc,
                      struct ce_error *err)
{
    struct ce_document *doc;
    int exit_code = cli_document_open(args, &doc, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    if (ce_document_is_toolkit(doc))
        exit_code = cli_fail(err, CE_EXIT_USAGE, EINVAL,
                             "'%s' is an experiment of the Chaos Toolkit, which `chaoseater run` "
                             "runs",
                             args->operand);
    else
        exit_code = cli_document_prepare(doc, args, err);
    if (exit_code == CE_EXIT_PASSED)
        *ret_doc = doc;
    else
        ce_document_free(doc);
    return exit_code;
}

struct ce_suite_options cli_suite_options(const struct cli_args *args,
                                          struct cli_progress *progress)
{
    struct ce_suite_options options = {
        .state_dir = args->state_dir,
        .has_seed = args->seed.given,
        .seed = args->seed.value,
        .dry_run = args->dry_run,
        .parallel = (unsigned)args->parallel,
        .fail_fast = args->fail_fast,
        .resume = args->resume,
        .hits = args->hits,
        .events = args->events,
        .progress = cli_progress_show,
        .progress_ctx = progress,
    };
    cli_history_options(&options, args);
    return options;
}

int cli_suite_run(const struct ce_document *doc, const struct cli_args *args, bool both_profiles,
                  struct ce_results **ret_results, struct ce_error *err)
{
    struct cli_progress progress;
    struct cli_signals before;
    struct ce_suite_options options = cli_suite_options(args, &progress);
    options.both_profiles = both_profiles;
    options.signal = cli_signals_catch(&before);
    cli_progress_start(&progress, args->json);
    int r = ce_suite_run(doc, &options, ret_results, err);
    cli_progress_end(&progress);
    cli_signals_release(&before);
    if (r == 0)
        cli_results_warn(*ret_results, args);
    return cli_run_exit(r);
}

void cli_results_warn(const struct ce_results *results, const struct cli_args *args)
{
    if (ce_results_hits_lost(results))
        fprintf(stderr, "chaoseater: '%s' could not be written: hits are missing in it\n",
                args->hits);
    if (args->resume && ce_results_resumed(results) == 0)
        fputs("chaoseater: --resume: no interrupted suite of this document, all of it was run\n",
              stderr);
    else if (args->resume)
        fprintf(stderr, "chaoseater: --resume: %zu run%s had ended before, the rest was run\n",
                ce_results_resumed(results), ce_results_resumed(results) == 1 ? "" : "s");
    if (ce_results_history_problem(results))
        fprintf(stderr, "chaoseater: %s\n", ce_results_history_problem(results));
    if (ce_results_events_problem(results))
        fprintf(stderr, "chaoseater: %s\n", ce_results_events_problem(results));
    if (ce_results_push_warning(results))
        fprintf(stderr, "chaoseater: %s\n", ce_results_push_warning(results));
}

int cli_run_exit(int r)
{
    switch (r) {
    case -ECANCELED: /* `chaoseater stop` was called */
        return CE_EXIT_ABORTED;
    case -EUCLEAN: /* an earlier run has left something that could not be put back */
        return CE_EXIT_DIRTY;
    case -EINVAL: /* a file that the document names is of no use */
        return CE_EXIT_USAGE;
    default:
        return r < 0 ? CE_EXIT_FAILED : CE_EXIT_PASSED;
    }
}

/* ---- run and gate ---- */

/* A line for each run: what it would act on, and how, or why it could not. */
static void print_plan(const json_t *run)
{
    static const char acts[] = "it would act ";
    const json_t *experiment = json_object_get(run, "experiment");
    const char *name = json_string_value(json_object_get(experiment, "name"));
    const char *detail = json_string_value(json_object_get(run, "detail"));
    const char *plan = detail ? strstr(detail, acts) : NULL;
    json_int_t repeat = json_integer_value(json_object_get(run, "repeat"));
    int column = printf("  %s", name ? name : "");
    if (repeat > 0)
        column += printf(" #%d", (int)repeat);
    column += printf(plan ? ": " : " could not: ");
    cli_print_wrapped(stdout, plan ? plan + strlen(acts) : detail ? detail : "", column, 4);
}

static bool can_run(const json_t *run)
{
    const char *reason = json_string_value(json_object_get(run, "reason"));
    return reason && strcmp(reason, "dry_run") == 0;
}

static void print_plans(const char *path, const json_t *runs)
{
    size_t i, able = 0, count = json_array_size(runs);
    const json_t *run;
    json_array_foreach(runs, i, run) able += can_run(run);
    printf("%s: %zu run%s would begin", path, able, able == 1 ? "" : "s");
    if (able < count)
        printf(", %zu could not", count - able);
    puts("; nothing was touched");
    json_array_foreach(runs, i, run) print_plan(run);
}

/* There is nothing to report but what would be done, and what this host could not do. */
static int report_dry_run(const struct ce_results *results, const struct cli_args *args,
                          struct ce_error *err)
{
    if (args->json)
        return ce_results_write(results, "json", stdout, false, err) < 0
                   ? CE_EXIT_FAILED
                   : ce_results_exit_code(results);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return cli_fail_memory(err);
    int r = ce_results_write(results, "json", out, false, err);
    if (fclose(out) != 0 || r < 0) {
        free(text);
        return CE_EXIT_FAILED;
    }
    json_t *report = cli_read_json(text, err);
    if (!report)
        return CE_EXIT_FAILED;
    print_plans(args->operand, json_object_get(report, "runs"));
    json_decref(report);
    return ce_results_exit_code(results);
}

static int report_run(struct ce_results *results, const struct cli_args *args,
                      const struct ce_gate_options *gate, struct ce_error *err)
{
    if (gate && ce_results_gate(results, gate, err) < 0)
        return CE_EXIT_FAILED;
    int exit_code = ce_results_exit_code(results);
    int printed = cli_results_print(results, args, err);
    /* What could not be put back outweighs a report that could not be written. */
    return printed != CE_EXIT_PASSED && exit_code != CE_EXIT_DIRTY ? printed : exit_code;
}

static int run_document(struct ce_document *doc, const struct cli_args *args,
                        const struct ce_gate_options *gate, struct ce_error *err)
{
    int exit_code = cli_document_prepare(doc, args, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    struct ce_results *results = NULL;
    exit_code = cli_suite_run(doc, args, false, &results, err);
    if (exit_code == CE_EXIT_PASSED && args->dry_run)
        exit_code = report_dry_run(results, args, err);
    else if (exit_code == CE_EXIT_PASSED)
        exit_code = report_run(results, args, gate, err);
    ce_results_free(results);
    return exit_code;
}

int cli_run_file(const struct cli_args *args, const struct ce_gate_options *gate,
                 struct ce_error *err)
{
    struct ce_document *doc = NULL;
    int exit_code = cli_reports_check(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = cli_document_open(args, &doc, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    exit_code = ce_document_is_toolkit(doc) ? cli_toolkit_run(doc, args, gate != NULL, err)
                                            : run_document(doc, args, gate, err);
    ce_document_free(doc);
    return exit_code;
}
