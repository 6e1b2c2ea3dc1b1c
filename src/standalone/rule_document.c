/* SPDX-License-Identifier: MIT */
#include "standalone/rule_document.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

static const char *const rule_keys[] = {"id",     "fault",     "parameters", "share",
                                        "filter", "intensity", NULL};
static const char *const filter_keys[] = {"path", "header", "model", "where", NULL};

/* Every member is one of `keys`. */
static int check_keys(const json_t *object, const char *what, const char *const *keys,
                      struct ce_error *err)
{
    const char *key;
    const json_t *value;
    size_t count = 0;
    while (keys[count])
        count++;
    json_object_foreach((json_t *)object, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++)
            known = strcmp(keys[i], key) == 0;
        if (known)
            continue;
        const char *near = ce_text_nearest(key, keys, count);
        return ce_fail(err, EINVAL, "unknown key '%.60s' of %s%s%s%s", key, what,
                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return 0;
}

static int take_text(const json_t *object, const char *key, const char **ret_text,
                     struct ce_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_string(value))
        return ce_fail(err, EINVAL, "%s: takes a text", key);
    *ret_text = json_string_value(value);
    return 0;
}

static int fail_twice(const char *key, const char *where, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "%s: stands in parameters and in %s; one of them is enough", key,
                   where);
}

/* {"Name": "regex"} is "Name: regex" among a fault's parameters. */
static int take_header(const json_t *header, json_t *parameters, struct ce_error *err)
{
    void *member = json_object_iter((json_t *)header);
    const char *regex = member ? json_string_value(json_object_iter_value(member)) : NULL;
    if (!regex || json_object_size(header) != 1)
        return ce_fail(err, EINVAL,
                       "filter.header: takes one header, as in {\"X-Tenant\": \"^a\"}");
    if (json_object_get(parameters, "header"))
        return fail_twice("header", "filter", err);
    ce_autofree char *text = ce_format("%s: %s", json_object_iter_key(member), regex);
    if (!text || json_object_set_new(parameters, "header", json_string(text)) < 0)
        return ce_fail_memory(err);
    return 0;
}

static int take_filter(const json_t *filter, json_t *parameters, struct ce_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(filter))
        return ce_fail(err, EINVAL, "filter: takes an object with path, header, model or where");
    CE_TRY(check_keys(filter, "filter", filter_keys, err));
    json_object_foreach((json_t *)filter, key, value)
    {
        if (strcmp(key, "header") == 0)
            CE_TRY(take_header(value, parameters, err));
        else if (!json_is_string(value))
            return ce_fail(err, EINVAL, "filter.%s: takes a text", key);
        else if (json_object_get(parameters, key))
            return fail_twice(key, "filter", err);
        else if (json_object_set(parameters, key, value) < 0)
            return ce_fail_memory(err);
    }
    return 0;
}

static int take_parameters(struct ce_rule_document *document, struct ce_error *err)
{
    const json_t *given = json_object_get(document->json, "parameters");
    json_t *share = json_object_get(document->json, "share");
    const json_t *filter = json_object_get(document->json, "filter");
    if (given && !json_is_object(given))
        return ce_fail(err, EINVAL, "parameters: takes an object of names and values");
    document->parameters = given ? json_deep_copy(given) : json_object();
    if (share && json_object_get(given, "share"))
        return fail_twice("share", "the rule itself", err);
    if (!document->parameters ||
        (share && json_object_set(document->parameters, "share", share) < 0))
        return ce_fail_memory(err);
    return filter ? take_filter(filter, document->parameters, err) : 0;
}

static int read_document(struct ce_rule_document *document, struct ce_error *err)
{
    const json_t *json = document->json;
    if (!json_is_object(json))
        return ce_fail(err, EINVAL, "a rule is an object such as {\"fault\": \"slow_inference\"}");
    CE_TRY(check_keys(json, "the rule", rule_keys, err));
    CE_TRY(take_text(json, "id", &document->id, err));
    CE_TRY(take_text(json, "fault", &document->fault, err));
    const json_t *intensity = json_object_get(json, "intensity");
    if (intensity && (!json_is_number(intensity) || json_number_value(intensity) < 0 ||
                      json_number_value(intensity) > 1))
        return ce_fail(err, EINVAL, "intensity: takes a number in 0..1");
    document->intensity = intensity ? json_number_value(intensity) : -1;
    return take_parameters(document, err);
}

int ce_rule_document_parse(const char *text, size_t size, struct ce_rule_document *ret,
                           struct ce_error *err)
{
    struct ce_rule_document document = {.json = ce_json_parse(text, size, "the rule", err)};
    if (!document.json)
        return -EINVAL;
    int r = read_document(&document, err);
    if (r < 0)
        ce_rule_document_done(&document);
    else
        *ret = document;
    return r;
}

void ce_rule_document_done(struct ce_rule_document *document)
{
    json_decref(document->json);
    json_decref(document->parameters);
    *document = (struct ce_rule_document){0};
}
