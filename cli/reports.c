/* SPDX-License-Identifier: MIT */
/* --report FORMAT=PATH: checked before anything runs, written when it has.
 *
 * `-` is standard output, where one report may stand in place of the text. In a GitHub workflow the
 * format `github` also adds the page of Markdown to the step's summary, and what is written to that
 * file is added to it: it may hold what the step said before. */
#include "cli.h"

#include <errno.h>
#include <limits.h>
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

/* Free it. NULL: no memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

/* A run may take an hour: learn before it, not after, that what it yields cannot be kept. */
static int path_check(const char *option, const char *path, struct ce_error *err)
{
    struct stat info;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return cli_fail(err, CE_EXIT_USAGE, EISDIR, "%s: '%s' is a folder", option, path);
        if (access(path, W_OK) == 0)
            return CE_EXIT_PASSED;
        return cli_fail(err, CE_EXIT_USAGE, errno, "%s: cannot write '%s': %s", option, path,
                        strerror(errno));
    }
    /* ENOENT where something stands nevertheless: a link to nowhere. */
    struct stat link;
    if (errno != ENOENT || lstat(path, &link) == 0)
        return cli_fail(err, CE_EXIT_USAGE, errno, "%s: cannot write '%s': %s", option, path,
                        strerror(errno));
    char *folder = folder_of(path);
    if (!folder)
        return cli_fail_memory(err);
    int exit_code = CE_EXIT_PASSED;
    if (access(folder, W_OK | X_OK) < 0)
        exit_code = cli_fail(err, CE_EXIT_USAGE, errno, "%s: cannot write '%s': folder '%s': %s",
                             option, path, folder, strerror(errno));
    free(folder);
    return exit_code;
}

/* ---- each file once ---- */

/* Where it is, or is to be, without links; NULL: nothing there is kept, or there is no memory. What
 * goes to the step's summary is added to it. */
static char *place_of(const char *path)
{
    struct stat info;
    const char *slash = strrchr(path, '/'), *summary = step_summary();
    if (is_stdout(path) || (summary && strcmp(summary, path) == 0))
        return NULL;
    if (stat(path, &info) == 0)
        return S_ISREG(info.st_mode) ? realpath(path, NULL) : NULL;
    char *folder = folder_of(path), *real = folder ? realpath(folder, NULL) : NULL, *place = NULL;
    if (real && asprintf(&place, "%s/%s", real, slash ? slash + 1 : path) < 0)
        place = NULL;
    free(folder);
    free(real);
    return place;
}

static bool is_same(const char *a, const char *b)
{
    char *place = place_of(a), *other = place_of(b);
    bool same = place && other && strcmp(place, other) == 0;
    free(place);
    free(other);
    return same;
}

static int fail_same(const char *option, const char *path, const char *other, struct ce_error *err)
{
    return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                    "%s: '%s' is the file of %s; each takes a file of its own", option, path,
                    other);
}

/* The last of two to be written would be all that is left. */
static int check_once(const struct cli_args *args, size_t i, struct ce_error *err)
{
    const char *path, *other;
    (void)report_split(args->reports.items[i], &path);
    if (args->hits && is_same(args->hits, path))
        return fail_same("--report", path, "--hits", err);
    if (args->events && is_same(args->events, path))
        return fail_same("--report", path, "--events", err);
    for (size_t k = 0; k < i; k++) {
        (void)report_split(args->reports.items[k], &other);
        if (is_same(other, path))
            return fail_same("--report", path, "another report", err);
    }
    return CE_EXIT_PASSED;
}

/* ---- all of them ---- */

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

bool cli_events_are_printed(const struct cli_args *args)
{
    return args->events && is_stdout(args->events);
}

/* The files that are written while something runs. */
static int check_lines(const struct cli_args *args, struct ce_error *err)
{
    int exit_code = args->hits ? path_check("--hits", args->hits, err) : CE_EXIT_PASSED;
    if (exit_code != CE_EXIT_PASSED || !args->events)
        return exit_code;
    if (!is_stdout(args->events))
        exit_code = path_check("--events", args->events, err);
    else if (args->json)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--events: '-' cannot go to standard output, where --json prints");
    if (exit_code == CE_EXIT_PASSED && args->hits && is_same(args->events, args->hits))
        return fail_same("--events", args->events, "--hits", err);
    return exit_code;
}

int cli_reports_check(const struct cli_args *args, struct ce_error *err)
{
    size_t on_stdout = cli_events_are_printed(args);
    int exit_lines = check_lines(args, err);
    if (exit_lines != CE_EXIT_PASSED)
        return exit_lines;
    for (size_t i = 0; i < args->reports.count; i++) {
        const char *path, *report = args->reports.items[i];
        if (!report_split(report, &path))
            return fail_format(report, err);
        int exit_code = is_stdout(path) ? CE_EXIT_PASSED : path_check("--report", path, err);
        if (exit_code == CE_EXIT_PASSED)
            exit_code = check_once(args, i, err);
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

/* Whoever collects metrics from the file may read it at any time, and is to see all of them or
 * those that were there. */
static int metrics_write(const struct ce_results *results, const char *path, struct ce_error *err)
{
    char beside[PATH_MAX];
    snprintf(beside, sizeof beside, "%s.%d", path, (int)getpid());
    FILE *out = fopen(beside, "we");
    int r = out ? ce_results_write(results, "prometheus", out, false, err) : -errno;
    if (out && fchmod(fileno(out), 0644) < 0 && r >= 0)
        r = -errno;
    if (out && fclose(out) != 0 && r >= 0)
        r = -errno;
    if (r >= 0 && rename(beside, path) < 0)
        r = -errno;
    if (r < 0 && out)
        (void)unlink(beside);
    return r;
}

static bool is_replaced(const char *format, const char *path)
{
    struct stat info;
    return strcmp(format, "prometheus") == 0 && (stat(path, &info) < 0 || S_ISREG(info.st_mode));
}

static int report_write(const struct ce_results *results, const char *format, const char *path,
                        struct ce_error *err)
{
    const char *summary = step_summary();
    bool adds = summary && strcmp(summary, path) == 0;
    bool replaced = is_replaced(format, path);
    FILE *out = replaced ? NULL : fopen(path, adds ? "ae" : "we");
    int r = replaced ? metrics_write(results, path, err)
            : out    ? ce_results_write(results, format, out, false, err)
                     : -errno;
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
    if (cli_events_are_printed(args))
        return exit_code;
    bool color = !args->json && cli_wants_color(stdout);
    int r = ce_results_write(results, printed_format(args), stdout, color, err);
    if (r < 0 && !cli_reader_is_gone())
        return CE_EXIT_FAILED;
    *err = (struct ce_error){0};
    return exit_code;
}
