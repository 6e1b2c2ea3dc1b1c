/* SPDX-License-Identifier: MIT */
/* Puts the dashboard and the alert rules into a Grafana, by the API that versions 9 to 13 share.
 *
 * What is there already is replaced: the uids are always the same. Nothing is stored before it is
 * known which data source the rules ask. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "grafana/grafana.h"

static int no_json(const struct ce_grafana_api *api, struct ce_error *err)
{
    return ce_fail(err, EPROTO, "'%.80s' does not answer as Grafana does", api->shown);
}

/* A member of an answer that has to be a text. Free with free(). */
static int take_text(const struct ce_grafana_api *api, const json_t *answer, const char *key,
                     char **ret_text, struct ce_error *err)
{
    const char *value = json_string_value(json_object_get(answer, key));
    char *text = value ? strdup(value) : NULL;
    if (!value)
        return no_json(api, err);
    if (!text)
        return ce_fail_memory(err);
    *ret_text = text;
    return 0;
}

/* ---- the data source ---- */

/* As Grafana makes them, and safe in a path. */
static bool is_uid(const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = strlen(text);
    return size > 0 && size <= 40 && strspn(text, plain) == size;
}

static int check_datasource(const struct ce_grafana_api *api, const char *uid, struct ce_error *err)
{
    ce_autojson json_t *answer = NULL;
    if (!is_uid(uid))
        return ce_fail(err, EINVAL, "'%.80s' is no uid of a data source", uid);
    ce_autofree char *path = ce_format("/api/datasources/uid/%s", uid);
    ce_autofree char *what = ce_format("find the data source '%s'", uid);
    if (!path || !what)
        return ce_fail_memory(err);
    /* Whoever may not look may still use it. */
    CE_TRY(ce_grafana_call(api, "GET", path, NULL, 403, what, &answer, err));
    return 0;
}

/* The default one of Prometheus, else the first. */
static int find_datasource(const struct ce_grafana_api *api, char **ret_uid, struct ce_error *err)
{
    ce_autojson json_t *list = NULL;
    const json_t *found = NULL;
    json_t *source;
    size_t i;
    int r =
        ce_grafana_call(api, "GET", "/api/datasources", NULL, 403, "list data sources", &list, err);
    CE_TRY(r);
    if (r == 403)
        return ce_fail(err, EACCES,
                       "cannot list data sources at '%.80s': the token's account may not (status "
                       "403); --datasource UID says which one it is",
                       api->shown);
    if (!json_is_array(list))
        return no_json(api, err);
    json_array_foreach(list, i, source)
    {
        const char *type = json_string_value(json_object_get(source, "type"));
        bool usual = json_is_true(json_object_get(source, "isDefault"));
        if (type && strcmp(type, "prometheus") == 0 && (!found || usual))
            found = source;
    }
    if (!found)
        return ce_fail(err, ENOENT, "'%.80s' has no data source of the type prometheus",
                       api->shown);
    return take_text(api, found, "uid", ret_uid, err);
}

static int pick_datasource(const struct ce_grafana_api *api, const char *named, char **ret_uid,
                           struct ce_error *err)
{
    if (!named)
        return find_datasource(api, ret_uid, err);
    CE_TRY(check_datasource(api, named, err));
    char *uid = strdup(named);
    if (!uid)
        return ce_fail_memory(err);
    *ret_uid = uid;
    return 0;
}

/* ---- the folder ---- */

/* A folder of ours with another name is another folder. */
static char *make_folder_uid(const char *title)
{
    char hash[CE_SHA256_HEX];
    if (strcmp(title, CE_GRAFANA_FOLDER) == 0)
        return strdup(CE_GRAFANA_FOLDER_UID);
    if (ce_sha256_data(title, strlen(title), hash, NULL) < 0)
        return NULL;
    return ce_format("%s-%.16s", CE_GRAFANA_FOLDER_UID, hash);
}

/* 1 and its uid when it is there. */
static int find_folder(const struct ce_grafana_api *api, const char *title, const char *own,
                       char **ret_uid, struct ce_error *err)
{
    ce_autojson json_t *one = NULL, *list = NULL;
    ce_autofree char *path = ce_format("/api/folders/%s", own);
    json_t *folder;
    size_t i;
    if (!path)
        return ce_fail_memory(err);
    int r = ce_grafana_call(api, "GET", path, NULL, 404, "look for the folder", &one, err);
    CE_TRY(r);
    if (r != 404) {
        CE_TRY(take_text(api, one, "uid", ret_uid, err));
        return 1;
    }
    CE_TRY(ce_grafana_call(api, "GET", "/api/folders?limit=1000", NULL, 0, "list folders", &list,
                           err));
    if (!json_is_array(list))
        return no_json(api, err);
    json_array_foreach(list, i, folder)
    {
        const char *called = json_string_value(json_object_get(folder, "title"));
        if (!called || strcmp(called, title) != 0)
            continue;
        CE_TRY(take_text(api, folder, "uid", ret_uid, err));
        return 1;
    }
    return 0;
}

static int make_folder(const struct ce_grafana_api *api, const char *title, char **ret_uid,
                       struct ce_error *err)
{
    ce_autojson json_t *answer = NULL;
    ce_autofree char *own = make_folder_uid(title);
    if (!own)
        return ce_fail_memory(err);
    int r = find_folder(api, title, own, ret_uid, err);
    if (r != 0)
        return r;
    ce_autojson json_t *body = json_pack("{s:s, s:s}", "uid", own, "title", title);
    if (!body)
        return ce_fail_memory(err);
    r = ce_grafana_call(api, "POST", "/api/folders", body, 0, "make the folder", &answer, err);
    /* Somebody else may just have made it. */
    if (r == -EEXIST && find_folder(api, title, own, ret_uid, NULL) == 1)
        return 0;
    CE_TRY(r);
    return take_text(api, answer, "uid", ret_uid, err);
}

/* ---- what goes into it ---- */

static int store_dashboard(const struct ce_grafana_api *api, json_t *dashboard, const char *folder,
                           json_t **ret_answer, struct ce_error *err)
{
    ce_autojson json_t *body =
        json_pack("{s:O, s:s, s:s, s:b}", "dashboard", dashboard, "folderUid", folder, "message",
                  "chaoseater " CE_VERSION, "overwrite", 1);
    if (!body)
        return ce_fail_memory(err);
    CE_TRY(ce_grafana_call(api, "POST", "/api/dashboards/db", body, 0, "store the dashboard",
                           ret_answer, err));
    return 0;
}

static int store_rule(const struct ce_grafana_api *api, const json_t *rule, struct ce_error *err)
{
    static const char rules[] = "/api/v1/provisioning/alert-rules";
    ce_autojson json_t *replaced = NULL, *added = NULL;
    ce_autofree char *path =
        ce_format("%s/%s", rules, json_string_value(json_object_get(rule, "uid")));
    ce_autofree char *what =
        ce_format("store the alert rule '%s'", json_string_value(json_object_get(rule, "title")));
    if (!path || !what)
        return ce_fail_memory(err);
    int r = ce_grafana_call(api, "PUT", path, rule, 404, what, &replaced, err);
    CE_TRY(r);
    if (r == 404)
        CE_TRY(ce_grafana_call(api, "POST", rules, rule, 0, what, &added, err));
    return 0;
}

static int store_rules(const struct ce_grafana_api *api, const json_t *rules, struct ce_error *err)
{
    json_t *rule;
    size_t i;
    json_array_foreach(rules, i, rule)
    {
        CE_TRY(store_rule(api, rule, err));
    }
    return 0;
}

/* ---- the whole ---- */

static int push(const struct ce_grafana_api *api, const struct ce_grafana_push_options *options,
                char **ret_json, struct ce_error *err)
{
    const char *title = options->folder ? options->folder : CE_GRAFANA_FOLDER;
    struct ce_grafana_limits limits;
    ce_autofree char *source = NULL, *folder = NULL;
    ce_autojson json_t *dashboard = NULL, *answer = NULL, *said = NULL, *name = json_string(title);
    if (json_string_length(name) == 0)
        return ce_fail(err, EINVAL, "a folder's name is a text in UTF-8, and not empty");
    CE_TRY(ce_grafana_parse_limits(options->alerts, &limits, err));
    CE_TRY(ce_grafana_make_dashboard(options->dashboard, &dashboard, err));
    CE_TRY(
        pick_datasource(api, options->alerts ? options->alerts->datasource : NULL, &source, err));
    CE_TRY(make_folder(api, title, &folder, err));
    CE_TRY(store_dashboard(api, dashboard, folder, &answer, err));
    ce_autojson json_t *rules = ce_grafana_make_rules(&limits, source, folder);
    if (!rules)
        return ce_fail_memory(err);
    CE_TRY(store_rules(api, rules, err));
    said = json_pack("{s:s, s:s, s:s, s:O?, s:I}", "datasource", source, "folder", folder,
                     "dashboard", CE_GRAFANA_UID, "path", json_object_get(answer, "url"), "rules",
                     (json_int_t)json_array_size(rules));
    char *text = said ? ce_json_text(said) : NULL;
    if (!text)
        return ce_fail_memory(err);
    *ret_json = text;
    return 0;
}

int ce_grafana_push(const struct ce_grafana_push_options *options, char **ret_json,
                    struct ce_error *err)
{
    CE_CLEANUP(ce_grafana_close) struct ce_grafana_api api = {0};
    CE_TRY(ce_grafana_open(options->url, options->token, &api, err));
    return push(&api, options, ret_json, err);
}
