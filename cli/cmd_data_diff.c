/* SPDX-License-Identifier: MIT */
/* chaoseater data diff A B */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>

int cli_data_exit(int r)
{
    bool bad_input = r == -EINVAL || r == -ENOENT || r == -ENOTSUP || r == -EILSEQ ||
                     r == -EBADMSG || r == -EISDIR || r == -EFBIG || r == -ENODATA ||
                     r == -ERANGE || r == -EEXIST;
    return bad_input ? CE_EXIT_USAGE : CE_EXIT_FAILED;
}

static int64_t number_of(const json_t *diff, const char *key)
{
    return json_integer_value(json_object_get(diff, key));
}

static void print_names(const json_t *names, const char *what)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name) printf("column %s: %s\n", what, json_string_value(name));
}

static const char *value_of(const json_t *cell, const char *key)
{
    const char *text = json_string_value(json_object_get(cell, key));
    return text ? text : "(absent)";
}

static void print_diff(const json_t *diff)
{
    printf("%" PRId64 " cells changed, %" PRId64 " rows added, %" PRId64 " rows removed\n",
           number_of(diff, "cells_changed"), number_of(diff, "rows_added"),
           number_of(diff, "rows_removed"));
    print_names(json_object_get(diff, "columns_added"), "added");
    print_names(json_object_get(diff, "columns_removed"), "removed");
    const char *name;
    json_t *count, *cell;
    json_object_foreach(json_object_get(diff, "by_column"), name, count)
        printf("  %-24s %12" PRId64 "\n", name, (int64_t)json_integer_value(count));
    size_t i;
    json_array_foreach(json_object_get(diff, "cells"), i, cell)
        printf("row %" PRId64 ", %s: '%s' -> '%s'\n", number_of(cell, "row"),
               value_of(cell, "column"), value_of(cell, "a"), value_of(cell, "b"));
}

static int diff(const struct cli_args *args, struct ce_error *err)
{
    char *text;
    int r = ce_data_diff_json(args->operand, args->second, args->limit, &text, err);
    if (r < 0)
        return CE_EXIT_USAGE;
    int exit_code = CE_EXIT_PASSED;
    if (args->json) {
        exit_code = cli_print_json_text(text, err);
    } else {
        json_t *json = cli_read_json(text, err);
        if (!json)
            return CE_EXIT_FAILED;
        print_diff(json);
        json_decref(json);
    }
    return exit_code == CE_EXIT_PASSED && r > 0 ? CE_EXIT_DEVIATED : exit_code;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"limit", CLI_COUNT, CLI_FIELD(limit), "N", "list at most so many changed cells (default 20)"},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_diff = {
    .name = "data diff",
    .operand = "A",
    .second = "B",
    .summary = "which cells, rows and columns differ",
    .details = "Compares two tables by value: columns by name, rows by position, with added and "
               "removed rows\n"
               "found among them. Exit code: 0 same, 1 different, 2 could not compare.",
    .example = "chaoseater data diff in.csv out.csv --limit 5",
    .options = options,
    .run = diff,
};
