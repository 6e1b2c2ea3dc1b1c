/* SPDX-License-Identifier: MIT */
#include "net/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "check.h"

/* A server for one connection: takes it, reads until the request is there, writes `answer`, and
 * closes it. */
struct server {
    struct ce_endpoint endpoint;
    const char *answer;
    bool abort, keep_open; /* close with a reset; wait for the client to close first */
    int listener;
    char request[4096];
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *server = arg;
    int fd = -1;
    while (fd < 0)
        fd = accept(server->listener, NULL, NULL);
    size_t size = 0;
    while (!strstr(server->request, "\r\n\r\n")) {
        ssize_t n = recv(fd, server->request + size, sizeof server->request - 1 - size, 0);
        if (n <= 0)
            break;
        size += (size_t)n;
        server->request[size] = '\0';
    }
    for (const char *p = server->answer; p && *p;
         p++) /* byte by byte, so that heads come in pieces */
        (void)send(fd, p, 1, MSG_NOSIGNAL);
    char rest[64];
    while (server->keep_open && recv(fd, rest, sizeof rest, 0) > 0)
        ;
    if (server->abort)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fd);
    return NULL;
}

static int server_start(struct server *server, struct ce_error *err)
{
    if (server->endpoint.size == 0)
        server->endpoint = ce_endpoint_loopback(0);
    server->listener = ce_endpoint_listen(&server->endpoint, err);
    if (server->listener < 0)
        return server->listener;
    int flags = fcntl(server->listener, F_GETFL);
    (void)fcntl(server->listener, F_SETFL, flags & ~O_NONBLOCK);
    return -pthread_create(&server->thread, NULL, serve, server);
}

static void server_stop(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static const struct ce_http_call get = {
    .method = "GET", .path = "/x", .timeout_ns = 10 * CE_SECOND};

/* One call to a server that gives that answer. */
static int call_once(struct server *server, const struct ce_http_call *call,
                     struct ce_http_answer *answer, struct ce_error *err)
{
    CE_TRY(server_start(server, err));
    int r = ce_http_call(&server->endpoint, call, answer, err);
    server_stop(server);
    return r;
}

static void answers_of_every_framing_are_read(void)
{
    static const struct {
        const char *method, *answer, *body;
        int status;
    } cases[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200},
        {"GET", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "", 503},
        {"GET",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;x\r\n, "
         "\r\n1\r\nx\r\n0\r\na: b\r\n\r\n",
         "hello, x", 200},
        {"GET", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end", 200},
        {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 204 none\r\n\r\n", "",
         204},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", 200},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct server server = {.answer = cases[i].answer};
        struct ce_http_call call = get;
        call.method = cases[i].method;
        struct ce_http_answer answer;
        struct ce_error err = {0};
        REQUIRE_OK(call_once(&server, &call, &answer, &err), err);
        CHECK(answer.status == cases[i].status);
        CHECK_TEXT(answer.body, cases[i].body);
        CHECK(answer.body_size == strlen(cases[i].body));
        CHECK(answer.first_byte_ns > 0 && answer.first_byte_ns <= answer.total_ns);
        ce_http_answer_done(&answer);
        CHECK(!answer.body);
    }
}

static void the_request_is_what_was_asked(void)
{
    struct server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct ce_http_call call = {.method = "POST",
                                .path = "/v2?a=b",
                                .headers = "X-Request-Id: probe-0\r\n",
                                .body = "{}",
                                .body_size = 2,
                                .timeout_ns = 10 * CE_SECOND};
    struct ce_http_answer answer;
    struct ce_error err = {0};
    REQUIRE_OK(call_once(&server, &call, &answer, &err), err);
    ce_http_answer_done(&answer);
    char host[64];
    ce_endpoint_text(&server.endpoint, host, sizeof host);
    ce_autofree char *want = ce_format("POST /v2?a=b HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                                       "X-Request-Id: probe-0\r\nContent-Length: 2\r\n\r\n{}",
                                       host);
    CHECK_TEXT(server.request, want);
}

static void failures_are_told_apart(void)
{
    static const struct {
        struct server server;
        int r;
        const char *message;
    } cases[] = {
        {{.answer = ""}, -ECONNRESET, "the connection was closed without an answer"},
        {{.answer = "", .abort = true},
         -ECONNRESET,
         "the connection broke: Connection reset by peer"},
        {{.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"},
         -EPROTO,
         "the answer ended early, after 41 bytes"},
        {{.answer = "HTTP/1.1 200 OK\r\nTransfer-"},
         -EPROTO,
         "the answer ended early, after 26 bytes"},
        {{.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx"},
         -EPROTO,
         "a chunk does not start with its size"},
        {{.answer = "220 mail\r\n\r\n"},
         -EPROTO,
         "the status line is not a version, a blank and three digits"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct server server = cases[i].server;
        struct ce_http_answer answer;
        struct ce_error err = {0};
        CHECK(call_once(&server, &get, &answer, &err) == cases[i].r);
        CHECK_TEXT(err.message, cases[i].message);
    }
}

static void the_deadline_is_for_the_whole_call(void)
{
    struct server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
                            .keep_open = true};
    struct ce_http_call call = get;
    call.timeout_ns = 50 * CE_MILLISECOND;
    struct ce_http_answer answer;
    struct ce_error err = {0};
    int64_t begin = ce_now();
    CHECK(call_once(&server, &call, &answer, &err) == -ETIMEDOUT);
    int64_t took = ce_now() - begin;
    CHECK(took >= 50 * CE_MILLISECOND && took < 5 * CE_SECOND);
    CHECK_TEXT(err.message, "no answer within 0.050 s");
}

static void a_closed_port_refuses(void)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(0);
    struct ce_error err = {0};
    int fd = ce_endpoint_listen(&endpoint, &err);
    REQUIRE(fd >= 0);
    close(fd);
    struct ce_http_answer answer;
    CHECK(ce_http_call(&endpoint, &get, &answer, &err) == -ECONNREFUSED);
    CHECK(strstr(err.message, "cannot connect to 127.0.0.1:") == err.message);
}

static void endpoints_have_a_text(void)
{
    struct ce_endpoint endpoint = ce_endpoint_loopback(8080);
    char text[128];
    ce_endpoint_text(&endpoint, text, sizeof text);
    CHECK_TEXT(text, "127.0.0.1:8080");
    struct sockaddr_in6 in6 = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(80)};
    memcpy(&endpoint.address, &in6, sizeof in6);
    ce_endpoint_text(&endpoint, text, sizeof text);
    CHECK_TEXT(text, "[::1]:80");
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    memcpy(&endpoint.address, &un, sizeof un);
    endpoint.size = sizeof un;
    ce_endpoint_text(&endpoint, text, sizeof text);
    CHECK_TEXT(text, "unix:/run/x");
}

static void unix_sockets_work_and_stale_files_give_way(void)
{
    char folder[] = "/tmp/ce-client-XXXXXX";
    REQUIRE(mkdtemp(folder));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s/s", folder);
    for (int round = 0; round < 2; round++) { /* the first leaves its file behind */
        struct server server = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"};
        memcpy(&server.endpoint.address, &un, sizeof un);
        server.endpoint.size = sizeof un;
        struct ce_http_answer answer = {0};
        struct ce_error err = {0};
        int r = call_once(&server, &get, &answer, &err);
        CHECK(r == 0);
        CHECK_TEXT(r == 0 ? answer.body : err.message, "hi");
        ce_http_answer_done(&answer);
    }
    struct ce_error err;
    CHECK(ce_tree_remove(folder, &err) == 0);
}

static int refuse_socket(void *ctx, int family, struct ce_error *err)
{
    *(int *)ctx = family;
    return ce_fail(err, EACCES, "no sockets here");
}

static void sockets_come_from_the_endpoint(void)
{
    int family = 0;
    struct ce_endpoint endpoint = ce_endpoint_loopback(1);
    endpoint.make_socket = refuse_socket;
    endpoint.ctx = &family;
    struct ce_http_answer answer;
    struct ce_error err = {0};
    CHECK(ce_http_call(&endpoint, &get, &answer, &err) == -EACCES);
    CHECK(family == AF_INET);
    CHECK_TEXT(err.message, "no sockets here");
}

int main(void)
{
    TEST(answers_of_every_framing_are_read);
    TEST(the_request_is_what_was_asked);
    TEST(failures_are_told_apart);
    TEST(the_deadline_is_for_the_whole_call);
    TEST(a_closed_port_refuses);
    TEST(endpoints_have_a_text);
    TEST(unix_sockets_work_and_stale_files_give_way);
    TEST(sockets_come_from_the_endpoint);
    return test_done();
}
