/* SPDX-License-Identifier: MIT */
/* Probes against servers, commands and files of the test's own. The server answers by path: what is
 * asked of it is what it does. Its /api/v1/query is a double of a Prometheus, by the published
 * shapes of its HTTP API. */
#include "probe/probe.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "check.h"
#include "net/endpoint.h"

/* ---- a server ---- */

enum { CONNECTIONS_MAX = 64 };

struct server {
    struct ce_endpoint endpoint;
    int listener, end;
    char url[64];
    pthread_t thread;
    int held[CONNECTIONS_MAX]; /* connections that are left without an answer */
    size_t held_count;
    atomic_int asked;
    char last[4096];
};

#define VECTOR(result)                                                                             \
    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" result "]}}"
#define SERIES(value) "{\"metric\":{\"job\":\"a\"},\"value\":[1795337000.123,\"" value "\"]}"

static const struct reply {
    const char *path;
    int status;
    const char *body;
} replies[] = {
    {"/ok", 200, "{\"a\": {\"b\": [1, \"two\", {\"x y\": true}]}, \"n\": 0.75, \"s\": \"0.75\"}"},
    {"/text", 200, " all is well \r\n"},
    {"/number", 200, "42\n"},
    {"/busy", 503, "busy"},
    {"/twice", 200, "{\"a\": 1, \"a\": 2}"},
    {"/bytes", 200, "\xff\xfe\x01 bytes"},
    {"/api/v1/query?query=one", 200, VECTOR(SERIES("1.5"))},
    {"/api/v1/query?query=none", 200, VECTOR("")},
    {"/api/v1/query?query=two", 200, VECTOR(SERIES("1") "," SERIES("2"))},
    {"/api/v1/query?query=nan", 200, VECTOR(SERIES("NaN"))},
    {"/api/v1/query?query=inf", 200, VECTOR(SERIES("+Inf"))},
    {"/api/v1/query?query=scalar", 200,
     "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1795337000,\"7\"]}}"},
    {"/api/v1/query?query=string", 200,
     "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[1795337000,\"7\"]}}"},
    {"/api/v1/query?query=matrix", 200,
     "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}"},
    {"/api/v1/query?query=bad%7B", 400,
     "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"unexpected end\"}"},
    {"/api/v1/query?query=html", 200, "<html>"},
    {"/prefix/api/v1/query?query=rate%28x%5B1m%5D%29%20%3E%200", 200, VECTOR(SERIES("3"))},
};

static void write_whole(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void reply(int fd, int status, const char *body, size_t size)
{
    char head[128];
    int n =
        snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n\r\n", status, size);
    write_whole(fd, head, (size_t)n);
    write_whole(fd, body, size);
}

static void serve_one(struct server *server, int fd)
{
    char path[256] = "";
    size_t size = 0;
    while (!strstr(server->last, "\r\n\r\n") || size == 0) {
        ssize_t n = recv(fd, server->last + size, sizeof server->last - 1 - size, 0);
        if (n <= 0)
            break;
        size += (size_t)n;
        server->last[size] = '\0';
    }
    (void)sscanf(server->last, "%*s %255s", path);
    atomic_fetch_add(&server->asked, 1);
    if (strcmp(path, "/hang") == 0 && server->held_count < CONNECTIONS_MAX) {
        server->held[server->held_count++] = fd;
        return;
    }
    if (strcmp(path, "/huge") == 0) {
        size_t huge = (size_t)3 << 20;
        char *body = malloc(huge);
        memset(body, 'x', huge);
        reply(fd, 200, body, huge);
        free(body);
    }
    if (strcmp(path, "/broken") == 0)
        write_whole(fd, "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nhalf", 42);
    for (size_t i = 0; i < CE_COUNT(replies); i++)
        if (strcmp(replies[i].path, path) == 0)
            reply(fd, replies[i].status, replies[i].body, strlen(replies[i].body));
    (void)shutdown(fd, SHUT_WR);
    char rest[256];
    while (recv(fd, rest, sizeof rest, 0) > 0)
        ;
    close(fd);
}

static void *serve(void *arg)
{
    struct server *server = arg;
    struct pollfd fds[] = {{.fd = server->listener, .events = POLLIN},
                           {.fd = server->end, .events = POLLIN}};
    for (;;) {
        (void)poll(fds, 2, -1);
        if (fds[1].revents)
            return NULL;
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            server->last[0] = '\0';
            serve_one(server, fd);
        }
    }
}

static int server_start(struct server *server, struct ce_error *err)
{
    *server = (struct server){.endpoint = ce_endpoint_loopback(0)};
    server->listener = ce_endpoint_listen(&server->endpoint, err);
    if (server->listener < 0)
        return server->listener;
    char text[48];
    ce_endpoint_text(&server->endpoint, text, sizeof text);
    snprintf(server->url, sizeof server->url, "http://%s", text);
    server->end = eventfd(0, EFD_CLOEXEC);
    return -pthread_create(&server->thread, NULL, serve, server);
}

static void server_stop(struct server *server)
{
    (void)!write(server->end, &(uint64_t){1}, sizeof(uint64_t));
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->held_count; i++)
        close(server->held[i]);
    close(server->listener);
    close(server->end);
}

/* ---- probes from words ---- */

/* "key", "value", ..., NULL; a key of what is expected begins with a point, and a list is given
 * under "command" as one line. */
static int make(struct ce_probe_spec *spec, const char *const *words, struct ce_error *err)
{
    *spec = (struct ce_probe_spec){0};
    CE_TRY(ce_params_init(ce_probe_params, spec, err));
    spec->expect = ce_expect_nothing();
    for (; words[0]; words += 2) {
        bool expected = words[0][0] == '.';
        const struct ce_param *param = expected ? ce_param_find(ce_expect_params, words[0] + 1)
                                                : ce_param_find(ce_probe_params, words[0]);
        CE_TRY(ce_param_set(param, expected ? (void *)&spec->expect : (void *)spec, words[1], err));
    }
    return 0;
}

struct question {
    const char *words[14];
    enum ce_probe_result result;
    const char *says; /* a part of the sentence */
};

/* Asks each; a value `url` that begins with a slash is on the server. */
static void ask_all(const struct question *questions, size_t count, const char *server)
{
    for (size_t i = 0; i < count; i++) {
        struct ce_error err = {0};
        struct ce_probe_spec spec;
        struct ce_probe_answer answer;
        const char *key = NULL, *words[14];
        ce_autofree char *url = NULL;
        memcpy(words, questions[i].words, sizeof words);
        for (size_t k = 0; words[k]; k += 2)
            if (strcmp(words[k], "url") == 0 && words[k + 1][0] == '/') {
                url = ce_format("%s%s", server, words[k + 1]);
                words[k + 1] = url;
            }
        REQUIRE_OK(make(&spec, words, &err), err);
        REQUIRE_OK(ce_probe_check(&spec, &key, &err), err);
        ce_probe_ask(&spec, &answer);
        if (answer.result != questions[i].result || !strstr(answer.text, questions[i].says)) {
            printf("# question %zu: %d, %s\n", i, answer.result, answer.text);
            CHECK(answer.result == questions[i].result);
            CHECK(strstr(answer.text, questions[i].says) != NULL);
        }
        CHECK(answer.took >= 0 && answer.at > 0);
        ce_probe_spec_done(&spec);
    }
}

#define HTTP(path) "probe", "http", "url", path

static void a_server_is_asked_for_status_text_json_and_time(void)
{
    static const struct question questions[] = {
        {{HTTP("/ok")}, CE_PROBE_HELD, "as expected"},
        {{HTTP("/busy")}, CE_PROBE_FAILED, "answered 503, not 2xx"},
        {{HTTP("/busy"), ".status", "503"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".status", "204"}, CE_PROBE_FAILED, "answered 200, not 204"},
        {{HTTP("/ok"), "method", "HEAD", ".max_ms", "60000"}, CE_PROBE_HELD, ""},
        {{HTTP("/busy"), ".max_ms", "60000"}, CE_PROBE_FAILED, "503"},
        {{HTTP("/text"), ".equals", "all is well"}, CE_PROBE_HELD, ""},
        {{HTTP("/text"), ".equals", "all was well"}, CE_PROBE_FAILED, "is not 'all was well'"},
        {{HTTP("/text"), ".regex", "^all (is|was) w"}, CE_PROBE_HELD, ""},
        {{HTTP("/text"), ".regex", "^is"}, CE_PROBE_FAILED, "does not match"},
        {{HTTP("/busy"), ".regex", "busy"}, CE_PROBE_HELD, ""},
        {{HTTP("/number"), ".min", "41", ".max", "42"}, CE_PROBE_HELD, "42"},
        {{HTTP("/number"), ".equals", "42.0"}, CE_PROBE_HELD, ""},
        {{HTTP("/number"), ".max", "41.5"}, CE_PROBE_FAILED, "42 is above 41.5"},
        {{HTTP("/text"), ".min", "1"}, CE_PROBE_FAILED, "is no number"},
        {{HTTP("/ok"), ".jsonpath", "$.a.b[0]", ".equals", "1"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".jsonpath", "$.a.b[1]", ".equals", "two"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".jsonpath", "$.a.b[2]['x y']", ".equals", "true"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".jsonpath", "$.n", ".min", "0.7", ".max", "0.8"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".jsonpath", "$.n", ".min", "0.8"}, CE_PROBE_FAILED, "0.75 is below 0.8"},
        {{HTTP("/ok"), ".jsonpath", "$.s", ".min", "0.7"}, CE_PROBE_FAILED, "is no number"},
        {{HTTP("/ok"), ".jsonpath", "$.a", ".max", "1"}, CE_PROBE_FAILED, "is no number"},
        {{HTTP("/ok"), ".jsonpath", "$.n"}, CE_PROBE_HELD, ""},
        {{HTTP("/ok"), ".jsonpath", "$.none"}, CE_PROBE_FAILED, "has no such value"},
        {{HTTP("/ok"), ".jsonpath", "$.a.b[9]"}, CE_PROBE_FAILED, "has no such value"},
        {{HTTP("/text"), ".jsonpath", "$.n"}, CE_PROBE_FAILED, "is no JSON"},
        {{HTTP("/twice"), ".jsonpath", "$.a"}, CE_PROBE_FAILED, "twice"},
        {{HTTP("/bytes"), ".equals", "x"}, CE_PROBE_FAILED, "is not 'x'"},
        {{HTTP("/huge")}, CE_PROBE_HELD, ""},
        {{HTTP("/huge"), ".regex", "y"}, CE_PROBE_ERROR, "larger than 1 MiB"},
        {{HTTP("/broken")}, CE_PROBE_FAILED, "ended early"},
        {{HTTP("/hang"), "timeout", "50ms"}, CE_PROBE_FAILED, ""},
        {{HTTP("http://127.0.0.1:1/")}, CE_PROBE_FAILED, "refused"},
        {{HTTP("http://no-such-host.invalid/")}, CE_PROBE_ERROR, ""},
    };
    struct server server;
    struct ce_error err = {0};
    REQUIRE_OK(server_start(&server, &err), err);
    ask_all(questions, CE_COUNT(questions), server.url);
    server_stop(&server);
}

static void a_request_is_sent_as_it_is_written(void)
{
    struct server server;
    struct ce_error err = {0};
    struct ce_probe_spec spec;
    struct ce_probe_answer answer;
    REQUIRE_OK(server_start(&server, &err), err);
    ce_autofree char *url = ce_format("%s/a/b/?c=d&e=%%20", server.url);
    const char *const words[] = {"probe",   "http", "url",  url,       "method", "PUT", "headers",
                                 "X-Y: z1", "body", "sent", ".status", "404",    NULL};
    REQUIRE_OK(make(&spec, words, &err), err);
    ce_probe_ask(&spec, &answer);
    CHECK(atomic_load(&server.asked) == 1);
    CHECK(strncmp(server.last, "PUT /a/b/?c=d&e=%20 HTTP/1.1\r\n", 30) == 0);
    CHECK(strstr(server.last, "\r\nX-Y: z1\r\n") != NULL);
    CHECK(strstr(server.last, "\r\n\r\nsent") != NULL);
    CHECK(answer.result == CE_PROBE_FAILED); /* the server closed without an answer */
    ce_probe_spec_done(&spec);
    server_stop(&server);
}

#define QUERY(query) "probe", "prometheus", "url", "/", "query", query

static void a_prometheus_tells_one_number_or_nothing(void)
{
    static const struct question questions[] = {
        {{QUERY("one"), ".max", "2"}, CE_PROBE_HELD, "1.5"},
        {{QUERY("one"), ".max", "1"}, CE_PROBE_FAILED, "1.5 is above 1"},
        {{QUERY("one"), ".equals", "1.5"}, CE_PROBE_HELD, ""},
        {{QUERY("scalar"), ".equals", "7"}, CE_PROBE_HELD, ""},
        {{QUERY("inf"), ".max", "1"}, CE_PROBE_FAILED, "inf is above 1"},
        {{QUERY("none"), ".max", "1"}, CE_PROBE_ERROR, "yields nothing"},
        {{QUERY("two"), ".max", "1"}, CE_PROBE_ERROR, "yields 2 series"},
        {{QUERY("nan"), ".max", "1"}, CE_PROBE_ERROR, "yields no number"},
        {{QUERY("string"), ".max", "1"}, CE_PROBE_ERROR, "yields a string"},
        {{QUERY("matrix"), ".max", "1"}, CE_PROBE_ERROR, "yields a matrix"},
        {{QUERY("bad{"), ".max", "1"}, CE_PROBE_ERROR, "unexpected end"},
        {{QUERY("html"), ".max", "1"}, CE_PROBE_ERROR, "no JSON"},
        {{"probe", "prometheus", "url", "/prefix/", "query", "rate(x[1m]) > 0", ".equals", "3"},
         CE_PROBE_HELD,
         ""},
        {{"probe", "prometheus", "url", "http://127.0.0.1:1", "query", "one", ".max", "1"},
         CE_PROBE_ERROR,
         "refused"},
    };
    struct server server;
    struct ce_error err = {0};
    REQUIRE_OK(server_start(&server, &err), err);
    ask_all(questions, CE_COUNT(questions), server.url);
    server_stop(&server);
}

static void a_connection_is_accepted_or_not(void)
{
    struct server server;
    struct ce_error err = {0};
    REQUIRE_OK(server_start(&server, &err), err);
    const char *port = strrchr(server.url, ':') + 1;
    const struct question questions[] = {
        {{"probe", "tcp", "host", "127.0.0.1", "port", port}, CE_PROBE_HELD, ""},
        {{"probe", "tcp", "host", "localhost", "port", port}, CE_PROBE_HELD, ""},
        {{"probe", "tcp", "host", "127.0.0.1", "port", port, ".max_ms", "60000"},
         CE_PROBE_HELD,
         ""},
        {{"probe", "tcp", "host", "127.0.0.1", "port", "1"}, CE_PROBE_FAILED, "refused"},
        {{"probe", "tcp", "host", "::1", "port", "1"}, CE_PROBE_FAILED, ""},
        {{"probe", "tcp", "host", "no-such-host.invalid", "port", "1"}, CE_PROBE_ERROR, ""},
    };
    bool has_ipv6 = access("/proc/net/if_inet6", R_OK) == 0;
    for (size_t i = 0; i < CE_COUNT(questions); i++)
        if (has_ipv6 || !strchr(questions[i].words[3], ':'))
            ask_all(&questions[i], 1, server.url);
    server_stop(&server);
}

#define COMMAND(line) "probe", "command", "command", line

static void a_command_tells_by_its_exit_and_its_output(void)
{
    static const struct question questions[] = {
        {{COMMAND("true")}, CE_PROBE_HELD, ""},
        {{COMMAND("exit 3")}, CE_PROBE_FAILED, "exited with 3, not 0"},
        {{COMMAND("exit 3"), ".status", "3"}, CE_PROBE_HELD, ""},
        {{COMMAND("kill -9 $$"), ".status", "137"}, CE_PROBE_HELD, ""},
        {{COMMAND("echo 0.93"), ".min", "0.9"}, CE_PROBE_HELD, "0.93"},
        {{COMMAND("echo '{\"a\": [5]}'"), ".jsonpath", "$.a[0]", ".equals", "5"},
         CE_PROBE_HELD,
         ""},
        {{COMMAND("echo ready; exit 1"), ".regex", "^ready"}, CE_PROBE_HELD, ""},
        {{COMMAND("echo ready; exit 1"), ".regex", "^ready", ".status", "0"}, CE_PROBE_FAILED, "1"},
        {{COMMAND("echo told >&2"), ".regex", "told"}, CE_PROBE_FAILED, "does not match"},
        {{COMMAND("/no/such/program")}, CE_PROBE_ERROR, "could not be run"},
        {{COMMAND("exit 127"), ".status", "127"}, CE_PROBE_HELD, ""},
        {{COMMAND("true"), "workdir", "/no/such/folder"}, CE_PROBE_ERROR, "could not be run"},
        {{COMMAND("pwd"), "workdir", "/proc", ".equals", "/proc"}, CE_PROBE_HELD, ""},
        {{COMMAND("exec sleep 1000"), "timeout", "50ms"}, CE_PROBE_FAILED, "did not end"},
        {{COMMAND("head -c 3000000 /dev/zero")}, CE_PROBE_HELD, ""},
        {{COMMAND("head -c 3000000 /dev/zero"), ".regex", "x"}, CE_PROBE_ERROR, "larger than"},
        {{COMMAND("sleep 1000 & sleep 1000 & echo on"), ".equals", "on", "timeout", "60s"},
         CE_PROBE_HELD,
         ""},
    };
    ask_all(questions, CE_COUNT(questions), NULL);
}

/* Each of them holds the FIFO open for writing: it ends once nobody does. */
static void all_that_a_command_started_ends_with_it(void)
{
    static const char *const lines[] = {
        "exec 9>%s/fifo; (setsid sleep 1000 & sleep 1000) & sleep 1000", /* at the timeout */
        "exec 9>%s/fifo; setsid sleep 1000 & exit 0",
        "exec 9>%s/fifo; setsid sleep 1000 & kill -STOP $PPID; sleep 1000", /* who should end it */
    };
    char folder[] = "/tmp/chaoseater-probe-XXXXXX";
    REQUIRE(mkdtemp(folder));
    ce_autofree char *fifo = ce_format("%s/fifo", folder);
    REQUIRE(mkfifo(fifo, 0600) == 0);
    for (size_t i = 0; i < CE_COUNT(lines); i++) {
        struct ce_error err = {0};
        struct ce_probe_spec spec;
        struct ce_probe_answer answer;
        char line[256], byte;
        snprintf(line, sizeof line, lines[i], folder);
        ce_autofd int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        const char *const words[] = {"probe", "command", "command", line, "timeout", "500ms", NULL};
        REQUIRE_OK(make(&spec, words, &err), err);
        ce_probe_ask(&spec, &answer);
        struct pollfd fd = {.fd = reader, .events = POLLIN};
        CHECK(poll(&fd, 1, 10000) >= 0);
        CHECK(read(reader, &byte, 1) == 0); /* EAGAIN if anybody had it open still */
        ce_probe_spec_done(&spec);
    }
    CHECK(ce_tree_remove(folder, NULL) == 0);
}

static void a_file_is_there_and_holds_what_it_should(void)
{
    char folder[] = "/tmp/chaoseater-probe-XXXXXX";
    struct ce_error err = {0};
    REQUIRE(mkdtemp(folder));
    ce_autofree char *path = ce_format("%s/a", folder), *none = ce_format("%s/none", folder);
    ce_autofree char *fifo = ce_format("%s/fifo", folder), *huge = ce_format("%s/huge", folder);
    REQUIRE_OK(ce_file_replace(path, "state: ready\n", 13, &err), err);
    REQUIRE(mkfifo(fifo, 0600) == 0);
    REQUIRE_OK(ce_file_replace(huge, "", 0, &err), err);
    REQUIRE(truncate(huge, 3 << 20) == 0);
    const struct question questions[] = {
        {{"probe", "file", "path", path}, CE_PROBE_HELD, ""},
        {{"probe", "file", "path", folder}, CE_PROBE_HELD, ""},
        {{"probe", "file", "path", none}, CE_PROBE_FAILED, "is not there"},
        {{"probe", "file", "path", none, ".regex", "x"}, CE_PROBE_FAILED, "is not there"},
        {{"probe", "file", "path", path, ".regex", "rea+dy"}, CE_PROBE_HELD, ""},
        {{"probe", "file", "path", path, ".equals", "ready"}, CE_PROBE_FAILED, "is not 'ready'"},
        {{"probe", "file", "path", folder, ".regex", "x"}, CE_PROBE_ERROR, "no regular file"},
        {{"probe", "file", "path", fifo, ".regex", "x"}, CE_PROBE_ERROR, "no regular file"},
        {{"probe", "file", "path", huge, ".regex", "x"}, CE_PROBE_ERROR, "larger than"},
        {{"probe", "file", "path", "/proc/self/stat", ".regex", "[0-9]"}, CE_PROBE_HELD, ""},
    };
    ask_all(questions, CE_COUNT(questions), NULL);
    CHECK(ce_tree_remove(folder, NULL) == 0);
}

static void what_can_never_match_is_refused_by_its_key(void)
{
    static const struct {
        const char *words[14];
        const char *key, *says;
    } cases[] = {
        {{"probe", "http"}, NULL, "needs the key 'url'"},
        {{HTTP("http://h/"), "port", "5"}, "port", "is no key of the probe http"},
        {{HTTP("ftp://h/")}, "url", "is none of"},
        {{HTTP("h2c://h:1/")}, "url", "HTTP/2"},
        {{HTTP("http://h/a b")}, "url", "escape"},
        {{HTTP("http://h/"), "method", "G T"}, "method", "is no method"},
        {{HTTP("http://h/"), "headers", "no colon"}, "headers", "is not 'Name: value'"},
        {{HTTP("http://h/"), "headers", "Host: x"}, "headers", "by the probe itself"},
        {{HTTP("http://h/"), "headers", "A: x\r\nB: y"}, "headers", "is not"},
        {{HTTP("http://h/"), ".status", "100"}, "status", "200..599"},
        {{HTTP("http://h/"), ".max_ms", "0"}, "max_ms", "above 0"},
        {{HTTP("http://h/"), ".regex", "a{3,2}"}, "regex", "is no POSIX"},
        {{HTTP("http://h/"), ".regex", "(a)\\1"}, "regex", "refers back"},
        {{HTTP("http://h/"), ".regex", "((a{200}){200}){200}"}, "regex", "repeats"},
        {{HTTP("http://h/"), ".jsonpath", "$.a[*].b"}, "jsonpath", "many values"},
        {{HTTP("http://h/"), ".jsonpath", "a.b"}, "jsonpath", "begins with '$'"},
        {{HTTP("http://h/"), ".equals", "x", ".min", "1"}, "equals", "ask for a number"},
        {{HTTP("http://h/"), ".equals", "5", ".min", "6"}, "equals", "outside"},
        {{HTTP("http://h/"), ".min", "2", ".max", "1"}, "min", "above max"},
        {{"probe", "tcp", "host", "h", "port", "1", ".equals", "x"}, "expect", "max_ms"},
        {{"probe", "tcp", "host", "h", "port", "1", ".status", "200"}, "status", "cannot match"},
        {{"probe", "tcp", "host", "h h", "port", "1"}, "host", ""},
        {{COMMAND("true"), ".status", "256"}, "status", "0..255"},
        {{"probe", "file", "path", "/x", ".max_ms", "5"}, "max_ms", "take time"},
        {{"probe", "prometheus", "url", "http://h", "query", "x"}, "expect", "min, max or equals"},
        {{"probe", "prometheus", "url", "http://h?a=b", "query", "x", ".min", "1"}, "url", "query"},
        {{"probe", "workload", "metric", "accuracy", ".regex", "x"}, "regex", "a number"},
        {{"probe", "workload", "metric", "accuracy", ".equals", "x"}, "equals", "a number"},
        {{"probe", "workload", "metric", "accuracy", ".jsonpath", "$"}, "jsonpath", "a number"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        struct ce_probe_spec spec;
        const char *key = "unset";
        REQUIRE_OK(make(&spec, cases[i].words, &err), err);
        int r = ce_probe_check(&spec, &key, &err);
        if (r >= 0 || !strstr(err.message, cases[i].says))
            printf("# case %zu: %d, %s\n", i, r, err.message);
        CHECK(r == -EINVAL);
        CHECK(strstr(err.message, cases[i].says) != NULL);
        if (cases[i].key)
            CHECK_TEXT(key, cases[i].key);
        else
            CHECK(!key);
        ce_probe_spec_done(&spec);
    }
}

static void a_status_that_no_answer_has_is_refused(void)
{
    static const struct {
        int kind;
        const char *value;
    } cases[] = {{CE_PROBE_HTTP, "199"}, {CE_PROBE_HTTP, "600"},    {CE_PROBE_HTTP, "70000"},
                 {CE_PROBE_HTTP, "-1"},  {CE_PROBE_COMMAND, "256"}, {CE_PROBE_COMMAND, "-1"}};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_expect expect = ce_expect_nothing();
        struct ce_error err = {0};
        CHECK(ce_expect_bare(cases[i].kind, cases[i].value, &expect, &err) == -EINVAL);
        CHECK(strstr(err.message, cases[i].kind == CE_PROBE_HTTP ? "200..599" : "0..255"));
        ce_params_done(ce_expect_params, &expect);
    }
}

static void a_metric_is_known_by_its_range(void)
{
    double least, most;
    ce_metric_range("accuracy", &least, &most);
    CHECK(least == 0 && most == 1);
    ce_metric_range("p99_ms", &least, &most);
    CHECK(least == 0 && isinf(most));
    ce_metric_range("loss", &least, &most);
    CHECK(isinf(least) && isinf(most));
}

static void a_bare_value_stands_for_what_the_kind_is_about(void)
{
    static const struct {
        int kind;
        const char *value;
        int64_t status;
        const char *equals;
    } cases[] = {
        {CE_PROBE_HTTP, "200", 200, NULL},   {CE_PROBE_HTTP, "ok", -1, "ok"},
        {CE_PROBE_COMMAND, "3", 3, NULL},    {CE_PROBE_COMMAND, "0.5", -1, "0.5"},
        {CE_PROBE_FILE, "exists", -1, NULL}, {CE_PROBE_FILE, "200", -1, "200"},
        {CE_PROBE_WORKLOAD, "1", -1, "1"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_expect expect = ce_expect_nothing();
        struct ce_error err = {0};
        REQUIRE_OK(ce_expect_bare(cases[i].kind, cases[i].value, &expect, &err), err);
        CHECK(expect.status == cases[i].status);
        if (cases[i].equals)
            CHECK_TEXT(expect.equals, cases[i].equals);
        else
            CHECK(!expect.equals);
        ce_params_done(ce_expect_params, &expect);
    }
}

static void a_number_measured_elsewhere_is_judged(void)
{
    const char *const words[] = {"probe", "workload", "metric", "p99_ms", ".max", "50", NULL};
    struct ce_error err = {0};
    struct ce_probe_spec spec;
    struct ce_probe_answer answer;
    REQUIRE_OK(make(&spec, words, &err), err);
    ce_probe_judge(&spec, 49.5, &answer);
    CHECK(answer.result == CE_PROBE_HELD && answer.value == 49.5);
    ce_probe_judge(&spec, 50.5, &answer);
    CHECK(answer.result == CE_PROBE_FAILED);
    CHECK_TEXT(answer.text, "workload p99_ms: 50.5 is above 50");
    ce_probe_judge(&spec, NAN, &answer);
    CHECK(answer.result == CE_PROBE_ERROR && isnan(answer.value));
    ce_probe_ask(&spec, &answer);
    CHECK(answer.result == CE_PROBE_ERROR);
    ce_probe_spec_done(&spec);
}

/* ---- at intervals ---- */

/* Ten that hang and one that answers: that one is heard again and again, and the end is at once. */
static void a_probe_that_hangs_holds_up_neither_the_others_nor_the_end(void)
{
    enum { HANGING = 10 };
    struct server server;
    struct ce_error err = {0};
    struct ce_probe_spec specs[HANGING + 1];
    const struct ce_probe_spec *list[HANGING + 1];
    struct ce_watch *watch;
    REQUIRE_OK(server_start(&server, &err), err);
    ce_autofree char *hang = ce_format("%s/hang", server.url);
    ce_autofree char *ok = ce_format("%s/ok", server.url);
    for (size_t i = 0; i <= HANGING; i++) {
        const char *const http[] = {"probe",   "http", "url",      i < HANGING ? hang : ok,
                                    "timeout", "1h",   "interval", "20ms",
                                    NULL};
        const char *const command[] = {"probe",   "command", "command", "sleep 1000; true",
                                       "timeout", "1h",      NULL};
        REQUIRE_OK(make(&specs[i], i % 2 == 0 ? http : command, &err), err);
        list[i] = &specs[i];
    }
    REQUIRE_OK(ce_watch_start(list, HANGING + 1, &watch, &err), err);
    int64_t deadline = ce_now() + 60 * CE_SECOND;
    int heard = 0;
    while (ce_now() < deadline && (heard < 3 || server.asked < heard + HANGING / 2)) {
        struct ce_probe_answer answer;
        size_t index;
        if (!ce_watch_next(watch, &index, &answer)) {
            ce_sleep_until(ce_now() + CE_MILLISECOND);
            continue;
        }
        CHECK(index == HANGING && answer.result == CE_PROBE_HELD);
        heard++;
    }
    CHECK(heard >= 3);
    int64_t begun = ce_now();
    ce_watch_stop(watch);
    CHECK(ce_now() - begun < 30 * CE_SECOND); /* not the hour of their timeouts */
    for (size_t i = 0; i <= HANGING; i++)
        ce_probe_spec_done(&specs[i]);
    server_stop(&server);
}

/* ---- anything at all ---- */

/* Any expectation is either refused with a sentence, or held against any answer without harm. */
static void any_expectation_is_refused_or_judged(void)
{
    static const char alphabet[] = "()[]{}*+?.^$|\\,0123456789ab'\"$@- ";
    char folder[] = "/tmp/chaoseater-probe-XXXXXX";
    struct ce_error err = {0};
    REQUIRE(mkdtemp(folder));
    ce_autofree char *path = ce_format("%s/a", folder);
    struct ce_stream stream = ce_stream_init(7, "expectations", "any");
    uint64_t drawn = 0;
    int refused = 0, judged = 0;
    for (int i = 0; i < 1500; i++) {
        char texts[2][24], content[64];
        for (size_t k = 0; k < 2; k++) {
            size_t size = ce_stream_below(&stream, drawn++, sizeof texts[k] - 1);
            for (size_t n = 0; n < size; n++)
                texts[k][n] = alphabet[ce_stream_below(&stream, drawn++, sizeof alphabet - 1)];
            texts[k][size] = '\0';
        }
        for (size_t n = 0; n < sizeof content; n++)
            content[n] = (char)ce_stream_below(&stream, drawn++, 256);
        const char *const words[] = {
            "probe",  "file", "path", path, ".regex", texts[0], i % 3 ? ".equals" : ".jsonpath",
            texts[1], NULL};
        struct ce_probe_spec spec;
        struct ce_probe_answer answer;
        const char *key = NULL;
        if (i % 16 == 0)
            REQUIRE_OK(ce_file_replace(path, content, sizeof content, &err), err);
        REQUIRE_OK(make(&spec, words, &err), err);
        err = (struct ce_error){0};
        if (ce_probe_check(&spec, &key, &err) < 0) {
            refused++;
            CHECK(err.message[0] != '\0' && key);
        } else {
            judged++;
            ce_probe_ask(&spec, &answer);
            json_t *text = json_string(answer.text);
            CHECK(text != NULL); /* UTF-8, whatever the file held */
            json_decref(text);
        }
        ce_probe_spec_done(&spec);
    }
    CHECK(refused > 100 && judged > 100);
    CHECK(ce_tree_remove(folder, NULL) == 0);
}

int main(void)
{
    TEST(a_server_is_asked_for_status_text_json_and_time);
    TEST(a_request_is_sent_as_it_is_written);
    TEST(a_prometheus_tells_one_number_or_nothing);
    TEST(a_connection_is_accepted_or_not);
    TEST(a_command_tells_by_its_exit_and_its_output);
    TEST(all_that_a_command_started_ends_with_it);
    TEST(a_file_is_there_and_holds_what_it_should);
    TEST(what_can_never_match_is_refused_by_its_key);
    TEST(a_bare_value_stands_for_what_the_kind_is_about);
    TEST(a_status_that_no_answer_has_is_refused);
    TEST(a_metric_is_known_by_its_range);
    TEST(a_number_measured_elsewhere_is_judged);
    TEST(a_probe_that_hangs_holds_up_neither_the_others_nor_the_end);
    TEST(any_expectation_is_refused_or_judged);
    return test_done();
}
