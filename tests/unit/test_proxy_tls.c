/* SPDX-License-Identifier: MIT */
/* TLS in the proxy: with clients, with upstreams, and what goes wrong with either. */
#include "net/tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>

#include "h2_world.h"
#include "net/client.h"
#include "net/url.h"
#include "proxy/h2/call.h"
#include "tls_peer.h"

static struct certificates certificates;

/* ---- worlds ---- */

struct secure {
    bool clients, upstream; /* that side speaks TLS */
    const char *ca;         /* whom upstreams are trusted by; NULL: the test's own authority */
    const char *host;       /* what the upstream is called; NULL: by its address */
    bool http2;
    int64_t head_timeout;
    unsigned workers; /* 0: one */
};

static int secure_open(struct world *world, const struct secure *how)
{
    struct ce_error err = {0};
    *world = (struct world){.upstream = ce_endpoint_loopback(0)};
    world->listener = wire_listen(&world->upstream);
    if (world->listener < 0 ||
        ce_proxy_start(how->workers > 0 ? how->workers : 1, &world->proxy, &err) < 0)
        return -1;
    struct ce_route_config config = {
        .name = "model",
        .listen = ce_endpoint_loopback(0),
        .upstream = world->upstream,
        .id_header = "X-Request-Id",
        .http2 = how->http2,
        .head_timeout_ns = how->head_timeout,
        .mark = true,
    };
    int r = 0;
    if (how->clients)
        r = ce_tls_server(certificates.certificate, certificates.key, &config.tls, &err);
    if (r >= 0 && how->upstream)
        r = ce_tls_client(how->host ? how->host : "127.0.0.1", how->ca ? how->ca : certificates.ca,
                          &config.upstream.tls, &err);
    if (r >= 0)
        r = ce_proxy_add_route(world->proxy, &config, &world->route, &err);
    if (r < 0)
        printf("# %s\n", err.message);
    ce_tls_release(config.tls);
    ce_tls_release(config.upstream.tls);
    return r;
}
#define SECURE(name, ...)                                                                          \
    CE_CLEANUP(world_close) struct world name;                                                     \
    REQUIRE(secure_open(&name, &(struct secure){__VA_ARGS__}) == 0)

#define TLS_CLIENT_OF(name, world, speaks, version)                                                \
    CE_CLEANUP(tls_peer_close) struct tls_peer name;                                               \
    REQUIRE(tls_peer_connect(&name, client_open(&(world)), certificates.ca, speaks, version))
#define TLS_CLIENT(name, world) TLS_CLIENT_OF(name, world, NULL, 0)

/* Accepts the proxy's connection. */
#define TLS_SERVER(name, world)                                                                    \
    CE_CLEANUP(tls_peer_close) struct tls_peer name;                                               \
    REQUIRE(tls_peer_accept(&name, wire_accept((world).listener), certificates.certificate,        \
                            certificates.key, ALPN_BOTH))

static uint64_t errors_of(const struct world *world)
{
    struct ce_route_counts counts;
    ce_route_count(world->route, &counts);
    return counts.errors;
}

/* The next answer's status and body; all is read. */
static bool answers(int fd, int status, const char *body)
{
    char text[4096], line[32];
    size_t size = 0;
    ssize_t n;
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    while (size < sizeof text - 1 && (n = recv(fd, text + size, sizeof text - 1 - size, 0)) > 0) {
        size += (size_t)n;
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end && strcmp(end + 4, body) == 0)
            return strncmp(text, line, strlen(line)) == 0;
    }
    printf("# got \"%.*s\"\n", (int)size, text);
    return false;
}

/* ---- passing ---- */

static void clients_may_speak_tls(void)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < CE_COUNT(versions); i++) {
        SECURE(world, .clients = true);
        TLS_CLIENT_OF(client, world, NULL, versions[i]);
        CHECK(tls_peer_send(&client, get));
        ce_autofd int server = wire_accept(world.listener);
        for (int n = 0; n < 3; n++) {
            CHECK(wire_gets(server, get));
            CHECK(wire_send(server, ok));
            CHECK(tls_peer_gets(&client, ok));
            CHECK(tls_peer_send(&client, get));
        }
        CHECK(wire_gets(server, get));
    }
}

static void upstreams_may_speak_tls_and_are_kept(void)
{
    SECURE(world, .upstream = true, .host = "localhost");
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    TLS_SERVER(server, world);
    CHECK_TEXT(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "localhost");
    CHECK(server.offered_size == strlen(ALPN_1) &&
          memcmp(server.offered, ALPN_1, server.offered_size) == 0);
    for (int n = 0; n < 3; n++) {
        CHECK(tls_peer_gets(&server, get));
        CHECK(tls_peer_send(&server, ok));
        CHECK(wire_gets(client, ok));
        CHECK(wire_send(client, get)); /* over the same connection */
    }
    CHECK(tls_peer_gets(&server, get));
    CHECK(errors_of(&world) == 0);
}

static void requests_of_one_packet_are_all_seen(void)
{
    SECURE(world, .clients = true);
    TLS_CLIENT(client, world);
    (void)setsockopt(client.fd, IPPROTO_TCP, TCP_CORK, &(int){1}, sizeof(int));
    for (int n = 0; n < 5; n++)
        CHECK(tls_peer_send(&client, get));
    (void)setsockopt(client.fd, IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int));
    ce_autofd int server = wire_accept(world.listener);
    for (int n = 0; n < 5; n++) {
        CHECK(wire_gets(server, get));
        CHECK(wire_send(server, ok));
        CHECK(tls_peer_gets(&client, ok));
    }
}

static void keys_may_change_on_the_way(void)
{
    SECURE(world, .clients = true, .upstream = true);
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, get));
    TLS_SERVER(server, world);
    for (int n = 0; n < 3; n++) {
        CHECK(tls_peer_gets(&server, get));
        CHECK(SSL_key_update(server.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
        CHECK(tls_peer_send(&server, ok));
        CHECK(tls_peer_gets(&client, ok));
        CHECK(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
        CHECK(tls_peer_send(&client, get));
    }
}

/* ---- much ---- */

enum { MUCH = 10 * 1024 * 1024 };

static char *much_new(char kind)
{
    char *data = malloc(MUCH);
    for (size_t i = 0; data && i < MUCH; i++)
        data[i] = (char)(i * 31 + i / 4096 + (unsigned char)kind);
    return data;
}

struct much {
    struct world *world;
    const char *asked, *answered;
    bool as_asked, was_answered;
};

static const char much_request[] = "POST / HTTP/1.1\r\nContent-Length: 10485760\r\n\r\n";
static const char much_response[] = "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n";

static void *serve_much(void *arg)
{
    struct much *much = arg;
    struct tls_peer server;
    if (tls_peer_accept(&server, wire_accept(much->world->listener), certificates.certificate,
                        certificates.key, ALPN_1)) {
        much->as_asked =
            tls_peer_gets(&server, much_request) && tls_peer_gets_bytes(&server, much->asked, MUCH);
        much->was_answered = tls_peer_send(&server, much_response) &&
                             tls_peer_send_bytes(&server, much->answered, MUCH);
    }
    tls_peer_close(&server);
    return NULL;
}

static void large_bodies_pass_both_ways(void)
{
    SECURE(world, .clients = true, .upstream = true);
    ce_autofree char *asked = much_new('q'), *answered = much_new('a');
    struct much much = {.world = &world, .asked = asked, .answered = answered};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, serve_much, &much) == 0);
    CE_CLEANUP(tls_peer_close) struct tls_peer client;
    CHECK(tls_peer_connect(&client, client_open(&world), certificates.ca, NULL, 0));
    CHECK(tls_peer_send(&client, much_request));
    CHECK(tls_peer_send_bytes(&client, asked, MUCH));
    CHECK(tls_peer_gets(&client, much_response));
    CHECK(tls_peer_gets_bytes(&client, answered, MUCH));
    pthread_join(thread, NULL);
    CHECK(much.as_asked && much.was_answered);
}

/* ---- ends ---- */

static const char last_get[] = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
static const char until_close[] = "HTTP/1.1 200 OK\r\n\r\nall of it";

static void an_end_is_announced(void)
{
    SECURE(world, .clients = true, .upstream = true);
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, last_get));
    TLS_SERVER(server, world);
    CHECK(tls_peer_gets(&server, "GET / HTTP/1.1\r\n\r\n"));
    CHECK(tls_peer_send(&server, until_close));
    CHECK(SSL_shutdown(server.ssl) == 0);
    CHECK(tls_peer_gets(&client, until_close));
    CHECK(tls_peer_ends(&client));
    CHECK(errors_of(&world) == 0);
}

static void an_end_that_is_not_announced_is_a_breach(void)
{
    SECURE(world, .clients = true, .upstream = true);
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, get));
    TLS_SERVER(server, world);
    CHECK(tls_peer_gets(&server, get));
    CHECK(tls_peer_send(&server, until_close));
    CHECK(tls_peer_gets(&client, until_close));
    tls_peer_close(&server);
    int end = tls_peer_next(&client);
    CHECK(end == SSL_ERROR_SYSCALL || end == SSL_ERROR_SSL);
    CHECK(errors_of(&world) == 1);
}

static void an_idle_upstream_that_ends_is_not_used_again(void)
{
    SECURE(world, .upstream = true);
    ce_autofd int client = client_open(&world);
    for (int n = 0; n < 2; n++) {
        CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
        TLS_SERVER(server, world);
        CHECK(tls_peer_gets(&server, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
        /* With the answer in one packet: nothing more is reported. */
        (void)setsockopt(server.fd, IPPROTO_TCP, TCP_CORK, &(int){1}, sizeof(int));
        CHECK(tls_peer_send(&server, ok));
        CHECK(SSL_shutdown(server.ssl) == 0);
        (void)setsockopt(server.fd, IPPROTO_TCP, TCP_CORK, &(int){0}, sizeof(int));
        CHECK(wire_gets(client, ok));
        CHECK(tls_peer_next(&server) != SSL_ERROR_NONE); /* the proxy closes it */
    }
}

static void an_early_answer_is_heard(void)
{
    SECURE(world, .upstream = true);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, "POST / HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n"));
    TLS_SERVER(server, world);
    CHECK(tls_peer_gets(&server, "POST / HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n"));
    CHECK(tls_peer_send(&server, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"));
    CHECK(SSL_shutdown(server.ssl) == 0);
    shutdown(server.fd, SHUT_WR);
    CHECK(wire_gets(client, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"));
}

static void a_reset_stays_a_reset(void)
{
    SECURE(world, .clients = true);
    SPY(spy, &world, ON_REQUEST);
    spy.request.kind = CE_ACT_RESET;
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, get));
    CHECK(tls_peer_next(&client) == SSL_ERROR_SYSCALL && errno == ECONNRESET);
}

static void faults_see_what_is_inside(void)
{
    SECURE(world, .clients = true, .upstream = true);
    SPY(spy, &world, CE_HOOK_REQUEST_BODY | CE_HOOK_RESPONSE_BODY | ON_REQUEST | ON_RESPONSE);
    spy.response = (struct ce_action){.acted = true, .body = (char *)"changed", .body_size = 7};
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, "POST /m HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
    TLS_SERVER(server, world);
    CHECK(tls_peer_gets(&server, "POST /m HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"));
    CHECK(tls_peer_send(&server, ok));
    CHECK(tls_peer_gets(&client, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Chaos-Fault: spy\r\n"
                                 "\r\nchanged"));
    CHECK_TEXT(spy.request_body, "hi");
    CHECK_TEXT(spy.body, "ok");
}

/* ---- what goes wrong with upstreams ---- */

static void an_upstream_that_is_not_to_be_trusted_gets_502(void)
{
    const struct {
        const char *certificate, *ca, *host, *says;
    } cases[] = {
        {certificates.certificate, certificates.other_ca, NULL,
         "its certificate is refused for '127.0.0.1': unable to get local issuer certificate"},
        {certificates.other_name, NULL, NULL,
         "its certificate is refused for '127.0.0.1': IP address mismatch"},
        {certificates.certificate, NULL, "model.example",
         "its certificate is refused for 'model.example': hostname mismatch"},
        {certificates.expired, NULL, "localhost",
         "its certificate is refused for 'localhost': certificate has expired"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        SECURE(world, .upstream = true, .ca = cases[i].ca, .host = cases[i].host);
        ce_autofd int client = client_open(&world);
        CHECK(wire_send(client, get));
        CE_CLEANUP(tls_peer_close) struct tls_peer server;
        (void)tls_peer_accept(&server, wire_accept(world.listener), cases[i].certificate,
                              certificates.key, ALPN_1);
        char name[64], body[512];
        ce_endpoint_text(&world.upstream, name, sizeof name);
        snprintf(body, sizeof body, "Cannot connect to the upstream %s: %s.\n", name,
                 cases[i].says);
        CHECK(answers(client, 502, body));
        CHECK(errors_of(&world) == 1);
    }
}

static void an_upstream_without_tls_gets_502(void)
{
    SECURE(world, .upstream = true);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_send(server, "HTTP/1.1 400 Bad Request\r\n\r\n"));
    char name[64], body[256];
    ce_endpoint_text(&world.upstream, name, sizeof name);
    snprintf(body, sizeof body,
             "Cannot connect to the upstream %s: the TLS handshake with it failed: wrong version "
             "number.\n",
             name);
    CHECK(answers(client, 502, body));
}

static void an_upstream_that_goes_away_in_the_handshake_gets_502(void)
{
    SECURE(world, .upstream = true);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    ce_autofd int server = wire_accept(world.listener);
    char hello_bytes[4096];
    CHECK(recv(server, hello_bytes, sizeof hello_bytes, 0) > 0);
    shutdown(server, SHUT_WR);
    char name[64], body[256];
    ce_endpoint_text(&world.upstream, name, sizeof name);
    snprintf(body, sizeof body,
             "Cannot connect to the upstream %s: it closed the connection during the TLS "
             "handshake.\n",
             name);
    CHECK(answers(client, 502, body));
}

/* ---- what goes wrong with clients ---- */

static void a_client_without_tls_is_told(void)
{
    SECURE(world, .clients = true);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, get));
    CHECK(answers(client, 400, "This port speaks TLS: ask with https.\n"));
    CHECK(wire_ends(client));
    CHECK(errors_of(&world) == 1);
}

static void nonsense_is_cut_off(void)
{
    SECURE(world, .clients = true);
    ce_autofd int client = client_open(&world);
    CHECK(wire_send(client, "this is neither of the two, and it is long enough to be judged"));
    CHECK(wire_ends(client));
    CHECK(errors_of(&world) == 1);
}

static void a_client_that_trusts_somebody_else_is_counted(void)
{
    SECURE(world, .clients = true);
    CE_CLEANUP(tls_peer_close) struct tls_peer client;
    CHECK(!tls_peer_connect(&client, client_open(&world), certificates.other_ca, NULL, 0));
    char rest[4096];
    while (recv(client.fd, rest, sizeof rest, 0) > 0)
        ; /* at the end it is counted */
    CHECK(errors_of(&world) == 1);
}

static void clients_that_leave_in_the_handshake_are_forgotten(void)
{
    SECURE(world, .clients = true);
    static const char beginning[] = "\x16\x03\x01\x02\x00\x01";
    for (int i = 0; i < 20; i++) {
        int client = client_open(&world);
        if (i % 2 == 0)
            CHECK(wire_send_bytes(client, beginning, sizeof beginning - 1));
        wire_reset(client);
    }
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, get));
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, get));
    CHECK(errors_of(&world) == 0);
}

static void a_slow_handshake_is_cut_off(void)
{
    SECURE(world, .clients = true, .head_timeout = 80 * CE_MILLISECOND);
    int64_t begin = ce_now();
    ce_autofd int client = client_open(&world);
    CHECK(wire_send_bytes(client, "\x16\x03\x01\x02", 4));
    CHECK(wire_ends(client));
    CHECK(took_about(begin, 80 * CE_MILLISECOND));
    CHECK(errors_of(&world) == 1);
}

static void a_stop_says_goodbye_to_idle_clients(void)
{
    SECURE(world, .clients = true);
    TLS_CLIENT(client, world);
    CHECK(tls_peer_send(&client, get));
    ce_autofd int server = wire_accept(world.listener);
    CHECK(wire_gets(server, get));
    CHECK(wire_send(server, ok));
    CHECK(tls_peer_gets(&client, ok));
    ce_autofd int in_handshake = client_open(&world);
    CHECK(ce_proxy_drain(world.proxy, 5 * CE_SECOND) == 0);
    CHECK(tls_peer_ends(&client));
    CHECK(wire_ends(in_handshake));
}

/* ---- HTTP/2 ---- */

static void what_is_spoken_is_agreed_upon(void)
{
    const struct {
        struct secure how;
        const char *offered, *agreed;
    } cases[] = {
        {{.clients = true}, ALPN_BOTH, "http/1.1"},
        {{.clients = true}, NULL, ""},
        {{.clients = true, .http2 = true}, ALPN_BOTH, "h2"},
        {{.clients = true, .http2 = true}, ALPN_1, "http/1.1"},
        {{.clients = true, .upstream = true}, ALPN_BOTH, "http/1.1"},
        {{.clients = true, .upstream = true}, ALPN_2, "h2"},
        {{.clients = true, .upstream = true, .http2 = true}, ALPN_BOTH, "h2"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(world_close) struct world world;
        REQUIRE(secure_open(&world, &cases[i].how) == 0);
        TLS_CLIENT_OF(client, world, cases[i].offered, 0);
        char agreed[16];
        CHECK_TEXT(tls_peer_agreed(&client, agreed), cases[i].agreed);
    }
    SECURE(world, .clients = true);
    CE_CLEANUP(tls_peer_close) struct tls_peer client;
    CHECK(!tls_peer_connect(&client, client_open(&world), certificates.ca, ALPN_2, 0));
}

/* A world whose upstream is the route of another one, with TLS between the two. */
static int chain_open(struct world *first, struct world *second, bool http2, unsigned workers)
{
    struct ce_error err = {0};
    *first = (struct world){.listener = -1};
    if (secure_open(second, &(struct secure){.clients = true, .http2 = http2, .workers = workers}) <
        0)
        return -1;
    struct ce_route_config config = {
        .name = "first",
        .listen = ce_endpoint_loopback(0),
        .upstream = *ce_route_endpoint(second->route),
        .http2 = http2,
    };
    int r = ce_proxy_start(workers, &first->proxy, &err);
    if (r >= 0)
        r = ce_tls_client("127.0.0.1", certificates.ca, &config.upstream.tls, &err);
    if (r >= 0)
        r = ce_proxy_add_route(first->proxy, &config, &first->route, &err);
    ce_tls_release(config.upstream.tls);
    return r;
}

static void http2_passes_over_tls(void)
{
    CE_CLEANUP(world_close) struct world second;
    CE_CLEANUP(world_close) struct world first;
    REQUIRE(chain_open(&first, &second, true, 1) == 0);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo, &second) == 0);
    {
        CLIENT(client, first);
        for (int n = 0; n < 10; n++) {
            int32_t id = peer_ask(&client, call, hello, HELLO, false);
            PEER_UNTIL(&client, peer_find(&client, id)->closed);
            struct peer_stream *stream = peer_find(&client, id);
            CHECK(has_data(stream, hello, HELLO));
            CHECK_TEXT(stream->trailers, "grpc-status: 0\nx-after: yes\n");
        }
    }
    world_close(&first);
    world_close(&second); /* which ends the upstream */
    pthread_join(thread, NULL);
}

static void an_upstream_that_does_not_speak_http2_is_said_so(void)
{
    SECURE(world, .upstream = true, .http2 = true);
    CLIENT(client, world);
    int32_t id = peer_ask(&client, call, hello, HELLO, false);
    CE_CLEANUP(tls_peer_close) struct tls_peer server;
    CHECK(peer_step(&client)); /* its settings */
    CHECK(tls_peer_accept(&server, wire_accept(world.listener), certificates.certificate,
                          certificates.key, NULL));
    PEER_UNTIL(&client, peer_find(&client, id)->closed);
    CHECK(strstr(peer_find(&client, id)->head, "it does not speak HTTP/2."));
}

/* ---- many at once ---- */

struct crowd {
    const struct world *world;
    int whole;
};

static void *ask_often(void *arg)
{
    struct crowd *crowd = arg;
    for (int n = 0; n < 5; n++) {
        ce_autofd int client = client_open(crowd->world);
        for (int k = 0; k < 4; k++)
            crowd->whole += wire_send(client, get) && answers(client, 200, "ok");
    }
    return NULL;
}

static void workers_share_what_never_changes(void)
{
    CE_CLEANUP(world_close) struct world second;
    CE_CLEANUP(world_close) struct world first;
    REQUIRE(chain_open(&first, &second, false, 3) == 0);
    SPY(spy, &second, ON_REQUEST);
    spy.request = (struct ce_action){
        .kind = CE_ACT_ANSWER, .status = 200, .body = (char *)"ok", .body_size = 2};
    struct crowd crowd[6];
    pthread_t threads[CE_COUNT(crowd)];
    for (size_t i = 0; i < CE_COUNT(crowd); i++) {
        crowd[i] = (struct crowd){.world = &first};
        REQUIRE(pthread_create(&threads[i], NULL, ask_often, &crowd[i]) == 0);
    }
    for (size_t i = 0; i < CE_COUNT(crowd); i++) {
        pthread_join(threads[i], NULL);
        CHECK(crowd[i].whole == 20);
    }
    CHECK(errors_of(&first) == 0 && errors_of(&second) == 0);
}

/* ---- contexts, and calls ---- */

static void bad_files_are_refused(void)
{
    const struct {
        const char *certificate, *key, *says;
    } cases[] = {
        {"/nowhere/c.pem", certificates.key,
         "cannot read the certificate '/nowhere/c.pem': No such file or directory"},
        {certificates.certificate, "/nowhere/k.pem",
         "cannot read the private key '/nowhere/k.pem': No such file or directory"},
        {certificates.key, certificates.key, "holds no certificate that can be used, in PEM form"},
        {certificates.certificate, certificates.certificate, "holds no private key in PEM form"},
        {certificates.certificate, certificates.other_key, "does not belong to the certificate"},
    };
    struct ce_tls *tls = NULL;
    struct ce_error err;
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_tls_server(cases[i].certificate, cases[i].key, &tls, &err) < 0 && !tls);
        CHECK(strstr(err.message, cases[i].says));
    }
    CHECK(ce_tls_client("a", "/nowhere/ca.pem", &tls, &err) == -ENOENT);
    CHECK_TEXT(err.message, "cannot read the file of certificates '/nowhere/ca.pem': No such file "
                            "or directory");
    CHECK(ce_tls_client("a", certificates.key, &tls, &err) == -EINVAL);
    CHECK(strstr(err.message, "holds no certificates in PEM form"));
}

static void endpoints_differ_by_whom_they_trust(void)
{
    struct ce_tls *all[4] = {NULL};
    struct ce_error err = {0};
    REQUIRE_OK(ce_tls_client("a", certificates.ca, &all[0], &err), err);
    REQUIRE_OK(ce_tls_client("a", certificates.ca, &all[1], &err), err);
    REQUIRE_OK(ce_tls_client("b", certificates.ca, &all[2], &err), err);
    REQUIRE_OK(ce_tls_client("a", NULL, &all[3], &err), err);
    for (size_t i = 0; i < CE_COUNT(all); i++) {
        struct ce_endpoint first = ce_endpoint_loopback(1), other = first;
        first.tls = all[0];
        other.tls = all[i];
        CHECK(ce_endpoint_same(&first, &other) == (i < 2));
        first.tls = NULL;
        CHECK(!ce_endpoint_same(&first, &other));
    }
    for (size_t i = 0; i < CE_COUNT(all); i++)
        ce_tls_release(all[i]);
}

static void single_calls_speak_tls(void)
{
    SECURE(world, .clients = true);
    ce_autofree char *text = NULL;
    char address[64];
    ce_endpoint_text(ce_route_endpoint(world.route), address, sizeof address);
    text = ce_format("https://localhost%s", strchr(address, ':'));
    CE_CLEANUP(ce_url_done) struct ce_url url = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_url_parse(text, &url, &err), err);
    REQUIRE_OK(ce_url_secure(&url, certificates.ca, &err), err);
    SPY(spy, &world, ON_REQUEST);
    ce_autofree char *body = much_new('b');
    spy.request = (struct ce_action){
        .kind = CE_ACT_ANSWER, .status = 200, .body = body, .body_size = 1024 * 1024};
    struct ce_http_answer answer;
    const struct ce_http_call asked = {.method = "GET", .path = "/", .timeout_ns = 10 * CE_SECOND};
    REQUIRE_OK(ce_http_call(&url.endpoint, &asked, &answer, &err), err);
    CHECK(answer.status == 200 && answer.body_size == 1024 * 1024 &&
          memcmp(answer.body, body, answer.body_size) == 0);
    ce_http_answer_done(&answer);
    ce_url_done(&url);
    REQUIRE_OK(ce_url_parse(text, &url, &err), err);
    REQUIRE_OK(ce_url_secure(&url, certificates.other_ca, &err), err);
    CHECK(ce_http_call(&url.endpoint, &asked, &answer, &err) == -EPROTO);
    CHECK(strstr(err.message, "its certificate is refused for 'localhost': "));
}

static void single_grpc_calls_speak_tls(void)
{
    SECURE(world, .clients = true, .http2 = true);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, echo, &world) == 0);
    struct ce_endpoint endpoint = *ce_route_endpoint(world.route);
    struct ce_error err = {0};
    CHECK(ce_tls_client("127.0.0.1", certificates.ca, &endpoint.tls, &err) == 0);
    struct ce_grpc_answer answer = {0};
    const struct ce_grpc_call asked = {
        .path = "/a.B/C", .message = {"hello", 5}, .timeout_ns = 10 * CE_SECOND};
    int r = ce_grpc_call(&endpoint, &asked, &answer, &err);
    if (r < 0)
        printf("# %s\n", err.message);
    CHECK(r == 0 && answer.status == 0 && answer.message_size == 5);
    CHECK_TEXT(answer.message, "hello");
    ce_grpc_answer_done(&answer);
    ce_tls_release(endpoint.tls);
    world_close(&world); /* which ends the upstream */
    pthread_join(thread, NULL);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* the test's own TLS writes as it pleases */
    certificates_make(&certificates);
    TEST(clients_may_speak_tls);
    TEST(upstreams_may_speak_tls_and_are_kept);
    TEST(requests_of_one_packet_are_all_seen);
    TEST(keys_may_change_on_the_way);
    TEST(large_bodies_pass_both_ways);
    TEST(an_end_is_announced);
    TEST(an_end_that_is_not_announced_is_a_breach);
    TEST(an_idle_upstream_that_ends_is_not_used_again);
    TEST(an_early_answer_is_heard);
    TEST(a_reset_stays_a_reset);
    TEST(faults_see_what_is_inside);
    TEST(an_upstream_that_is_not_to_be_trusted_gets_502);
    TEST(an_upstream_without_tls_gets_502);
    TEST(an_upstream_that_goes_away_in_the_handshake_gets_502);
    TEST(a_client_without_tls_is_told);
    TEST(nonsense_is_cut_off);
    TEST(a_client_that_trusts_somebody_else_is_counted);
    TEST(clients_that_leave_in_the_handshake_are_forgotten);
    TEST(a_slow_handshake_is_cut_off);
    TEST(a_stop_says_goodbye_to_idle_clients);
    TEST(what_is_spoken_is_agreed_upon);
    TEST(http2_passes_over_tls);
    TEST(an_upstream_that_does_not_speak_http2_is_said_so);
    TEST(workers_share_what_never_changes);
    TEST(bad_files_are_refused);
    TEST(endpoints_differ_by_whom_they_trust);
    TEST(single_calls_speak_tls);
    TEST(single_grpc_calls_speak_tls);
    certificates_done(&certificates);
    return test_done();
}
