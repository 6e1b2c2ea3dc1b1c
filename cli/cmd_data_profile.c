/* SPDX-License-Identifier: MIT */
/* chaoseater data profile FILE [REFERENCE] */
#include "cli.h"

#include <inttypes.h>
#include <math.h>

/* A number in at most ten characters, or "-". */
static const char *shown(const json_t *object, const char *key, char text[32])
{
    const json_t *value = json_object_get(object, key);
    if (json_is_integer(value))
        snprintf(text, 32, "%" PRId64, (int64_t)json_integer_value(value));
    else if (json_is_number(value))
        snprintf(text, 32, "%.5g", json_number_value(value));
    else
        snprintf(text, 32, "-");
    return text;
}

static void print_row(const json_t *object, const char *first, const char *const *keys)
{
    char text[32];
    printf("%-20.20s", first ? first : "(not UTF-8)");
    for (; *keys; keys++)
        printf(" %11s", shown(object, *keys, text));
    putchar('\n');
}

static void print_head(const char *first, const char *const *keys)
{
    printf("%-20s", first);
    for (; *keys; keys++)
        printf(" %11s", *keys);
    putchar('\n');
}

static void print_columns(const json_t *columns)
{
    static const char *const keys[] = {"nulls", "distinct", "mean", "sd", "min", "max", NULL};
    size_t i;
    json_t *column;
    char first[64];
    print_head("column (type)", keys);
    json_array_foreach(columns, i, column)
    {
        const char *name = json_string_value(json_object_get(column, "name"));
        snprintf(first, sizeof first, "%.40s (%.9s)", name ? name : "?",
                 json_string_value(json_object_get(column, "type")));
        print_row(column, first, keys);
    }
}

/* Which tools' checks would have fired, in one line for each column. */
static void print_seen(const json_t *column)
{
    size_t i;
    json_t *check;
    const char *before = "    seen by ";
    json_array_foreach(json_object_get(column, "seen_by"), i, check)
    {
        if (!json_is_true(json_object_get(check, "fires")))
            continue;
        printf("%s%s (%s)", before, json_string_value(json_object_get(check, "tool")),
               json_string_value(json_object_get(check, "statistic")));
        before = ", ";
    }
    if (before[0] == ',')
        putchar('\n');
}

static void print_drift(const json_t *drift)
{
    static const char *const keys[] = {"ks", "psi", "wasserstein", "js", "max_z", "outside_fences",
                                       NULL};
    size_t i;
    json_t *column;
    puts("\ndrift from the reference");
    print_head("column", keys);
    json_array_foreach(drift, i, column)
    {
        print_row(column, json_string_value(json_object_get(column, "column")), keys);
        print_seen(column);
    }
}

static int profile(const struct cli_args *args, struct ce_error *err)
{
    char *text, share[32];
    int r = ce_data_profile_json(args->operand, args->second, (unsigned)args->threads, &text, err);
    if (r < 0)
        return cli_data_exit(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    cli_print_data_name(stdout, args->operand);
    printf(": %" PRId64 " rows, duplicate share %s\n\n",
           (int64_t)json_integer_value(json_object_get(json, "rows")),
           shown(json, "duplicate_share", share));
    print_columns(json_object_get(json, "columns"));
    if (args->second)
        print_drift(json_object_get(json, "drift"));
    json_decref(json);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"threads", CLI_COUNT, CLI_FIELD(threads), "N", "default: one for each processor; the numbers are the same"},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_profile = {
    .name = "data profile",
    .operand = "FILE",
    .second = "REFERENCE",
    .second_optional = true,
    .summary = "statistics; against a reference also drift, and who would see it",
    .details = "Type, nulls, distinct values, mean, sd, min, max and quantiles of each column. "
               "With a reference\n"
               "also KS, PSI, Wasserstein, Jensen-Shannon, largest |z|, share outside the Tukey "
               "fences, and\n"
               "which checks of the usual monitors fire.",
    .example = "chaoseater data profile out.csv in.csv",
    .options = options,
    .run = profile,
};
