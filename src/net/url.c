/* SPDX-License-Identifier: MIT */
#include "net/url.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "net/tls.h"

void ce_url_done(struct ce_url *url)
{
    ce_tls_release(url->endpoint.tls);
    free(url->authority);
    free(url->prefix);
    *url = (struct ce_url){0};
}

static int fail(const char *text, const char *why, struct ce_error *err)
{
    char shown[CE_TEXT_SHOWN_SIZE];
    ce_text_show(text, shown);
    return ce_fail(err, EINVAL, "'%s' %s", shown, why);
}

static int check_characters(const char *text, struct ce_error *err)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return fail(text, "holds characters that a URL has to escape", err);
    if (strpbrk(text, "?#"))
        return fail(text,
                    "has a query or a fragment; it ends with the path that all requests have "
                    "in common",
                    err);
    return 0;
}

static int parse_unix(const char *text, struct ce_url *url, struct ce_error *err)
{
    url->authority = strdup("localhost");
    url->prefix = strdup("");
    if (!url->authority || !url->prefix)
        return ce_fail_memory(err);
    return ce_endpoint_parse(text, &url->endpoint, err);
}

static bool has_port(const char *authority)
{
    const char *bracket = strchr(authority, ']');
    return strchr(bracket ? bracket : authority, ':');
}

/* What follows the scheme. */
static int parse_rest(const char *text, const char *rest, const char *port, struct ce_url *url,
                      struct ce_error *err)
{
    size_t size = strcspn(rest, "/"), prefix_size = strlen(rest + size);
    if (memchr(rest, '@', size))
        return fail(text, "names a user; there is no way to log in", err);
    while (prefix_size > 0 && rest[size + prefix_size - 1] == '/')
        prefix_size--;
    url->authority = strndup(rest, size);
    url->prefix = strndup(rest + size, prefix_size);
    if (!url->authority || !url->prefix)
        return ce_fail_memory(err);
    if (size == 0)
        return fail(text, "names no host", err);
    ce_autofree char *address =
        ce_format("%s%s", url->authority, has_port(url->authority) ? "" : port);
    if (!address)
        return ce_fail_memory(err);
    return ce_endpoint_parse(address, &url->endpoint, err);
}

static int parse(const char *text, struct ce_url *url, struct ce_error *err)
{
    static const struct {
        const char *scheme, *port;
        bool tls, http2;
    } schemes[] = {
        {"http://", ":80", .tls = false},
        {"https://", ":443", .tls = true},
        {"h2c://", ":80", .http2 = true},
    };
    CE_TRY(check_characters(text, err));
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text, url, err);
    for (size_t i = 0; i < CE_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(text, schemes[i].scheme, size) != 0)
            continue;
        url->tls = schemes[i].tls;
        url->http2 = schemes[i].http2;
        return parse_rest(text, text + size, schemes[i].port, url, err);
    }
    /* A host alone may be anything; its port tells that it is meant as one. */
    if (!strstr(text, "://") && has_port(text))
        return parse_rest(text, text, "", url, err);
    return fail(text,
                "is none of http://host:port/prefix, https://, h2c:// (HTTP/2 without TLS), "
                "unix:/path and host:port",
                err);
}

int ce_url_parse(const char *text, struct ce_url *ret_url, struct ce_error *err)
{
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    CE_TRY(parse(text, &url, err));
    *ret_url = url;
    url = (struct ce_url){0};
    return 0;
}

int ce_url_secure(struct ce_url *url, const char *authorities, struct ce_error *err)
{
    if (!url->tls)
        return 0;
    bool bracketed = url->authority[0] == '[';
    const char *host = url->authority + bracketed;
    ce_autofree char *name = strndup(host, strcspn(host, bracketed ? "]" : ":"));
    return name ? ce_tls_client(name, authorities, &url->endpoint.tls, err) : ce_fail_memory(err);
}
