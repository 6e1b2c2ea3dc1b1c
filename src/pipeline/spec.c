/* SPDX-License-Identifier: MIT */
/* The rules between keys stand in tables, from which both the checks and the JSON Schema are made.
 */
#include "pipeline/spec.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "net/url.h"

/* Of one trial, unless the document says otherwise. */
static const int64_t trial_timeout = 600 * CE_SECOND;

/* ---- the keys ---- */

static const struct ce_choice kinds[] = {
    {"embedded", CE_PIPELINE_EMBEDDED, "a small pipeline that ChaosEater carries"},
    {"http", CE_PIPELINE_HTTP, "a model server of yours, asked over HTTP"},
    {"command", CE_PIPELINE_COMMAND, "a batch job of yours, run as trials"},
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

static const struct ce_choice isolations[] = {
    {"auto", CE_ISOLATE_AUTO,
     "a batch job: in namespaces, as far as this host allows; a server: none"},
    {"namespaces", CE_ISOLATE_NAMESPACES,
     "with mounts and pids of its own, and a user namespace where you are not root, or not at all"},
    {"none", CE_ISOLATE_NONE, "plain processes"},
    {NULL, 0, NULL},
};
static const struct ce_choice networks[] = {
    {"shared", CE_NETWORK_SHARED, "the host's"},
    {"private", CE_NETWORK_PRIVATE, "one of its own, with nothing but a loopback device"},
    {NULL, 0, NULL},
};

#define KEY(field, row, ...) row(struct ce_pipeline_spec, field, __VA_ARGS__)
const struct ce_param ce_pipeline_params[] = {
    KEY(kind, CE_CHOICE, .choices = kinds, .def = "embedded",
        .doc = "Which pipeline is put under test."),
    KEY(rate, CE_NUMBER, .min = 1, .max = 10000, .def = "50", .unit = "per second",
        .doc = "Operations that the workload starts every second."),
    KEY(timeout, CE_SECONDS, .min = (double)CE_MILLISECOND, .max = 86400 * (double)CE_SECOND,
        .def = "2s",
        .doc = "An operation that takes longer has failed; for a trial of a batch job the default "
               "is 10m."),
    KEY(profile, CE_CHOICE, .choices = profiles, .def = "naive",
        .doc = "How well the embedded pipeline defends itself."),
    KEY(rows, CE_INTEGER, .min = 200, .max = 1000000, .def = "4000", .unit = "rows",
        .doc = "Size of the dataset that is generated for training."),
    KEY(dataset_seed, CE_INTEGER, .min = 0, .max = 9007199254740991.0, .def = "1",
        .doc = "Seed of that dataset."),
    KEY(inference_time, CE_SECONDS, .min = 0, .max = (double)CE_SECOND, .def = "1ms",
        .doc = "Processor time that its server spends on each request, as a larger model would."),
    KEY(url, CE_TEXT, .def = "",
        .doc = "Where the model server listens: http://host:port/prefix, h2c://host:port (gRPC) or "
               "unix:/path."),
    KEY(ca, CE_TEXT, .def = "",
        .doc = "PEM file of the authorities that are trusted; left out, the system's."),
    KEY(protocol, CE_CHOICE, .choices = protocols, .def = "auto", .doc = "What it speaks."),
    KEY(model, CE_TEXT, .def = "", .doc = "The model that is asked."),
    KEY(version, CE_TEXT, .def = "", .doc = "Its version; left out, the server chooses."),
    KEY(dataset, CE_TEXT, .def = "",
        .doc = "http: labelled rows that requests are made of, CSV or JSON lines. command: the "
               "file that data faults act on; the job finds a copy of it at $CHAOSEATER_DATASET. "
               "Relative to the document."),
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
        .doc = "Starts the server, or is the batch job: a line for sh, or a program and its "
               "arguments."),
    KEY(workdir, CE_TEXT, .def = "", .doc = "Where the command runs; the document's folder."),
    KEY(env, CE_NAMES, .def = "", .doc = "What the command's environment has besides: NAME=value."),
    KEY(start_timeout, CE_SECONDS, .min = (double)CE_SECOND, .max = 3600 * (double)CE_SECOND,
        .def = "60s", .doc = "How long the command may take until the server is ready."),
    KEY(isolation, CE_CHOICE, .choices = isolations, .def = "auto",
        .doc = "Where the command runs."),
    KEY(network, CE_CHOICE, .choices = networks, .def = "shared",
        .doc = "Which network the batch job has."),
    KEY(metrics, CE_TEXT, .def = "",
        .doc = "Where each trial reports what it measured, as a JSON object: a file, relative to "
               "the workdir, or stdout, of which the last line counts; stdout if `accuracy` is "
               "given."),
    KEY(accuracy, CE_TEXT, .def = "",
        .doc = "Which of the metrics is the share of what is right, at most 1; outer.inner in "
               "nested objects."),
    KEY(trials, CE_INTEGER, .min = 1, .max = 1000, .def = "3",
        .doc = "How often the batch job is run for the baseline and, at least, under the fault."),
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

#define KIND(kind) (1U << (kind))
#define EMBEDDED   KIND(CE_PIPELINE_EMBEDDED)
#define HTTP       KIND(CE_PIPELINE_HTTP)
#define COMMAND    KIND(CE_PIPELINE_COMMAND)
#define EVERY_KIND (KIND(CE_PIPELINE_KINDS_) - 1)

static const struct belongs {
    const char *key;
    unsigned kinds, required; /* by which */
} belongings[] = {
    {"kind", EVERY_KIND, 0},
    {"timeout", EVERY_KIND, 0},
    {"rate", EMBEDDED | HTTP, 0},
    {"profile", EMBEDDED, 0},
    {"rows", EMBEDDED, 0},
    {"dataset_seed", EMBEDDED, 0},
    {"inference_time", EMBEDDED, 0},
    {"url", HTTP, HTTP},
    {"ca", HTTP, 0},
    {"protocol", HTTP, 0},
    {"model", HTTP, 0},
    {"version", HTTP, 0},
    {"dataset", HTTP | COMMAND, HTTP},
    {"label", HTTP | COMMAND, HTTP},
    {"task", HTTP, 0},
    {"threshold", HTTP, 0},
    {"labels", HTTP, 0},
    {"tolerance", HTTP, 0},
    {"request", HTTP, 0},
    {"prediction", HTTP, 0},
    {"health", HTTP, 0},
    {"start_timeout", HTTP, 0},
    {"command", HTTP | COMMAND, COMMAND},
    {"workdir", HTTP | COMMAND, 0},
    {"env", HTTP | COMMAND, 0},
    {"isolation", HTTP | COMMAND, 0},
    {"network", COMMAND, 0},
    {"metrics", COMMAND, 0},
    {"accuracy", COMMAND, 0},
    {"trials", COMMAND, 0},
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
    {"isolation", "command", NULL},
    {"label", "dataset", NULL},
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

/* "http", or "http or command". */
static void list_kinds(unsigned which, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int kind = 0; kind < CE_PIPELINE_KINDS_ && used < size; kind++)
        if (which & KIND(kind))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used > 0 ? " or " : "",
                                     ce_pipeline_kind_name(kind));
}

/* "url, dataset and label" */
static void list_required(unsigned kind, char *text, size_t size)
{
    size_t used = 0, left = 0;
    for (size_t i = 0; i < CE_COUNT(belongings); i++)
        left += (belongings[i].required & kind) != 0;
    text[0] = '\0';
    for (size_t i = 0; i < CE_COUNT(belongings) && used < size; i++) {
        if (!(belongings[i].required & kind))
            continue;
        const char *joint = used == 0 ? "" : left > 1 ? ", " : " and ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", joint, belongings[i].key);
        left--;
    }
}

static int check_kind(struct keys *keys, struct ce_error *err)
{
    unsigned kind = KIND(keys->spec->kind);
    char list[80];
    for (size_t i = 0; i < CE_COUNT(belongings); i++) {
        const struct belongs *b = &belongings[i];
        if (b->kinds & kind || !is_given(keys, b->key))
            continue;
        keys->at = b->key;
        list_kinds(b->kinds, list, sizeof list);
        return ce_fail(err, EINVAL, "%s: belongs to kind %s, and this pipeline is of kind %s",
                       b->key, list, choice_of(keys->spec, "kind"));
    }
    for (size_t i = 0; i < CE_COUNT(belongings); i++) {
        const struct belongs *b = &belongings[i];
        if (!(b->required & kind) || is_given(keys, b->key))
            continue;
        list_required(kind, list, sizeof list);
        return ce_fail(err, EINVAL, "the key '%s' of pipeline is missing: kind %s needs it (%s)",
                       b->key, choice_of(keys->spec, "kind"), list);
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

static int check_command(struct keys *keys, struct ce_error *err)
{
    const struct ce_pipeline_spec *spec = keys->spec;
    CE_TRY(check_dependencies(keys, err));
    CE_TRY(check_env(keys, err));
    keys->at = "command";
    if (spec->command.count == 0 || spec->command.names[0][0] == '\0')
        return ce_fail(err, EINVAL, "command: is empty, and it is what is put under test");
    keys->at = "network";
    if (spec->network == CE_NETWORK_PRIVATE && spec->isolation == CE_ISOLATE_NONE)
        return ce_fail(err, EINVAL,
                       "network: private is a namespace, and isolation: none allows for none");
    return 0;
}

void ce_pipeline_keys_settle(struct ce_pipeline_spec *spec,
                             bool (*is_given_fn)(void *ctx, const char *key), void *ctx)
{
    if (spec->kind == CE_PIPELINE_COMMAND && !is_given_fn(ctx, "timeout"))
        spec->timeout = trial_timeout;
}

int ce_pipeline_keys_check(const struct ce_pipeline_spec *spec,
                           bool (*is_given_fn)(void *ctx, const char *key), void *ctx,
                           const char **ret_key, struct ce_error *err)
{
    struct keys keys = {.spec = spec, .is_given = is_given_fn, .ctx = ctx};
    int r = check_kind(&keys, err);
    if (r == 0 && spec->kind == CE_PIPELINE_HTTP)
        r = check_http(&keys, err);
    else if (r == 0 && spec->kind == CE_PIPELINE_COMMAND)
        r = check_command(&keys, err);
    if (r < 0)
        *ret_key = keys.at;
    return r;
}

char *ce_pipeline_command_text(const struct ce_pipeline_spec *spec)
{
    enum { SHOWN = 80 };
    const struct ce_names *command = &spec->command;
    char text[SHOWN + 1] = "";
    size_t used = 0;
    for (size_t i = 0; i < command->count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " " : "",
                                 command->names[i]);
    for (char *p = text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    return ce_format("%s%s", text, used > SHOWN ? "..." : "");
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
        if (b->kinds == EVERY_KIND || (b->kinds & KIND(kind) && !(b->required & KIND(kind))))
            continue;
        bool belongs = b->kinds & KIND(kind);
        if (json_array_append_new(all, belongs ? given(b->key) : absent(b->key)) < 0)
            return NULL;
    }
    return if_then(has_value("kind", ce_pipeline_kind_name(kind)),
                   json_pack("{s:O}", "allOf", all));
}

static json_t *rules(void)
{
    ce_autojson json_t *all = json_array();
    for (int kind = CE_PIPELINE_EMBEDDED; kind < CE_PIPELINE_KINDS_; kind++)
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
    /* A private network is a namespace. */
    json_t *isolated =
        json_pack("{s:{s:{s:{s:s}}}}", "properties", "isolation", "not", "const", "none");
    if (json_array_append_new(all, if_then(has_value("network", "private"), isolated)) < 0)
        return NULL;
    return ce_take(all);
}

json_t *ce_pipeline_schema(void)
{
    ce_autojson json_t *schema = ce_params_schema(ce_pipeline_params);
    if (!schema || json_object_set_new(schema, "allOf", rules()) < 0)
        return NULL;
    return ce_take(schema);
}
