/* SPDX-License-Identifier: MIT */
/* chaoseater stop */
#include "cli.h"

#include <time.h>

/* How many things are live; negative: `err` says why that cannot be told. */
static int count_live(const struct cli_args *args, struct ce_error *err)
{
    char *text;
    if (ce_status_json(args->state_dir, &text, err) < 0)
        return -1;
    json_t *status = cli_read_json(text, err);
    if (!status)
        return -1;
    int live = (int)json_array_size(json_object_get(status, "live"));
    json_decref(status);
    return live;
}

/* Runs that go on undo what they did; what crashed ones have left is undone here. */
static int wait_until_undone(const struct cli_args *args, int *ret_live, struct ce_error *err)
{
    enum { SECONDS = 60, LOOKS = 20 };
    const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS};
    int live = count_live(args, err);
    for (int i = 0; live > 0 && i < SECONDS * LOOKS; i++) {
        struct ce_recovery recovery = {0};
        (void)ce_recover(args->state_dir, &recovery, NULL);
        (void)nanosleep(&pause, NULL);
        live = count_live(args, err);
    }
    *ret_live = live;
    return live < 0 ? CE_EXIT_FAILED : live > 0 ? CE_EXIT_DIRTY : CE_EXIT_PASSED;
}

static int stop(const struct cli_args *args, struct ce_error *err)
{
    int live = 0, r = ce_stop(args->state_dir, args->release, err);
    if (r < 0)
        return CE_EXIT_FAILED;
    int exit_code = args->release ? CE_EXIT_PASSED : wait_until_undone(args, &live, err);
    if (exit_code == CE_EXIT_FAILED)
        return exit_code;
    if (args->json) {
        int printed =
            cli_print_json(json_pack("{s:b, s:i}", "stopped", !args->release, "live", live), err);
        return printed == CE_EXIT_PASSED ? exit_code : printed;
    }
    if (args->release)
        puts(r > 0 ? "released: runs may be started again" : "it was not engaged");
    else if (live > 0)
        printf("stopped, but %d of what runs had changed is still live; see `chaoseater status`\n",
               live);
    else
        puts("stopped: nothing is live, and nothing is started before `chaoseater stop --release`");
    return exit_code;
}

static const struct cli_option options[] = {
    {"release", CLI_FLAG, CLI_FIELD(release), NULL, "let runs be started again"},
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_stop = {
    .name = "stop",
    .summary = "end every run at once, and refuse new ones",
    .details =
        "Every run of this state folder is undone and ends (exit 3); new ones are refused\n"
        "until --release. Returns when nothing is live any more. Making the file STATE/stop\n"
        "does the same.\n"
        "Exit: 0 nothing is live, 5 something still is after a minute.",
    .example = "chaoseater stop && chaoseater stop --release",
    .options = options,
    .run = stop,
};
