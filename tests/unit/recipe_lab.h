/* SPDX-License-Identifier: MIT */
/* Data faults as recipes: their mutations through the data engine, over CSV and JSON lines. Every
 * run is taken back by its key and compared with the input. */
#ifndef CE_TESTS_RECIPE_LAB_H
#define CE_TESTS_RECIPE_LAB_H

#include "data/data.h"
#include "data_files.h"
#include "faults/fault.h"

struct lab {
    struct folder folder;
    const char *label; /* of the dose */
    double intensity;
    unsigned threads;
    char *out; /* of the last run */
    size_t size;
    struct ce_fault_counts counts;
    struct ce_error err;
};

static inline void lab_done(struct lab *lab)
{
    free(lab->out);
    folder_remove(&lab->folder);
}
#define LAB(name)                                                                                  \
    CE_CLEANUP(lab_done) struct lab name = {.intensity = 1, .threads = 1};                         \
    folder_make(&name.folder)

static inline int set_params(const struct ce_fault *fault, void *params,
                             const char *const *assignments, struct ce_error *err)
{
    CE_TRY(ce_params_init(fault->params, params, err));
    for (; *assignments; assignments++) {
        char name[64];
        const char *value = strchr(*assignments, '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(value - 1 - *assignments), *assignments);
        CE_TRY(ce_param_set(ce_param_find(fault->params, name), params, value, err));
    }
    return fault->check ? fault->check(params, err) : 0;
}

static inline int inject(struct lab *lab, const char *in, const char *out,
                         const struct ce_fault *fault, const void *params)
{
    const char *key = folder_file(&lab->folder, "key"), *back = folder_file(&lab->folder, "back");
    struct ce_dose dose = {42, lab->intensity, lab->label};
    struct ce_data_options options = {.threads = lab->threads};
    struct ce_data_result result = {0};
    CE_CLEANUP(ce_mutation_done) struct ce_mutation mutation = {0};
    CE_TRY(fault->mutate(params, &dose, &mutation, &lab->err));
    CE_TRY(ce_data_inject(in, out, key, &mutation, 1, &options, &result, &lab->err));
    lab->counts = result.counts[0];
    free(result.counts);
    CE_TRY(ce_data_revert_file(out, key, back, &lab->err));
    return same_files(in, back) ? 0 : ce_fail(&lab->err, EIO, "the key does not give it back");
}

/* Runs a fault over a table; the ending of `name` says its format. */
static inline int lab_run(struct lab *lab, const char *name, const char *text,
                          const char *fault_name, const char *const *assignments)
{
    char out_name[40];
    snprintf(out_name, sizeof out_name, "out-%s", name);
    const char *in = folder_write(&lab->folder, name, text, strlen(text)),
               *out = folder_file(&lab->folder, out_name);
    const struct ce_fault *fault = ce_fault_find(fault_name);
    ce_autofree void *params = calloc(1, fault->params_size);
    free(ce_take(lab->out));
    lab->err = (struct ce_error){0};
    int r = set_params(fault, params, assignments, &lab->err);
    if (r == 0)
        r = inject(lab, in, out, fault, params);
    if (r == 0)
        r = ce_file_read(out, 1 << 26, &lab->out, &lab->size, &lab->err);
    ce_params_done(fault->params, params);
    return r;
}
#define RUN(lab, name, text, fault, ...)                                                           \
    lab_run(lab, name, text, fault, (const char *const[]){__VA_ARGS__, NULL})

#endif
