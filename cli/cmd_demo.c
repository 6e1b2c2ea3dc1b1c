/* SPDX-License-Identifier: MIT */
/* chaoseater demo: every fault, on the naive and on the hardened embedded pipeline. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_folder[] = "chaoseater-demo";

static char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static int write_reports(const struct ce_results *results, const char *folder, bool say,
                         struct ce_error *err)
{
    static const struct {
        const char *format, *name;
    } reports[] = {{"text", "report.txt"}, {"json", "report.json"}, {"html", "report.html"}};
    int exit_code = CE_EXIT_PASSED;
    for (size_t i = 0; i < sizeof reports / sizeof reports[0] && exit_code == CE_EXIT_PASSED; i++) {
        char *path = join(folder, reports[i].name);
        exit_code =
            path ? cli_report_write(results, reports[i].format, path) : cli_fail_memory(err);
        if (exit_code == CE_EXIT_PASSED && say)
            printf("%s%s", i == 0 ? "\nReports: " : ", ", path);
        free(path);
    }
    if (say)
        puts("");
    return exit_code;
}

/* The demo exists to show verdicts, so a verdict is no reason to fail; what could not be shown is.
 */
static int demo_exit(const struct ce_results *results)
{
    return ce_results_clean(results) ? CE_EXIT_PASSED : ce_results_exit_code(results);
}

/* Known before the demo, not after it. */
static int make_folder(const char *folder, struct ce_error *err)
{
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return cli_fail(err, CE_EXIT_USAGE, errno, "cannot make the folder '%s': %s", folder,
                        strerror(errno));
    char *inside = join(folder, ".");
    if (!inside)
        return cli_fail_memory(err);
    int exit_code = CE_EXIT_PASSED;
    if (access(inside, W_OK | X_OK) < 0)
        exit_code = cli_fail(err, CE_EXIT_USAGE, errno, "cannot write to the folder '%s': %s",
                             folder, strerror(errno));
    free(inside);
    return exit_code;
}

static int run_demo(struct ce_document *doc, const struct cli_args *args, struct ce_error *err)
{
    const char *folder = args->out ? args->out : default_folder;
    int exit_code = cli_reports_check(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = cli_document_prepare(doc, args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = make_folder(folder, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;

    struct ce_results *results = NULL;
    exit_code = cli_suite_run(doc, args, true, &results, err);
    if (exit_code == CE_EXIT_PASSED) {
        int printed = cli_results_print(results, args, err);
        if (printed == CE_EXIT_PASSED)
            printed =
                write_reports(results, folder, !args->json && !cli_events_are_printed(args), err);
        exit_code = demo_exit(results);
        if (printed != CE_EXIT_PASSED && exit_code != CE_EXIT_DIRTY)
            exit_code = printed;
    }
    ce_results_free(results);
    return exit_code;
}

static int demo(const struct cli_args *args, struct ce_error *err)
{
    struct ce_document *doc = NULL;
    if (ce_document_demo(&doc, err) < 0)
        return CE_EXIT_FAILED;
    int exit_code = run_demo(doc, args, err);
    ce_document_free(doc);
    return exit_code;
}

static const struct cli_option options[] = {
    {"out", CLI_TEXT, CLI_FIELD(out), "DIR", "where the reports go (default chaoseater-demo)"},
    CLI_OPTIONS_WHICH,
    CLI_OPTION_SET,
    CLI_OPTIONS_SEED_PARALLEL,
    CLI_OPTION_REPORT,
    CLI_OPTIONS_EVENTS_HITS,
    CLI_OPTIONS_STATE_AND_DB,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_demo = {
    .name = "demo",
    .summary = "every fault on the embedded pipeline, naive and hardened",
    .details =
        "Runs every fault for a few seconds on the pipeline that ChaosEater carries, naive and\n"
        "hardened, and shows both side by side. No root, no network, less than 90 seconds.\n"
        "Exit: 0 when everything ran, took effect and was undone, whatever the verdicts.",
    .example = "chaoseater demo --only slow_inference --seed 7",
    .options = options,
    .run = demo,
};
