/* SPDX-License-Identifier: MIT */
/* TorchServe, whose handlers decide what messages look like:
 *
 *     POST /predictions/NAME[/VERSION]
 *     {"tabby": 0.46, "lynx": 0.13}     scores of classes, as the built-in classifiers answer
 *     0.5, [0.5, 0.7], [{...}, {...}]   or whatever a handler returns
 *
 * Requests are free-form too; features are found in those that are JSON. */
#include "base/cleanup.h"
#include "inference/rows.h"

static bool read_path(struct ce_slice path, struct ce_call *call)
{
    if (!ce_path_enter(&path, "/predictions/") || !ce_path_take(&path, "/", &call->model))
        return false;
    if (ce_path_skip(&path, "/") && !ce_path_take(&path, "/", &call->version))
        return false;
    return path.size == 0;
}

/* {"code": 404, "type": "ModelNotFoundException", "message": "..."} */
static int scan_answer(const struct ce_message *message, struct ce_spans *spans,
                       struct ce_error *err)
{
    uint32_t code, type;
    CE_TRY(ce_spans_scan(spans, message->body, message->size, err));
    CE_TRY(ce_span_member(spans, 0, "code", &code, err));
    CE_TRY(ce_span_member(spans, 0, "type", &type, err));
    return code > 0 && type > 0 ? ce_fail(err, ENOENT, "the answer is an error") : 0;
}

static int read_outputs(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(scan_answer(message, &spans, err));
    CE_CLEANUP(ce_rows_end)
    struct ce_rows rows = {.spans = &spans, .values = values, .classes = CE_CLASSES_ALWAYS};
    return ce_rows_read(&rows, 0, err);
}

static int read_inputs(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    static const char *const members[] = {"instances", "data"};
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t value = 0;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    for (size_t i = 0; i < CE_COUNT(members) && value == 0; i++)
        CE_TRY(ce_span_member(&spans, 0, members[i], &value, err));
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = &spans, .values = values};
    return ce_rows_read(&rows, value, err);
}

static int shorten(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(scan_answer(message, &spans, err));
    return ce_rows_shorten(&spans, 0, message, values, ret, err);
}

static void write_error(FILE *file, int status, const char *sentence)
{
    const char *type = status == 404   ? "ModelNotFoundException"
                       : status == 503 ? "ServiceUnavailableException"
                       : status < 500  ? "BadRequestException"
                                       : "InternalServerException";
    fprintf(file, "{\"code\":%d,\"type\":\"%s\",\"message\":", status, type);
    ce_write_quoted(file, sentence);
    fputs("}", file);
}

const struct ce_protocol ce_protocol_torchserve = {
    .name = "torchserve",
    .content_type = "application/json",
    .error_headers = "Content-Type: application/json\r\n",
    .by_path = true,
    .needs_model = true,
    .is_json = true,
    .path = "/predictions/",
    .version_mark = "/",
    .verb = "",
    .read_path = read_path,
    .outputs = read_outputs,
    .inputs = read_inputs,
    .shorten = shorten,
    .write_error = write_error,
    .write_request = ce_write_object,
};
