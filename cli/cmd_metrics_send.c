/* SPDX-License-Identifier: MIT */
/* chaoseater metrics send --gateway URL */
#include "cli.h"

#include <errno.h>

static int send_kept(const struct cli_args *args, struct ce_error *err)
{
    if (!args->gateway)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "metrics send needs to know where to: --gateway URL");
    char *own = args->state_dir ? NULL : ce_state_dir();
    if (!args->state_dir && !own)
        return cli_fail_memory(err);
    size_t left = 0;
    int r = ce_metrics_send_kept(args->gateway, own ? own : args->state_dir, &left, err);
    ce_string_free(own);
    if (r < 0)
        return r == -EINVAL ? CE_EXIT_USAGE : CE_EXIT_FAILED;
    if (args->json)
        return cli_print_json(json_pack("{s:i, s:I}", "sent", r, "left", (json_int_t)left), err);
    printf("%d sent, %zu left\n", r, left);
    return CE_EXIT_PASSED;
}

static const struct cli_option options[] = {
    CLI_OPTION_GATEWAY, CLI_OPTION_STATE_DIR, CLI_OPTION_JSON, CLI_OPTION_HELP, CLI_END_OPTIONS,
};

const struct cli_command cmd_metrics_send = {
    .name = "metrics send",
    .summary = "send what a Pushgateway could not take earlier",
    .details = "What a run could not push is kept in the state folder, and sent with the next run\n"
               "that pushes there; this sends it now.\n"
               "Exit: 0 all of it was taken, 2 bad input, 4 the gateway could not be reached, or\n"
               "refused some of it.",
    .example = "chaoseater metrics send --gateway http://localhost:9091",
    .options = options,
    .run = send_kept,
};
