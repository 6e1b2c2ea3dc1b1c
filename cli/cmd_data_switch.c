/* SPDX-License-Identifier: MIT */
/* chaoseater data switch ADDRESS --fault NAME --for 30s */
#include "cli.h"

#include <errno.h>

static void say_held(void *ctx)
{
    const struct cli_args *args = ctx;
    fprintf(stderr, "the faulted rows are in the table, for %s\n", args->hold);
}

static int exit_code_of(int r, int signal, struct ce_error *err)
{
    if (r == -EUCLEAN)
        return CE_EXIT_DIRTY;
    if (r == -EINTR && signal != 0)
        err->message[0] = '\0'; /* whoever stopped it knows */
    else if (r < 0)
        return r == -EEXIST ? CE_EXIT_FAILED : cli_data_exit(r);
    return signal != 0 ? 128 + signal : CE_EXIT_PASSED;
}

static int print(const struct cli_args *args, char *text, struct ce_error *err)
{
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *result = cli_read_json(text, err);
    if (!result)
        return CE_EXIT_FAILED;
    cli_job_print(stdout, json_string_value(json_object_get(result, "table")), result);
    printf("held for %.1f s, and put back: the table's rows have the hash they had\n",
           json_number_value(json_object_get(result, "held_seconds")));
    const char *kept = json_string_value(json_object_get(result, "kept"));
    if (kept)
        printf("others wrote to it meanwhile: the rows as they were then are in table '%s'\n",
               kept);
    json_decref(result);
    return CE_EXIT_PASSED;
}

static int hold(const struct ce_data_job *job, const struct cli_args *args, struct ce_error *err)
{
    struct cli_signals before;
    struct ce_data_switch_options options = {
        .state_dir = args->state_dir,
        .hold = args->hold,
        .in_place = args->in_place,
        .has_seed = args->seed.given,
        .seed = args->seed.value,
        .signal = cli_signals_catch(&before),
        .held = say_held,
        .held_ctx = (void *)args,
    };
    char *text = NULL;
    int r = ce_data_job_switch(job, args->operand, &options, &text, err);
    int signal = *options.signal;
    cli_signals_release(&before);
    int printed = r == 0 ? print(args, text, err) : CE_EXIT_PASSED;
    return printed != CE_EXIT_PASSED ? printed : exit_code_of(r, signal, err);
}

static int switch_table(const struct cli_args *args, struct ce_error *err)
{
    struct ce_data_job *job = NULL;
    if (!args->hold)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "data switch needs to know for how long: --for 30s");
    if (args->faults.count == 0)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "data switch needs a --fault NAME");
    if (ce_data_job_new(&job, err) < 0)
        return CE_EXIT_FAILED;
    int exit_code = cli_job_fill(job, args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = hold(job, args, err);
    ce_data_job_free(job);
    return exit_code;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"for", CLI_TEXT, CLI_FIELD(hold), "TIME", "how long the faults stay: 30s, 2m, 1.5h"},
    {"fault", CLI_FAULT, CLI_FIELD(faults), "NAME", "a data fault (repeatable: they compose in order)"},
    {"param", CLI_PARAM, CLI_FIELD(faults), "KEY=VALUE", "a parameter of the --fault before it (repeatable)"},
    {"in-place", CLI_FLAG, CLI_FIELD(in_place), NULL, "edit the table's own rows, instead of switching tables"},
    {"seed", CLI_SEED, CLI_FIELD(seed), "N", "fixes every random choice"},
    {"columns", CLI_TEXT, CLI_FIELD(columns), "A,B", "for all faults: names, globs (f*) or positions (#3)"},
    {"where", CLI_TEXT, CLI_FIELD(where), "EXPR", "for all faults: rows such as \"age > 30 and city = 'Paris'\""},
    {"mechanism", CLI_TEXT, CLI_FIELD(mechanism), "M", "for all faults: mcar, mar(COLUMN) or mnar"},
    {"exact", CLI_FLAG, CLI_FIELD(exact), NULL, "exactly rate * n units instead of a chance for each"},
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_switch = {
    .name = "data switch",
    .operand = "ADDRESS",
    .summary = "faults in a live database for a while, then put back",
    .details =
        "Puts a copy of the table with the faults in it in the table's place, until the time "
        "is up or a\n"
        "signal comes, then puts the table back and compares its rows with those before. "
        "What others\n"
        "write meanwhile is kept. ADDRESS: sqlite:PATH?table=NAME or "
        "postgresql://HOST/DB?table=NAME.\n"
        "Exit: 0 done and put back, 2 bad input, 4 could not, 5 could not be put back.",
    .example = "chaoseater data switch 'sqlite:shop.db?table=items' --fault missing_data --for 30s",
    .options = options,
    .run = switch_table,
};
