/* SPDX-License-Identifier: MIT */
#include "pipeline/embedded/upstream.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "pipeline/embedded/freshness.h"

struct ce_upstream {
    CURL *curl;
    int port;
    /* of the call at hand */
    int sent;
    struct ce_upstream_answer answer;
};

struct ce_upstream *ce_upstream_open(int port)
{
    struct ce_upstream *upstream = calloc(1, sizeof *upstream);
    if (!upstream)
        return NULL;
    upstream->port = port;
    upstream->curl = curl_easy_init();
    if (!upstream->curl) {
        free(upstream);
        return NULL;
    }
    return upstream;
}

void ce_upstream_close(struct ce_upstream *upstream)
{
    if (!upstream)
        return;
    curl_easy_cleanup(upstream->curl);
    free(upstream);
}

/* Called before a request is sent. When a connection that it reused breaks, libcurl would send the
 * request again on a new one: retrying is the gateway's decision. */
static int allow_one(void *ctx, char *remote, char *local, int remote_port, int local_port)
{
    struct ce_upstream *upstream = ctx;
    return upstream->sent++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct ce_upstream_answer *answer = ctx;
    char *body = realloc(answer->body, answer->size + count + 1);
    if (!body)
        return 0; /* ends the transfer */
    memcpy(body + answer->size, data, count);
    answer->body = body;
    answer->size += count;
    body[answer->size] = '\0';
    return count;
}

static void append(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
}

static struct curl_slist *call_headers(const struct ce_upstream_call *call)
{
    struct curl_slist *headers = NULL;
    if (call->id) {
        ce_autofree char *line = ce_format("X-Request-Id: %s.%d", call->id, call->attempt);
        if (line)
            append(&headers, line);
    }
    ce_autofree char *now = ce_freshness_stamp();
    ce_autofree char *time = now ? ce_format(CE_FRESHNESS_FIELD ": %s", now) : NULL;
    if (time)
        append(&headers, time);
    append(&headers, "Content-Type: application/json");
    append(&headers, "Expect:"); /* no 100-continue round trip */
    return headers;
}

static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    default:
        return -ECONNRESET;
    }
}

int ce_upstream_call(struct ce_upstream *upstream, const struct ce_upstream_call *call,
                     struct ce_upstream_answer *ret_answer)
{
    CURL *curl = upstream->curl;
    struct curl_slist *headers = call_headers(call);
    ce_autofree char *url = ce_format("http://%s:%d%s", call->address, upstream->port, call->path);
    if (!url || !headers) {
        curl_slist_free_all(headers);
        return -ENOMEM;
    }
    curl_easy_reset(curl); /* keeps the connection */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, allow_one);
    curl_easy_setopt(curl, CURLOPT_PREREQDATA, upstream);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &upstream->answer);
    if (strcmp(call->method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->size);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->body);
    } else if (strcmp(call->method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
    }
    upstream->sent = 0;
    upstream->answer = (struct ce_upstream_answer){0};
    int r = error_of(curl_easy_perform(curl));
    curl_slist_free_all(headers);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (r < 0) {
        free(upstream->answer.body);
        return r;
    }
    upstream->answer.status = (int)status;
    *ret_answer = upstream->answer;
    return 0;
}
