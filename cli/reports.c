/* SPDX-License-Identifier: MIT */
/* --report FORMAT=PATH: checked before anything runs, written when it has.
 *
 * `-` is standard output, where one report may stand in place of the text. In a GitHub workflow the
 * format `github` also adds the page of Markdown to the step's summary, and what is written to that
 * file is added to it: it may hold what the step said before. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* GitHub drops a step's summary of more than 1 MiB, all of it. */
enum { SUMMARY_MAX = 1 << 20 };

/* "json=report.json": the format's name, and *ret_path what follows. NULL: not of that form, or no
 * such format. */
static const char *report_split(const char *report, const char **ret_path)
{
    const char *format;
    for (size_t i = 0; (format = ce_report_format_at(i)); i++) {
        size_t n = strlen(format);
        if (strncmp(report, format, n) == 0 && report[n] == '=' && report[n + 1] != '\0') {
            *ret_path = report + n + 1;
            return format;
        }
    }
    return NULL;
}

static bool is_stdout(const char *path)
{
    return strcmp(path, "-") == 0;
}

static const char *step_summary(void)
{
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    return path && path[0] != '\0' ? path : NULL;
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

static int fail_format(const char *report, struct ce_error *err)
{
    char known[256] = "";
    const char *format;
    for (size_t i = 0, used = 0; (format = ce_report_format_at(i)) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                 i == 0                       ? ""
                                 : ce_report_format_at(i + 1) ? ", "
                                                              : " or ",
                                 format);
    return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                    "--report: '%s' is not FORMAT=PATH with the format %s", report, known);
}

int cli_reports_check(const struct cli_args *args, struct ce_error *err)
{
    size_t on_stdout = 0;
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path, *report = args->reports.items[i];
        if (!report_split(report, &path))
            return fail_format(report, err);
        int exit_code = is_stdout(path) ? CE_EXIT_PASSED : path_check(path, err);
        if (exit_code != CE_EXIT_PASSED)
            return exit_code;
        on_stdout += is_stdout(path);
        if (on_stdout > 0 && args->json)
            return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                            "--report: '%s' cannot go to standard output, where --json prints",
                            report);
        if (on_stdout > 1)
            return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                            "--report: '%s' is the second one for standard output, which holds one",
                            report);
    }
    return CE_EXIT_PASSED;
}

static int report_write(const struct ce_results *results, const char *format, const char *path,
                        struct ce_error *err)
{
    const char *summary = step_summary();
    bool adds = summary && strcmp(summary, path) == 0;
    FILE *out = fopen(path, adds ? "ae" : "we");
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

/* Takes the page back when the summary would be too long with it. */
static int summary_write(const struct ce_results *results)
{
    const char *path = step_summary();
    struct stat before = {0}, after = {0};
    (void)stat(path, &before);
    int exit_code = cli_report_write(results, "markdown", path);
    if (exit_code != CE_EXIT_PASSED || stat(path, &after) < 0 || after.st_size <= SUMMARY_MAX)
        return exit_code;
    fprintf(stderr,
            "chaoseater: the page is not in the step's summary, which would be lost when it "
            "is larger than 1 MiB\n");
    return truncate(path, before.st_size) == 0 ? CE_EXIT_PASSED : CE_EXIT_FAILED;
}

int cli_reports_write(const struct ce_results *results, const struct cli_args *args)
{
    int exit_code = CE_EXIT_PASSED;
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path = NULL, *format = report_split(args->reports.items[i], &path);
        if (!is_stdout(path) && cli_report_write(results, format, path) != CE_EXIT_PASSED)
            exit_code = CE_EXIT_FAILED;
        if (strcmp(format, "github") == 0 && step_summary() &&
            summary_write(results) != CE_EXIT_PASSED)
            exit_code = CE_EXIT_FAILED;
    }
    return exit_code;
}

/* What is printed: the report that asks for standard output, else JSON or text. */
static const char *printed_format(const struct cli_args *args)
{
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path = NULL, *format = report_split(args->reports.items[i], &path);
        if (is_stdout(path))
            return format;
    }
    return args->json ? "json" : "text";
}

int cli_results_print(const struct ce_results *results, const struct cli_args *args,
                      struct ce_error *err)
{
    int exit_code = cli_reports_write(results, args);
    bool color = !args->json && cli_wants_color(stdout);
    int r = ce_results_write(results, printed_format(args), stdout, color, err);
    if (r < 0 && !cli_reader_is_gone())
        return CE_EXIT_FAILED;
    *err = (struct ce_error){0};
    return exit_code;
}
