/* SPDX-License-Identifier: MIT */
/* Both ends of TLS, played by the test itself on blocking sockets (wire.h). */
#ifndef CE_TESTS_TLS_PEER_H
#define CE_TESTS_TLS_PEER_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "certificates.h"
#include "wire.h"

struct tls_peer {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
    const char *speaks;        /* a server: see ALPN below; NULL: it knows nothing of that */
    unsigned char offered[64]; /* to a server */
    unsigned offered_size;
};

/* A client offers these; a server takes the first one that it knows. */
#define ALPN_1    "\x08http/1.1"
#define ALPN_2    "\x02h2"
#define ALPN_BOTH "\x02h2\x08http/1.1"

/* May be called twice. Without a word to the peer. */
static inline void tls_peer_close(struct tls_peer *peer)
{
    SSL_free(ce_take(peer->ssl));
    SSL_CTX_free(ce_take(peer->context));
    if (peer->fd >= 0)
        close(ce_take_fd(peer->fd));
}

static inline int tls_peer_choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                                  const unsigned char *offered, unsigned size, void *arg)
{
    struct tls_peer *peer = arg;
    unsigned char *chosen;
    peer->offered_size = size < sizeof peer->offered ? size : 0;
    memcpy(peer->offered, offered, peer->offered_size);
    if (!peer->speaks)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, ret_size, (const unsigned char *)peer->speaks,
                              (unsigned)strlen(peer->speaks), offered,
                              size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Takes `fd` over. Whether the handshake succeeded. */
static inline bool tls_peer_connect(struct tls_peer *peer, int fd, const char *ca,
                                    const char *speaks, int version)
{
    *peer = (struct tls_peer){.fd = fd, .context = SSL_CTX_new(TLS_client_method())};
    SSL_CTX_load_verify_file(peer->context, ca);
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_max_proto_version(peer->context, version);
    peer->ssl = SSL_new(peer->context);
    SSL_set1_host(peer->ssl, "localhost");
    SSL_set_fd(peer->ssl, fd);
    if (speaks)
        SSL_set_alpn_protos(peer->ssl, (const unsigned char *)speaks, (unsigned)strlen(speaks));
    return SSL_connect(peer->ssl) == 1;
}

static inline bool tls_peer_accept(struct tls_peer *peer, int fd, const char *certificate,
                                   const char *key, const char *speaks)
{
    *peer =
        (struct tls_peer){.fd = fd, .context = SSL_CTX_new(TLS_server_method()), .speaks = speaks};
    SSL_CTX_use_certificate_chain_file(peer->context, certificate);
    SSL_CTX_use_PrivateKey_file(peer->context, key, SSL_FILETYPE_PEM);
    SSL_CTX_set_alpn_select_cb(peer->context, tls_peer_choose, peer);
    peer->ssl = SSL_new(peer->context);
    SSL_set_fd(peer->ssl, fd);
    return SSL_accept(peer->ssl) == 1;
}

static inline bool tls_peer_send_bytes(struct tls_peer *peer, const char *data, size_t size)
{
    size_t n;
    return SSL_write_ex(peer->ssl, data, size, &n) == 1 && n == size;
}

static inline bool tls_peer_send(struct tls_peer *peer, const char *text)
{
    return tls_peer_send_bytes(peer, text, strlen(text));
}

/* Exactly these bytes come next. */
static inline bool tls_peer_gets_bytes(struct tls_peer *peer, const char *want, size_t want_size)
{
    char got[16 * 1024];
    for (size_t at = 0, n; at < want_size; at += n) {
        size_t most = want_size - at < sizeof got ? want_size - at : sizeof got;
        if (SSL_read_ex(peer->ssl, got, most, &n) != 1 || memcmp(got, want + at, n) != 0) {
            printf("# after %zu bytes: %s\n", at,
                   SSL_get_error(peer->ssl, 0) == SSL_ERROR_ZERO_RETURN ? "end" : "other bytes");
            return false;
        }
    }
    return true;
}

static inline bool tls_peer_gets(struct tls_peer *peer, const char *want)
{
    return tls_peer_gets_bytes(peer, want, strlen(want));
}

/* What comes next: the SSL_ERROR of the end, or SSL_ERROR_NONE for a byte. */
static inline int tls_peer_next(struct tls_peer *peer)
{
    char byte;
    ERR_clear_error();
    int r = SSL_read(peer->ssl, &byte, 1);
    return SSL_get_error(peer->ssl, r);
}

/* An end as it should be comes next. */
static inline bool tls_peer_ends(struct tls_peer *peer)
{
    return tls_peer_next(peer) == SSL_ERROR_ZERO_RETURN;
}

static inline const char *tls_peer_agreed(struct tls_peer *peer, char text[16])
{
    const unsigned char *agreed;
    unsigned size;
    SSL_get0_alpn_selected(peer->ssl, &agreed, &size);
    snprintf(text, 16, "%.*s", (int)size, agreed ? (const char *)agreed : "");
    return text;
}

#endif
