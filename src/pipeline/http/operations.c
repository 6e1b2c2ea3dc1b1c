/* SPDX-License-Identifier: MIT */
#include "pipeline/http/operations.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

static struct ce_request_plan plan_of(const struct ce_pipeline_spec *spec,
                                      const struct ce_labelled *labelled,
                                      const struct ce_protocol *protocol)
{
    return (struct ce_request_plan){
        .protocol = protocol,
        .model = spec->model ? spec->model : "",
        .version = spec->version ? spec->version : "",
        .features = labelled->features,
        .feature_count = labelled->feature_count,
        .template = spec->request,
    };
}

static int make_path(const struct ce_pipeline_spec *spec, const struct ce_request_plan *plan,
                     char **ret_path, const char **ret_key, struct ce_error *err)
{
    int r = ce_request_path(plan, ret_path, err);
    if (r != -EINVAL)
        return r;
    bool in_template = err && err->where[0] != '\0';
    *ret_key = in_template ? "request" : spec->model ? "model" : NULL;
    if (in_template) { /* the place is one within the template, which has one in the document */
        char where[sizeof err->where];
        memcpy(where, err->where, sizeof where);
        err->where[0] = '\0';
        (void)ce_fail_context(err, r, "request: %s", where);
    }
    return r;
}

/* `cells` has room for each feature. */
static int make_body(const struct ce_request_plan *plan, const struct ce_labelled_row *row,
                     const char **cells, char **ret_body, size_t *ret_size, struct ce_error *err)
{
    for (size_t i = 0; i < plan->feature_count; i++)
        cells[i] = ce_labelled_cell(row, i);
    return ce_request_body(plan, cells, ret_body, ret_size, err);
}

int ce_operations_check(const struct ce_pipeline_spec *spec, const struct ce_labelled *labelled,
                        const struct ce_protocol *protocol, const char **ret_key,
                        struct ce_error *err)
{
    struct ce_request_plan plan = plan_of(spec, labelled, protocol);
    ce_autofree char *path = NULL;
    ce_autofree char *body = NULL;
    ce_autofree const char **cells = calloc(labelled->feature_count + 1, sizeof *cells);
    size_t size;
    if (!cells)
        return ce_fail_memory(err);
    CE_TRY(make_path(spec, &plan, &path, ret_key, err));
    return make_body(&plan, &labelled->rows[0], cells, &body, &size, err);
}

void ce_operations_done(struct ce_operations *operations)
{
    for (size_t i = 0; i < operations->count; i++) {
        free(operations->items[i].body);
        free(operations->items[i].label_text);
    }
    free(operations->items);
    free((char *)operations->path);
    *operations = (struct ce_operations){0};
}

/* json has no path of its own: its requests go to the url as it stands. */
static char *join(const struct ce_url *url, const char *path)
{
    bool bare = strcmp(path, "/") == 0 && url->prefix[0] != '\0';
    return ce_format("%s%s", url->prefix, bare ? "" : path);
}

static int add_rows(struct ce_operations *operations, const struct ce_request_plan *plan,
                    const struct ce_labelled *labelled, struct ce_error *err)
{
    ce_autofree const char **cells = calloc(plan->feature_count + 1, sizeof *cells);
    operations->items = calloc(labelled->row_count, sizeof *operations->items);
    if (!cells || !operations->items)
        return ce_fail_memory(err);
    for (size_t i = 0; i < labelled->row_count; i++) {
        const struct ce_labelled_row *row = &labelled->rows[i];
        struct ce_operation *operation = &operations->items[i];
        CE_TRY(make_body(plan, row, cells, &operation->body, &operation->body_size, err));
        operations->count++;
        operation->label = row->number;
        operation->label_text = strdup(row->label);
        if (!operation->label_text)
            return ce_fail_memory(err);
    }
    return 0;
}

int ce_operations_make(const struct ce_pipeline_spec *spec, const struct ce_url *url,
                       const struct ce_labelled *labelled, const struct ce_judge *judge,
                       struct ce_operations *ret_operations, const char **ret_key,
                       struct ce_error *err)
{
    struct ce_request_plan plan = plan_of(spec, labelled, judge->protocol);
    ce_autofree char *path = NULL;
    CE_TRY(make_path(spec, &plan, &path, ret_key, err));
    CE_CLEANUP(ce_operations_done)
    struct ce_operations operations = {
        .path = join(url, path),
        .host = url->authority,
        .content_type = ce_request_content_type(judge->protocol),
        .grpc = url->http2,
        .ctx = judge,
        .read_prediction = ce_judge_read,
        .is_right = ce_judge_is_right,
    };
    if (!operations.path)
        return ce_fail_memory(err);
    CE_TRY(add_rows(&operations, &plan, labelled, err));
    *ret_operations = operations;
    operations = (struct ce_operations){0};
    return 0;
}
