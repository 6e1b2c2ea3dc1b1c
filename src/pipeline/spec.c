/* SPDX-License-Identifier: MIT */
/* The rules between keys stand in tables, from which both the checks and the JSON Schema are made.
 */
#include "pipeline/spec.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "net/url.h"

/* ---- the keys ---- */

static const struct ce_choice kinds[] = {
    {"embedded", CE_PIPELINE_EMBEDDED, "a small pipeline that ChaosEater carries"},
    {"http", CE_PIPELINE_HTTP, "a model server of yours, asked over HTTP"},
    {.name = "command", .later = true},
    {NULL, 0, NULL},
};
static const struct ce_choice profiles[] = {
    {"naive", CE_PROFILE_NAIVE, "no validation, no retry; a crashed server stays down"},
    {"hardened", CE_PROFILE_HARDENED,
     "validates and imputes, retries with timeouts, falls back to an older model, restarts a "
     "crashed server"},
    {NULL, 0, NULL},
};
static const struct ce_choice protocols[] = {
    {"auto", CE_SPEAKS_AUTO, "the server is asked"},
    {"oip", CE_SPEAKS_OIP, "Open Inference Protocol v2, REST"},
    {"oip_grpc", CE_SPEAKS_OIP_GRPC, "Open Inference Protocol v2, gRPC"},
    {"kserve_v1", CE_SPEAKS_KSERVE_V1, "KServe v1 and TensorFlow Serving, REST"},
    {"mlflow", CE_SPEAKS_MLFLOW, "/invocations of MLflow"},
    {"torchserve", CE_SPEAKS_TORCHSERVE, "/predictions/MODEL of TorchServe"},
    {"json", CE_SPEAKS_JSON, "any other JSON, by `request` and `prediction`"},
    {.name = "openai", .later = true},
    {.name = "ollama", .later = true},
    {NULL, 0, NULL},
};
static const struct ce_choice tasks[] = {
    {"classification", CE_TASK_CLASSIFICATION, "a prediction is a class, or a score of one"},
    {"regression", CE_TASK_REGRESSION, "a prediction is a number"},
    {NULL, 0, NULL},
};

#define KEY(field, row, ...) row(struct ce_pipeline_spec, field, __VA_ARGS__)
const struct ce_param ce_pipeline_params[] = {
    KEY(kind, CE_CHOICE, .choices = kinds, .def = "embedded",
        .doc = "Which pipeline is put under test."),
    KEY(rate, CE_NUMBER, .min = 1, .max = 10000, .def = "50", .unit = "per second",
        .doc = "Operations that the workload starts every second."),
    KEY(timeout, CE_SECONDS, .min = (double)CE_MILLISECOND, .max = 600 * (double)CE_SECOND,
        .def = "2s", .doc = "An operation that takes longer has failed."),
    KEY(profile, CE_CHOICE, .choices = profiles, .def = "naive",
        .doc = "How well the embedded pipeline defends itself."),
    KEY(rows, CE_INTEGER, .min = 200, .max = 1000000, .def = "4000", .unit = "rows",
        .doc = "Size of the dataset that is generated for training."),
    KEY(dataset_seed, CE_INTEGER, .min = 0, .max = 9007199254740991.0, .def = "1",
        .doc = "Seed of that dataset."),
    KEY(url, CE_TEXT, .def = "",
        .doc = "Where the model server listens: http://host:port/prefix, h2c://host:port (gRPC) or "
               "unix:/path."),
    KEY(ca, CE_TEXT, .def = "",
        .doc = "PEM file of the authorities that are trusted; left out, the system's."),
    KEY(protocol, CE_CHOICE, .choices = protocols, .def = "auto", .doc = "What it speaks."),
    KEY(model, CE_TEXT, .def = "", .doc = "The model that is asked."),
    KEY(version, CE_TEXT, .def = "", .doc = "Its version; left out, the server chooses."),
    KEY(dataset, CE_TEXT, .def = "",
        .doc = "Labelled rows that requests are made of: CSV or JSON lines, relative to the "
               "document."),
    KEY(label, CE_TEXT, .def = "", .doc = "The column that says what is right."),
    KEY(task, CE_CHOICE, .choices = tasks, .def = "classification", .doc = "What is predicted."),
    KEY(threshold, CE_RATE, .def = "0.5",
        .doc = "A score of at least that is the second class, a lower one the first."),
    KEY(labels, CE_NAMES, .def = "",
        .doc = "The classes in the server's order, where it answers with their numbers or scores."),
    KEY(tolerance, CE_NUMBER, .min = 0, .max = 1000, .def = "0.1",
        .doc = "Regression: how far off a prediction may be and still be right, relative to the "
               "label."),
    KEY(request, CE_TEXT, .def = "",
        .doc = "Body of a request, with {{column}} where a row's values go."),
    KEY(prediction, CE_TEXT, .def = "",
        .doc = "Path to the prediction in an answer, such as $.result[0].score."),
    KEY(health, CE_TEXT, .def = "", .doc = "Path that answers 2xx when the server is ready."),
    KEY(command, CE_NAMES, .def = "",
        .doc = "Starts the server: a line for sh, or a program and its arguments."),
    KEY(workdir, CE_TEXT, .def = "", .doc = "Where the command runs; the document's folder."),
    KEY(env, CE_NAMES, .def = "", .doc = "What the command's environment has besides: NAME=value."),
    KEY(start_timeout, CE_SECONDS, .min = (double)CE_SECOND, .max = 3600 * (double)CE_SECOND,
        .def = "60s", .doc = "How long the command may take until the server is ready."),
    CE_END_PARAMS,
};

const char *ce_pipeline_kind_name(int kind)
{
    return kinds[kind].name;
}

const char *ce_profile_kind_name(enum ce_profile_kind kind)
{
    return profiles[kind].name;
}

const char *ce_pipeline_speaks_name(int protocol)
{
    return protocols[protocol].name;
}

/* ---- the rules ---- */

#define EVERY_KIND (-1)

static const struct belongs {
    const char *key;
    int kind;
    bool required;
} belongings[] = {
    {"kind", EVERY_KIND, false},
    {"rate", EVERY_KIND, false},
    {"timeout", EVERY_KIND, false},
    {"profile", CE_PIPELINE_EMBEDDED, false},
    {"rows", CE_PIPELINE_EMBEDDED, false},
    {"dataset_seed", CE_PIPELINE_EMBEDDED, false},
    {"url", CE_PIPELINE_HTTP, true},
    {"ca", CE_PIPELINE_HTTP, false},
    {"protocol", CE_PIPELINE_HTTP, false},
    {"model", CE_PIPELINE_HTTP, false},
    {"version", CE_PIPELINE_HTTP, false},
    {"dataset", CE_PIPELINE_HTTP, true},
    {"label", CE_PIPELINE_HTTP, true},
    {"task", CE_PIPELINE_HTTP, false},
    {"threshold", CE_PIPELINE_HTTP, false},
    {"labels", CE_PIPELINE_HTTP, false},
    {"tolerance", CE_PIPELINE_HTTP, false},
    {"request", CE_PIPELINE_HTTP, false},
    {"prediction", CE_PIPELINE_HTTP, false},
    {"health", CE_PIPELINE_HTTP, false},
    {"command", CE_PIPELINE_HTTP, false},
    {"workdir", CE_PIPELINE_HTTP, false},
    {"env", CE_PIPELINE_HTTP, false},
    {"start_timeout", CE_PIPELINE_HTTP, false},
};

/* `key` makes sense only where `other` is given (value NULL), or has that value. */
static const struct dependency {
    const char *key, *other, *value;
} dependencies[] = {
    {"threshold", "task", "classification"},
    {"labels", "task", "classification"},
    {"tolerance", "task", "regression"},
    {"prediction", "protocol", "json"},
    {"workdir", "command", NULL},
    {"env", "command", NULL},
    {"start_timeout", "command", NULL},
};

/* Where `other` has that value, `key` is required. */
static const struct dependency demands[] = {
    {"request", "protocol", "json"},
    {"prediction", "protocol", "json"},
};

static const char *choice_of(const struct ce_pipeline_spec *spec, const char *key)
{
    const struct ce_param *param = ce_param_find(ce_pipeline_params, key);
    int value = *(const int *)((const char *)spec + param->offset);
    const struct ce_choice *choice = param->choices;
    while (choice->later || choice->value != value)
        choice++;
    return choice->name;
}

/* ---- checking ---- */

struct keys {
    const struct ce_pipeline_spec *spec;
    bool (*is_given)(void *ctx, const char *key);
    void *ctx;
    const char *at; /* the key that is looked at */
};

static bool is_given(const struct keys *keys, const char *key)
{
    return keys->is_given(keys->ctx, key);
}

static int check_kind(struct keys *keys, struct ce_error *err)
{
    const char *kind = choice_of(keys->spec, "kind");
    for (size_t i = 0; i < CE_COUNT(belongings); i++) {
        const struct belongs *b = &belongings[i];
        if (b->kind == EVERY_KIND || b->kind == keys->spec->kind || !is_given(keys, b->key))
            continue;
        keys->at = b->key;
        return ce_fail(err, EINVAL, "%s: belongs to kind %s, and this pipeline is of kind %s",
                       b->key, ce_pipeline_kind_name(b->kind), kind);
    }
    for (size_t i = 0; i < CE_COUNT(belongings); i++) {
        const struct belongs *b = &belongings[i];
        if (b->kind == keys->spec->kind && b->required && !is_given(keys, b->key))
            return ce_fail(err, EINVAL,
                           "the key '%s' of pipeline is missing: kind %s needs it (url, dataset "
                           "and label)",
                           b->key, kind);
    }
    return 0;
}

static int check_dependencies(struct keys *keys, struct ce_error *err)
{
    for (size_t i = 0; i < CE_COUNT(dependencies); i++) {
        const struct dependency *d = &dependencies[i];
        if (!is_given(keys, d->key))
            continue;
        keys->at = d->key;
        if (!d->value && !is_given(keys, d->other))
            return ce_fail(err, EINVAL, "%s: makes sense only with the key '%s'", d->key, d->other);
        if (d->value && strcmp(choice_of(keys->spec, d->other), d->value) != 0)
            return ce_fail(err, EINVAL, "%s: makes sense only with %s: %s, and it is %s", d->key,
                           d->other, d->value, choice_of(keys->spec, d->other));
    }
    keys->at = NULL;
    for (size_t i = 0; i < CE_COUNT(demands); i++) {
        const struct dependency *d = &demands[i];
        if (strcmp(choice_of(keys->spec, d->other), d->value) == 0 && !is_given(keys, d->key))
            return ce_fail(err, EINVAL,
                           "the key '%s' of pipeline is missing: %s: %s needs it (request and "
                           "prediction)",
                           d->key, d->other, d->value);
    }
    return 0;
}

static int check_path(struct keys *keys, const char *key, const char *path, struct ce_error *err)
{
    if (!path)
        return 0;
    keys->at = key;
    for (const char *p = path; *p != '\0'; p++)
        if (*p <= ' ' || *p == 0x7f || *p == '#')
            return ce_fail(err, EINVAL, "%s: '%.60s' is not a path such as /health", key, path);
    return path[0] == '/'
               ? 0
               : ce_fail(err, EINVAL, "%s: '%.60s' does not begin with a slash", key, path);
}

static int check_env(struct keys *keys, struct ce_error *err)
{
    const struct ce_names *env = &keys->spec->env;
    keys->at = "env";
    for (size_t i = 0; i < env->count; i++) {
        const char *equals = strchr(env->names[i], '=');
        if (!equals || equals == env->names[i])
            return ce_fail(err, EINVAL, "env: '%.60s' is not of the form NAME=value",
                           env->names[i]);
    }
    return 0;
}

static int check_url(struct keys *keys, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = keys->spec;
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    keys->at = "url";
    int r = ce_url_parse(spec->url, &url, err);
    if (r < 0)
        return ce_fail_context(err, r, "url");
    if (spec->ca && !url.tls) {
        keys->at = "ca";
        return ce_fail(err, EINVAL, "ca: makes sense only with a url of the form https://host");
    }
    bool grpc = spec->protocol == CE_SPEAKS_OIP_GRPC;
    if (!url.tls && url.http2 != grpc && !(url.http2 && spec->protocol == CE_SPEAKS_AUTO)) {
        keys->at = "protocol";
        return ce_fail(err, EINVAL,
                       grpc ? "protocol: oip_grpc needs a url of the form h2c://host:port or "
                              "https://host:port"
                            : "protocol: what is asked at h2c://host:port is oip_grpc");
    }
    if ((url.http2 || grpc) && spec->health) {
        keys->at = "health";
        return ce_fail(err, EINVAL, "health: is asked over HTTP/1.1, which '%.80s' is not for",
                       spec->url);
    }
    return 0;
}

static int check_http(struct keys *keys, struct ce_error *err)
{
    CE_TRY(check_dependencies(keys, err));
    CE_TRY(check_url(keys, err));
    CE_TRY(check_path(keys, "health", keys->spec->health, err));
    CE_TRY(check_env(keys, err));
    if (keys->spec->command.count == 0 && is_given(keys, "command")) {
        keys->at = "command";
        return ce_fail(err, EINVAL,
                       "command: is empty; leave it out for a server that runs already");
    }
    if (keys->spec->labels.count == 1) {
        keys->at = "labels";
        return ce_fail(err, EINVAL, "labels: one class alone leaves nothing to predict");
    }
    return 0;
}

int ce_pipeline_keys_check(const struct ce_pipeline_spec *spec,
                           bool (*is_given_fn)(void *ctx, const char *key), void *ctx,
                           const char **ret_key, struct ce_error *err)
{
    struct keys keys = {.spec = spec, .is_given = is_given_fn, .ctx = ctx};
    int r = check_kind(&keys, err);
    if (r == 0 && spec->kind == CE_PIPELINE_HTTP)
        r = check_http(&keys, err);
    if (r < 0)
        *ret_key = keys.at;
    return r;
}

/* ---- JSON Schema: a key that is null was not given ---- */

static json_t *given(const char *key)
{
    return json_pack("{s:{s:{s:{s:s}}}, s:[s]}", "properties", key, "not", "type", "null",
                     "required", key);
}

static json_t *absent(const char *key)
{
    return json_pack("{s:{s:{s:s}}}", "properties", key, "type", "null");
}

static json_t *has_value(const char *key, const char *value)
{
    ce_autojson json_t *schema = json_pack("{s:{s:{s:s}}}", "properties", key, "const", value);
    bool by_default = strcmp(ce_param_find(ce_pipeline_params, key)->def, value) == 0;
    if (!schema ||
        (!by_default && json_object_set_new(schema, "required", json_pack("[s]", key)) < 0))
        return NULL;
    return ce_take(schema);
}

/* Steals all of them. */
static json_t *if_then(json_t *condition, json_t *then)
{
    return json_pack("{s:o, s:o}", "if", condition, "then", then);
}

static json_t *kind_rule(int kind)
{
    ce_autojson json_t *all = json_array();
    for (size_t i = 0; i < CE_COUNT(belongings); i++) {
        const struct belongs *b = &belongings[i];
        if (b->kind == EVERY_KIND || (b->kind == kind && !b->required))
            continue;
        if (json_array_append_new(all, b->kind == kind ? given(b->key) : absent(b->key)) < 0)
            return NULL;
    }
    return if_then(has_value("kind", ce_pipeline_kind_name(kind)),
                   json_pack("{s:O}", "allOf", all));
}

static json_t *rules(void)
{
    ce_autojson json_t *all = json_array();
    for (int kind = CE_PIPELINE_EMBEDDED; kind <= CE_PIPELINE_HTTP; kind++)
        if (json_array_append_new(all, kind_rule(kind)) < 0)
            return NULL;
    for (size_t i = 0; i < CE_COUNT(dependencies); i++) {
        const struct dependency *d = &dependencies[i];
        json_t *then = d->value ? has_value(d->other, d->value) : given(d->other);
        if (json_array_append_new(all, if_then(given(d->key), then)) < 0)
            return NULL;
    }
    for (size_t i = 0; i < CE_COUNT(demands); i++) {
        const struct dependency *d = &demands[i];
        if (json_array_append_new(all, if_then(has_value(d->other, d->value), given(d->key))) < 0)
            return NULL;
    }
    return ce_take(all);
}

json_t *ce_pipeline_schema(void)
{
    ce_autojson json_t *schema = ce_params_schema(ce_pipeline_params);
    if (!schema || json_object_set_new(schema, "allOf", rules()) < 0)
        return NULL;
    return ce_take(schema);
}
