/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/random.h"

/* Means lie several standard deviations from 0: whoever takes a missing number for 0 invents an
 * extreme customer. */
const struct ce_number_column ce_number_columns[CE_NUMBERS] = {
    {"age", 1, 46, 13, 18, 90, -0.40},
    {"tenure_months", 1, 38, 14, 1, 90, -1.25},
    {"monthly_charge", 2, 68.5, 16, 15, 130, 0.90},
    {"usage_hours", 1, 92, 27, 2, 200, -0.80},
    {"support_calls", 1, 6.5, 2.2, 0, 16, 1.10},
    {"payment_delay_days", 1, 14, 4.5, 0, 32, 1.00},
};
const struct ce_category_column ce_category_columns[CE_CATEGORIES] = {
    {"region", 4, {"north", "south", "east", "west"}, {0.15, -0.15, 0.10, -0.10}},
    {"plan", 3, {"basic", "plus", "premium"}, {0.35, 0, -0.35}},
    {"contract", 2, {"monthly", "yearly"}, {0.70, -0.70}},
};

/* Above this score (noise included, standard deviation about 2.7) a customer leaves: two in five
 * do. */
static const double churn_threshold = 0.66;

int ce_category_find(const struct ce_category_column *column, const char *text, size_t size)
{
    for (size_t i = 0; i < column->value_count; i++)
        if (strlen(column->values[i]) == size && memcmp(column->values[i], text, size) == 0)
            return (int)i;
    return CE_CATEGORY_UNKNOWN;
}

/* What is written in the file is what counts: the score is made from rounded numbers. */
static double draw_number(const struct ce_number_column *column, uint64_t seed, uint64_t row)
{
    struct ce_stream stream = ce_stream_init(seed, "pipeline/dataset", column->name);
    double value = column->mean + column->sd * ce_stream_normal(&stream, row);
    value = fmin(fmax(value, column->min), column->max);
    double unit = column->decimals == 1 ? 10 : 100;
    return round(value * unit) / unit;
}

void ce_customer_draw(uint64_t seed, uint64_t row, struct ce_customer *ret_customer)
{
    struct ce_customer customer = {.spend = -180};
    double score = 0;
    for (size_t i = 0; i < CE_NUMBERS; i++) {
        const struct ce_number_column *column = &ce_number_columns[i];
        double value = draw_number(column, seed, row);
        customer.sample.numbers[i] = value;
        score += column->weight * (value - column->mean) / column->sd;
    }
    for (size_t i = 0; i < CE_CATEGORIES; i++) {
        const struct ce_category_column *column = &ce_category_columns[i];
        struct ce_stream stream = ce_stream_init(seed, "pipeline/dataset", column->name);
        int value = (int)ce_stream_below(&stream, row, (uint32_t)column->value_count);
        customer.sample.categories[i] = value;
        score += column->weights[value];
    }
    struct ce_stream noise = ce_stream_init(seed, "pipeline/dataset", CE_COLUMN_CHURN);
    customer.churn = score + ce_stream_normal(&noise, row) > churn_threshold;

    const double *numbers = customer.sample.numbers;
    noise = ce_stream_init(seed, "pipeline/dataset", CE_COLUMN_SPEND);
    customer.spend += 11.4 * numbers[2] + 3.1 * numbers[3] + 2.2 * numbers[1] +
                      95 * customer.sample.categories[1] + 70 * ce_stream_normal(&noise, row);
    customer.spend = round(fmax(customer.spend, 20) * 100) / 100;
    *ret_customer = customer;
}

static void write_row(FILE *file, const struct ce_customer *customer)
{
    for (size_t i = 0; i < CE_NUMBERS; i++)
        fprintf(file, "%.*f,", ce_number_columns[i].decimals, customer->sample.numbers[i]);
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        fprintf(file, "%s,", ce_category_columns[i].values[customer->sample.categories[i]]);
    fprintf(file, "%.2f,%d\n", customer->spend, customer->churn);
}

int ce_dataset_write(const char *path, uint64_t seed, uint64_t rows, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file)
        return ce_fail_memory(err);
    for (size_t i = 0; i < CE_NUMBERS; i++)
        fprintf(file, "%s,", ce_number_columns[i].name);
    for (size_t i = 0; i < CE_CATEGORIES; i++)
        fprintf(file, "%s,", ce_category_columns[i].name);
    fprintf(file, "%s,%s\n", CE_COLUMN_SPEND, CE_COLUMN_CHURN);
    for (uint64_t row = 0; row < rows; row++) {
        struct ce_customer customer;
        ce_customer_draw(seed, row, &customer);
        write_row(file, &customer);
    }
    bool complete = !ferror(file);
    if (fclose(file) != 0 || !complete)
        return ce_fail_memory(err);
    return ce_file_replace(path, text, size, err);
}
