/* SPDX-License-Identifier: MIT */
/* `chaoseater proxy`: a fault proxy without a run around it. Nothing of it outlives the process, so
 * there is nothing to note in the journal. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/random.h"
#include "chaoseater.h"
#include "faults/chosen.h"
#include "inference/inference.h"
#include "net/tls.h"
#include "net/url.h"
#include "standalone/control.h"

/* ---- what was asked for ---- */

struct wanted {
    char *fault;
    json_t *parameters;
};

struct ce_fault_proxy {
    struct wanted *rules;
    size_t count;
};

int ce_fault_proxy_new(struct ce_fault_proxy **ret_proxy, struct ce_error *err)
{
    struct ce_fault_proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return ce_fail_memory(err);
    *ret_proxy = proxy;
    return 0;
}

void ce_fault_proxy_free(struct ce_fault_proxy *proxy)
{
    if (!proxy)
        return;
    for (size_t i = 0; i < proxy->count; i++) {
        free(proxy->rules[i].fault);
        json_decref(proxy->rules[i].parameters);
    }
    free(proxy->rules);
    free(proxy);
}

int ce_fault_proxy_add(struct ce_fault_proxy *proxy, const char *fault, struct ce_error *err)
{
    struct ce_chosen chosen = {0};
    CE_TRY(ce_chosen_init(fault, &chosen, err)); /* it exists */
    ce_chosen_done(&chosen);
    struct wanted *larger = realloc(proxy->rules, (proxy->count + 1) * sizeof *larger);
    if (!larger)
        return ce_fail_memory(err);
    proxy->rules = larger;
    struct wanted wanted = {.fault = strdup(fault), .parameters = json_object()};
    if (!wanted.fault || !wanted.parameters) {
        free(wanted.fault);
        json_decref(wanted.parameters);
        return ce_fail_memory(err);
    }
    proxy->rules[proxy->count++] = wanted;
    return 0;
}

int ce_fault_proxy_set(struct ce_fault_proxy *proxy, const char *assignment, struct ce_error *err)
{
    ce_autofree char *name = NULL;
    const char *value = NULL;
    CE_TRY(ce_assignment_split(assignment, &name, &value, err));
    if (proxy->count == 0)
        return ce_fail(err, EINVAL, "the parameter '%s' belongs to no fault: name the fault first",
                       name);
    json_t *parameters = proxy->rules[proxy->count - 1].parameters;
    json_t *text = json_string(value);
    if (!text)
        return ce_fail(err, EINVAL, "%s: its value is not UTF-8", name);
    return json_object_set_new(parameters, name, text) < 0 ? ce_fail_memory(err) : 0;
}

/* ---- at work ---- */

struct service {
    const struct ce_fault_proxy_options *options;
    uint64_t seed;
    int64_t drain;
    struct ce_url upstream;
    struct ce_tls *tls; /* the clients'; NULL: none */
    struct ce_proxy *proxy;
    struct ce_route *route;
    struct ce_hits *hits;
    struct ce_rules *rules;
    struct ce_control *control;
};

struct times {
    int64_t upstream_timeout, drain;
};
static const struct ce_param times[] = {
    CE_SECONDS(struct times, upstream_timeout, .min = CE_MILLISECOND, .max = 3600. * CE_SECOND,
               .def = "30s", .doc = "How long the upstream may be silent."),
    CE_SECONDS(struct times, drain, .min = 0, .max = 3600. * CE_SECOND, .def = "10s",
               .doc = "How long requests may go on after the signal."),
    CE_END_PARAMS,
};

static int read_times(const struct ce_fault_proxy_options *options, struct times *ret,
                      struct ce_error *err)
{
    CE_TRY(ce_params_init(times, ret, err));
    if (options->upstream_timeout)
        CE_TRY(ce_param_set(&times[0], ret, options->upstream_timeout, err));
    return options->drain ? ce_param_set(&times[1], ret, options->drain, err) : 0;
}

/* "oip, oip_grpc, ..." */
static void list_protocols(char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < ce_protocol_count() && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 ce_protocol_name(ce_protocol_at(i)));
}

static int find_protocol(const struct ce_fault_proxy_options *options,
                         const struct ce_protocol **ret, struct ce_error *err)
{
    *ret = options->protocol ? ce_protocol_find(options->protocol) : NULL;
    if (options->protocol && !*ret) {
        char names[128];
        list_protocols(names, sizeof names);
        return ce_fail(err, EINVAL, "no protocol is called '%.60s' (there are %s)",
                       options->protocol, names);
    }
    bool json = *ret && strcmp(ce_protocol_name(*ret), "json") == 0;
    if (json != (options->prediction != NULL))
        return ce_fail(err, EINVAL,
                       json ? "protocol json needs the path to the prediction, as in $.score"
                            : "only protocol json takes a path to the prediction");
    return json ? ce_locator_check(options->prediction, err) : 0;
}

static int read_upstream(struct service *service, struct ce_error *err)
{
    const char *text = service->options->upstream;
    CE_TRY(ce_url_parse(text, &service->upstream, err));
    if (service->upstream.prefix[0] != '\0')
        return ce_fail(err, EINVAL,
                       "'%.80s' has a path; requests keep theirs, so an upstream is an address "
                       "alone",
                       text);
    if (service->options->upstream_ca && !service->upstream.tls)
        return ce_fail(err, EINVAL,
                       "only an upstream with TLS is checked against authorities, and '%.80s' is "
                       "no https:// address",
                       text);
    return ce_url_secure(&service->upstream, service->options->upstream_ca, err);
}

static int add_route(struct service *service, struct ce_error *err)
{
    const struct ce_fault_proxy_options *options = service->options;
    struct times durations;
    CE_TRY(read_times(options, &durations, err));
    service->drain = durations.drain;
    struct ce_route_config config = {
        .name = "model",
        .id_header = options->id_header ? options->id_header : "X-Request-Id",
        .no_probes = true,
        .upstream_timeout_ns = durations.upstream_timeout,
        .authorities = options->upstream_ca,
        .mark = options->mark,
    };
    CE_TRY(ce_endpoint_parse(options->listen, &config.listen, err));
    CE_TRY(read_upstream(service, err));
    if (options->tls_cert)
        CE_TRY(ce_tls_server(options->tls_cert, options->tls_key, &service->tls, err));
    config.upstream = service->upstream.endpoint;
    config.http2 = service->upstream.http2;
    config.tls = service->tls;
    CE_TRY(ce_proxy_start(options->threads, &service->proxy, err));
    return ce_proxy_add_route(service->proxy, &config, &service->route, err);
}

static int add_rules(struct service *service, const struct ce_fault_proxy *proxy,
                     struct ce_error *err)
{
    const struct ce_fault_proxy_options *options = service->options;
    struct ce_target target = {
        .name = "the proxy",
        .dataset = options->stats,
        .request_route = service->route,
        .model_route = service->route,
        .hits = service->hits,
        .locator = options->prediction,
    };
    CE_TRY(find_protocol(options, &target.protocol, err));
    CE_TRY(ce_rules_new(&target, service->seed, &service->rules, err));
    for (size_t i = 0; i < proxy->count; i++) {
        const char *id;
        CE_TRY(ce_rules_add(service->rules, NULL, proxy->rules[i].fault, proxy->rules[i].parameters,
                            &id, err));
    }
    return 0;
}

static int start_control(struct service *service, struct ce_error *err)
{
    const struct ce_control_config config = {
        .listen = service->options->control,
        .rules = service->rules,
        .hits = service->hits,
        .route = service->route,
    };
    return config.listen ? ce_control_start(&config, &service->control, err) : 0;
}

static void say_ready(const struct service *service, json_t *rules)
{
    const struct ce_fault_proxy_options *options = service->options;
    char listen[160], control[160];
    if (!options->ready)
        return;
    ce_endpoint_text(ce_route_endpoint(service->route), listen, sizeof listen);
    if (service->control)
        ce_endpoint_text(ce_control_endpoint(service->control), control, sizeof control);
    ce_autojson json_t *json = json_pack(
        "{s:s, s:s, s:s?, s:I, s:O}", "listen", listen, "upstream", options->upstream, "control",
        service->control ? control : NULL, "seed", (json_int_t)service->seed, "rules", rules);
    ce_autofree char *text = json ? ce_json_text(json) : NULL;
    if (text)
        options->ready(options->ready_ctx, text);
}

static void wait_for_signal(const struct service *service)
{
    /* A signal that comes between the look and the sleep is seen at the next look. */
    const struct timespec look = {.tv_nsec = 50 * CE_MILLISECOND};
    while (*service->options->signal == 0)
        (void)nanosleep(&look, NULL);
}

static char *describe_end(const struct service *service, bool drained)
{
    struct ce_route_counts counts;
    ce_route_count(service->route, &counts);
    bool hits_lost = ce_hits_problem(service->hits, NULL) < 0;
    ce_autojson json_t *json =
        json_pack("{s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o}", "seed",
                  (json_int_t)service->seed, "drained", drained, "hits_lost", hits_lost, "requests",
                  (json_int_t)counts.requests, "responses", (json_int_t)counts.responses, "errors",
                  (json_int_t)counts.errors, "connections", (json_int_t)counts.connections,
                  "refused", (json_int_t)counts.refused, "rules", ce_rules_json(service->rules));
    return json ? ce_json_text(json) : NULL;
}

static int serve(struct service *service, const struct ce_fault_proxy *proxy, char **ret_json,
                 struct ce_error *err)
{
    const struct ce_fault_proxy_options *options = service->options;
    CE_TRY(ce_hits_new(options->hits, &service->hits, err));
    CE_TRY(add_route(service, err));
    CE_TRY(add_rules(service, proxy, err));
    /* Once there is a control API the rules are its thread's. */
    ce_autojson json_t *rules = ce_rules_json(service->rules);
    CE_TRY(start_control(service, err));
    say_ready(service, rules);
    wait_for_signal(service);
    /* Faults stay for what is under way: it is answered as it would have been. */
    bool drained = ce_proxy_drain(service->proxy, service->drain) == 0;
    ce_control_stop(ce_take(service->control));
    if (ret_json && !(*ret_json = describe_end(service, drained)))
        return ce_fail_memory(err);
    return 0;
}

int ce_fault_proxy_run(const struct ce_fault_proxy *proxy,
                       const struct ce_fault_proxy_options *options, char **ret_json,
                       struct ce_error *err)
{
    struct service service = {
        .options = options,
        .seed = options->has_seed ? options->seed : ce_random_seed() & INT64_MAX,
    };
    int r = serve(&service, proxy, ret_json, err);
    ce_control_stop(service.control);
    ce_rules_free(service.rules);
    ce_proxy_stop(service.proxy);
    ce_hits_free(service.hits);
    ce_tls_release(service.tls);
    ce_url_done(&service.upstream);
    return r;
}
