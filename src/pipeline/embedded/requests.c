/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/requests.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* As the dataset writes it, where that keeps its value. */
static void write_number(FILE *file, const struct ce_number_column *column, double value)
{
    char text[64];
    snprintf(text, sizeof text, "%.*f", column->decimals, value);
    if (fabs(strtod(text, NULL) - value) > 0)
        snprintf(text, sizeof text, "%.17g", value);
    fputs(text, file);
}

static void write_head(FILE *file, const char *name, const char *type, size_t count, bool first)
{
    fprintf(file, "%s{\"name\":\"%s\",\"shape\":[%zu],\"datatype\":\"%s\",\"data\":[",
            first ? "" : ",", name, count, type);
}

char *ce_request_write(const char *id, const struct ce_sample *samples, size_t count,
                       size_t *ret_size)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);
    if (!file)
        return NULL;
    ce_autojson json_t *json_id = id ? json_string(id) : NULL;
    ce_autofree char *quoted_id = json_id ? json_dumps(json_id, JSON_ENCODE_ANY) : NULL;
    fprintf(file, "{%s%s%s\"inputs\":[", quoted_id ? "\"id\":" : "", quoted_id ? quoted_id : "",
            quoted_id ? "," : "");
    for (size_t i = 0; i < CE_NUMBERS; i++) {
        write_head(file, ce_number_columns[i].name, "FP64", count, i == 0);
        for (size_t row = 0; row < count; row++) {
            fputs(row > 0 ? "," : "", file);
            write_number(file, &ce_number_columns[i], samples[row].numbers[i]);
        }
        fputs("]}", file);
    }
    for (size_t i = 0; i < CE_CATEGORIES; i++) {
        write_head(file, ce_category_columns[i].name, "BYTES", count, false);
        for (size_t row = 0; row < count; row++)
            fprintf(file, "%s\"%s\"", row > 0 ? "," : "",
                    ce_category_columns[i].values[samples[row].categories[i]]);
        fputs("]}", file);
    }
    fputs("]}", file);
    bool complete = !ferror(file);
    if (fclose(file) == 0 && complete)
        return text;
    free(text);
    return NULL;
}

/* The first number of the first output. Strict about the JSON, because a damaged answer must not
 * count as one. */
static int read_prediction(const void *ctx, const struct ce_reply *answer,
                           struct ce_prediction *ret_prediction)
{
    ce_autojson json_t *json = json_loadb(answer->body, answer->size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *output = json_array_get(json_object_get(json, "outputs"), 0);
    const json_t *value = json_array_get(json_object_get(output, "data"), 0);
    if (!json_is_number(value))
        return -EINVAL;
    *ret_prediction = (struct ce_prediction){.number = json_number_value(value)};
    return 0;
}

/* A probability that is none (2.5, -1) is never right. */
static bool is_right(const void *ctx, const struct ce_prediction *prediction,
                     const struct ce_operation *operation)
{
    if (!(prediction->number >= 0 && prediction->number <= 1))
        return false;
    return (prediction->number >= 0.5) == (operation->label != 0);
}

int ce_requests_make(uint64_t seed, uint64_t first, size_t count,
                     struct ce_operations *ret_operations, struct ce_error *err)
{
    struct ce_operations operations = {
        .path = CE_REQUEST_PATH,
        .items = calloc(count, sizeof *operations.items),
        .read_prediction = read_prediction,
        .is_right = is_right,
    };
    if (!operations.items)
        return ce_fail_memory(err);
    for (; operations.count < count; operations.count++) {
        struct ce_customer customer;
        char id[24];
        struct ce_operation *operation = &operations.items[operations.count];
        ce_customer_draw(seed, first + operations.count, &customer);
        snprintf(id, sizeof id, "%" PRIu64, first + operations.count);
        operation->label = customer.churn;
        operation->body = ce_request_write(id, &customer.sample, 1, &operation->body_size);
        if (!operation->body) {
            ce_requests_done(&operations);
            return ce_fail_memory(err);
        }
    }
    *ret_operations = operations;
    return 0;
}

void ce_requests_done(struct ce_operations *operations)
{
    for (size_t i = 0; i < operations->count; i++)
        free(operations->items[i].body);
    free(operations->items);
    *operations = (struct ce_operations){0};
}
