/* SPDX-License-Identifier: MIT */
/* What is true now: health, metrics, what is live, what goes on, what happens; and the lever. */
#include <string.h>

#include "base/clock.h"
#include "experiment/document.h"
#include "journal/lever.h"
#include "web/web_internal.h"

int ce_api_health(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    (void)request;
    return ce_response_json(reply, json_pack("{s:s, s:s}", "status", "ok", "version", ce_version()),
                            err);
}

int ce_api_metrics(const struct ce_web_request *request, struct ce_response *reply,
                   struct ce_error *err)
{
    const char *accept = ce_web_request_header(request, MHD_HTTP_HEADER_ACCEPT);
    reply->text = ce_metrics_text(request->web->metrics, accept, &reply->type);
    return reply->text ? 0 : ce_fail_memory(err);
}

/* ---- what is live ---- */

/* A document is read anew each time: it may have been changed. */
static json_t *document_json(const char *path)
{
    struct ce_document *doc = NULL;
    struct ce_error why = {0};
    int r = path ? ce_document_load(path, &doc, &why) : ce_document_demo(&doc, &why);
    bool theirs = r == 0 && ce_document_is_toolkit(doc);
    if (r == 0 && !theirs)
        r = ce_document_validate(doc, &why);
    json_t *json = json_pack("{s:s}", "name", path ? path : "demo");
    if (r < 0)
        (void)json_object_set_new(
            json, "error",
            json_sprintf("%s%s%s", why.where, why.where[0] ? ": " : "", why.message));
    else
        (void)json_object_set_new(
            json, "experiments",
            json_integer(theirs ? 1 : (json_int_t)ce_document_experiment_count(doc)));
    ce_document_free(doc);
    return json;
}

int ce_api_status(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    const struct ce_server *web = request->web;
    ce_autofree char *text = NULL;
    CE_TRY(ce_status_json(web->state_dir, &text, err));
    json_t *status = ce_json_parse(text, strlen(text), "the status", err);
    ce_autojson json_t *documents = json_array();
    for (size_t i = 0; i < web->options->document_count; i++)
        (void)json_array_append_new(documents, document_json(web->options->documents[i]));
    (void)json_array_append_new(documents, document_json(NULL));
    ce_autojson json_t *more =
        json_pack("{s:s, s:s, s:b, s:O}", "version", ce_version(), "state_dir", web->state_dir,
                  "authorized", request->authorized, "documents", documents);
    if (!status || !more || json_object_update(status, more) < 0) {
        json_decref(status);
        return ce_fail_memory(err);
    }
    return ce_response_json(reply, status, err);
}

int ce_api_live(const struct ce_web_request *request, struct ce_response *reply,
                struct ce_error *err)
{
    struct ce_server *web = request->web;
    (void)pthread_mutex_lock(&web->lock);
    int r = ce_response_json(reply, json_incref((json_t *)ce_scene_json(web->scene)), err);
    (void)pthread_mutex_unlock(&web->lock);
    return r;
}

/* EventSource says where it was by a header, and cannot at its first call. */
int ce_api_events(const struct ce_web_request *request, struct ce_response *reply,
                  struct ce_error *err)
{
    const char *last = ce_web_request_header(request, "Last-Event-ID");
    if (!last)
        last = ce_web_request_parameter(request, "last_event_id");
    reply->type = "text/event-stream";
    reply->stream = ce_feed_open(request->web->feed, request->connection, last);
    return reply->stream ? 0 : ce_fail(err, EBUSY, "too many listen already");
}

/* ---- the lever ---- */

int ce_api_stop(const struct ce_web_request *request, struct ce_response *reply,
                struct ce_error *err)
{
    const char *key;
    json_t *value;
    bool release = false;
    json_object_foreach(request->body, key, value)
    {
        if (strcmp(key, "release") != 0 || !json_is_boolean(value))
            return ce_fail(err, EINVAL, "'%.40s': the body is {\"release\": true or false}", key);
        release = json_is_true(value);
    }
    CE_TRY(ce_stop(request->web->state_dir, release, err));
    bool stopped = ce_lever_is_engaged(request->web->state_dir);
    return ce_response_json(reply, json_pack("{s:b}", "stopped", stopped), err);
}
