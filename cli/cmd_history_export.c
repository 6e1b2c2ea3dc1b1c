/* SPDX-License-Identifier: MIT */
/* chaoseater history export */
#include "cli.h"

#include <errno.h>

static int export(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    struct ce_history_filter filter = cli_history_filter(args);
    const char *to = args->out ? args->out : "-", *format = args->format ? args->format : "csv";
    if (args->json && !args->out)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--json prints what was written; where that goes is said by -o FILE");
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    filter.sort = "started_at:asc";
    int r = ce_history_export(history, &filter, format, to, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json(json_pack("{s:s, s:s}", "file", to, "format", format), err);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"format", CLI_TEXT, CLI_FIELD(format), "FORMAT", "csv (default), jsonl or parquet",
     .both = "csv (default), jsonl or parquet; where to (default -)"},
    {"out", CLI_TEXT, CLI_FIELD(out), "FILE", "where to; .gz and .zst are compressed", 'o'},
    CLI_OPTIONS_FILTER,
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_history_export = {
    .name = "history export",
    .summary = "the runs as CSV, JSON lines or Parquet",
    .details =
        "Writes the columns of the view `runs`, oldest first, to a file that appears when it "
        "is\n"
        "complete. Parquet needs DuckDB's library (`chaoseater doctor`).",
    .example = "chaoseater history export --format parquet -o runs.parquet --since 90d",
    .options = options,
    .run = export,
};
