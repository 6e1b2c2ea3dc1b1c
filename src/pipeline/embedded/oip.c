/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/oip.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"

/* ---- requests ---- */

enum { INPUTS = CE_NUMBERS + CE_CATEGORIES };

static const char *input_name(size_t input)
{
    return input < CE_NUMBERS ? ce_number_columns[input].name
                              : ce_category_columns[input - CE_NUMBERS].name;
}

/* INPUTS when there is none of that name. */
static size_t input_find(const char *name)
{
    size_t input = 0;
    while (input < INPUTS && strcmp(input_name(input), name) != 0)
        input++;
    return input;
}

static bool type_fits(size_t input, const char *type)
{
    if (input >= CE_NUMBERS)
        return strcmp(type, "BYTES") == 0;
    return strncmp(type, "FP", 2) == 0 || strncmp(type, "INT", 3) == 0 ||
           strncmp(type, "UINT", 4) == 0;
}

/* The number of values that a shape stands for; 0 when it is none. */
static size_t shape_size(const json_t *shape)
{
    size_t size = json_array_size(shape) > 0, i;
    const json_t *extent;
    json_array_foreach(shape, i, extent)
    {
        json_int_t n = json_integer_value(extent);
        if (n < 1 || n > CE_OIP_ROWS_MAX)
            return 0;
        size *= (size_t)n;
        if (size > CE_OIP_ROWS_MAX)
            return 0;
    }
    return size;
}

static int check_tensor(const json_t *tensor, size_t *ret_input, const json_t **ret_data,
                        struct ce_error *err)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *type = json_string_value(json_object_get(tensor, "datatype"));
    const json_t *data = json_object_get(tensor, "data");
    if (!name || !type || !json_is_array(data))
        return ce_fail(err, EINVAL, "every input needs a name, a shape, a datatype and data");
    size_t input = input_find(name);
    if (input == INPUTS)
        return ce_fail(err, EINVAL, "unexpected input '%.64s'", name);
    if (!type_fits(input, type))
        return ce_fail(err, EINVAL, "input '%s' has datatype %.16s, where %s is wanted", name, type,
                       input < CE_NUMBERS ? "FP64" : "BYTES");
    size_t size = shape_size(json_object_get(tensor, "shape"));
    if (size == 0)
        return ce_fail(err, EINVAL, "input '%s' needs a shape of 1 to %d values", name,
                       CE_OIP_ROWS_MAX);
    if (size != json_array_size(data))
        return ce_fail(err, EINVAL, "input '%s' has %zu values, but its shape says %zu", name,
                       json_array_size(data), size);
    *ret_input = input;
    *ret_data = data;
    return 0;
}

static void read_value(size_t input, const json_t *value, struct ce_sample *sample)
{
    if (json_array_size(value) == 1) /* shape [n, 1], nested */
        value = json_array_get(value, 0);
    if (input < CE_NUMBERS) {
        sample->numbers[input] = json_is_number(value) ? json_number_value(value) : NAN;
        return;
    }
    size_t category = input - CE_NUMBERS;
    if (json_is_string(value))
        sample->categories[category] = ce_category_find(
            &ce_category_columns[category], json_string_value(value), json_string_length(value));
}

static int allocate(struct ce_oip_request *request, size_t count, struct ce_error *err)
{
    request->samples = malloc(count * sizeof *request->samples);
    if (!request->samples)
        return ce_fail_memory(err);
    request->count = count;
    for (size_t row = 0; row < count; row++) {
        for (size_t i = 0; i < CE_NUMBERS; i++)
            request->samples[row].numbers[i] = NAN;
        for (size_t i = 0; i < CE_CATEGORIES; i++)
            request->samples[row].categories[i] = CE_CATEGORY_UNKNOWN;
    }
    return 0;
}

static int read_inputs(const json_t *inputs, bool inputs_optional, struct ce_oip_request *request,
                       struct ce_error *err)
{
    bool seen[INPUTS] = {false};
    size_t i;
    const json_t *tensor;
    json_array_foreach(inputs, i, tensor)
    {
        size_t input = INPUTS;
        const json_t *data = NULL;
        CE_TRY(check_tensor(tensor, &input, &data, err));
        if (seen[input])
            return ce_fail(err, EINVAL, "input '%s' is there twice", input_name(input));
        seen[input] = true;
        if (!request->samples)
            CE_TRY(allocate(request, json_array_size(data), err));
        if (json_array_size(data) != request->count)
            return ce_fail(err, EINVAL, "input '%s' has %zu values, where others have %zu",
                           input_name(input), json_array_size(data), request->count);
        for (size_t row = 0; row < request->count; row++)
            read_value(input, json_array_get(data, row), &request->samples[row]);
    }
    for (size_t input = 0; input < INPUTS && !inputs_optional; input++)
        if (!seen[input])
            return ce_fail(err, EINVAL, "input '%s' is missing", input_name(input));
    return 0;
}

int ce_oip_read(const char *body, size_t size, bool inputs_optional,
                struct ce_oip_request *ret_request, struct ce_error *err)
{
    CE_CLEANUP(ce_oip_request_done) struct ce_oip_request request = {0};
    ce_autojson json_t *json = ce_json_parse(body, size, "request", err);
    if (!json)
        return -EINVAL;
    const json_t *inputs = json_object_get(json, "inputs");
    if (json_array_size(inputs) == 0)
        return ce_fail(err, EINVAL, "a request needs a list of 'inputs'");
    CE_TRY(read_inputs(inputs, inputs_optional, &request, err));
    const char *id = json_string_value(json_object_get(json, "id"));
    if (id && !(request.id = strdup(id)))
        return ce_fail_memory(err);
    *ret_request = request;
    request = (struct ce_oip_request){0};
    return 0;
}

void ce_oip_request_done(struct ce_oip_request *request)
{
    free(request->id);
    free(request->samples);
    *request = (struct ce_oip_request){0};
}

/* "/v2/models/NAME[/versions/VERSION][/VERB]" */
struct ce_oip_path ce_oip_path_parse(const char *path)
{
    static const char models[] = "/v2/models/", versions[] = "/versions/";
    struct ce_oip_path parsed = {.model = -1, .verb = ""};
    if (strncmp(path, models, sizeof models - 1) != 0)
        return parsed;
    const char *name = path + sizeof models - 1, *version = NULL;
    size_t name_size = strcspn(name, "/?"), version_size = 0;
    const char *rest = name + name_size;
    if (strncmp(rest, versions, sizeof versions - 1) == 0) {
        version = rest + sizeof versions - 1;
        version_size = strcspn(version, "/?");
        rest = version + version_size;
    }
    parsed.is_model = true;
    parsed.model = ce_model_find(name, name_size, version, version_size);
    parsed.verb = *rest == '/' ? rest + 1 : rest;
    return parsed;
}

/* ---- answers ---- */

static const char *output_name(const struct ce_model *model)
{
    return model->task == CE_TASK_CLASSIFY ? "probability" : "spend";
}

char *ce_oip_answer(const struct ce_model *model, const struct ce_oip_request *request,
                    size_t *ret_size)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);
    if (!file)
        return NULL;
    ce_autojson json_t *id = request->id ? json_string(request->id) : NULL;
    ce_autofree char *quoted_id = id ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
    fprintf(file, "{\"model_name\":\"%s\",\"model_version\":\"%s\",", model->name, model->version);
    if (quoted_id)
        fprintf(file, "\"id\":%s,", quoted_id);
    fprintf(file, "\"outputs\":[{\"name\":\"%s\",\"shape\":[%zu],\"datatype\":\"FP64\",\"data\":[",
            output_name(model), request->count);
    for (size_t row = 0; row < request->count; row++)
        fprintf(file, "%s%.6g", row > 0 ? "," : "",
                ce_model_predict(model, &request->samples[row]));
    fputs("]}]}", file);
    bool complete = !ferror(file);
    if (fclose(file) == 0 && complete)
        return text;
    free(text);
    return NULL;
}

static json_t *versions_json(const char *name)
{
    json_t *versions = json_array();
    for (int i = CE_MODEL_COUNT_ - 1; i >= 0; i--)
        if (strcmp(ce_model_blanks[i].name, name) == 0)
            (void)json_array_append_new(versions, json_string(ce_model_blanks[i].version));
    return versions;
}

static json_t *tensor_json(const char *name, const char *type)
{
    return json_pack("{s:s, s:s, s:[i]}", "name", name, "datatype", type, "shape", -1);
}

char *ce_oip_model_metadata(const struct ce_model *model)
{
    json_t *inputs = json_array();
    for (size_t input = 0; input < INPUTS; input++)
        (void)json_array_append_new(
            inputs, tensor_json(input_name(input), input < CE_NUMBERS ? "FP64" : "BYTES"));
    ce_autojson json_t *json =
        json_pack("{s:s, s:o, s:s, s:o, s:[o], s:{s:s, s:f}}", "name", model->name, "versions",
                  versions_json(model->name), "platform", "liblinear", "inputs", inputs, "outputs",
                  tensor_json(output_name(model), "FP64"), "parameters", "dataset_sha256",
                  model->dataset_sha256, "quality", model->quality);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

char *ce_oip_server_metadata(void)
{
    ce_autojson json_t *json = json_pack("{s:s, s:s, s:[]}", "name", "chaoseater embedded pipeline",
                                         "version", CE_VERSION, "extensions");
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

char *ce_oip_error(const char *sentence)
{
    ce_autojson json_t *json = json_pack("{s:s}", "error", sentence);
    return json ? json_dumps(json, JSON_COMPACT) : NULL;
}

int ce_oip_read_answer(const char *body, size_t size, double *predictions, size_t max)
{
    ce_autojson json_t *answer = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *output = json_array_get(json_object_get(answer, "outputs"), 0);
    const json_t *data = json_object_get(output, "data"), *value;
    size_t i;
    if (!json_is_array(data) || json_array_size(data) > max)
        return -EINVAL;
    json_array_foreach(data, i, value)
    {
        if (!json_is_number(value))
            return -EINVAL;
        predictions[i] = json_number_value(value);
    }
    return (int)json_array_size(data);
}
