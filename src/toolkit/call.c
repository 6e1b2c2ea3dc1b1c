/* SPDX-License-Identifier: MIT */
/* Activities that are HTTP calls. Redirects are followed, as their users are used to. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/file.h"
#include "net/client.h"
#include "net/url.h"
#include "toolkit/toolkit_internal.h"

enum { REDIRECTS_MAX = 30 };

/* ---- addresses ---- */

static const char hex[] = "0123456789ABCDEF";

static size_t server_size(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    return (size_t)(host - url) + strcspn(host, "/?#");
}

static int parse_server(const char *text, struct ce_url *ret_url, struct ce_error *err)
{
    ce_autofree char *server = strndup(text, server_size(text));
    if (!server)
        return ce_fail_memory(err);
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return ce_fail(err, EINVAL, "'%.80s' begins with neither http:// nor https://", text);
    return ce_url_parse(server, ret_url, err);
}

int ce_call_check(const char *url, struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url parsed = {0};
    return parse_server(url, &parsed, err);
}

/* What is asked for: without a fragment, and with nothing in it that a request line cannot hold. */
static char *path_of(const char *url)
{
    const char *from = url + server_size(url);
    char *path = malloc(3 * strlen(from) + 2), *to = path;
    if (!path)
        return NULL;
    if (*from != '/')
        *to++ = '/';
    for (; *from && *from != '#'; from++) {
        unsigned char c = (unsigned char)*from;
        if (c > ' ' && c < 0x7f) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }
    *to = '\0';
    return path;
}

/* ---- forms ---- */

static void write_escaped(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (isalnum(*p) || strchr("-._~", *p))
            fputc(*p, out);
        else if (*p == ' ')
            fputc('+', out);
        else
            fprintf(out, "%%%c%c", hex[*p >> 4], hex[*p & 15]);
}

static void write_pair(FILE *out, const char *key, const json_t *value, bool *any)
{
    ce_autofree char *text = ce_value_text(value);
    if (json_is_null(value) || !text)
        return;
    if (*any)
        fputc('&', out);
    *any = true;
    write_escaped(out, key);
    fputc('=', out);
    write_escaped(out, text);
}

char *ce_call_form(const json_t *arguments)
{
    char *text = NULL;
    size_t size, i;
    const char *key;
    json_t *value, *item;
    bool any = false;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    json_object_foreach((json_t *)(uintptr_t)arguments, key, value)
    {
        if (json_is_array(value))
            json_array_foreach(value, i, item) write_pair(out, key, item, &any);
        else
            write_pair(out, key, value, &any);
    }
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- the answer ---- */

/* {name: value} of the lines of a head; what comes twice is joined. */
static json_t *headers_of(const char *head)
{
    ce_autojson json_t *headers = json_object();
    const char *line = head ? strstr(head, "\r\n") : NULL;
    while (headers && line && line[2] != '\r' && line[2] != '\0') {
        line += 2;
        const char *next = strstr(line, "\r\n");
        size_t size = next ? (size_t)(next - line) : strlen(line), name = strcspn(line, ":");
        size_t from = name < size ? name + 1 : size;
        from += strspn(line + from, " \t");
        from = from < size ? from : size;
        const json_t *before = json_object_getn(headers, line, name);
        ce_autofree char *text = ce_format("%s%s%.*s", before ? json_string_value(before) : "",
                                           before ? ", " : "", (int)(size - from), line + from);
        json_t *value = text ? ce_value_of_bytes(text, strlen(text)) : NULL;
        ce_autofree char *key = strndup(line, name < size ? name : size);
        if (!key || !value || json_object_set_new(headers, key, value) < 0)
            return NULL;
        line = next;
    }
    return ce_take(headers);
}

static json_t *output_of(const struct ce_http_answer *answer, const json_t *headers)
{
    const char *type = ce_value_header(headers, "Content-Type");
    json_t *body = NULL;
    if (type && strcmp(type, "application/json") == 0)
        body = json_loadb(answer->body, answer->body_size, JSON_DECODE_ANY, NULL);
    if (!body)
        body = ce_value_of_bytes(answer->body, answer->body_size);
    return json_pack("{s:i, s:O, s:o}", "status", answer->status, "headers", headers, "body", body);
}

/* ---- the call ---- */

/* Keeps a copy of the socket, which the stopper shuts down. */
static int make_socket(void *ctx, int family, struct ce_error *err)
{
    struct ce_waiting *waiting = ctx;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ce_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    (void)pthread_mutex_lock(&waiting->stopper->lock);
    if (waiting->fd >= 0)
        (void)close(waiting->fd);
    bool pulled = waiting->stopper->pulled;
    waiting->fd = pulled ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    (void)pthread_mutex_unlock(&waiting->stopper->lock);
    if (!pulled)
        return fd;
    (void)close(fd);
    return ce_fail(err, ECANCELED, "given up");
}

static void wait_there(struct ce_stopper *stopper, struct ce_waiting *waiting)
{
    (void)pthread_mutex_lock(&stopper->lock);
    waiting->next = stopper->waiting;
    stopper->waiting = waiting;
    (void)pthread_mutex_unlock(&stopper->lock);
}

static void wait_no_more(struct ce_stopper *stopper, struct ce_waiting *waiting)
{
    (void)pthread_mutex_lock(&stopper->lock);
    struct ce_waiting **at = &stopper->waiting;
    while (*at != waiting)
        at = &(*at)->next;
    *at = waiting->next;
    if (waiting->fd >= 0)
        (void)close(waiting->fd);
    (void)pthread_mutex_unlock(&stopper->lock);
}

struct exchange {
    const json_t *provider;
    struct ce_stopper *stopper;
    int64_t deadline;
    bool get; /* after a redirect that says so */
    bool unasked;
};

static int try_addresses(const struct ce_url *url, struct ce_http_call *call, struct exchange *x,
                         struct ce_waiting *waiting, struct ce_http_answer *ret_answer,
                         struct ce_error *err)
{
    struct ce_addresses addresses;
    int r = ce_endpoint_resolve(&url->endpoint, &addresses, err);
    x->unasked = r < 0;
    for (size_t i = 0; !x->unasked && i < addresses.count; i++) {
        struct ce_endpoint endpoint = ce_endpoint_at(&url->endpoint, &addresses, i);
        endpoint.make_socket = make_socket;
        endpoint.ctx = waiting;
        int64_t left = x->deadline - ce_now();
        call->timeout_ns = left > CE_MILLISECOND ? left : CE_MILLISECOND;
        r = ce_http_call(&endpoint, call, ret_answer, err);
        if (r != -ECONNREFUSED && r != -ENETUNREACH && r != -EHOSTUNREACH && r != -EAFNOSUPPORT)
            break;
    }
    return r;
}

static int call_once(const char *address, struct exchange *x, struct ce_http_answer *ret_answer,
                     struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    const json_t *provider = x->provider;
    const char *body = x->get ? NULL : json_string_value(json_object_get(provider, "body"));
    const char *method = json_string_value(json_object_get(provider, "method"));
    ce_autofree char *path = path_of(address);
    if (!path)
        return ce_fail_memory(err);
    CE_TRY(parse_server(address, &url, err));
    CE_TRY(ce_url_secure(&url, json_string_value(json_object_get(provider, "authorities")), err));
    struct ce_http_call call = {
        .keep_head = true,
        .method = x->get && strcmp(method, "HEAD") != 0 ? "GET" : method,
        .path = path,
        .host = url.authority,
        .headers = json_string_value(json_object_get(provider, "headers")),
        .body = body,
        .body_size = body ? strlen(body) : 0,
    };
    struct ce_waiting waiting = {.fd = -1, .stopper = x->stopper};
    wait_there(x->stopper, &waiting);
    int r = try_addresses(&url, &call, x, &waiting, ret_answer, err);
    wait_no_more(x->stopper, &waiting);
    return r;
}

/* Where a redirect leads; NULL: it is none that can be followed. Free with free(). */
static char *next_address(const char *address, int status, const json_t *headers)
{
    const char *to = ce_value_header(headers, "Location");
    if (!to || (status != 301 && status != 302 && status != 303 && status != 307 && status != 308))
        return NULL;
    if (strncmp(to, "http://", 7) == 0 || strncmp(to, "https://", 8) == 0)
        return strdup(to);
    return to[0] == '/' && to[1] != '/'
               ? ce_format("%.*s%s", (int)server_size(address), address, to)
               : NULL;
}

static int exchange(struct exchange *x, json_t **ret_output, struct ce_error *err)
{
    ce_autofree char *address = strdup(json_string_value(json_object_get(x->provider, "url")));
    for (int i = 0; address && i <= REDIRECTS_MAX; i++) {
        struct ce_http_answer answer = {0};
        CE_TRY(call_once(address, x, &answer, err));
        ce_autojson json_t *headers = headers_of(answer.head);
        char *next = next_address(address, answer.status, headers);
        json_t *output = next ? NULL : output_of(&answer, headers);
        x->get = x->get || answer.status == 303 ||
                 (answer.status <= 302 && json_is_string(json_object_get(x->provider, "body")));
        ce_http_answer_done(&answer);
        if (!next) {
            *ret_output = output;
            return output ? 0 : ce_fail_memory(err);
        }
        free(address);
        address = next;
    }
    return address ? ce_fail(err, ELOOP, "redirected more than %d times", REDIRECTS_MAX)
                   : ce_fail_memory(err);
}

void ce_call_run(const json_t *provider, struct ce_stopper *stopper, int64_t limit,
                 struct ce_outcome *outcome)
{
    json_int_t retries = json_integer_value(json_object_get(provider, "retries"));
    const char *url = json_string_value(json_object_get(provider, "url"));
    struct ce_error err = {0};
    struct exchange x = {.provider = provider, .stopper = stopper, .deadline = ce_now() + limit};
    int r;
    do
        r = exchange(&x, &outcome->output, &err);
    while (r < 0 && r != -ETIMEDOUT && retries-- > 0 && ce_stopper_pause(stopper, 0));
    if (r == 0)
        return;
    outcome->given_up = !ce_stopper_pause(stopper, 0);
    outcome->unasked = x.unasked || r == -ENOMEM || r == -EINVAL;
    if (outcome->given_up)
        ce_outcome_fail(outcome, "%.200s: given up", url);
    else
        ce_outcome_fail(outcome, "%.200s: %s", url, err.message);
}
