/* SPDX-License-Identifier: MIT */
/* chaoseater serve [FILE]... */
#include "cli.h"

#include <errno.h>

static void say_ready(void *ctx, const char *text)
{
    const struct cli_args *args = ctx;
    if (args->json) {
        fputs(text, stdout);
    } else {
        json_t *json = json_loads(text, 0, NULL);
        printf("serving at %s\n", json_string_value(json_object_get(json, "url")));
        json_decref(json);
    }
    fflush(stdout); /* whoever waits for this line may read it from a pipe */
}

static int exit_code_of(int r)
{
    switch (r) {
    case 0:
        return CE_EXIT_PASSED;
    case -EINVAL:
    case -EPERM:
        return CE_EXIT_USAGE;
    default:
        return CE_EXIT_FAILED;
    }
}

/* A document that is of no use now may be mended before it is run; one that is not there is a
 * mistake of whoever typed it. */
static int check_documents(const struct cli_args *args, struct ce_error *err)
{
    for (size_t i = 0; i < args->rest.count; i++) {
        struct ce_document *doc = NULL;
        struct ce_error why = {0};
        int r = ce_document_load(args->rest.items[i], &doc, &why);
        ce_document_free(doc);
        if (r == -ENOENT || r == -EACCES || r == -EISDIR) {
            *err = why;
            return CE_EXIT_USAGE;
        }
    }
    return CE_EXIT_PASSED;
}

static int serve(const struct cli_args *args, struct ce_error *err)
{
    struct cli_signals before;
    const struct ce_serve_options options = {
        .state_dir = args->state_dir,
        .db = args->db,
        .listen = args->listen,
        .documents = args->rest.items,
        .document_count = args->rest.count,
        .signal = cli_signals_catch(&before),
        .ready = say_ready,
        .ready_ctx = (void *)args,
    };
    int exit_code = check_documents(args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = exit_code_of(ce_serve_run(&options, err));
    cli_signals_release(&before);
    return exit_code;
}

static const struct cli_option options[] = {
    {"listen", CLI_TEXT, CLI_FIELD(listen), "ADDRESS", "HOST:PORT (default 127.0.0.1:8686)"},
    CLI_OPTION_DB,
    CLI_OPTION_STATE_DIR,
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};

const struct cli_command cmd_serve = {
    .name = "serve",
    .operand = "[FILE]...",
    .any_number = true,
    .summary = "live page, API and /metrics of this state folder",
    .details =
        "Serves a page that shows what runs, and the history, until SIGTERM or SIGINT. The demo\n"
        "and the documents named here may be started from it, and what runs may be ended: with\n"
        "the token that is in the address it prints, and in STATE/serve.token. Reading needs no\n"
        "token on a loopback address.\n"
        "Exit: 0 after a signal, 2 bad input, 4 could not serve.",
    .example = "chaoseater serve nightly.yaml --listen 127.0.0.1:8686",
    .options = options,
    .run = serve,
};
