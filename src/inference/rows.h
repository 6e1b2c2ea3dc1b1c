/* SPDX-License-Identifier: MIT */
/* Rows of values as servers without a tensor format spell them in JSON:
 *
 *     [1, 0]                            rows of one value
 *     [[0.1, 0.9], [0.7, 0.3]]          rows of several
 *     [{"label": "a", "score": 0.9}]    rows of named values: a column for each name
 *     {"label": ["a"], "score": [0.9]}  columns
 *     0.9                               one row of one value
 *
 * Values that stand deeper belong to the name nearest above them. A column whose rows differ in
 * length counts every value as a row. */
#ifndef CE_INFERENCE_ROWS_H
#define CE_INFERENCE_ROWS_H

#include "inference/json_spans.h"
#include "inference/protocol.h"

/* Whether an object of which all members are fractions, as in {"cat": 0.9, "dog": 0.1}, is a row of
 * scores, each of its class, instead of named values. */
enum ce_class_objects {
    CE_CLASSES_NEVER = 0,
    CE_CLASSES_DISTRIBUTION, /* if they sum to 1 */
    CE_CLASSES_ALWAYS,
};

struct ce_column;

struct ce_rows {
    const struct ce_spans *spans;
    struct ce_values *values;
    enum ce_class_objects classes;
    struct ce_slice unnamed; /* what values without a name are called */
    struct ce_column *items;
    size_t count, capacity;
    uint32_t *slots; /* by hash of the name: index + 1, or 0 */
    size_t slot_count;
    size_t row;
    struct ce_slice class_name;
};

/* All: 0, -EINVAL, -ENOMEM. Rows are numbered through all calls on the same struct. */

/* Any of the shapes above. */
int ce_rows_read(struct ce_rows *rows, uint32_t value, struct ce_error *err);
/* One row. */
int ce_rows_row(struct ce_rows *rows, uint32_t value, struct ce_error *err);
/* One row whose values are named by the elements of the array `names`; 0: they are not. */
int ce_rows_named_row(struct ce_rows *rows, uint32_t value, uint32_t names, struct ce_error *err);
/* One row of pairs of a class and its score. */
int ce_rows_pairs(struct ce_rows *rows, uint32_t value, struct ce_error *err);
/* In any case, once all rows are read: completes the values, and frees. */
void ce_rows_end(struct ce_rows *rows);

/* ce_message_shorten() of a message of which `value` holds the rows. */
int ce_rows_shorten(const struct ce_spans *spans, uint32_t value, const struct ce_message *message,
                    const struct ce_values *values, struct ce_remade *ret, struct ce_error *err);

#endif
