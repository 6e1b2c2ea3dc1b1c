/* SPDX-License-Identifier: MIT */
#include "telemetry/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "net/client.h"
#include "observers/metrics.h"

void ce_gateway_done(struct ce_gateway *gateway)
{
    ce_url_done(&gateway->url);
    free(gateway->shown);
    free(gateway->authorization);
    *gateway = (struct ce_gateway){0};
}

/* ---- base64 ---- */

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* NULL: no memory. Free with free(). */
static char *base64(const char *alphabet, const char *data, size_t size)
{
    char *text = malloc((size + 2) / 3 * 4 + 1), *p = text;
    for (size_t i = 0; text && i < size; i += 3) {
        size_t left = size - i;
        unsigned bits = (unsigned)(unsigned char)data[i] << 16;
        bits |= left > 1 ? (unsigned)(unsigned char)data[i + 1] << 8 : 0;
        bits |= left > 2 ? (unsigned)(unsigned char)data[i + 2] : 0;
        *p++ = alphabet[bits >> 18];
        *p++ = alphabet[bits >> 12 & 63];
        *p++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        *p++ = left > 2 ? alphabet[bits & 63] : '=';
    }
    if (text)
        *p = '\0';
    return text;
}

/* ---- where it is ---- */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* %40 becomes @, in place; returns the length. */
static size_t percent_decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p != '\0'; p++) {
        int high = *p == '%' ? hex_digit(p[1]) : -1, low = high >= 0 ? hex_digit(p[2]) : -1;
        *to++ = low >= 0 ? (char)(high << 4 | low) : *p;
        p += low >= 0 ? 2 : 0;
    }
    *to = '\0';
    return (size_t)(to - text);
}

/* "user:password", as a URL has it, as the line that logs in. */
static char *make_authorization(const char *user, size_t size)
{
    ce_autofree char *plain = strndup(user, size);
    char *password = plain ? strchr(plain, ':') : NULL;
    if (!plain)
        return NULL;
    if (password)
        *password++ = '\0';
    (void)percent_decode(plain);
    if (password)
        (void)percent_decode(password);
    ce_autofree char *both = ce_format("%s:%s", plain, password ? password : "");
    ce_autofree char *coded = both ? base64(standard, both, strlen(both)) : NULL;
    return coded ? ce_format("Authorization: Basic %s\r\n", coded) : NULL;
}

/* Parts what logs in from the rest: `shown` is the URL without it. */
static int part_user(const char *text, struct ce_gateway *gateway, struct ce_error *err)
{
    const char *host = strstr(text, "://");
    size_t scheme = host ? (size_t)(host + 3 - text) : 0;
    size_t authority = strcspn(text + scheme, "/?#");
    const char *at = memrchr(text + scheme, '@', authority);
    gateway->shown = at ? ce_format("%.*s%s", (int)scheme, text, at + 1) : strdup(text);
    if (at)
        gateway->authorization = make_authorization(text + scheme, (size_t)(at - text) - scheme);
    return gateway->shown && (!at || gateway->authorization) ? 0 : ce_fail_memory(err);
}

static int parse(const char *text, struct ce_gateway *gateway, struct ce_error *err)
{
    CE_TRY(part_user(text, gateway, err));
    CE_TRY(ce_url_parse(gateway->shown, &gateway->url, err));
    if (gateway->url.http2)
        return ce_fail(err, EINVAL,
                       "'%.80s' is not pushed to over HTTP/2; http:// and https:// are",
                       gateway->shown);
    return 0;
}

int ce_gateway_parse(const char *text, struct ce_gateway *ret_gateway, struct ce_error *err)
{
    struct ce_gateway gateway = {0};
    int r = parse(text, &gateway, err);
    if (r >= 0)
        r = ce_url_secure(&gateway.url, NULL, err);
    if (r < 0)
        ce_gateway_done(&gateway);
    else
        *ret_gateway = gateway;
    return r;
}

int ce_gateway_check(const char *text, struct ce_error *err)
{
    CE_CLEANUP(ce_gateway_done) struct ce_gateway gateway = {0};
    return parse(text, &gateway, err);
}

/* ---- groups ---- */

/* "/job/NAME"; what could mean something else in a path is coded. Nothing is a lone "=". */
static char *make_label(const char *label, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    size_t size = strlen(value);
    if (size > 0 && value[0] != '.' && strspn(value, plain) == size)
        return ce_format("/%s/%s", label, value);
    ce_autofree char *coded = base64(for_urls, value, size);
    return coded ? ce_format("/%s@base64/%s", label, size > 0 ? coded : "=") : NULL;
}

char *ce_gateway_group(const char *job, const char *experiment)
{
    ce_autofree char *of = make_label("job", job);
    ce_autofree char *what = experiment ? make_label("experiment", experiment) : strdup("");
    return of && what ? ce_format("/metrics%s%s", of, what) : NULL;
}

/* ---- a call ---- */

/* A collector may take some of it alone, and wants to hear no more of the rest. */
static int check_partial(const struct ce_gateway *gateway, const struct ce_http_answer *answer,
                         struct ce_error *err)
{
    static const char *const counts[] = {"rejectedSpans", "rejectedDataPoints"};
    char words[CE_TEXT_SHOWN_SIZE] = "";
    ce_autojson json_t *json =
        answer->body ? json_loadb(answer->body, answer->body_size, 0, NULL) : NULL;
    const json_t *partial = json_object_get(json, "partialSuccess");
    const char *said = json_string_value(json_object_get(partial, "errorMessage"));
    for (size_t i = 0; i < CE_COUNT(counts); i++) {
        /* 64 bits are text in this JSON; not everybody knows. */
        const json_t *count = json_object_get(partial, counts[i]);
        const char *text = json_string_value(count);
        if (json_integer_value(count) == 0 && (!text || strcmp(text, "0") == 0))
            continue;
        ce_text_show(said ? said : "", words);
        return ce_fail(err, EBADMSG, "'%.80s' did not take all%s%s", gateway->shown,
                       words[0] ? ": " : "", words);
    }
    return 0;
}

/* The gateway's own words, as far as they fit into a sentence. */
static int refused(const struct ce_gateway *gateway, const struct ce_http_answer *answer,
                   struct ce_error *err)
{
    char words[CE_TEXT_SHOWN_SIZE] = "";
    if (answer->body)
        answer->body[strcspn(answer->body, "\r\n")] = '\0';
    ce_text_show(answer->body ? answer->body : "", words);
    bool never =
        gateway->kind == CE_GATEWAY_JSON && (answer->status == 400 || answer->status == 413);
    return ce_fail(err, never ? EBADMSG : EREMOTEIO, "'%.80s' answered with status %d%s%s",
                   gateway->shown, answer->status, words[0] ? ": " : "", words);
}

int ce_gateway_put(const struct ce_gateway *gateway, const char *group, const char *text,
                   int64_t timeout_ns, struct ce_error *err)
{
    const char *login = gateway->authorization ? gateway->authorization : "";
    bool json = gateway->kind == CE_GATEWAY_JSON;
    ce_autofree char *path =
        ce_format("%s%.*s", gateway->url.prefix, (int)strcspn(group, "#"), group);
    ce_autofree char *headers =
        ce_format("Content-Type: %s\r\n%s",
                  json ? "application/json" : ce_metric_content_type(CE_METRIC_TEXT), login);
    if (!path || !headers)
        return ce_fail_memory(err);
    const struct ce_http_call call = {
        .method = json   ? "POST"
                  : text ? "PUT"
                         : "DELETE",
        .path = path,
        .host = gateway->url.authority,
        .headers = text ? headers : login,
        .body = text,
        .body_size = text ? strlen(text) : 0,
        .timeout_ns = timeout_ns,
    };
    struct ce_http_answer answer = {0};
    int r = ce_http_call(&gateway->url.endpoint, &call, &answer, err);
    if (r < 0)
        return ce_fail_context(err, r, "'%.80s'", gateway->shown);
    bool taken = answer.status == 200 || answer.status == 202;
    r = !taken ? refused(gateway, &answer, err) : json ? check_partial(gateway, &answer, err) : 0;
    ce_http_answer_done(&answer);
    return r;
}

int ce_metrics_delete(const char *gateway, const char *job, const char *experiment,
                      struct ce_error *err)
{
    CE_CLEANUP(ce_gateway_done) struct ce_gateway where = {0};
    CE_TRY(ce_gateway_parse(gateway, &where, err));
    ce_autofree char *group = ce_gateway_group(job ? job : CE_PUSH_JOB, experiment);
    return group ? ce_gateway_put(&where, group, NULL, 10 * CE_SECOND, err) : ce_fail_memory(err);
}
