/* SPDX-License-Identifier: MIT */
/* chaoseater proxy --listen A --upstream B [--fault NAME --param k=v]... */
#include "cli.h"

#include <errno.h>
#include <string.h>

/* ---- what it tells ---- */

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void say_ready(void *ctx, const char *text)
{
    const struct cli_args *args = ctx;
    json_t *json = json_loads(text, 0, NULL);
    const char *control = text_of(json, "control");
    FILE *out = args->json ? stderr : stdout;
    fprintf(out, "listening on %s, in front of %s, seed %lld\n", text_of(json, "listen"),
            text_of(json, "upstream"),
            (long long)json_integer_value(json_object_get(json, "seed")));
    if (control)
        fprintf(out, "control API on http://%s/rules\n", control);
    size_t i;
    json_t *rule;
    json_array_foreach(json_object_get(json, "rules"), i, rule)
        fprintf(out, "rule %s: %s\n", text_of(rule, "id"), text_of(rule, "fault"));
    fflush(out); /* whoever waits for this line may read it from a pipe */
    json_decref(json);
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_counts(const json_t *json)
{
    printf("%lld requests on %lld connections, %lld errors\n",
           (long long)number_of(json, "requests"), (long long)number_of(json, "connections"),
           (long long)number_of(json, "errors"));
    size_t i;
    json_t *rule;
    if (json_array_size(json_object_get(json, "rules")) > 0)
        printf("%-30s %12s %12s %12s\n", "RULE", "ELIGIBLE", "SELECTED", "CHANGED");
    json_array_foreach(json_object_get(json, "rules"), i, rule) printf(
        "%-30s %12lld %12lld %12lld\n", text_of(rule, "id"), (long long)number_of(rule, "eligible"),
        (long long)number_of(rule, "selected"), (long long)number_of(rule, "changed"));
}

/* Hits that were asked for and are missing make it a failure; what was counted is told all the
 * same. */
static int print_end(const struct cli_args *args, char *text, struct ce_error *err)
{
    json_t *json = json_loads(text, 0, NULL);
    bool lost = json_is_true(json_object_get(json, "hits_lost"));
    if (json_is_false(json_object_get(json, "drained")))
        fputs("chaoseater: the time to drain is over: requests under way were cut off\n", stderr);
    if (lost)
        fprintf(stderr, "chaoseater: '%s' could not be written: hits are missing in it\n",
                args->hits);
    int exit_code = CE_EXIT_PASSED;
    if (args->json) {
        exit_code = cli_print_json_text(text, err);
    } else {
        print_counts(json);
        ce_string_free(text);
    }
    json_decref(json);
    return lost ? CE_EXIT_FAILED : exit_code;
}

/* ---- running it ---- */

static int exit_code_of(int r)
{
    switch (-r) {
    case EINVAL:
    case ENOENT:
    case ERANGE:
    case ENOTSUP:
    case EEXIST:
        return CE_EXIT_USAGE;
    default:
        return CE_EXIT_FAILED;
    }
}

/* That descriptors ran out, say: whoever watches the proxy wants to know at once. */
static void say_aside(void *ctx, const char *message)
{
    fprintf(stderr, "chaoseater: %s\n", message);
}

static int serve(const struct ce_fault_proxy *proxy, const struct cli_args *args,
                 struct ce_error *err)
{
    struct cli_signals before;
    struct ce_fault_proxy_options options = {
        .listen = args->listen,
        .upstream = args->upstream,
        .control = args->control,
        .protocol = args->protocol,
        .prediction = args->prediction,
        .tls_cert = args->tls_cert,
        .tls_key = args->tls_key,
        .upstream_ca = args->upstream_ca,
        .hits = args->hits,
        .stats = args->stats,
        .id_header = args->id_header,
        .upstream_timeout = args->upstream_timeout,
        .drain = args->drain,
        .threads = (unsigned)args->threads,
        .mark = args->mark,
        .has_seed = args->seed.given,
        .seed = args->seed.value,
        .signal = cli_signals_catch(&before),
        .ready = say_ready,
        .ready_ctx = (void *)args,
    };
    char *text = NULL;
    ce_log_to(say_aside, NULL);
    int r = ce_fault_proxy_run(proxy, &options, &text, err);
    cli_signals_release(&before);
    return r < 0 ? exit_code_of(r) : print_end(args, text, err);
}

static int fill(struct ce_fault_proxy *proxy, const struct cli_args *args, struct ce_error *err)
{
    for (size_t i = 0; i < args->faults.count; i++) {
        const struct cli_fault *fault = &args->faults.items[i];
        if (ce_fault_proxy_add(proxy, fault->name, err) < 0)
            return CE_EXIT_USAGE;
        for (size_t k = 0; k < fault->params.count; k++)
            if (ce_fault_proxy_set(proxy, fault->params.items[k], err) < 0)
                return CE_EXIT_USAGE;
    }
    return CE_EXIT_PASSED;
}

static int run(const struct cli_args *args, struct ce_error *err)
{
    struct ce_fault_proxy *proxy = NULL;
    if (!args->listen || !args->upstream)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "proxy needs to know where to listen and whom to ask: --listen "
                        "127.0.0.1:9000 --upstream 127.0.0.1:8080");
    if (!args->tls_cert != !args->tls_key)
        return cli_fail(err, CE_EXIT_USAGE, EINVAL,
                        "--tls-cert and --tls-key go together: one of them is missing");
    if (ce_fault_proxy_new(&proxy, err) < 0)
        return CE_EXIT_FAILED;
    int exit_code = fill(proxy, args, err);
    if (exit_code == CE_EXIT_PASSED)
        exit_code = serve(proxy, args, err);
    ce_fault_proxy_free(proxy);
    return exit_code;
}

/* clang-format off */
static const struct cli_option options[] = {
    {"listen", CLI_TEXT, CLI_FIELD(listen), "ADDRESS", "where clients connect to; port 0: any",
     .both = "clients connect there; the server, also https://, h2c://"},
    {"upstream", CLI_TEXT, CLI_FIELD(upstream), "ADDRESS", "the model server; also https:// or h2c:// (gRPC)"},
    {"fault", CLI_FAULT, CLI_FIELD(faults), "NAME", "a fault on traffic (repeatable: each is a rule)",
     .both = "a rule, and its parameters (both repeatable)"},
    {"param", CLI_PARAM, CLI_FIELD(faults), "KEY=VALUE", "a parameter of the --fault before it (repeatable)"},
    {"control", CLI_TEXT, CLI_FIELD(control), "ADDRESS", "control API: rules come and go under traffic"},
    {"protocol", CLI_TEXT, CLI_FIELD(protocol), "NAME", "instead of being told by the path of each request",
     .both = "if paths do not tell; json: as in $.score"},
    {"prediction", CLI_TEXT, CLI_FIELD(prediction), "PATH", "of protocol json: where it stands, as in $.score"},
    {"hits", CLI_TEXT, CLI_FIELD(hits), "FILE", "a line of JSON for each hit: what was done to which request"},
    {"mark", CLI_FLAG, CLI_FIELD(mark), NULL, "add X-Chaos-Fault: NAME where a rule did something"},
    {"seed", CLI_SEED, CLI_FIELD(seed), "N", "fixes which requests are hit",
     .both = "fix which are hit; ids: X-Request-Id"},
    {"id-header", CLI_TEXT, CLI_FIELD(id_header), "NAME", "names a request, for the seed (X-Request-Id)"},
    {"stats", CLI_TEXT, CLI_FIELD(stats), "FILE", "dataset whose statistics data faults need"},
    {"tls-cert", CLI_TEXT, CLI_FIELD(tls_cert), "FILE", "clients speak TLS: certificate chain, PEM",
     .both = "clients speak TLS: chain and key, PEM"},
    {"tls-key", CLI_TEXT, CLI_FIELD(tls_key), "FILE", "its private key, PEM"},
    {"upstream-ca", CLI_TEXT, CLI_FIELD(upstream_ca), "FILE", "what an https upstream is checked against, PEM"},
    {"upstream-timeout", CLI_TEXT, CLI_FIELD(upstream_timeout), "TIME", "silence of the upstream until 504 (30s)",
     .both = "silence until 504 (30s); after SIGTERM (10s)"},
    {"drain", CLI_TEXT, CLI_FIELD(drain), "TIME", "for requests under way after SIGTERM or SIGINT (10s)"},
    {"threads", CLI_COUNT, CLI_FIELD(threads), "N", "0: as many as there are processors"},
    CLI_OPTION_JSON,
    CLI_OPTION_HELP,
    CLI_END_OPTIONS,
};
/* clang-format on */

const struct cli_command cmd_proxy = {
    .name = "proxy",
    .summary = "faults on live traffic to a model server, until SIGTERM",
    .details =
        "Does to chosen requests what its rules say; all others pass byte for byte. An ADDRESS is\n"
        "HOST:PORT, [V6]:PORT or unix:/PATH. Exit: 0 ended by a signal, 2 bad input, 4 cannot "
        "serve.",
    .example = "chaoseater proxy --listen 127.0.0.1:9000 --upstream 127.0.0.1:8080 --fault "
               "model_unavailable",
    .options = options,
    .run = run,
};
