/* SPDX-License-Identifier: MIT */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

struct ce_tls {
    atomic_uint users;
    SSL_CTX *context;
    BIO_METHOD *socket;
    char *host, *authorities; /* a client's; see ce_tls_client() */
};

struct ce_tls_link {
    struct ce_tls *tls;
    SSL *ssl;
    int fd;
    const char *speaks;
    bool exhausted; /* the socket has nothing to be read until it reports so */
    bool ending;    /* it reports nothing more */
    bool failed;    /* nothing can be said any more */
    bool read_wants_room, write_wants_bytes;
    short wants;
};

/* ---- the socket: as OpenSSL has it, but without signals, and without asking in vain ---- */

static int socket_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct ce_tls_link *link = BIO_get_data(bio);
    ssize_t n = -1;
    BIO_clear_retry_flags(bio);
    errno = EAGAIN;
    while (!link->exhausted) {
        n = recv(link->fd, data, size, MSG_DONTWAIT);
        if (n >= 0 || errno != EINTR)
            break;
    }
    if (n > 0) {
        *ret_size = (size_t)n;
        link->exhausted = (size_t)n < size && !link->ending;
        return 1;
    }
    if (n < 0 && errno == EAGAIN) {
        link->exhausted = true;
        BIO_set_retry_read(bio);
    }
    return 0;
}

static int socket_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    const struct ce_tls_link *link = BIO_get_data(bio);
    ssize_t n;
    BIO_clear_retry_flags(bio);
    do
        n = send(link->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        *ret_size = (size_t)n;
        return 1;
    }
    if (errno == EAGAIN)
        BIO_set_retry_write(bio);
    return 0;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH; /* nothing is kept back */
}

static BIO_METHOD *socket_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket");
    if (method && BIO_meth_set_read_ex(method, socket_read) &&
        BIO_meth_set_write_ex(method, socket_write) && BIO_meth_set_ctrl(method, socket_control))
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- contexts ---- */

struct ce_tls *ce_tls_hold(struct ce_tls *tls)
{
    if (tls)
        atomic_fetch_add(&tls->users, 1);
    return tls;
}

void ce_tls_release(struct ce_tls *tls)
{
    if (!tls || atomic_fetch_sub(&tls->users, 1) > 1)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->socket);
    free(tls->host);
    free(tls->authorities);
    free(tls);
}

CE_DEFINE_CLEANUP(struct ce_tls, ce_tls_release);

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool ce_tls_same(const struct ce_tls *a, const struct ce_tls *b)
{
    return a == b || (a && b && a->host && same_text(a->host, b->host) &&
                      same_text(a->authorities, b->authorities));
}

/* Sessions are resumed by tickets, which the server need not keep. */
static struct ce_tls *context_new(const SSL_METHOD *method)
{
    struct ce_tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return NULL;
    tls->users = 1;
    tls->socket = socket_method();
    tls->context = SSL_CTX_new(method);
    if (!tls->socket || !tls->context ||
        !SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION)) {
        ce_tls_release(tls);
        return NULL;
    }
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(tls->context, 1);
    return tls;
}

static int check_readable(const char *path, const char *what, struct ce_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return ce_fail(err, errno, "cannot read the %s '%s': %s", what, path, strerror(errno));
    (void)fclose(file);
    return 0;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *text, int size, int is_writing, void *arg)
{
    return -1;
}

static int load_identity(SSL_CTX *context, const char *certificate, const char *key,
                         struct ce_error *err)
{
    CE_TRY(check_readable(certificate, "certificate", err));
    CE_TRY(check_readable(key, "private key", err));
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return ce_fail(err, EINVAL, "'%s' holds no certificate that can be used, in PEM form: %s",
                       certificate, ERR_reason_error_string(ERR_peek_last_error()));
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1)
        return 0;
    unsigned long last = ERR_peek_last_error();
    if (ERR_GET_LIB(last) == ERR_LIB_X509)
        return ce_fail(err, EINVAL, "the private key '%s' does not belong to the certificate '%s'",
                       key, certificate);
    return ce_fail(err, EINVAL,
                   "'%s' holds no private key in PEM form that can be read without a passphrase",
                   key);
}

/* Servers that speak several protocols choose the first one that the client knows, too. */
static int choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                  const unsigned char *offered, unsigned size, void *arg)
{
    const struct ce_tls_link *link = SSL_get_app_data(ssl);
    const unsigned char *speaks = (const unsigned char *)link->speaks;
    unsigned char *chosen = NULL;
    int r = SSL_select_next_proto(&chosen, ret_size, speaks, (unsigned)strlen(link->speaks),
                                  offered, size);
    *ret = chosen;
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int ce_tls_server(const char *certificate, const char *key, struct ce_tls **ret_tls,
                  struct ce_error *err)
{
    CE_CLEANUP(ce_tls_release_p) struct ce_tls *tls = context_new(TLS_server_method());
    if (!tls)
        return ce_fail_memory(err);
    ERR_clear_error();
    int r = load_identity(tls->context, certificate, key, err);
    ERR_clear_error();
    if (r < 0)
        return r;
    SSL_CTX_set_alpn_select_cb(tls->context, choose, NULL);
    *ret_tls = ce_take(tls);
    return 0;
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static int load_authorities(SSL_CTX *context, const char *authorities, struct ce_error *err)
{
    if (!authorities)
        return SSL_CTX_set_default_verify_paths(context) == 1 ? 0 : ce_fail_memory(err);
    CE_TRY(check_readable(authorities, "file of certificates", err));
    if (SSL_CTX_load_verify_file(context, authorities) != 1)
        return ce_fail(err, EINVAL, "'%s' holds no certificates in PEM form", authorities);
    return 0;
}

static bool expect_host(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1
                            : X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

int ce_tls_client(const char *host, const char *authorities, struct ce_tls **ret_tls,
                  struct ce_error *err)
{
    CE_CLEANUP(ce_tls_release_p) struct ce_tls *tls = context_new(TLS_client_method());
    if (!tls)
        return ce_fail_memory(err);
    tls->host = strdup(host);
    tls->authorities = authorities ? strdup(authorities) : NULL;
    if (!tls->host || (authorities && !tls->authorities) || !expect_host(tls->context, host))
        return ce_fail_memory(err);
    int r = load_authorities(tls->context, authorities, err);
    ERR_clear_error();
    if (r < 0)
        return r;
    *ret_tls = ce_take(tls);
    return 0;
}

/* ---- links ---- */

/* What of a link is a client's. */
static bool link_connects(const struct ce_tls_link *link)
{
    const char *host = link->tls->host;
    SSL_set_connect_state(link->ssl);
    if (SSL_set_alpn_protos(link->ssl, (const unsigned char *)link->speaks,
                            (unsigned)strlen(link->speaks)) != 0)
        return false;
    return is_address(host) || SSL_set_tlsext_host_name(link->ssl, host) == 1;
}

struct ce_tls_link *ce_tls_open(struct ce_tls *tls, int fd, const char *speaks)
{
    struct ce_tls_link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    *link = (struct ce_tls_link){.tls = ce_tls_hold(tls), .fd = fd, .speaks = speaks};
    link->ssl = SSL_new(tls->context);
    BIO *bio = BIO_new(tls->socket);
    bool is_whole = link->ssl && bio && SSL_set_app_data(link->ssl, link);
    if (bio) {
        BIO_set_data(bio, link);
        BIO_set_init(bio, 1);
    }
    if (link->ssl)
        SSL_set_bio(link->ssl, bio, bio);
    else
        BIO_free(bio);
    if (is_whole && tls->host)
        is_whole = link_connects(link);
    else if (is_whole)
        SSL_set_accept_state(link->ssl);
    if (is_whole)
        return link;
    ce_tls_close(link);
    return NULL;
}

void ce_tls_close(struct ce_tls_link *link)
{
    if (!link)
        return;
    SSL_free(link->ssl);
    ce_tls_release(link->tls);
    free(link);
}

/* What a call came to that did not succeed: 0, if it only has to wait, or negative. */
static int judge(struct ce_tls_link *link, int result)
{
    switch (SSL_get_error(link->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        link->wants = POLLIN;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        link->wants = POLLOUT;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -ENODATA;
    case SSL_ERROR_SSL:
        link->failed = true;
        return -EPROTO;
    default:
        link->failed = true;
        return -ECONNRESET;
    }
}

/* ---- handshake ---- */

static int explain(const struct ce_tls_link *link, int code, struct ce_error *err)
{
    unsigned long last = ERR_peek_error();
    long verified = SSL_get_verify_result(link->ssl);
    const char *reason = ERR_reason_error_string(last);
    int why = ERR_GET_LIB(last) == ERR_LIB_SSL ? ERR_GET_REASON(last) : 0;
    if (code == -ECONNRESET || code == -ENODATA)
        return ce_fail(err, ECONNRESET, "it closed the connection during the TLS handshake");
    if (why == SSL_R_HTTP_REQUEST || why == SSL_R_HTTPS_PROXY_REQUEST)
        return ce_fail(err, EPROTOTYPE, "it does not speak TLS");
    if (link->tls->host && verified != X509_V_OK)
        return ce_fail(err, EPROTO, "its certificate is refused for '%s': %s", link->tls->host,
                       X509_verify_cert_error_string(verified));
    return ce_fail(err, EPROTO, "the TLS handshake with it failed: %s",
                   reason ? reason : "unknown reason");
}

bool ce_tls_is_http2(const struct ce_tls_link *link)
{
    const unsigned char *agreed;
    unsigned size;
    SSL_get0_alpn_selected(link->ssl, &agreed, &size);
    return size == 2 && memcmp(agreed, "h2", 2) == 0;
}

int ce_tls_handshake(struct ce_tls_link *link, struct ce_error *err)
{
    ERR_clear_error();
    int r = SSL_do_handshake(link->ssl);
    if (r != 1) {
        int code = judge(link, r);
        if (code < 0)
            code = explain(link, code, err);
        ERR_clear_error();
        return code;
    }
    /* A server need not say what it speaks; but who does not say HTTP/2 does not speak it. */
    if (strcmp(link->speaks, CE_TLS_HTTP2) == 0 && !ce_tls_is_http2(link))
        return ce_fail(err, EPROTO, "it does not speak HTTP/2");
    return 1;
}

/* ---- reading and writing ---- */

static int end_code(int code)
{
    return code == -EPROTO ? -ECONNRESET : code;
}

ssize_t ce_tls_read(struct ce_tls_link *link, void *data, size_t size)
{
    size_t n = 0;
    ERR_clear_error();
    int r = SSL_read_ex(link->ssl, data, size, &n);
    int code = r == 1 ? 0 : judge(link, r);
    link->read_wants_room = r != 1 && code == 0 && link->wants == POLLOUT;
    /* It may have been in the way of a write, and is now done with. */
    link->write_wants_bytes = link->write_wants_bytes && SSL_in_init(link->ssl);
    if (code < 0)
        ERR_clear_error();
    return r == 1 ? (ssize_t)n : end_code(code);
}

ssize_t ce_tls_write(struct ce_tls_link *link, const void *data, size_t size)
{
    const char *from = data;
    size_t sent = 0, n;
    int r = 1, code = 0;
    ERR_clear_error();
    /* A record at a time; who gets less than was asked for has to be sure that there is no room. */
    while (sent < size && (r = SSL_write_ex(link->ssl, from + sent, size - sent, &n)) == 1)
        sent += n;
    if (r != 1)
        code = judge(link, r);
    link->write_wants_bytes = r != 1 && code == 0 && link->wants == POLLIN;
    if (code < 0)
        ERR_clear_error();
    return code < 0 ? end_code(code) : (ssize_t)sent;
}

bool ce_tls_is_quiet(struct ce_tls_link *link)
{
    char byte;
    size_t n;
    link->exhausted = false; /* it may have come, and not been reported yet */
    ERR_clear_error();
    int r = SSL_peek_ex(link->ssl, &byte, 1, &n);
    bool is_quiet = r != 1 && judge(link, r) == 0;
    ERR_clear_error();
    return is_quiet;
}

bool ce_tls_shut(struct ce_tls_link *link)
{
    if (link->failed || !SSL_is_init_finished(link->ssl))
        return true;
    ERR_clear_error();
    int r = SSL_shutdown(link->ssl);
    bool waits = r < 0 && judge(link, r) == 0 && link->wants == POLLOUT;
    ERR_clear_error();
    return !waits;
}

void ce_tls_note(struct ce_tls_link *link, bool ending)
{
    link->exhausted = false;
    link->ending = ending;
}

short ce_tls_wants(const struct ce_tls_link *link)
{
    return link->wants;
}

bool ce_tls_is_crossed(const struct ce_tls_link *link)
{
    return link->read_wants_room || link->write_wants_bytes;
}
