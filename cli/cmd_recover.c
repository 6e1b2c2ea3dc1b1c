/* SPDX-License-Identifier: MIT */
/* chaoseater recover */
#include "cli.h"

static int print_recovery(const struct ce_recovery *recovery, const struct cli_args *args,
                          struct ce_error *err)
{
    if (!args->json) {
        printf("%zu undone, %zu failed, %zu foreign\n", recovery->undone, recovery->failed,
               recovery->foreign);
        return CE_EXIT_PASSED;
    }
    char *text;
    if (ce_status_json(args->state_dir, &text, err) < 0)
        return CE_EXIT_FAILED;
    json_t *status = cli_read_json(text, err);
    if (!status)
        return CE_EXIT_FAILED;
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:O}", "undone", (json_int_t)recovery->undone, "failed",
                  (json_int_t)recovery->failed, "foreign", (json_int_t)recovery->foreign, "live",
                  json_object_get(status, "live"));
    json_decref(status);
    return cli_print_json(json, err);
}

static int recover(const struct cli_args *args, struct ce_error *err)
{
    struct ce_recovery recovery = {0};
    if (ce_recover(args->state_dir, &recovery, err) < 0)
        return recovery.failed > 0 ? CE_EXIT_DIRTY : CE_EXIT_FAILED;
    int exit_code = print_recovery(&recovery, args, err);
    return recovery.failed > 0 ? CE_EXIT_DIRTY : exit_code;
}

static const struct cli_option options[] = {
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_recover = {
    .name = "recover",
    .summary = "undo what a crashed run has left",
    .details =
        "Undoes whatever the journals still call live, after a power cut, say. Safe to call\n"
        "again. What is no longer the thing that was changed is left alone: foreign\n"
        "(a file's old bytes are then kept under journal/kept in the state folder).\n"
        "Exit: 0 nothing is left, 5 something could not be put back.",
    .example = "chaoseater recover",
    .options = options,
    .run = recover,
};
