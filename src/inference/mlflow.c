/* SPDX-License-Identifier: MIT */
/* MLflow's scoring server:
 *
 *     POST /invocations
 *     {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}
 *     {"dataframe_records": [{"a": 1, "b": 2}]}, {"instances": ...}, {"inputs": ...}
 *     {"predictions": [...]}
 *
 * A request in CSV is one in which nothing is found. */
#include <strings.h>

#include "base/cleanup.h"
#include "inference/rows.h"

static bool read_path(struct ce_slice path, struct ce_call *call)
{
    (void)call;
    return ce_path_enter(&path, "/invocations") && path.size == 0;
}

static bool is_json(const struct ce_message *message)
{
    return strncasecmp(message->content_type, "text/", 5) != 0;
}

/* {"columns": [...], "data": [[...], ...]}; without columns the values have no names. */
static int read_split(const struct ce_spans *spans, uint32_t split, struct ce_values *values,
                      struct ce_error *err)
{
    uint32_t names, data;
    CE_TRY(ce_span_member_of(spans, split, "columns", CE_SPAN_ARRAY, &names, err));
    CE_TRY(ce_span_member_of(spans, split, "data", CE_SPAN_ARRAY, &data, err));
    if (data == 0)
        return ce_fail(err, EINVAL, "dataframe_split has no 'data'");
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = spans, .values = values};
    for (uint32_t i = data + 1; i < spans->spans[data].next; i = spans->spans[i].next)
        CE_TRY(ce_rows_named_row(&rows, i, names, err));
    return 0;
}

static int read_inputs(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    static const char *const members[] = {"dataframe_records", "instances", "inputs"};
    uint32_t value;
    if (!is_json(message))
        return ce_fail(err, ENOENT, "the request is not JSON");
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_TRY(ce_span_member_of(&spans, 0, "dataframe_split", CE_SPAN_OBJECT, &value, err));
    if (value > 0)
        return read_split(&spans, value, values, err);
    for (size_t i = 0; i < CE_COUNT(members) && value == 0; i++)
        CE_TRY(ce_span_member(&spans, 0, members[i], &value, err));
    if (value == 0)
        return ce_fail(err, ENOENT,
                       "the request has neither 'dataframe_split' nor "
                       "'dataframe_records', 'instances' or 'inputs'");
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = &spans, .values = values};
    return ce_rows_read(&rows, value, err);
}

static int find_predictions(const struct ce_message *message, struct ce_spans *spans,
                            uint32_t *ret_value, struct ce_error *err)
{
    CE_TRY(ce_spans_scan(spans, message->body, message->size, err));
    CE_TRY(ce_span_member(spans, 0, "predictions", ret_value, err));
    return *ret_value > 0 ? 0 : ce_fail(err, ENOENT, "the answer has no 'predictions'");
}

static int read_outputs(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t value;
    CE_TRY(find_predictions(message, &spans, &value, err));
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = &spans, .values = values};
    return ce_rows_read(&rows, value, err);
}

static int shorten(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t value;
    CE_TRY(find_predictions(message, &spans, &value, err));
    return ce_rows_shorten(&spans, value, message, values, ret, err);
}

static void write_error(FILE *file, int status, const char *sentence)
{
    const char *code = status == 400   ? "BAD_REQUEST"
                       : status == 404 ? "RESOURCE_DOES_NOT_EXIST"
                       : status == 429 ? "REQUEST_LIMIT_EXCEEDED"
                       : status == 503 ? "TEMPORARILY_UNAVAILABLE"
                                       : "INTERNAL_ERROR";
    fprintf(file, "{\"error_code\":\"%s\",\"message\":", code);
    ce_write_quoted(file, sentence);
    fputs("}", file);
}

static int write_request(FILE *file, const struct ce_request_plan *plan, const char *const *cells,
                         struct ce_error *err)
{
    fputs("{\"dataframe_split\":{\"columns\":[", file);
    for (size_t i = 0; i < plan->feature_count; i++) {
        fputs(i > 0 ? "," : "", file);
        ce_write_quoted(file, plan->features[i].name);
    }
    fputs("],\"data\":[", file);
    CE_TRY(ce_write_array(file, plan, cells, err));
    fputs("]}}", file);
    return 0;
}

const struct ce_protocol ce_protocol_mlflow = {
    .name = "mlflow",
    .content_type = "application/json",
    .error_headers = "Content-Type: application/json\r\n",
    .by_path = true,
    .is_json = true,
    .path = "/invocations",
    .read_path = read_path,
    .outputs = read_outputs,
    .inputs = read_inputs,
    .shorten = shorten,
    .write_error = write_error,
    .write_request = write_request,
};
