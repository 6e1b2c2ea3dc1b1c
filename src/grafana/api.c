/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "grafana/grafana.h"
#include "net/client.h"

/* ---- where it is ---- */

void ce_grafana_close(struct ce_grafana_api *api)
{
    ce_url_done(&api->url);
    free(api->headers);
    *api = (struct ce_grafana_api){0};
}

/* Whatever is wrong with them, they are not shown. */
static int check_secrets(const char *url, const char *token, struct ce_error *err)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    if (memchr(host, '@', strcspn(host, "/")))
        return ce_fail(err, EINVAL, "the URL names a user; who may log in has a token");
    if (!token || !token[0])
        return ce_fail(err, EINVAL, "there is no token: a service account of Grafana has one");
    for (const unsigned char *p = (const unsigned char *)token; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return ce_fail(err, EINVAL, "the token holds characters that no token has");
    return 0;
}

static int open_api(const char *url, const char *token, struct ce_grafana_api *api,
                    struct ce_error *err)
{
    CE_TRY(check_secrets(url, token, err));
    CE_TRY(ce_url_parse(url, &api->url, err));
    if (api->url.http2)
        return ce_fail(err, EINVAL, "'%.80s' is HTTP/2; Grafana is at http:// or https://", url);
    CE_TRY(ce_url_secure(&api->url, NULL, err));
    api->shown = url;
    api->token = token;
    /* With the last one, the rules may still be edited in Grafana. */
    api->headers = ce_format("Authorization: Bearer %s\r\nAccept: application/json\r\n"
                             "Content-Type: application/json\r\nX-Disable-Provenance: true\r\n",
                             token);
    return api->headers ? 0 : ce_fail_memory(err);
}

int ce_grafana_open(const char *url, const char *token, struct ce_grafana_api *ret_api,
                    struct ce_error *err)
{
    struct ce_grafana_api api = {0};
    int r = open_api(url, token, &api, err);
    if (r < 0)
        ce_grafana_close(&api);
    else
        *ret_api = api;
    return r;
}

/* ---- a call ---- */

/* Grafana's own words, unless they repeat the token. */
static void show_words(const struct ce_grafana_api *api, const json_t *answer,
                       char shown[CE_TEXT_SHOWN_SIZE])
{
    const char *words = json_string_value(json_object_get(answer, "message"));
    ce_text_show(words && !strstr(words, api->token) ? words : "", shown);
}

static int refused(const struct ce_grafana_api *api, int status, const json_t *answer,
                   const char *what, struct ce_error *err)
{
    static const struct {
        int status, code;
        const char *why;
    } known[] = {
        {401, EACCES, "it does not know the token"},
        {403, EACCES, "the token's account may not; it needs the role of an editor"},
        {404, ENOENT, "there is nothing like it; is that Grafana, with its whole path?"},
        {409, EEXIST, "something else of that name is in the way"},
        {412, EEXIST, "something else of that name is in the way"},
    };
    char words[CE_TEXT_SHOWN_SIZE];
    const char *why = "it refused";
    int code = EREMOTEIO;
    for (size_t i = 0; i < CE_COUNT(known); i++)
        if (known[i].status == status) {
            why = known[i].why;
            code = known[i].code;
        }
    if (status >= 500)
        why = "it failed";
    show_words(api, answer, words);
    return ce_fail(err, code, "cannot %s at '%.80s': %s (status %d%s%s)", what, api->shown, why,
                   status, words[0] ? ": " : "", words);
}

static int judge(const struct ce_grafana_api *api, const struct ce_http_answer *answer, int allowed,
                 const char *what, json_t **ret_answer, struct ce_error *err)
{
    json_t *said =
        answer->body ? json_loadb(answer->body, answer->body_size, JSON_DECODE_ANY, NULL) : NULL;
    bool taken = answer->status >= 200 && answer->status < 300;
    if (!taken && answer->status != allowed) {
        int r = refused(api, answer->status, said, what, err);
        json_decref(said);
        return r;
    }
    *ret_answer = said ? said : json_null();
    return answer->status;
}

int ce_grafana_call(const struct ce_grafana_api *api, const char *method, const char *path,
                    const json_t *body, int allowed, const char *what, json_t **ret_answer,
                    struct ce_error *err)
{
    ce_autofree char *whole = ce_format("%s%s", api->url.prefix, path);
    ce_autofree char *text = body ? ce_json_exact_text(body) : strdup("");
    if (!whole || !text)
        return ce_fail_memory(err);
    const struct ce_http_call call = {
        .method = method,
        .path = whole,
        .host = api->url.authority,
        .headers = api->headers,
        .body = text,
        .body_size = strlen(text),
        .timeout_ns = 10 * CE_SECOND,
    };
    struct ce_http_answer answer = {0};
    int r = ce_http_call(&api->url.endpoint, &call, &answer, err);
    if (r < 0)
        return ce_fail_context(err, r, "cannot %s at '%.80s'", what, api->shown);
    r = judge(api, &answer, allowed, what, ret_answer, err);
    ce_http_answer_done(&answer);
    return r;
}
