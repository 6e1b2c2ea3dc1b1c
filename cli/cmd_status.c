/* SPDX-License-Identifier: MIT */
/* chaoseater status */
#include "cli.h"

#include <string.h>

static const char *text_of(const json_t *note, const char *key)
{
    const char *text = json_string_value(json_object_get(note, key));
    return text ? text : "-";
}

static void print_live(const json_t *live)
{
    if (json_array_size(live) == 0) {
        puts("nothing is live");
        return;
    }
    size_t i;
    json_t *note;
    const char *last = "";
    json_array_foreach(live, i, note)
    {
        const char *run = text_of(note, "run");
        if (strcmp(run, last) != 0 && json_is_string(json_object_get(note, "fault")))
            printf("%s: %s on %s\n", run, text_of(note, "fault"), text_of(note, "target"));
        last = run;
    }
    printf("%-32s %-20s %-26s %s\n", "RUN", "UNDONE BY", "SINCE", "OWNER");
    json_array_foreach(live, i, note)
    {
        bool alive = json_is_true(json_object_get(note, "owner_alive"));
        printf("%-32s %-20s %-26s %s\n", text_of(note, "run"), text_of(note, "op"),
               text_of(note, "noted_at"),
               alive ? "running" : "gone: `chaoseater recover` undoes it");
    }
}

static int status(const struct cli_args *args, struct ce_error *err)
{
    char *text;
    if (ce_status_json(args->state_dir, &text, err) < 0)
        return CE_EXIT_FAILED;
    if (args->json)
        return cli_print_json_text(text, err);
    json_t *report = cli_read_json(text, err);
    if (!report)
        return CE_EXIT_FAILED;
    print_live(json_object_get(report, "live"));
    if (json_is_true(json_object_get(report, "stopped")))
        puts("stopped: no run may begin until `chaoseater stop --release`");
    json_decref(report);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_status = {
    .name = "status",
    .summary = "what is live now",
    .details =
        "Lists what running experiments have changed and not yet put back, and what crashed\n"
        "ones have left.",
    .example = "chaoseater status --json",
    .options = options,
    .run = status,
};
