/* SPDX-License-Identifier: MIT */
/* KServe v1 and TensorFlow Serving over REST:
 *
 *     POST /v1/models/NAME[/versions/VERSION]:predict     (or /labels/LABEL)
 *     {"instances": [...]}   {"predictions": [...]}       rows
 *     {"inputs": ...}        {"outputs": ...}             columns
 *     :classify              {"results": [[["label", 0.9], ...], ...]}
 *     :regress               {"results": [0.5, ...]}
 *
 * Of a classification the scores are the values; the labels are what they are scores of. */
#include "base/cleanup.h"
#include "inference/rows.h"

static bool read_path(struct ce_slice path, struct ce_call *call)
{
    if (!ce_path_enter(&path, "/v1/models/") || !ce_path_take(&path, "/:", &call->model))
        return false;
    if ((ce_path_skip(&path, "/versions/") || ce_path_skip(&path, "/labels/")) &&
        !ce_path_take(&path, "/:", &call->version))
        return false;
    return ce_slice_is(path, ":predict") || ce_slice_is(path, ":classify") ||
           ce_slice_is(path, ":regress");
}

/* The first of these members that the message has. */
static int find_any(const struct ce_spans *spans, const char *const *members, uint32_t *ret_value,
                    struct ce_error *err)
{
    if (ce_span_kind(spans, 0) != CE_SPAN_OBJECT)
        return ce_fail(err, EINVAL, "the message has to be an object");
    for (size_t i = 0; members[i]; i++) {
        CE_TRY(ce_span_member(spans, 0, members[i], ret_value, err));
        if (*ret_value > 0)
            return 0;
    }
    return ce_fail(err, ENOENT, "the message has no '%s'", members[0]);
}

static const char *const outputs[] = {"predictions", "outputs", "results", NULL};
static const char *const inputs[] = {"instances", "inputs", "examples", NULL};

/* ["label", 0.9] */
static bool is_pair(const struct ce_spans *spans, uint32_t i)
{
    return ce_span_kind(spans, i) == CE_SPAN_ARRAY && spans->spans[i].count == 2 &&
           ce_span_kind(spans, i + 1) == CE_SPAN_STRING &&
           ce_span_kind(spans, i + 2) == CE_SPAN_NUMBER;
}

/* A row of a classification: pairs, and nothing else. */
static bool is_pairs(const struct ce_spans *spans, uint32_t row)
{
    bool pairs = ce_span_kind(spans, row) == CE_SPAN_ARRAY && spans->spans[row].count > 0;
    for (uint32_t i = row + 1; pairs && i < spans->spans[row].next; i = spans->spans[i].next)
        pairs = is_pair(spans, i);
    return pairs;
}

static bool is_classification(const struct ce_spans *spans, uint32_t results)
{
    bool pairs = ce_span_kind(spans, results) == CE_SPAN_ARRAY && spans->spans[results].count > 0;
    for (uint32_t i = results + 1; pairs && i < spans->spans[results].next;
         i = spans->spans[i].next)
        pairs = is_pairs(spans, i);
    return pairs;
}

static int read_results(struct ce_rows *rows, uint32_t results, struct ce_error *err)
{
    const struct ce_spans *spans = rows->spans;
    if (!is_classification(spans, results))
        return ce_rows_read(rows, results, err);
    for (uint32_t i = results + 1; i < spans->spans[results].next; i = spans->spans[i].next)
        CE_TRY(ce_rows_pairs(rows, i, err));
    return 0;
}

static int read_message(const struct ce_message *message, const char *const *members,
                        struct ce_values *values, struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t value;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_TRY(find_any(&spans, members, &value, err));
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = &spans, .values = values};
    return members == outputs ? read_results(&rows, value, err) : ce_rows_read(&rows, value, err);
}

static int read_outputs(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    return read_message(message, outputs, values, err);
}

static int read_inputs(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    return read_message(message, inputs, values, err);
}

static int shorten(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t value;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_TRY(find_any(&spans, outputs, &value, err));
    return ce_rows_shorten(&spans, value, message, values, ret, err);
}

static int write_request(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                         struct ce_error *err)
{
    bool numbers = true;
    for (size_t i = 0; i < plan->feature_count; i++)
        numbers = numbers && plan->features[i].is_number;
    fputs("{\"instances\":[", file);
    CE_TRY(numbers ? ce_write_array(file, plan, cells, err)
                   : ce_write_object(file, plan, cells, err));
    fputs("]}", file);
    return 0;
}

const struct ce_protocol ce_protocol_kserve_v1 = {
    .name = "kserve_v1",
    .content_type = "application/json",
    .error_headers = "Content-Type: application/json\r\n",
    .by_path = true,
    .needs_model = true,
    .is_json = true,
    .path = "/v1/models/",
    .version_mark = "/versions/",
    .verb = ":predict",
    .read_path = read_path,
    .outputs = read_outputs,
    .inputs = read_inputs,
    .shorten = shorten,
    .write_error = ce_write_error,
    .write_request = write_request,
};
