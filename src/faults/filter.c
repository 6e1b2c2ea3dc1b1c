/* SPDX-License-Identifier: MIT */
#include "faults/filter.h"

#include <regex.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "data/predicate.h"
#include "faults/request_row.h"

/* A regular expression; one that was not asked for matches everything. */
struct pattern {
    regex_t regex;
    bool present;
};

struct ce_filter {
    struct pattern path, header;
    char *header_name;
    struct ce_slice model, version; /* empty: any; into model_text */
    char *model_text;
    struct ce_predicate *where;
    const char **columns; /* that `where` names; it owns the names */
    size_t column_count;
};
CE_DEFINE_CLEANUP(struct ce_filter, ce_filter_free);

/* ---- patterns ---- */

static int pattern_parse(struct pattern *pattern, const char *parameter, const char *text,
                         struct ce_error *err)
{
    char why[128], shown[CE_TEXT_SHOWN_SIZE];
    int r = regcomp(&pattern->regex, text, REG_EXTENDED);
    if (r == 0) {
        pattern->present = true;
        return 0;
    }
    (void)regerror(r, &pattern->regex, why, sizeof why);
    ce_text_show(text, shown);
    return ce_fail(err, EINVAL, "%s: '%s' is no regular expression: %s", parameter, shown, why);
}

static void pattern_done(struct pattern *pattern)
{
    if (pattern->present)
        regfree(&pattern->regex);
}

static bool pattern_matches(const struct pattern *pattern, const char *text)
{
    return !pattern->present || regexec(&pattern->regex, text, 0, NULL, 0) == 0;
}

/* Of a field, which does not end in a NUL. One that is not there is none that is empty. */
static bool pattern_matches_field(const struct pattern *pattern, struct ce_slice field)
{
    char small[256];
    if (!pattern->present || !field.data)
        return !pattern->present;
    if (field.size < sizeof small) {
        memcpy(small, field.data, field.size);
        small[field.size] = '\0';
        return pattern_matches(pattern, small);
    }
    ce_autofree char *large = strndup(field.data, field.size);
    return large && pattern_matches(pattern, large);
}

/* ---- parsing ---- */

static bool is_token(const char *text, size_t size)
{
    static const char separators[] = "()<>@,;:\\\"/[]?={} \t";
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 127 ||
            strchr(separators, text[i]))
            return false;
    return size > 0;
}

/* "Name: regular expression" */
static int parse_header(struct ce_filter *filter, const char *text, struct ce_error *err)
{
    const char *colon = strchr(text, ':');
    if (!colon || !is_token(text, (size_t)(colon - text))) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL,
                       "header: '%s' is not 'Name: regular expression', such as X-Tenant: ^acme$",
                       shown);
    }
    filter->header_name = strndup(text, (size_t)(colon - text));
    if (!filter->header_name)
        return ce_fail_memory(err);
    return pattern_parse(&filter->header, "header", colon + 1 + strspn(colon + 1, " \t"), err);
}

/* "name" or "name/version" */
static int parse_model(struct ce_filter *filter, const char *text, struct ce_error *err)
{
    const char *slash = strchr(text, '/');
    if (slash == text || (slash && (slash[1] == '\0' || strchr(slash + 1, '/')))) {
        char shown[CE_TEXT_SHOWN_SIZE];
        ce_text_show(text, shown);
        return ce_fail(err, EINVAL, "model: '%s' is not 'name' or 'name/version'", shown);
    }
    filter->model_text = strdup(text);
    if (!filter->model_text)
        return ce_fail_memory(err);
    size_t name = slash ? (size_t)(slash - text) : strlen(text);
    filter->model = (struct ce_slice){filter->model_text, name};
    if (slash)
        filter->version = ce_slice_of(filter->model_text + name + 1);
    return 0;
}

static int parse_where(struct ce_filter *filter, const char *text, struct ce_error *err)
{
    CE_TRY(ce_predicate_parse(text, &filter->where, err));
    return ce_predicate_bind_own(filter->where, &filter->columns, &filter->column_count, err);
}

int ce_filter_new(const struct ce_traffic_params *params, struct ce_filter **ret_filter,
                  struct ce_error *err)
{
    CE_CLEANUP(ce_filter_free_p) struct ce_filter *filter = NULL;
    if (params && (params->path || params->header || params->model || params->where)) {
        filter = calloc(1, sizeof *filter);
        if (!filter)
            return ce_fail_memory(err);
        if (params->path)
            CE_TRY(pattern_parse(&filter->path, "path", params->path, err));
        if (params->header)
            CE_TRY(parse_header(filter, params->header, err));
        if (params->model)
            CE_TRY(parse_model(filter, params->model, err));
        if (params->where)
            CE_TRY(parse_where(filter, params->where, err));
    }
    *ret_filter = ce_take(filter);
    return 0;
}

void ce_filter_free(struct ce_filter *filter)
{
    if (!filter)
        return;
    pattern_done(&filter->path);
    pattern_done(&filter->header);
    free(filter->header_name);
    free(filter->model_text);
    free(filter->columns);
    ce_predicate_free(filter->where);
    free(filter);
}

/* ---- deciding ---- */

bool ce_filter_wants_body(const struct ce_filter *filter)
{
    return filter && (filter->model.size > 0 || filter->where);
}

static bool model_fits(const struct ce_filter *filter, struct ce_slice model,
                       struct ce_slice version)
{
    return ce_slice_same(filter->model, model) &&
           (filter->version.size == 0 || ce_slice_same(filter->version, version));
}

bool ce_filter_path(const struct ce_filter *filter, const char *path, const struct ce_call *call)
{
    if (!filter)
        return true;
    if (filter->model.size > 0 && call->model.size > 0 &&
        !model_fits(filter, call->model, call->version))
        return false;
    return pattern_matches(&filter->path, path);
}

bool ce_filter_header(const struct ce_filter *filter, const struct ce_exchange *exchange)
{
    if (!filter || !filter->header_name || exchange->is_probe)
        return true;
    return pattern_matches_field(&filter->header,
                                 ce_exchange_header(exchange, filter->header_name));
}

static bool model_fits_body(const struct ce_filter *filter, const struct ce_message *request)
{
    struct ce_slice model = {0}, version = {0};
    if (request->protocol)
        ce_message_model(request, &model, &version);
    return model_fits(filter, model, version);
}

static bool lacks_a_column(const struct ce_request_rows *rows)
{
    for (size_t column = 0; column < rows->columns; column++) {
        bool there = false;
        for (size_t row = 0; row < rows->count; row++)
            there |= rows->cells[row * rows->columns + column] != NULL;
        if (!there)
            return true;
    }
    return false;
}

/* Whether it is true of any row. */
static int where_holds(const struct ce_filter *filter, const struct ce_message *request)
{
    struct ce_values values = {0};
    struct ce_request_rows rows;
    if (!request->protocol || ce_message_inputs(request, &values, NULL) < 0)
        return -EINVAL;
    bool holds = false;
    int r = ce_request_rows_init(&rows, &values, filter->columns, filter->column_count);
    for (size_t i = 0; r == 0 && !holds && i < rows.count; i++) {
        rows.row.ordinal = i;
        holds = ce_predicate_true(filter->where, &rows.row);
    }
    if (r == 0 && !holds && lacks_a_column(&rows))
        r = -ENOENT;
    ce_request_rows_done(&rows);
    ce_values_done(&values);
    return r < 0 ? r : holds;
}

int ce_filter_body(const struct ce_filter *filter, const struct ce_call *call,
                   const struct ce_message *request)
{
    if (!filter)
        return 1;
    if (filter->model.size > 0 && call->model.size == 0 && !model_fits_body(filter, request))
        return 0;
    return filter->where ? where_holds(filter, request) : 1;
}
