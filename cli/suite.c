/* SPDX-License-Identifier: MIT */
/* What run, gate and demo have in common: a document is prepared, run with live progress, and
 * reported. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    if (r >= 0)
        r = ce_document_validate(doc, err);
    if (r < 0)
        return document_exit(r);

    const char *notice;
    for (size_t i = 0; !args->json && (notice = ce_document_notice(doc, i)); i++)
        fprintf(stderr, "chaoseater: %s\n", notice);
    return CE_EXIT_PASSED;
}

int cli_document_load(const struct cli_args *args, struct ce_document **ret_doc,
                      struct ce_error *err)
{
    struct ce_document *doc;
    int r = ce_document_load(args->operand, &doc, err);
    if (r < 0)
        return document_exit(r);
    int exit_code = cli_document_prepare(doc, args, err);
    if (exit_code == CE_EXIT_PASSED)
        *ret_doc = doc;
    else
        ce_document_free(doc);
    return exit_code;
}

int cli_suite_run(const struct ce_document *doc, const struct cli_args *args, bool both_profiles,
                  struct ce_results **ret_results, struct ce_error *err)
{
    struct cli_progress progress;
    struct cli_signals before;
    struct ce_suite_options options = {
        .state_dir = args->state_dir,
        .has_seed = args->seed.given,
        .seed = args->seed.value,
        .dry_run = args->dry_run,
        .both_profiles = both_profiles,
        .hits = args->hits,
        .signal = cli_signals_catch(&before),
        .progress = cli_progress_show,
        .progress_ctx = &progress,
    };
    cli_progress_start(&progress, args->json);
    int r = ce_suite_run(doc, &options, ret_results, err);
    cli_progress_end(&progress);
    cli_signals_release(&before);
    if (r == 0 && ce_results_hits_lost(*ret_results))
        fprintf(stderr, "chaoseater: '%s' could not be written: hits are missing in it\n",
                args->hits);
    switch (r) {
    case -EUCLEAN: /* an earlier run has left something that could not be put back */
        return CE_EXIT_DIRTY;
    case -EINVAL: /* a file that the document names is of no use */
        return CE_EXIT_USAGE;
    default:
        return r < 0 ? CE_EXIT_FAILED : CE_EXIT_PASSED;
    }
}

/* ---- reports ---- */

static const char *const report_formats[] = {"text", "json"};

/* "json=report.json": the format's name, and *ret_path what follows. NULL: not of that form, or no
 * such format. */
static const char *report_split(const char *report, const char **ret_path)
{
    for (size_t i = 0; i < CLI_LENGTH(report_formats); i++) {
        size_t n = strlen(report_formats[i]);
        if (strncmp(report, report_formats[i], n) == 0 && report[n] == '=' &&
            report[n + 1] != '\0') {
            *ret_path = report + n + 1;
            return report_formats[i];
        }
    }
    return NULL;
}

/* A run may take an hour: learn before it, not after, that its report cannot be kept. */
static int path_check(const char *path, struct ce_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return cli_fail(err, CE_EXIT_USAGE, EISDIR, "--report: '%s' is a folder", path);
        if (access(path, W_OK) == 0)
            return CE_EXIT_PASSED;
        return cli_fail(err, CE_EXIT_USAGE, errno, "--report: cannot write '%s': %s", path,
                        strerror(errno));
    }
    /* ENOENT where something stands nevertheless: a link to nowhere. */
    struct stat link;
    if (errno != ENOENT || lstat(path, &link) == 0)
        return cli_fail(err, CE_EXIT_USAGE, errno, "--report: cannot write '%s': %s", path,
                        strerror(errno));
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!folder)
        return cli_fail_memory(err);
    int exit_code = CE_EXIT_PASSED;
    if (access(folder, W_OK | X_OK) < 0)
        exit_code =
            cli_fail(err, CE_EXIT_USAGE, errno, "--report: cannot write '%s': folder '%s': %s",
                     path, folder, strerror(errno));
    free(folder);
    return exit_code;
}

int cli_reports_check(const struct cli_args *args, struct ce_error *err)
{
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path;
        if (!report_split(args->reports.items[i], &path))
            return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                            "--report: '%s' is not FORMAT=PATH with the format text or json",
                            args->reports.items[i]);
        int exit_code = path_check(path, err);
        if (exit_code != CE_EXIT_PASSED)
            return exit_code;
    }
    return CE_EXIT_PASSED;
}

static int report_write(const struct ce_results *results, const char *format, const char *path,
                        struct ce_error *err)
{
    FILE *out = fopen(path, "we");
    int r = out ? ce_results_write(results, format, out, false, err) : -errno;
    if (out && fclose(out) != 0 && r >= 0)
        r = -errno;
    if (r < 0)
        return cli_fail(err, CE_EXIT_FAILED, -r, "cannot write the report '%s': %s", path,
                        strerror(-r));
    return CE_EXIT_PASSED;
}

int cli_report_write(const struct ce_results *results, const char *format, const char *path)
{
    struct ce_error why = {0};
    int exit_code = report_write(results, format, path, &why);
    if (exit_code != CE_EXIT_PASSED)
        cli_print_error(&why, exit_code, false);
    return exit_code;
}

int cli_results_print(const struct ce_results *results, const struct cli_args *args,
                      struct ce_error *err)
{
    int exit_code = CE_EXIT_PASSED;
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path = NULL, *format = report_split(args->reports.items[i], &path);
        if (cli_report_write(results, format, path) != CE_EXIT_PASSED)
            exit_code = CE_EXIT_FAILED;
    }
    bool color = !args->json && cli_wants_color(stdout);
    int r = ce_results_write(results, args->json ? "json" : "text", stdout, color, err);
    if (r < 0 && !cli_reader_is_gone())
        return CE_EXIT_FAILED;
    *err = (struct ce_error){0};
    return exit_code;
}

/* ---- run and gate ---- */

/* There is nothing to report but what this host could not do. */
static int report_dry_run(const struct ce_document *doc, const struct ce_results *results,
                          const struct cli_args *args, struct ce_error *err)
{
    size_t count = ce_document_experiment_count(doc);
    int exit_code = ce_results_exit_code(results);
    const char *format = args->json ? "json" : "text";
    if (args->json || exit_code != CE_EXIT_PASSED) {
        if (ce_results_write(results, format, stdout, false, err) < 0)
            return CE_EXIT_FAILED;
    } else {
        printf("%s: %zu experiment%s would run; nothing was touched\n", args->operand, count,
               count == 1 ? "" : "s");
    }
    return exit_code;
}

static int report_run(struct ce_results *results, const struct cli_args *args, bool gate,
                      struct ce_error *err)
{
    if (gate && ce_results_gate(results, args->min_score, err) < 0)
        return CE_EXIT_FAILED;
    int exit_code = ce_results_exit_code(results);
    int printed = cli_results_print(results, args, err);
    /* What could not be put back outweighs a report that could not be written. */
    return printed != CE_EXIT_PASSED && exit_code != CE_EXIT_DIRTY ? printed : exit_code;
}

int cli_run_file(const struct cli_args *args, bool gate, struct ce_error *err)
{
    int exit_code = cli_reports_check(args, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    struct ce_document *doc = NULL;
    exit_code = cli_document_load(args, &doc, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;

    struct ce_results *results = NULL;
    exit_code = cli_suite_run(doc, args, false, &results, err);
    if (exit_code == CE_EXIT_PASSED && args->dry_run)
        exit_code = report_dry_run(doc, results, args, err);
    else if (exit_code == CE_EXIT_PASSED)
        exit_code = report_run(results, args, gate, err);
    ce_results_free(results);
    ce_document_free(doc);
    return exit_code;
}
