/* SPDX-License-Identifier: MIT */
/* chaoseater data inject IN -o OUT --fault NAME [--param k=v]... */
#include "cli.h"

#include <errno.h>
#include <string.h>

/* ---- what was asked for ---- */

/* "2/8" */
static int parse_shard(const char *text, struct ce_data_job_options *options, struct ce_error *err)
{
    int end = 0;
    if (sscanf(text, "%9u/%9u%n", &options->shard, &options->shard_count, &end) != 2 ||
        text[end] != '\0' || options->shard < 1 || options->shard > options->shard_count)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--shard: '%s' is not of the form I/N with I from 1 to N", text);
    return CE_EXIT_PASSED;
}

/* One character, or the word tab; '\0' when it is neither. */
static char character_of(const char *text)
{
    if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)
        return '\t';
    return strlen(text) == 1 && !strchr("\"\r\n", *text) ? *text : '\0';
}

/* "delimiter=;", "header=no", "escape=backslash", "comment=#" */
static int parse_dialect(const char *text, struct ce_data_job_options *options,
                         struct ce_error *err)
{
    static const char delimiter[] = "delimiter=", comment[] = "comment=";
    bool good = true;
    if (strncmp(text, delimiter, strlen(delimiter)) == 0)
        good = (options->delimiter = character_of(text + strlen(delimiter))) != '\0';
    else if (strncmp(text, comment, strlen(comment)) == 0)
        good = (options->comment = character_of(text + strlen(comment))) != '\0';
    else if (strcmp(text, "header=no") == 0)
        options->headerless = true;
    else if (strcmp(text, "escape=backslash") == 0)
        options->backslash = true;
    else
        good = false;
    if (good)
        return CE_EXIT_PASSED;
    return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                    "--csv: '%s' is not delimiter=C, header=no, escape=backslash or comment=C, "
                    "where C is one character or the word tab",
                    text);
}

static int parse_options(const struct cli_args *args, struct ce_data_job_options *options,
                         struct ce_error *err)
{
    int exit_code = CE_EXIT_PASSED;
    *options = (struct ce_data_job_options){
        .has_seed = args->seed.given,
        .seed = args->seed.value,
        .key = args->key,
        .stats = args->stats,
        .threads = (unsigned)args->threads,
    };
    if (args->shard)
        exit_code = parse_shard(args->shard, options, err);
    for (size_t i = 0; i < args->dialect.count && exit_code == CE_EXIT_PASSED; i++)
        exit_code = parse_dialect(args->dialect.items[i], options, err);
    return exit_code;
}

/* ---- doing it ---- */

static int exit_code_of(int r, const struct ce_data_job_options *options, struct ce_error *err)
{
    if (r != -EINTR || *options->signal == 0)
        return cli_data_exit(r);
    err->message[0] = '\0'; /* whoever stopped it knows */
    return 128 + *options->signal;
}

static int inject(const struct cli_args *args, struct ce_error *err)
{
    struct ce_data_job_options options;
    struct ce_data_job *job = NULL;
    struct cli_progress progress;
    struct cli_signals before;
    char *text = NULL;
    bool to_stdout = args->out && strcmp(args->out, "-") == 0;
    if (!args->out)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "data inject needs to know where to write: -o OUT");
    if (to_stdout && args->json)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--json and -o - would both write to standard output");
    int exit_code = parse_options(args, &options, err);
    if (exit_code == CE_EXIT_PASSED && ce_data_job_new(&job, err) < 0)
        exit_code = CE_EXIT_FAILED;
    if (exit_code == CE_EXIT_PASSED)
        exit_code = cli_job_fill(job, args, err);
    if (exit_code == CE_EXIT_PASSED) {
        cli_progress_start(&progress, true);
        options.signal = cli_signals_catch(&before);
        options.progress = cli_progress_share;
        options.progress_ctx = &progress;
        int r = ce_data_job_run(job, args->operand, args->out, &options, &text, err);
        cli_progress_end(&progress);
        cli_signals_release(&before);
        exit_code = r < 0 ? exit_code_of(r, &options, err) : CE_EXIT_PASSED;
    }
    ce_data_job_free(job);
    if (exit_code != CE_EXIT_PASSED)
        return exit_code;
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *result = cli_read_json(text, err);
    if (!result)
        return CE_EXIT_FAILED;
    cli_job_print(to_stdout ? stderr : stdout, args->operand, result);
    json_decref(result);
    return CE_EXIT_PASSED;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"out", CLI_TEXT, CLI_FIELD(out), "OUT", "where the changed table goes; - is standard output, as IN is input", 'o'},
    {"fault", CLI_FAULT, CLI_FIELD(faults), "NAME", "a data fault (repeatable: they compose in order)"},
    {"param", CLI_PARAM, CLI_FIELD(faults), "KEY=VALUE", "a parameter of the --fault before it (repeatable)"},
    {"seed", CLI_SEED, CLI_FIELD(seed), "N", "fixes every random choice"},
    {"key", CLI_TEXT, CLI_FIELD(key), "KEYFILE", "write the answer key: what was changed, with the old values"},
    {"columns", CLI_TEXT, CLI_FIELD(columns), "A,B", "for all faults: names, globs (f*) or positions (#3)"},
    {"where", CLI_TEXT, CLI_FIELD(where), "EXPR", "for all faults: rows such as \"age > 30 and city = 'Paris'\""},
    {"mechanism", CLI_TEXT, CLI_FIELD(mechanism), "M", "for all faults: mcar, mar(COLUMN) or mnar"},
    {"exact", CLI_FLAG, CLI_FIELD(exact), NULL, "exactly rate * n units instead of a chance for each"},
    {"nested", CLI_FLAG, CLI_FIELD(nested), NULL, "a higher rate hits a superset (always so; for clarity)"},
    {"stats", CLI_TEXT, CLI_FIELD(stats), "FILE", "statistics from this table or profile (for pipes)"},
    {"threads", CLI_COUNT, CLI_FIELD(threads), "N", "default: one for each processor; the bytes are the same"},
    {"shard", CLI_TEXT, CLI_FIELD(shard), "I/N", "write the I-th of N parts; put together they are the whole"},
    {"csv", CLI_LIST, CLI_FIELD(dialect), "KEY=VALUE", "delimiter=C, header=no, escape=backslash or comment=C (repeatable)"},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_data_inject = {
    .name = "data inject",
    .operand = "IN",
    .summary = "write a table with faults in it",
    .details = "", /* the options fill the screen */
    .example = "chaoseater data inject in.csv -o out.csv --fault missing_data --param "
               "missing_rate=0.1",
    .options = options,
    .run = inject,
};
