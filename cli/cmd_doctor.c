/* SPDX-License-Identifier: MIT */
/* chaoseater doctor */
#include "cli.h"

#include <string.h>

enum { NAME_WIDTH = 24 };

static const char *text_of(const json_t *check, const char *key)
{
    const char *text = json_string_value(json_object_get(check, key));
    return text ? text : "";
}

static void print_check(const json_t *check, bool color)
{
    bool ok = json_is_true(json_object_get(check, "ok"));
    const char *needed_by = text_of(check, "needed_by");
    printf("%s%-3s%s ", color ? (ok ? "\033[32m" : "\033[33m") : "", ok ? "ok" : "no",
           color ? "\033[0m" : "");
    int column = 4 + printf("%-*s ", NAME_WIDTH, text_of(check, "name"));
    char text[1024];
    bool missed = !ok && needed_by[0] != '\0';
    snprintf(text, sizeof text, "%s%s%s%s", text_of(check, "detail"), missed ? " (needed by " : "",
             missed ? needed_by : "", missed ? ")" : "");
    cli_print_wrapped(stdout, text, column, 4 + NAME_WIDTH + 1);
}

static int doctor(const struct cli_args *args, struct ce_error *err)
{
    if (args->json)
        return cli_print_json_text(ce_doctor_json(), err);
    json_t *report = cli_read_json(ce_doctor_json(), err);
    if (!report)
        return CE_EXIT_FAILED;
    size_t i;
    json_t *check;
    bool color = cli_wants_color(stdout);
    json_array_foreach(json_object_get(report, "checks"), i, check) print_check(check, color);
    json_decref(report);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS};

const struct cli_command cmd_doctor = {
    .name = "doctor",
    .summary = "what this host can and cannot do, and why",
    .details =
        "Looks at what the faults and the embedded pipeline need of this host. Exits 0 whatever\n"
        "it finds: a missing ability narrows what can be run, it is no error.",
    .example = "chaoseater doctor",
    .options = options,
    .run = doctor,
};
