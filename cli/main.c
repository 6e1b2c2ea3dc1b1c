/* SPDX-License-Identifier: MIT */
/* chaoseater: finds the command, parses its options, runs it, and prints what went wrong, once. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* clang-format off */
static const struct {
    const char *title; /* of the group that starts here, or NULL */
    const struct cli_command *command;
} commands[] = {
    {"Run:", &cmd_demo}, {NULL, &cmd_run}, {NULL, &cmd_gate}, {NULL, &cmd_schedule},
    {NULL, &cmd_proxy}, {NULL, &cmd_serve},
    {"Look up:", &cmd_validate}, {NULL, &cmd_schema}, {NULL, &cmd_faults}, {NULL, &cmd_explain},
    {NULL, &cmd_compare},
    {"This host:", &cmd_doctor}, {NULL, &cmd_status}, {NULL, &cmd_recover}, {NULL, &cmd_stop},
    {NULL, &cmd_data_inject}, {NULL, &cmd_data_revert}, {NULL, &cmd_data_diff},
    {NULL, &cmd_data_profile}, {NULL, &cmd_data_key}, {NULL, &cmd_data_switch},
    {NULL, &cmd_metrics_delete}, {NULL, &cmd_metrics_send},
    {NULL, &cmd_history_list}, {NULL, &cmd_history_show}, {NULL, &cmd_history_query},
    {NULL, &cmd_history_trends}, {NULL, &cmd_history_compare}, {NULL, &cmd_history_summary},
    {NULL, &cmd_history_export}, {NULL, &cmd_history_import}, {NULL, &cmd_history_prune},
    {NULL, &cmd_grafana_dashboard}, {NULL, &cmd_grafana_alerts}, {NULL, &cmd_grafana_push},
};
static const struct {
    const char *name, *summary; /* commands "name ..." share a line of `chaoseater --help` */
} groups[] = {
    {"data", "faults in files of data: inject, revert, diff, profile, key, switch"},
    {"history", "past runs: list, show, trends, compare, query, summary, export"},
    {"metrics", "what a Pushgateway has: delete, send"},
    {"grafana", "dashboard, alerts, push: for Grafana and Prometheus"},
};
/* clang-format on */

/* Whether the command belongs to the group of that name. */
static bool is_of_group(const struct cli_command *command, const char *group)
{
    size_t size = strlen(group);
    return strncmp(command->name, group, size) == 0 && command->name[size] == ' ';
}

static const char *find_group(const char *name)
{
    for (size_t i = 0; i < CLI_LENGTH(groups); i++)
        if (strcmp(groups[i].name, name) == 0)
            return groups[i].name;
    return NULL;
}

enum { HELP_WIDTH = 29 };

static void print_command(const struct cli_command *command)
{
    char left[48];
    snprintf(left, sizeof left, "%s %s", command->name, command->operand ? command->operand : "");
    size_t used = strlen(left);
    if (command->second)
        snprintf(left + used, sizeof left - used, command->second_optional ? " [%s]" : " %s",
                 command->second);
    printf("  %-*s %s\n", HELP_WIDTH, left, command->summary);
}

static void print_help_text(void)
{
    puts("Usage: chaoseater COMMAND [OPTION]...\n\n"
         "Breaks ML pipelines on purpose, proves it, measures it, puts everything back.\n"
         "`chaoseater COMMAND --help` lists options; chaoseater(1) has the exit codes.\n");
    for (size_t i = 0; i < CLI_LENGTH(commands); i++) {
        if (commands[i].title)
            puts(commands[i].title);
        if (!strchr(commands[i].command->name, ' '))
            print_command(commands[i].command);
    }
    for (size_t i = 0; i < CLI_LENGTH(groups); i++)
        printf("  %-*s %s\n", HELP_WIDTH, groups[i].name, groups[i].summary);
    puts("\nExample:\n  chaoseater run examples/mission.yaml --set duration=5s");
}

static void print_group_help(const char *group)
{
    const struct cli_command *first = NULL;
    printf("Usage: chaoseater %s COMMAND [OPTION]...\n\nCommands:\n", group);
    for (size_t i = 0; i < CLI_LENGTH(commands); i++) {
        if (!is_of_group(commands[i].command, group))
            continue;
        if (!first)
            first = commands[i].command;
        print_command(commands[i].command);
    }
    printf("\n`chaoseater %s COMMAND --help` lists options.\n\nExample:\n  %s\n", group,
           first->example);
}

static int print_help_json(const char *group, struct ce_error *err)
{
    json_t *names = json_array();
    for (size_t i = 0; i < CLI_LENGTH(commands); i++) {
        const struct cli_command *command = commands[i].command;
        if (group && !is_of_group(command, group))
            continue;
        (void)json_array_append_new(names,
                                    json_pack("{s:s, s:s?, s:s}", "name", command->name, "operand",
                                              command->operand, "summary", command->summary));
    }
    return cli_print_json(json_pack("{s:o}", "commands", names), err);
}

/* Of all commands, or of a group's. */
static int print_help(const char *group, bool json, struct ce_error *err)
{
    if (json)
        return print_help_json(group, err);
    if (group)
        print_group_help(group);
    else
        print_help_text();
    return CE_EXIT_PASSED;
}

/* "data inject" is two words; how many of argv's words name the command. */
static size_t words_of(const char *name)
{
    return strchr(name, ' ') ? 2 : 1;
}

static bool is_named(const char *name, char **argv)
{
    size_t first = strcspn(name, " ");
    if (strlen(argv[0]) != first || memcmp(argv[0], name, first) != 0)
        return false;
    return name[first] == '\0' || (argv[1] && strcmp(argv[1], name + first + 1) == 0);
}

static const struct cli_command *find_command(char **argv, struct ce_error *err)
{
    const char *names[CLI_LENGTH(commands)];
    for (size_t i = 0; i < CLI_LENGTH(commands); i++) {
        if (is_named(commands[i].command->name, argv))
            return commands[i].command;
        names[i] = commands[i].command->name;
    }
    char name[128];
    bool group = find_group(argv[0]) && argv[1];
    snprintf(name, sizeof name, "%.60s%s%.60s", argv[0], group ? " " : "", group ? argv[1] : "");
    const char *nearest = cli_nearest(name, names, CLI_LENGTH(names));
    if (name[0] == '-')
        cli_fail(err, CE_EXIT_USAGE, EINVAL,
                 "'%s' is not --help or --version; options follow a command", name);
    else if (nearest)
        cli_fail(err, CE_EXIT_USAGE, EINVAL, "no command is called '%s'; did you mean '%s'?", name,
                 nearest);
    else
        cli_fail(err, CE_EXIT_USAGE, EINVAL,
                 "no command is called '%s'; `chaoseater --help` lists them", name);
    return NULL;
}

/* Known before the options are parsed, because it decides how a mistake in them is printed. */
static bool asks_for_json(char **argv)
{
    for (; *argv && strcmp(*argv, "--") != 0; argv++)
        if (strcmp(*argv, "--json") == 0)
            return true;
    return false;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int run_command(char **argv, struct ce_error *err)
{
    if (find_group(argv[0]) && (!argv[1] || is_help(argv[1])))
        return print_help(find_group(argv[0]), asks_for_json(argv), err);
    const struct cli_command *command = find_command(argv, err);
    if (!command)
        return CE_EXIT_USAGE;
    struct cli_args args = {.min_score = 70,
                            .max_drop = -1,
                            .score_low = -1,
                            .score_high = -1,
                            .most = 50,
                            .days = 30,
                            .seconds = 10};
    int exit_code = cli_args_parse(command, argv + words_of(command->name), &args, err);
    if (exit_code == CE_EXIT_PASSED && args.help)
        exit_code = cli_command_help(command, args.json, err);
    else if (exit_code == CE_EXIT_PASSED)
        exit_code = command->run(&args, err);
    cli_args_done(&args);
    return exit_code;
}

/* A full disk behind stdout is an error; a reader that has seen enough is none. */
static int flush_stdout(int exit_code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (!failed || cli_reader_is_gone())
        return exit_code;
    fprintf(stderr, "chaoseater: cannot write to standard output: %s\n",
            strerror(errno ? errno : EIO));
    return exit_code == CE_EXIT_PASSED ? CE_EXIT_FAILED : exit_code;
}

/* Started with a standard stream closed, the next file to be opened would take its number, and what
 * is printed would end up in the journal. Opened for the wrong direction, so that using one still
 * fails. */
static bool occupy_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd] | O_CLOEXEC) != fd)
            return false;
    return true;
}

/* A pipeline that hangs keeps every request's connection open, in the workload and twice in the
 * proxy: more than the usual 1024 descriptors. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct ce_error err = {0};
    int exit_code = CE_EXIT_PASSED;
    if (!occupy_standard_streams())
        return CE_EXIT_FAILED;
    /* A reader of stdout that goes away must not kill a run on its way through rollback. */
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    if (argc < 2)
        exit_code =
            cli_fail(&err, CE_EXIT_USAGE, EINVAL, "no command; `chaoseater --help` lists them");
    else if (is_help(argv[1]))
        exit_code = print_help(NULL, asks_for_json(argv), &err);
    else if (strcmp(argv[1], "--version") == 0)
        printf(asks_for_json(argv) ? "{\"version\": \"%s\"}\n" : "chaoseater %s\n", ce_version());
    else
        exit_code = run_command(argv + 1, &err);

    if (err.message[0] != '\0')
        cli_print_error(&err, exit_code, asks_for_json(argv));
    return flush_stdout(exit_code);
}
