/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"

const struct ce_model ce_model_blanks[CE_MODEL_COUNT_] = {
    [CE_MODEL_CHURN_2] =
        {
            .name = "churn",
            .version = "2",
            .task = CE_TASK_CLASSIFY,
            .uses_number = {true, true, true, true, true, true},
            .uses_category = {true, true, true},
        },
    [CE_MODEL_CHURN_1] =
        {
            .name = "churn",
            .version = "1",
            .task = CE_TASK_CLASSIFY,
            .uses_number = {false, true, true, false, true, true},
            .uses_category = {false, false, true},
        },
    [CE_MODEL_SPEND_1] =
        {
            .name = "spend",
            .version = "1",
            .task = CE_TASK_REGRESS,
            .uses_number = {true, true, true, true, true, true},
            .uses_category = {true, true, true},
        },
};

static bool text_is(const char *text, const char *data, size_t size)
{
    return strlen(text) == size && memcmp(text, data, size) == 0;
}

int ce_model_find(const char *name, size_t name_size, const char *version, size_t version_size)
{
    for (int i = 0; i < CE_MODEL_COUNT_; i++)
        if (text_is(ce_model_blanks[i].name, name, name_size) &&
            (!version || text_is(ce_model_blanks[i].version, version, version_size)))
            return i;
    return -1;
}

/* A column that never varies carries nothing and must not be divided by 0. */
static double standardise(const struct ce_number_stats *stats, double value)
{
    return stats->scale > 0 ? (value - stats->center) / stats->scale : 0;
}

void ce_model_vector(const struct ce_model *model, const struct ce_sample *sample,
                     double ret_vector[CE_VECTOR])
{
    memset(ret_vector, 0, CE_VECTOR * sizeof *ret_vector);
    for (size_t i = 0; i < CE_NUMBERS; i++)
        if (model->uses_number[i])
            ret_vector[i] = standardise(&model->numbers[i], sample->numbers[i]);
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        if (model->uses_category[i] && sample->categories[i] != CE_CATEGORY_UNKNOWN)
            ret_vector[CE_NUMBERS + i * CE_CATEGORY_VALUES_MAX + (size_t)sample->categories[i]] = 1;
    ret_vector[CE_VECTOR - 1] = 1;
}

double ce_model_predict(const struct ce_model *model, const struct ce_sample *sample)
{
    double vector[CE_VECTOR], score = 0;
    ce_model_vector(model, sample, vector);
    for (size_t i = 0; i < CE_VECTOR; i++)
        score += model->weights[i] * vector[i];
    return model->task == CE_TASK_CLASSIFY ? 1 / (1 + exp(-score)) : score;
}

/* ---- files ---- */

static json_t *model_json(const struct ce_model *model)
{
    json_t *json = json_pack("{s:s, s:s, s:f, s:s, s:{}, s:{}, s:[]}", "name", model->name,
                             "version", model->version, "quality", model->quality, "dataset_sha256",
                             model->dataset_sha256, "numbers", "categories", "weights");
    json_t *numbers = json_object_get(json, "numbers"),
           *categories = json_object_get(json, "categories");
    for (size_t i = 0; i < CE_NUMBERS; i++) {
        const struct ce_number_stats *stats = &model->numbers[i];
        (void)json_object_set_new(numbers, ce_number_columns[i].name,
                                  json_pack("{s:f, s:f, s:f, s:f, s:f}", "median", stats->fill,
                                            "mean", stats->center, "sd", stats->scale, "min",
                                            stats->min, "max", stats->max));
    }
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        (void)json_object_set_new(categories, ce_category_columns[i].name,
                                  json_integer(model->category_fill[i]));
    for (size_t i = 0; i < CE_VECTOR; i++)
        (void)json_array_append_new(json_object_get(json, "weights"), json_real(model->weights[i]));
    return json;
}

static char *model_path(const struct ce_model *model, const char *folder)
{
    return ce_format("%s/%s-%s.json", folder, model->name, model->version);
}

int ce_model_save(const struct ce_model *model, const char *folder, struct ce_error *err)
{
    ce_autojson json_t *json = model_json(model);
    ce_autofree char *path = model_path(model, folder);
    /* 17 digits bring every double back to the bit. */
    ce_autofree char *text =
        json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    if (!text || !path)
        return ce_fail_memory(err);
    return ce_file_replace(path, text, strlen(text), err);
}

static int read_model(json_t *json, struct ce_model *model)
{
    const char *name, *version, *sha256;
    json_t *numbers, *categories, *weights;
    if (json_unpack(json, "{s:s, s:s, s:f, s:s, s:o, s:o, s:o}", "name", &name, "version", &version,
                    "quality", &model->quality, "dataset_sha256", &sha256, "numbers", &numbers,
                    "categories", &categories, "weights", &weights) < 0 ||
        strcmp(name, model->name) != 0 || strcmp(version, model->version) != 0 ||
        json_array_size(weights) != CE_VECTOR)
        return -EINVAL;
    snprintf(model->dataset_sha256, sizeof model->dataset_sha256, "%s", sha256);
    for (size_t i = 0; i < CE_NUMBERS; i++) {
        struct ce_number_stats *stats = &model->numbers[i];
        if (json_unpack(json_object_get(numbers, ce_number_columns[i].name),
                        "{s:f, s:f, s:f, s:f, s:f}", "median", &stats->fill, "mean", &stats->center,
                        "sd", &stats->scale, "min", &stats->min, "max", &stats->max) < 0)
            return -EINVAL;
    }
    for (size_t i = 0; i < CE_CATEGORIES; i++) {
        json_int_t fill =
            json_integer_value(json_object_get(categories, ce_category_columns[i].name));
        if (fill < 0 || fill >= (json_int_t)ce_category_columns[i].value_count)
            return -EINVAL;
        model->category_fill[i] = (int)fill;
    }
    for (size_t i = 0; i < CE_VECTOR; i++)
        model->weights[i] = json_number_value(json_array_get(weights, i));
    return 0;
}

int ce_model_load(enum ce_model_index which, const char *folder, struct ce_model *ret_model,
                  struct ce_error *err)
{
    struct ce_model model = ce_model_blanks[which];
    ce_autofree char *path = model_path(&model, folder);
    ce_autofree char *text = NULL;
    size_t size;
    if (!path)
        return ce_fail_memory(err);
    CE_TRY(ce_file_read(path, 1 << 20, &text, &size, err));
    ce_autojson json_t *json = ce_json_parse(text, size, path, err);
    if (!json)
        return -EINVAL;
    if (read_model(json, &model) < 0)
        return ce_fail(err, EINVAL, "'%s' is not a model %s version %s", path, model.name,
                       model.version);
    *ret_model = model;
    return 0;
}

int ce_models_load(const char *folder, struct ce_model ret_models[CE_MODEL_COUNT_],
                   struct ce_error *err)
{
    struct ce_model models[CE_MODEL_COUNT_];
    for (int i = 0; i < CE_MODEL_COUNT_; i++)
        CE_TRY(ce_model_load((enum ce_model_index)i, folder, &models[i], err));
    memcpy(ret_models, models, sizeof models);
    return 0;
}
