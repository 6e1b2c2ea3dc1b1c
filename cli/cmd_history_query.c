/* SPDX-License-Identifier: MIT */
/* chaoseater history query SQL */
#include "cli.h"

#include <string.h>

enum { COLUMNS_MAX = 64, WIDTH_MAX = 48 };

/* A number as SQL has it, a text as it is. */
static void put_value(FILE *out, const json_t *value, int width)
{
    char number[64];
    const char *text = number;
    if (json_is_integer(value))
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof number, "%.10g", json_real_value(value));
    else
        text = json_is_string(value) ? json_string_value(value) : "";
    cli_print_cell(out, text, width);
}

static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width < WIDTH_MAX ? width : WIDTH_MAX;
}

static int width_of_value(const json_t *value)
{
    char number[64];
    if (json_is_string(value))
        return width_of(json_string_value(value));
    if (json_is_integer(value))
        return snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return json_is_real(value) ? snprintf(number, sizeof number, "%.10g", json_real_value(value))
                               : 0;
}

static void print_rows(json_t *rows)
{
    int widths[COLUMNS_MAX] = {0};
    size_t i, column;
    json_t *row, *value;
    const char *name;
    json_array_foreach(rows, i, row)
    {
        column = 0;
        json_object_foreach(row, name, value)
        {
            int width = width_of_value(value), head = width_of(name);
            width = width > head ? width : head;
            if (column < COLUMNS_MAX && width > widths[column])
                widths[column] = width;
            column++;
        }
    }
    json_array_foreach(rows, i, row)
    {
        column = 0;
        if (i == 0) {
            json_object_foreach(row, name, value)
            {
                fputs(column > 0 ? "  " : "", stdout);
                cli_print_cell(stdout, name, column < COLUMNS_MAX ? widths[column] : 0);
                column++;
            }
            putchar('\n');
        }
        column = 0;
        json_object_foreach(row, name, value)
        {
            fputs(column > 0 ? "  " : "", stdout);
            put_value(stdout, value, column < COLUMNS_MAX ? widths[column] : 0);
            column++;
        }
        putchar('\n');
    }
}

static int query(const struct cli_args *args, struct ce_error *err)
{
    struct ce_history *history = NULL;
    char *text = NULL;
    int exit_code = cli_history_open(args, false, &history, err);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    int r = ce_history_query_json(history, args->operand, (double)args->seconds, &text, err);
    ce_history_close(history);
    if (r < 0)
        return cli_history_exit(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *json = cli_read_json(text, err);
    if (!json)
        return CE_EXIT_FAILED;
    print_rows(json);
    json_decref(json);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    {"timeout", CLI_COUNT, CLI_FIELD(seconds), "SECONDS",
     "give it up after so long (10; 0: never)"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_history_query = {
    .name = "history query",
    .operand = "SQL",
    .summary = "the answer to one SELECT",
    .details =
        "The database is only read. The view that stays as it is from version to version:\n"
        "runs(id, name, layer, fault_type, status, verdict, resilience_score, recovery_time,\n"
        "accuracy_degradation, pipeline_downtime, error_count, duration, started_at, ended_at,\n"
        "seed, tags). --json prints an array of objects.",
    .example =
        "chaoseater history query \"SELECT fault_type, avg(resilience_score) FROM runs GROUP "
        "BY 1\"",
    .options = options,
    .run = query,
};
