/* SPDX-License-Identifier: MIT */
/* Options: one table a command, from which parsing, --help and the nearest name are made.
 *
 * `--name value` and `--name=value` mean the same, options and operands mix, `--` ends the options,
 * and a lone `-` is an operand. Given twice, the last one holds, unless the option is a list. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap neighbours) that make one name the other; names longer than
 * any of ours count as far away. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 32 };
    size_t rows = strlen(a), columns = strlen(b);
    size_t cost[LONGEST + 1][LONGEST + 1];
    if (rows > LONGEST || columns > LONGEST)
        return SIZE_MAX;
    for (size_t i = 0; i <= rows; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= columns; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= rows; i++) {
        for (size_t j = 1; j <= columns; j++) {
            cost[i][j] = min_size(min_size(cost[i - 1][j], cost[i][j - 1]) + 1,
                                  cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = min_size(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[rows][columns];
}

const char *cli_nearest(const char *text, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(text, names[i]);
        if (distance < least && distance <= 1 + strlen(names[i]) / 3) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

static const struct cli_option *find_option(const struct cli_command *command, const char *name,
                                            size_t size)
{
    for (const struct cli_option *option = command->options; option->name; option++)
        if (strlen(option->name) == size && memcmp(option->name, name, size) == 0)
            return option;
    return NULL;
}

/* The rest returns exit codes: CE_EXIT_PASSED, or CE_EXIT_USAGE with a sentence that helps. */

static int unknown_option(const struct cli_command *command, const char *name, size_t size,
                          struct ce_error *err)
{
    enum { MOST_OPTIONS = 32 };
    const char *names[MOST_OPTIONS];
    size_t count = 0;
    for (const struct cli_option *option = command->options; option->name && count < MOST_OPTIONS;
         option++)
        names[count++] = option->name;

    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)min_size(size, sizeof typed - 1), name);
    const char *nearest = cli_nearest(typed, names, count);
    if (nearest)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "%s has no option --%s; did you mean --%s?",
                        command->name, typed, nearest);
    return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                    "%s has no option --%s; `chaoseater %s --help` lists them", command->name,
                    typed, command->name);
}

/* strtoull and strtod also take blanks, signs, nan and inf; a first character that must be of a
 * number keeps those out. */

static int set_seed(struct cli_seed *seed, const char *name, const char *text, struct ce_error *err)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    /* No more than a document's seed and a JSON reader's integer can hold. */
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno == ERANGE || value > INT64_MAX)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--%s: '%s' is not a whole number from 0 to %" PRId64, name, text,
                        INT64_MAX);
    *seed = (struct cli_seed){.given = true, .value = value};
    return CE_EXIT_PASSED;
}

static int set_score(double *score, const char *name, const char *text, struct ce_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (!strchr("0123456789.", text[0]) || *end != '\0' || !(value >= 0 && value <= 100))
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "--%s: '%s' is not a number from 0 to 100",
                        name, text);
    *score = value;
    return CE_EXIT_PASSED;
}

static int set_count(uint64_t *count, const struct cli_option *option, const char *text,
                     struct ce_error *err)
{
    char *end;
    uint64_t most = option->most > 0 ? option->most : 1000000000;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < option->least || value > most)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--%s: '%s' is not a whole number from %" PRIu64 " to %" PRIu64,
                        option->name, text, option->least, most);
    *count = value;
    return CE_EXIT_PASSED;
}

static int append(struct cli_list *list, const char *text, struct ce_error *err)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return cli_fail_memory(err);
    items[list->count++] = text;
    list->items = items;
    return CE_EXIT_PASSED;
}

static int append_fault(struct cli_faults *faults, const char *name, struct ce_error *err)
{
    struct cli_fault *items = realloc(faults->items, (faults->count + 1) * sizeof *items);
    if (!items)
        return cli_fail_memory(err);
    items[faults->count++] = (struct cli_fault){.name = name};
    faults->items = items;
    return CE_EXIT_PASSED;
}

static int append_param(struct cli_faults *faults, const char *text, struct ce_error *err)
{
    if (faults->count == 0)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--param '%s' belongs to no fault: it follows the --fault that it is of",
                        text);
    return append(&faults->items[faults->count - 1].params, text, err);
}

static int set_option(const struct cli_option *option, const char *text, struct cli_args *args,
                      struct ce_error *err)
{
    void *field = (char *)args + option->offset;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)field = true;
        break;
    case CLI_TEXT:
        *(const char **)field = text;
        break;
    case CLI_LIST:
        return append(field, text, err);
    case CLI_SEED:
        return set_seed(field, option->name, text, err);
    case CLI_SCORE:
        return set_score(field, option->name, text, err);
    case CLI_COUNT:
        return set_count(field, option, text, err);
    case CLI_FAULT:
        return append_fault(field, text, err);
    case CLI_PARAM:
        return append_param(field, text, err);
    }
    return CE_EXIT_PASSED;
}

static const struct cli_option *find_letter(const struct cli_command *command, const char *word)
{
    for (const struct cli_option *option = command->options; option->name; option++)
        if (option->letter && word[1] == option->letter && word[2] == '\0')
            return option;
    return NULL;
}

/* One option; *argv moves on to its last word. */
static int parse_option(const struct cli_command *command, char ***argv, struct cli_args *args,
                        struct ce_error *err)
{
    const char *word = **argv, *name = word + 2, *value = NULL;
    const struct cli_option *option;
    if (word[1] != '-') {
        option = find_letter(command, word);
        if (!option)
            return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                            "'%s': options are written out, as in --help", word);
    } else {
        size_t size = strcspn(name, "=");
        if (name[size] == '=')
            value = name + size + 1;
        option = find_option(command, name, size);
        if (!option)
            return unknown_option(command, name, size, err);
    }
    if (option->kind == CLI_FLAG && value)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "--%s takes no value", option->name);
    if (option->kind != CLI_FLAG && !value && (*argv)[1])
        value = *++*argv;
    if (option->kind != CLI_FLAG && (!value || *value == '\0'))
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "--%s needs a value: --%s %s", option->name,
                        option->name, option->value);
    return set_option(option, value, args, err);
}

static int take_operand(const struct cli_command *command, const char *word, struct cli_args *args,
                        struct ce_error *err)
{
    if (!command->operand)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "%s takes no argument, and '%s' is one",
                        command->name, word);
    if (command->any_number)
        return append(&args->rest, word, err);
    if (!args->operand)
        args->operand = word;
    else if (command->second && !args->second)
        args->second = word;
    else if (command->second_repeats)
        return append(&args->rest, word, err);
    else if (command->second)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "%s takes %s and %s, and '%s' is a third one",
                        command->name, command->operand, command->second, word);
    else
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "%s takes one %s, and '%s' is a second one",
                        command->name, command->operand, word);
    return CE_EXIT_PASSED;
}

static int require_operands(const struct cli_command *command, const struct cli_args *args,
                            struct ce_error *err)
{
    bool needed = command->operand && !command->any_number;
    const char *missing = needed && !args->operand ? command->operand : NULL;
    if (!missing && command->second && !command->second_optional && !args->second)
        missing = command->second;
    if (missing)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL, "%s needs %s %s: chaoseater %s %s%s%s",
                        command->name, strchr("AEIO", missing[0]) ? "an" : "a", missing,
                        command->name, command->operand, command->second ? " " : "",
                        command->second ? command->second : "");
    return CE_EXIT_PASSED;
}

int cli_args_parse(const struct cli_command *command, char **argv, struct cli_args *args,
                   struct ce_error *err)
{
    bool options_over = false;
    for (; *argv; argv++) {
        int exit_code = CE_EXIT_PASSED;
        if (!options_over && strcmp(*argv, "--") == 0)
            options_over = true;
        else if (!options_over && (*argv)[0] == '-' && (*argv)[1] != '\0')
            exit_code = parse_option(command, &argv, args, err);
        else
            exit_code = take_operand(command, *argv, args, err);
        if (exit_code != CE_EXIT_PASSED)
            return exit_code;
    }
    return args->help ? CE_EXIT_PASSED : require_operands(command, args, err);
}

void cli_args_done(struct cli_args *args)
{
    free(args->only.items);
    free(args->skip.items);
    free(args->set.items);
    free(args->reports.items);
    free(args->dialect.items);
    free(args->panels.items);
    free(args->rest.items);
    for (size_t i = 0; i < args->faults.count; i++)
        free(args->faults.items[i].params.items);
    free(args->faults.items);
    *args = (struct cli_args){0};
}

/* "-o, --out FILE "; its length. */
static size_t spell_option(const struct cli_option *option, char *text, size_t size)
{
    char letter[8] = "";
    if (option->letter && option->letter != 'h')
        snprintf(letter, sizeof letter, "-%c, ", option->letter);
    return (size_t)snprintf(text, size, "%s--%s %s%s", letter, option->name,
                            option->value ? option->value : "", option->value ? " " : "");
}

static bool has_pairs(const struct cli_command *command)
{
    for (const struct cli_option *option = command->options; option->name; option++)
        if (option->both)
            return true;
    return false;
}

static void print_help(const struct cli_command *command)
{
    int width = has_pairs(command) ? 38 : 22;
    printf("Usage: chaoseater %s%s%s", command->name, command->operand ? " " : "",
           command->operand ? command->operand : "");
    if (command->second)
        printf(command->second_optional ? " [%s]" : " %s", command->second);
    printf(" [OPTION]...\n\n%s%sOptions:\n", command->details, command->details[0] ? "\n\n" : "");
    for (const struct cli_option *option = command->options; option->name; option++) {
        char left[80];
        const char *doc = option->both ? option->both : option->doc;
        size_t used = spell_option(option, left, sizeof left);
        if (option->both)
            (void)spell_option(++option, left + used, sizeof left - used);
        printf("  %-*s %s\n", width, left, doc);
    }
    printf("\nExample:\n  %s\n", command->example);
}

int cli_command_help(const struct cli_command *command, bool json, struct ce_error *err)
{
    if (!json) {
        print_help(command);
        return CE_EXIT_PASSED;
    }
    json_t *options = json_array();
    for (const struct cli_option *option = command->options; option->name; option++)
        (void)json_array_append_new(options, json_pack("{s:s, s:s?, s:s}", "name", option->name,
                                                       "value", option->value, "doc", option->doc));
    return cli_print_json(json_pack("{s:s, s:s?, s:s?, s:s, s:s, s:s, s:o}", "name", command->name,
                                    "operand", command->operand, "second", command->second,
                                    "summary", command->summary, "details", command->details,
                                    "example", command->example, "options", options),
                          err);
}
