/* SPDX-License-Identifier: MIT */
/* Any other server that takes and answers JSON; the user's locator says where its predictions are.
 * What the locator leads to may have any of the shapes in rows.h. Behind a [*] each match is a
 * row. Every POST is a call, since no path tells. */
#include "base/cleanup.h"
#include "inference/json_path.h"
#include "inference/rows.h"

static bool read_path(struct ce_slice path, struct ce_call *call)
{
    (void)path;
    (void)call;
    return true;
}

struct found {
    struct ce_rows rows;
    bool every; /* each match is a row */
    size_t count;
    uint32_t last;
};

static int take_match(void *ctx, uint32_t value, struct ce_error *err)
{
    struct found *found = ctx;
    found->count++;
    found->last = value;
    if (!found->rows.values)
        return 0;
    return found->every ? ce_rows_row(&found->rows, value, err)
                        : ce_rows_read(&found->rows, value, err);
}

static const char *locator_of(const struct ce_message *message)
{
    return message->locator ? message->locator : "$";
}

static int read_outputs(const struct ce_message *message, struct ce_values *values,
                        struct ce_error *err)
{
    struct ce_locator locator;
    CE_TRY(ce_locator_parse(locator_of(message), &locator, err));
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    struct found found = {
        .rows = {.spans = &spans,
                 .values = values,
                 .classes = CE_CLASSES_DISTRIBUTION,
                 .unnamed = ce_locator_name(&locator)},
        .every = ce_locator_every(&locator) < locator.count,
    };
    int r = ce_locator_find(&locator, locator.count, &spans, take_match, &found, err);
    ce_rows_end(&found.rows);
    if (r == 0 && found.count == 0)
        return ce_fail(err, ENOENT, "the message has nothing at '%.100s'", locator_of(message));
    return r;
}

static int read_inputs(const struct ce_message *message, struct ce_values *values,
                       struct ce_error *err)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_CLEANUP(ce_rows_end) struct ce_rows rows = {.spans = &spans, .values = values};
    return ce_rows_read(&rows, 0, err);
}

/* The rows are the elements over which the first [*] goes, or what the locator leads to. */
static int shorten(const struct ce_message *message, const struct ce_values *values,
                   struct ce_remade *ret, struct ce_error *err)
{
    struct ce_locator locator;
    struct found found = {.count = 0};
    CE_TRY(ce_locator_parse(locator_of(message), &locator, err));
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_TRY(ce_locator_find(&locator, ce_locator_every(&locator), &spans, take_match, &found, err));
    if (found.count == 0)
        return ce_fail(err, ENOTSUP, "the answer has no row to leave out");
    return ce_rows_shorten(&spans, found.last, message, values, ret, err);
}

/* ---- the model, where a body names one ---- */

static void read_model(const struct ce_message *message, struct ce_slice *ret_model,
                       struct ce_slice *ret_version)
{
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t model;
    (void)ret_version;
    if (ce_spans_scan(&spans, message->body, message->size, NULL) == 0 &&
        ce_span_member_of(&spans, 0, "model", CE_SPAN_STRING, &model, NULL) == 0 && model > 0)
        *ret_model = ce_span_inner(&spans, model);
}

static int rename_model(const struct ce_message *message, struct ce_slice model,
                        struct ce_slice version, struct ce_remade *ret, struct ce_error *err)
{
    CE_CLEANUP(ce_patches_done) struct ce_patches patches = {0};
    CE_CLEANUP(ce_spans_done) struct ce_spans spans;
    uint32_t member;
    CE_TRY(ce_spans_scan(&spans, message->body, message->size, err));
    CE_TRY(ce_span_member_of(&spans, 0, "model", CE_SPAN_STRING, &member, err));
    if (member == 0 || version.size > 0)
        return ce_fail(err, ENOTSUP, "the request names no model %s",
                       member == 0 ? "in a member 'model'" : "version");
    CE_TRY(ce_patches_add_escaped(&patches, message, ce_span_inner(&spans, member), model, err));
    return ce_patches_make(&patches, message, message->size, ret, err);
}

const struct ce_protocol ce_protocol_json = {
    .name = "json",
    .content_type = "application/json",
    .error_headers = "Content-Type: application/json\r\n",
    .is_json = true,
    .path = "/",
    .read_path = read_path,
    .outputs = read_outputs,
    .inputs = read_inputs,
    .shorten = shorten,
    .rename = rename_model,
    .model = read_model,
    .write_error = ce_write_error,
    .write_request = ce_write_object,
};
