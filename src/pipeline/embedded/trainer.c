/* SPDX-License-Identifier: MIT */
/* trainer: CSV -> validate and impute -> standardise -> train -> evaluate -> model files. Runs once
 * and ends.
 *
 * Writes RUN_FOLDER/models: one file for each model, then metrics.json about this attempt, each in
 * one step. hardened: a dataset that cannot be learnt from, or a model that is clearly worse than
 * the one in service, is rejected: the old model files stay, and metrics.json says why. The same
 * dataset gives the same models to the bit. */
#include <linear.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "pipeline/channel.h"
#include "pipeline/embedded/roles.h"
#include "pipeline/embedded/table.h"
#include "pipeline/embedded/worker.h"

/* Every fifth row is kept from training, to evaluate the model with. */
static bool is_held_out(size_t row)
{
    return row % 5 == 4;
}

/* A new model may lose this much accuracy and still replace the one in service. */
static const double accuracy_loss_limit = 0.05;

/* ---- one model ---- */

/* liblinear's view of the training rows: one block of nodes, a pointer to each row. */
struct examples {
    struct feature_node *nodes;
    struct feature_node **rows;
    double *targets;
    size_t count;
};

static void examples_done(struct examples *examples)
{
    free(examples->nodes);
    free(examples->rows);
    free(examples->targets);
}

static int examples_make(const struct ce_table *table, const struct ce_model *model,
                         struct examples *examples)
{
    enum { NODES = CE_VECTOR + 1 };
    examples->nodes = malloc(table->rows * NODES * sizeof *examples->nodes);
    examples->rows = malloc(table->rows * sizeof *examples->rows);
    examples->targets = malloc(table->rows * sizeof *examples->targets);
    if (!examples->nodes || !examples->rows || !examples->targets)
        return -ENOMEM;
    for (size_t row = 0; row < table->rows; row++) {
        double target = model->task == CE_TASK_CLASSIFY ? table->churn[row] : table->spend[row];
        if (is_held_out(row) || isnan(target))
            continue;
        struct feature_node *node = &examples->nodes[examples->count * NODES];
        examples->rows[examples->count] = node;
        examples->targets[examples->count++] = target;
        double vector[CE_VECTOR];
        ce_model_vector(model, &table->samples[row], vector);
        for (int i = 0; i < CE_VECTOR; i++)
            if (vector[i] != 0)
                *node++ = (struct feature_node){.index = i + 1, .value = vector[i]};
        *node = (struct feature_node){.index = -1};
    }
    return 0;
}

static int fit(const struct examples *examples, struct ce_model *model, struct ce_error *err)
{
    struct problem problem = {.l = (int)examples->count,
                              .n = CE_VECTOR,
                              .y = examples->targets,
                              .x = examples->rows,
                              .bias = -1};
    struct parameter parameter = {
        .solver_type = model->task == CE_TASK_CLASSIFY ? L2R_LR : L2R_L2LOSS_SVR,
        .eps = 1e-4,
        .C = 1,
        .p = 0.1,
    };
    const char *refused = check_parameter(&problem, &parameter);
    if (refused)
        return ce_fail(err, EINVAL, "cannot train: %s", refused);
    srand(1); /* liblinear draws its permutations with rand() */
    struct model *trained = train(&problem, &parameter);
    if (model->task == CE_TASK_CLASSIFY && get_nr_class(trained) != 2) {
        free_and_destroy_model(&trained);
        return ce_fail(err, EINVAL, "cannot train: all customers have the same '%s'",
                       CE_COLUMN_CHURN);
    }
    /* The weights speak for the class that came first. */
    double sign = model->task == CE_TASK_CLASSIFY && trained->label[0] == 0 ? -1 : 1;
    bool finite = true;
    for (int i = 0; i < CE_VECTOR; i++) {
        model->weights[i] = sign * trained->w[i];
        finite = finite && isfinite(model->weights[i]);
    }
    free_and_destroy_model(&trained);
    if (!finite)
        return ce_fail(err, ERANGE,
                       "cannot train: the weights of model '%s' grew beyond all bounds",
                       model->name);
    return 0;
}

static double accuracy(const struct ce_model *model, const struct ce_table *table)
{
    size_t right = 0, count = 0;
    for (size_t row = 0; row < table->rows; row++) {
        if (!is_held_out(row))
            continue;
        count++;
        right += (ce_model_predict(model, &table->samples[row]) >= 0.5) == (table->churn[row] != 0);
    }
    return count > 0 ? (double)right / (double)count : 0;
}

/* R2: the share of the variance that the model explains. */
static double explained(const struct ce_model *model, const struct ce_table *table)
{
    double sum = 0, squares = 0, left = 0;
    size_t count = 0;
    for (size_t row = 0; row < table->rows; row++) {
        double target = table->spend[row];
        if (!is_held_out(row) || isnan(target))
            continue;
        double miss = target - ce_model_predict(model, &table->samples[row]);
        count++;
        sum += target;
        squares += target * target;
        left += miss * miss;
    }
    double variance = count > 0 ? squares - sum * sum / (double)count : 0;
    return variance > 0 ? 1 - left / variance : 0;
}

static int train_model(const struct ce_table *table, struct ce_model *model, struct ce_error *err)
{
    CE_CLEANUP(examples_done) struct examples examples = {0};
    memcpy(model->numbers, table->numbers, sizeof model->numbers);
    memcpy(model->category_fill, table->category_fill, sizeof model->category_fill);
    memcpy(model->dataset_sha256, table->sha256, sizeof model->dataset_sha256);
    if (examples_make(table, model, &examples) < 0)
        return ce_fail_memory(err);
    if (examples.count == 0)
        return ce_fail(err, EINVAL, "cannot train: no row has a readable target for model '%s'",
                       model->name);
    CE_TRY(fit(&examples, model, err));
    model->quality =
        model->task == CE_TASK_CLASSIFY ? accuracy(model, table) : explained(model, table);
    return 0;
}

/* ---- the attempt ---- */

struct attempt {
    struct ce_table table;
    struct ce_model models[CE_MODEL_COUNT_];
    bool trained, rejected;
    struct ce_error why; /* it was rejected */
};

static int write_metrics(const struct attempt *attempt, const char *folder, struct ce_error *err)
{
    const struct ce_table *table = &attempt->table;
    json_t *accuracies[2] = {json_null(), json_null()};
    if (attempt->trained) {
        accuracies[0] = ce_json_number(attempt->models[CE_MODEL_CHURN_2].quality);
        accuracies[1] = ce_json_number(attempt->models[CE_MODEL_SPEND_1].quality);
    }
    ce_autojson json_t *json = json_pack(
        "{s:s, s:b, s:s, s:o, s:o, s:I, s:I, s:I}", "dataset_sha256", table->sha256, "accepted",
        !attempt->rejected, "reason", attempt->why.message, "accuracy", accuracies[0], "spend_r2",
        accuracies[1], "rows_used", (json_int_t)table->rows, "rows_dropped",
        (json_int_t)table->rows_dropped, "values_imputed", (json_int_t)table->values_imputed);
    ce_autofree char *text = json ? ce_json_text(json) : NULL;
    ce_autofree char *path = ce_format("%s/metrics.json", folder);
    if (!text || !path)
        return ce_fail_memory(err);
    return ce_file_replace(path, text, strlen(text), err);
}

/* Fills attempt->why when the dataset or what was learnt from it is not good enough. */
static int learn(struct attempt *attempt, bool hardened, const char *folder, struct ce_error *err)
{
    struct ce_table *table = &attempt->table;
    if (!hardened) {
        ce_table_clean_naively(table);
    } else if (ce_table_clean(table, &attempt->why) < 0) {
        attempt->rejected = true;
        return attempt->why.code == ENODATA
                   ? 0
                   : ce_fail(err, attempt->why.code, "%s", attempt->why.message);
    }
    for (int i = 0; i < CE_MODEL_COUNT_; i++) {
        attempt->models[i] = ce_model_blanks[i];
        CE_TRY(train_model(table, &attempt->models[i], err));
    }
    attempt->trained = true;

    struct ce_model in_service;
    double quality = attempt->models[CE_MODEL_CHURN_2].quality;
    if (hardened && ce_model_load(CE_MODEL_CHURN_2, folder, &in_service, NULL) == 0 &&
        quality < in_service.quality - accuracy_loss_limit) {
        attempt->rejected = true;
        (void)ce_fail(&attempt->why, ENODATA,
                      "the new model's accuracy is %.3f, that of the model in service %.3f",
                      quality, in_service.quality);
    }
    return 0;
}

static int train_all(const struct ce_role *role, struct attempt *attempt, struct ce_error *err)
{
    ce_autofree char *dataset = ce_format("%s/dataset.csv", role->run_folder);
    ce_autofree char *folder = ce_format("%s/models", role->run_folder);
    if (!dataset || !folder)
        return ce_fail_memory(err);
    CE_TRY(ce_folder_make(folder, err));
    CE_TRY(ce_table_read(dataset, &attempt->table, err));
    CE_TRY(learn(attempt, role->hardened, folder, err));
    for (int i = 0; !attempt->rejected && i < CE_MODEL_COUNT_; i++)
        CE_TRY(ce_model_save(&attempt->models[i], folder, err));
    return write_metrics(attempt, folder, err);
}

static void print_nothing(const char *text)
{
}

int ce_trainer_run(const struct ce_role *role)
{
    struct ce_error err = {0};
    struct attempt attempt = {0};
    set_print_string_function(print_nothing);
    int r = train_all(role, &attempt, &err);
    ce_table_done(&attempt.table);
    int sent = r < 0 ? ce_worker_report_failure(&err)
                     : ce_channel_send(CE_FD_SUPERVISOR, "trained", -1, 0);
    return r < 0 || sent < 0;
}
