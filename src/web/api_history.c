/* SPDX-License-Identifier: MIT */
/* The history, as `chaoseater history` shows it. It is opened for each request: others write to it,
 * replace it, or make it only now. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "history/history.h"
#include "web/web_internal.h"

/* A report brings its own styles, and runs nothing. */
#define REPORT_POLICY                                                                              \
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "       \
    "sandbox allow-popups"

enum { LIMIT_USUAL = 50, LIMIT_MOST = 1000, DAYS_USUAL = 30 };

static int open_history(const struct ce_web_request *request, struct ce_history **ret_history,
                        struct ce_error *err)
{
    const struct ce_server *web = request->web;
    int r = ce_history_open_to_read(web->options->db, web->state_dir, ret_history, err);
    /* That there is none is no fault of who asks. */
    return r == -ENOENT || r == -EINVAL ? ce_fail_context(err, -EBADMSG, "the history") : r;
}

/* ---- parameters ---- */

static int number_of(const struct ce_web_request *request, const char *name, bool *ret_given,
                     double *ret_value, struct ce_error *err)
{
    const char *text = ce_web_request_parameter(request, name);
    if (!text)
        return 0;
    if (ce_text_number(text, ret_value) < 0)
        return ce_fail(err, EINVAL, "%s: '%.40s' is no number", name, text);
    if (ret_given)
        *ret_given = true;
    return 0;
}

static int count_of(const struct ce_web_request *request, const char *name, size_t most,
                    size_t *ret, struct ce_error *err)
{
    const char *text = ce_web_request_parameter(request, name);
    int64_t value;
    if (!text)
        return 0;
    if (ce_text_integer(text, &value) < 0 || value < 0 || (uint64_t)value > most)
        return ce_fail(err, EINVAL, "%s: '%.40s' is no whole number in 0..%zu", name, text, most);
    *ret = (size_t)value;
    return 0;
}

/* NULL where a parameter is empty, as forms send it. */
static const char *text_of(const struct ce_web_request *request, const char *name)
{
    const char *text = ce_web_request_parameter(request, name);
    return text && text[0] ? text : NULL;
}

/* An id, or a name, that has to be given. */
static int need(const struct ce_web_request *request, const char *name, const char **ret_text,
                struct ce_error *err)
{
    *ret_text = text_of(request, name);
    return *ret_text ? 0 : ce_fail(err, EINVAL, "%s: has to be given", name);
}

static int filter_of(const struct ce_web_request *request, struct ce_history_filter *filter,
                     struct ce_error *err)
{
    *filter = (struct ce_history_filter){
        .layer = text_of(request, "layer"),
        .fault = text_of(request, "fault"),
        .status = text_of(request, "status"),
        .verdict = text_of(request, "verdict"),
        .profile = text_of(request, "profile"),
        .tag = text_of(request, "tag"),
        .name = text_of(request, "name"),
        .since = text_of(request, "since"),
        .until = text_of(request, "until"),
        .sort = text_of(request, "sort"),
        .limit = LIMIT_USUAL,
    };
    CE_TRY(number_of(request, "min_score", &filter->has_min_score, &filter->min_score, err));
    CE_TRY(number_of(request, "max_score", &filter->has_max_score, &filter->max_score, err));
    CE_TRY(count_of(request, "limit", LIMIT_MOST, &filter->limit, err));
    CE_TRY(count_of(request, "offset", SIZE_MAX / 2, &filter->offset, err));
    if (filter->limit == 0)
        return ce_fail(err, EINVAL, "limit: '0' is no whole number in 1..%d", LIMIT_MOST);
    return 0;
}

/* ---- lists ---- */

static int list(struct ce_history *history, const struct ce_history_filter *filter,
                struct ce_response *reply, struct ce_error *err)
{
    ce_autofree char *text = NULL;
    size_t total = 0;
    CE_TRY(ce_history_count(history, filter, &total, err));
    int r = ce_history_list_json(history, filter, &text, err);
    if (r < 0) /* that there is nothing to sort by is a bad question, and no missing page */
        return r == -ENOENT ? -EINVAL : r;
    json_t *runs = ce_json_parse(text, strlen(text), "the list", err);
    return ce_response_json(reply,
                            json_pack("{s:I, s:o}", "total", (json_int_t)total, "runs", runs), err);
}

int ce_api_runs(const struct ce_web_request *request, struct ce_response *reply,
                struct ce_error *err)
{
    struct ce_history_filter filter;
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(filter_of(request, &filter, err));
    CE_TRY(open_history(request, &history, err));
    return list(history, &filter, reply, err);
}

int ce_api_summary(const struct ce_web_request *request, struct ce_response *reply,
                   struct ce_error *err)
{
    struct ce_history_filter filter;
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(filter_of(request, &filter, err));
    CE_TRY(open_history(request, &history, err));
    return ce_history_summary_json(history, &filter, &reply->text, err);
}

int ce_api_trends(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    const char *name;
    size_t days = DAYS_USUAL;
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(need(request, "name", &name, err));
    CE_TRY(count_of(request, "days", 100000, &days, err));
    CE_TRY(open_history(request, &history, err));
    return ce_history_trends_json(history, name, days, text_of(request, "profile"), &reply->text,
                                  err);
}

int ce_api_compare(const struct ce_web_request *request, struct ce_response *reply,
                   struct ce_error *err)
{
    const char *runs[2];
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(need(request, "a", &runs[0], err));
    CE_TRY(need(request, "b", &runs[1], err));
    CE_TRY(open_history(request, &history, err));
    return ce_history_compare_json(history, runs, 2, &reply->text, err);
}

/* ---- one run ---- */

int ce_api_run(const struct ce_web_request *request, struct ce_response *reply,
               struct ce_error *err)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(open_history(request, &history, err));
    return ce_history_show_json(history, request->parts[0], &reply->text, err);
}

int ce_api_document(const struct ce_web_request *request, struct ce_response *reply,
                    struct ce_error *err)
{
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(open_history(request, &history, err));
    reply->type = "text/yaml; charset=utf-8";
    return ce_history_document(history, request->parts[0], &reply->text, err);
}

int ce_api_report(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    const char *run = request->parts[0];
    struct ce_results *results = NULL;
    size_t size;
    CE_CLEANUP(ce_history_close_p) struct ce_history *history = NULL;
    CE_TRY(open_history(request, &history, err));
    CE_TRY(ce_history_results(history, &run, 1, &results, err));
    FILE *out = open_memstream(&reply->text, &size);
    int r = out ? ce_results_write(results, "html", out, false, err) : ce_fail_memory(err);
    if (out && fclose(out) != 0 && r >= 0)
        r = ce_fail_memory(err);
    ce_results_free(results);
    reply->type = "text/html; charset=utf-8";
    reply->policy = REPORT_POLICY;
    return r;
}
