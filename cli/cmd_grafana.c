/* SPDX-License-Identifier: MIT */
/* chaoseater grafana dashboard | alerts | push */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int exit_of(int r)
{
    return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
}

static struct ce_grafana_dashboard_options dashboard_options(const struct cli_args *args)
{
    return (struct ce_grafana_dashboard_options){
        .title = args->title, .panels = args->panels.items, .panel_count = args->panels.count};
}

static struct ce_grafana_alert_options alert_options(const struct cli_args *args)
{
    return (struct ce_grafana_alert_options){.format = args->format,
                                             .json = args->json && !args->out,
                                             .datasource = args->datasource,
                                             .has_min_score = true,
                                             .min_score = args->min_score,
                                             .max_error_rate = args->max_error_rate,
                                             .max_recovery = args->max_recovery};
}

/* ---- files ---- */

static int write_file(const char *path, const char *text, struct ce_error *err)
{
    errno = 0;
    FILE *out = fopen(path, "we");
    bool failed = !out || fputs(text, out) < 0;
    if (out && fclose(out) != 0)
        failed = true;
    if (failed)
        return cli_fail(err, CE_EXIT_FAILED, errno ? errno : EIO, "cannot write '%s': %s", path,
                        strerror(errno ? errno : EIO));
    return CE_EXIT_PASSED;
}

/* To --out; frees the text. */
static int put(char *text, const struct cli_args *args, struct ce_error *err)
{
    if (!args->out || strcmp(args->out, "-") == 0)
        return cli_print_json_text(text, err);
    int exit_code = write_file(args->out, text, err);
    ce_string_free(text);
    if (exit_code != CE_EXIT_PASSED || !args->json)
        return exit_code;
    return cli_print_json(json_pack("{s:s}", "file", args->out), err);
}

static int dashboard(const struct cli_args *args, struct ce_error *err)
{
    struct ce_grafana_dashboard_options options = dashboard_options(args);
    char *text = NULL;
    int r = ce_grafana_dashboard(&options, &text, err);
    return r < 0 ? exit_of(r) : put(text, args, err);
}

static int alerts(const struct cli_args *args, struct ce_error *err)
{
    struct ce_grafana_alert_options options = alert_options(args);
    char *text = NULL;
    int r = ce_grafana_alerts(&options, &text, err);
    return r < 0 ? exit_of(r) : put(text, args, err);
}

/* ---- push ---- */

static int push(const struct cli_args *args, struct ce_error *err)
{
    const char *token = args->token ? args->token : getenv("GRAFANA_TOKEN");
    struct ce_grafana_dashboard_options dashboard = dashboard_options(args);
    struct ce_grafana_alert_options alerts = alert_options(args);
    char *text = NULL;
    if (!args->url)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "grafana push needs to know where to: --url URL");
    if (!token || !token[0])
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "grafana push needs the token of a service account: in $GRAFANA_TOKEN, or "
                        "--token TOKEN");
    int r = ce_grafana_push(&(struct ce_grafana_push_options){.url = args->url,
                                                              .token = token,
                                                              .folder = args->folder,
                                                              .dashboard = &dashboard,
                                                              .alerts = &alerts},
                            &text, err);
    if (r < 0)
        return exit_of(r);
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *said = cli_read_json(text, err);
    if (!said)
        return CE_EXIT_FAILED;
    const char *path = json_string_value(json_object_get(said, "path"));
    printf("the dashboard and %d alert rules are there: ",
           (int)json_integer_value(json_object_get(said, "rules")));
    cli_print_cell(stdout, path ? path : args->url, 0);
    putchar('\n');
    json_decref(said);
    return CE_EXIT_PASSED;
}

/* ---- options ---- */

/* clang-format off */
#define OPTION_OUT \
    {"out", CLI_TEXT, CLI_FIELD(out), "FILE", "where to (default: standard output)", 'o'}
#define OPTIONS_DASHBOARD \
    {"panel", CLI_LIST, CLI_FIELD(panels), "FILE", "panels of your own: JSON, one or an array (repeatable)"}, \
    {"title", CLI_TEXT, CLI_FIELD(title), "TEXT", "what the dashboard is called"}
#define OPTIONS_LIMITS \
    {"min-score", CLI_SCORE, CLI_FIELD(min_score), "N", "alert below that score (default 70)"}, \
    {"max-error-rate", CLI_TEXT, CLI_FIELD(max_error_rate), "X", "alert above that share of failures (default 0.1)"}, \
    {"max-recovery", CLI_TEXT, CLI_FIELD(max_recovery), "TIME", "alert after that long (default 30s)"}

static const struct cli_option dashboard_table[] = {
    OPTION_OUT, OPTIONS_DASHBOARD, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};
static const struct cli_option alerts_table[] = {
    {"format", CLI_TEXT, CLI_FIELD(format), "FORMAT", "prometheus (default) or grafana"},
    OPTION_OUT,
    OPTIONS_LIMITS,
    {"datasource", CLI_TEXT, CLI_FIELD(datasource), "UID", "which one Grafana asks (default: prometheus)"},
    CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};
static const struct cli_option push_table[] = {
    {"url", CLI_TEXT, CLI_FIELD(url), "URL", "where Grafana is: https://host/prefix"},
    {"token", CLI_TEXT, CLI_FIELD(token), "TOKEN", "a service account's (default: $GRAFANA_TOKEN)"},
    {"folder", CLI_TEXT, CLI_FIELD(folder), "NAME", "made if it is not there (default: ChaosEater)"},
    {"datasource", CLI_TEXT, CLI_FIELD(datasource), "UID", "that the rules ask (default: Grafana's)"},
    OPTIONS_DASHBOARD,
    OPTIONS_LIMITS,
    CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};
/* clang-format on */

/* ---- commands ---- */

const struct cli_command cmd_grafana_dashboard = {
    .name = "grafana dashboard",
    .summary = "a dashboard, to be imported",
    .details = "Prints it as Grafana's classic JSON. Its reader picks the data source, which has\n"
               "to be of the type Prometheus, the jobs, the layers and the experiments.\n"
               "Exit: 0 written, 2 bad input, 4 it could not be written.",
    .example = "chaoseater grafana dashboard -o chaoseater.json --panel mine.json",
    .options = dashboard_table,
    .run = dashboard,
};

const struct cli_command cmd_grafana_alerts = {
    .name = "grafana alerts",
    .summary = "alert rules, for Prometheus or Grafana",
    .details = "Prints a rule file of Prometheus, or a file to provision Grafana with: low score,\n"
               "errors, slow recovery, failed, unproven and dirty runs.\n"
               "Exit: 0 written, 2 bad input, 4 it could not be written.",
    .example = "chaoseater grafana alerts --max-recovery 1m -o /etc/prometheus/chaos.rules.yml",
    .options = alerts_table,
    .run = alerts,
};

const struct cli_command cmd_grafana_push = {
    .name = "grafana push",
    .summary = "put both into a Grafana",
    .details = "Makes the folder, and stores the dashboard and the alert rules in it; what an\n"
               "earlier push has stored is replaced. The token's account has to be an editor's.\n"
               "Exit: 0 all is there, 2 bad input, 4 Grafana could not be reached, or refused.",
    .example = "chaoseater grafana push --url http://localhost:3000",
    .options = push_table,
    .run = push,
};
