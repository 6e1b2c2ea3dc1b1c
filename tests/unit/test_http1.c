/* SPDX-License-Identifier: MIT */
#include "net/http1.h"

#include <stdint.h>

#include "check.h"

/* What a whole message comes to: everything that a user of the parser can see. */
struct result {
    int r;
    struct ce_http_head head;
    bool done;
    size_t used; /* of the body */
    char payload[512];
    size_t payload_size;
    struct ce_error err;
};

enum kind { REQUEST, RESPONSE, RESPONSE_TO_HEAD };

static int parse(enum kind kind, const char *data, size_t size, struct ce_http_head *head,
                 struct ce_error *err)
{
    if (kind == REQUEST)
        return ce_http_parse_request(data, size, head, err);
    return ce_http_parse_response(data, size, kind == RESPONSE_TO_HEAD, head, err);
}

/* Parses the message when it comes in pieces of `step` bytes. */
static struct result walk(enum kind kind, const char *data, size_t size, size_t step)
{
    struct result result = {0};
    size_t have = 0;
    while (result.r == 0 && have < size) {
        have = size - have < step ? size : have + step;
        result.r = parse(kind, data, have, &result.head, &result.err);
    }
    if (result.r <= 0)
        return result;
    struct ce_http_body body;
    ce_http_body_start(&body, &result.head);
    size_t at = result.head.size;
    while (!body.done && at < size) {
        if (at == have)
            have = size - have < step ? size : have + step;
        size_t used;
        struct ce_slice payload;
        int r = ce_http_body_feed(&body, data + at, have - at, &used, &payload, &result.err);
        if (r < 0) {
            result.r = r;
            return result;
        }
        if (result.payload_size + payload.size < sizeof result.payload)
            memcpy(result.payload + result.payload_size, payload.data, payload.size);
        result.payload_size += payload.size;
        at += used;
        result.used = at - result.head.size;
    }
    result.done = body.done;
    return result;
}

static bool slices_equal(struct ce_slice a, struct ce_slice b)
{
    return a.data == b.data && a.size == b.size;
}

static bool results_equal(const struct result *a, const struct result *b)
{
    if (a->r != b->r || strcmp(a->err.message, b->err.message) != 0)
        return false;
    if (a->r <= 0)
        return true;
    if (a->head.size != b->head.size || a->head.field_count != b->head.field_count ||
        a->head.framing != b->head.framing || a->head.length != b->head.length ||
        a->head.status != b->head.status || a->head.minor != b->head.minor ||
        a->head.keep_alive != b->head.keep_alive || a->done != b->done || a->used != b->used ||
        a->payload_size != b->payload_size || strcmp(a->payload, b->payload) != 0)
        return false;
    for (size_t i = 0; i < a->head.field_count; i++)
        if (!slices_equal(a->head.fields[i].name, b->head.fields[i].name) ||
            !slices_equal(a->head.fields[i].value, b->head.fields[i].value))
            return false;
    return slices_equal(a->head.method, b->head.method) &&
           slices_equal(a->head.target, b->head.target);
}

/* The result of the whole; it is checked to be that of every way of cutting it. */
static struct result walk_every_way(enum kind kind, const char *text)
{
    size_t size = strlen(text);
    struct result whole = walk(kind, text, size, size);
    for (size_t step = 1; step < size && step < 40; step++) {
        struct result pieces = walk(kind, text, size, step);
        if (!results_equal(&whole, &pieces))
            printf("# in pieces of %zu bytes (%d, not %d): %s\n", step, pieces.r, whole.r, text);
        CHECK(results_equal(&whole, &pieces));
    }
    return whole;
}

#define H  "GET / HTTP/1.1\r\nHost: a\r\n"
#define P  "POST /v2 HTTP/1.1\r\nHost: a\r\n"
#define C  "Transfer-Encoding: chunked\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

static void requests_are_read(void)
{
    static const struct {
        const char *text;
        const char *method, *target;
        enum ce_http_framing framing;
        bool keep_alive;
        const char *payload;
    } cases[] = {
        {H "\r\n", "GET", "/", CE_HTTP_NO_BODY, true, ""},
        {"\r\n" H "\r\n", "GET", "/", CE_HTTP_NO_BODY, true, ""},
        {"GET / HTTP/1.0\r\n\r\n", "GET", "/", CE_HTTP_NO_BODY, false, ""},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET", "/", CE_HTTP_NO_BODY, true, ""},
        {H "Connection: foo , Close\r\n\r\n", "GET", "/", CE_HTTP_NO_BODY, false, ""},
        {H "Connection: keep-alive\r\nConnection: close\r\n\r\n", "GET", "/", CE_HTTP_NO_BODY,
         false, ""},
        {"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS", "*", CE_HTTP_NO_BODY, true, ""},
        {P "Content-Length: 5\r\n\r\nhello", "POST", "/v2", CE_HTTP_LENGTH, true, "hello"},
        {P "CONTENT-length:\t 05 \r\n\r\nhello", "POST", "/v2", CE_HTTP_LENGTH, true, "hello"},
        {"CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "CONNECT", "a:1", CE_HTTP_LENGTH,
         true, ""},
        {P "Content-Length: 0\r\n\r\n", "POST", "/v2", CE_HTTP_LENGTH, true, ""},
        {P C "5\r\nhello\r\n0\r\n\r\n", "POST", "/v2", CE_HTTP_CHUNKED, true, "hello"},
        {P C "5;a=b;c=\"d e\"\r\nhello\r\n00A \r\n, chunked!\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
         "POST", "/v2", CE_HTTP_CHUNKED, true, "hello, chunked!"},
        {P C "0\r\n\r\n", "POST", "/v2", CE_HTTP_CHUNKED, true, ""},
        {P "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST", "/v2", CE_HTTP_CHUNKED, true, ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct result result = walk_every_way(REQUEST, cases[i].text);
        if (result.r != 1)
            printf("# case %zu: %s\n", i, result.err.message);
        CHECK(result.r == 1 && result.done);
        CHECK(ce_http_is(result.head.method, cases[i].method));
        CHECK(ce_http_is(result.head.target, cases[i].target));
        CHECK(result.head.framing == cases[i].framing);
        CHECK(result.head.keep_alive == cases[i].keep_alive);
        CHECK_TEXT(result.payload, cases[i].payload);
        CHECK(result.head.size + result.used == strlen(cases[i].text));
    }
}

static void malformed_requests_are_refused(void)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {P "Content-Length: 5\r\n" C, "there are both Content-Length and Transfer-Encoding"},
        {P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         "there are both Content-Length and Transfer-Encoding"},
        {P "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "there are two Content-Length fields"},
        {P "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "there are two Content-Length fields"},
        {"CONNECT a:1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
         "there is a body with CONNECT, which has none"},
        {"CONNECT a:1 HTTP/1.1\r\n" C "0\r\n\r\n", "there is a body with CONNECT, which has none"},
        {P "Content-Length: 5, 5\r\n\r\n", "Content-Length is not a whole number"},
        {P "Content-Length: +5\r\n\r\n", "Content-Length is not a whole number"},
        {P "Content-Length: -1\r\n\r\n", "Content-Length is not a whole number"},
        {P "Content-Length: 0x5\r\n\r\n", "Content-Length is not a whole number"},
        {P "Content-Length:\r\n\r\n", "Content-Length is empty"},
        {P "Content-Length: 18446744073709551617\r\n\r\n", "Content-Length is too large"},
        {P "Content-Length : 5\r\n\r\n",
         "there is a blank between the field name 'Content-Length' and its colon"},
        {P "Transfer-Encoding\t: chunked\r\n\r\n",
         "there is a blank between the field name 'Transfer-Encoding' and its colon"},
        {P "Transfer-Encoding: gzip, chunked\r\n\r\n",
         "Transfer-Encoding is something else than 'chunked' alone"},
        {P "Transfer-Encoding: chunked\r\n" C,
         "Transfer-Encoding is something else than 'chunked' alone"},
        {P "Transfer-Encoding: xchunked\r\n\r\n",
         "Transfer-Encoding is something else than 'chunked' alone"},
        {"POST / HTTP/1.0\r\n" C, "an HTTP/1.0 message has Transfer-Encoding"},
        {H "X: a\r\n b\r\n\r\n", "a field is folded over two lines"},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "a field is folded over two lines"},
        {H "X: a\rb\r\n\r\n", "the value of 'X' holds a control character"},
        {H "X: a\x01\r\n\r\n", "the value of 'X' holds a control character"},
        {H "X: a\x7f\r\n\r\n", "the value of 'X' holds a control character"},
        {H "X: a\n\r\n", "a line of the head ends in a bare LF, not in CRLF"},
        {"GET / HTTP/1.1\nHost: a\n\n", "a line of the head ends in a bare LF, not in CRLF"},
        {H "nothing\r\n\r\n", "a line of the head has no field name followed by a colon"},
        {H ": a\r\n\r\n", "a line of the head has no field name followed by a colon"},
        {H "a(b: c\r\n\r\n", "a field name holds a character that no name may hold"},
        {H "Host: b\r\n\r\n", "there are two Host fields"},
        {" GET / HTTP/1.1\r\n\r\n", "the request line does not start with a method and a blank"},
        {"\r\n\r\n" H "\r\n", "the request line does not start with a method and a blank"},
        {"GET  / HTTP/1.1\r\n\r\n", "the request line has no target followed by a blank"},
        {"GET /\r\n\r\n", "the request line has no target followed by a blank"},
        {"GET /\x01 HTTP/1.1\r\n\r\n", "the request line has no target followed by a blank"},
        {"GET /a b HTTP/1.1\r\n\r\n",
         "the request line does not end in a version such as HTTP/1.1"},
        {"GET / HTTP/1.1 \r\n\r\n", "the request line does not end in a version such as HTTP/1.1"},
        {"GET / HTTP/2.0\r\n\r\n", "the version is neither HTTP/1.0 nor HTTP/1.1"},
        {"GET / http/1.1\r\n\r\n", "the version is neither HTTP/1.0 nor HTTP/1.1"},
        {P C "\r\n", "a chunk does not start with its size"},
        {P C "-1\r\n", "a chunk does not start with its size"},
        {P C "5x\r\nhello\r\n", "a chunk's size is not a hexadecimal number"},
        {P C "10000000000000005\r\n", "a chunk's size is too large"},
        {P C "5\nhello", "a chunk's size is not a hexadecimal number"},
        {P C "5\rhello", "a line of a chunked body ends in a bare CR, not in CRLF"},
        {P C "5;a\nhello", "a chunk extension holds a control character"},
        {P C "5\r\nhellooo\r\n", "a chunk is longer than its size says"},
        {P C "5\r\nhello\rx", "a line of a chunked body ends in a bare CR, not in CRLF"},
        {P C "5 5\r\nhello\r\n", "a chunk's size is not a hexadecimal number"},
        {P C "0\r\nX\r\n\r\n", "a line of the trailer has no field name followed by a colon"},
        {P C "0\r\n: a\r\n\r\n", "a line of the trailer has no field name followed by a colon"},
        {P C "0\r\nX : a\r\n\r\n", "a line of the trailer has no field name followed by a colon"},
        {P C "0\r\nX: a\r\n b\r\n\r\n",
         "a line of the trailer has no field name followed by a colon"},
        {P C "0\r\nX: a\n\r\n", "the trailer holds a control character"},
        {P C "0\r\nX: a\rb", "a line of a chunked body ends in a bare CR, not in CRLF"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct result result = walk_every_way(REQUEST, cases[i].text);
        CHECK(result.r == -EPROTO);
        CHECK_TEXT(result.err.message, cases[i].message);
    }
}

static void a_nul_is_refused(void)
{
    static const char in_value[] = H "X: a\0b\r\n\r\n", in_name[] = H "X\0Y: a\r\n\r\n";
    struct ce_http_head head;
    CHECK(ce_http_parse_request(in_value, sizeof in_value - 1, &head, NULL) == -EPROTO);
    CHECK(ce_http_parse_request(in_name, sizeof in_name - 1, &head, NULL) == -EPROTO);
}

static void incomplete_heads_wait(void)
{
    static const char *const cases[] = {"", "\r",   "\r\n",  "G", "GET / HTTP/1.1",
                                        H,  H "\r", H "X: y"};
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(walk(REQUEST, cases[i], strlen(cases[i]), 3).r == 0);
}

static void fields_are_found(void)
{
    struct result result =
        walk_every_way(REQUEST, P "x-request-ID: \t f-17.1 \t\r\nEmpty:\r\nExpect: 100-Continue\r\n"
                                  "X-Request-Id: second\r\n\r\n");
    REQUIRE(result.r == 1);
    const struct ce_http_field *id = ce_http_find(&result.head, "X-Request-Id");
    REQUIRE(id);
    CHECK(ce_http_is(id->value, "f-17.1"));
    CHECK(memcmp(id->name.data, "x-request-ID", id->name.size) == 0);
    const struct ce_http_field *empty = ce_http_find(&result.head, "empty");
    CHECK(empty && empty->value.size == 0);
    CHECK(!ce_http_find(&result.head, "X-Request"));
    CHECK(result.head.expect_continue);
    result = walk_every_way(REQUEST, "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    CHECK(result.r == 1 && !result.head.expect_continue);
}

static void lists_are_split(void)
{
    struct ce_slice list = {" a ,, b\t,c d,", 13}, token;
    CHECK(ce_http_token_next(&list, &token) && ce_http_is(token, "A"));
    CHECK(ce_http_token_next(&list, &token) && ce_http_is(token, "b"));
    CHECK(ce_http_token_next(&list, &token) && ce_http_is(token, "c d"));
    CHECK(!ce_http_token_next(&list, &token));
}

static void responses_are_read(void)
{
    static const struct {
        enum kind kind;
        const char *text;
        int status;
        enum ce_http_framing framing;
        bool keep_alive, done;
        const char *payload;
    } cases[] = {
        {RESPONSE, OK "Content-Length: 2\r\n\r\nhi", 200, CE_HTTP_LENGTH, true, true, "hi"},
        {RESPONSE, OK C "2\r\nhi\r\n0\r\n\r\n", 200, CE_HTTP_CHUNKED, true, true, "hi"},
        {RESPONSE, OK "\r\nhi", 200, CE_HTTP_UNTIL_CLOSE, false, false, "hi"},
        {RESPONSE, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, CE_HTTP_LENGTH, true, true,
         ""},
        {RESPONSE, "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", 599, CE_HTTP_LENGTH, true, true,
         ""},
        {RESPONSE, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, CE_HTTP_LENGTH, false,
         true, "hi"},
        {RESPONSE, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200,
         CE_HTTP_LENGTH, true, true, "hi"},
        {RESPONSE, "HTTP/1.1 100 Continue\r\n\r\n", 100, CE_HTTP_NO_BODY, true, true, ""},
        {RESPONSE, "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, CE_HTTP_NO_BODY,
         true, true, ""},
        {RESPONSE, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, CE_HTTP_NO_BODY,
         true, true, ""},
        {RESPONSE_TO_HEAD, OK "Content-Length: 9\r\n\r\n", 200, CE_HTTP_NO_BODY, true, true, ""},
        {RESPONSE_TO_HEAD, OK "\r\n", 200, CE_HTTP_NO_BODY, true, true, ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct result result = walk_every_way(cases[i].kind, cases[i].text);
        if (result.r != 1)
            printf("# case %zu: %s\n", i, result.err.message);
        CHECK(result.r == 1 && result.done == cases[i].done);
        CHECK(result.head.status == cases[i].status);
        CHECK(result.head.framing == cases[i].framing);
        CHECK(result.head.keep_alive == cases[i].keep_alive);
        CHECK_TEXT(result.payload, cases[i].payload);
    }
}

static void malformed_responses_are_refused(void)
{
    static const char *const cases[] = {
        OK "Content-Length: 2\r\n" C "2\r\nhi\r\n0\r\n\r\n",
        OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/3.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(walk_every_way(RESPONSE, cases[i]).r == -EPROTO);
}

static void large_heads_are_refused_and_the_limit_is_exact(void)
{
    enum { SIZE = CE_HTTP_HEAD_MAX + 64 };
    static char text[SIZE];
    struct ce_http_head head;
    for (int over = 0; over < 2; over++) {
        memset(text, 'a', sizeof text);
        memcpy(text, "GET / HTTP/1.1\r\nX:", 18);
        memcpy(text + CE_HTTP_HEAD_MAX - 4 + over, "\r\n\r\n", 4);
        CHECK(ce_http_parse_request(text, CE_HTTP_HEAD_MAX - 1, &head, NULL) == 0);
        int whole = ce_http_parse_request(text, SIZE, &head, NULL);
        int pieces = ce_http_parse_request(text, CE_HTTP_HEAD_MAX, &head, NULL);
        CHECK(whole == (over ? -EMSGSIZE : 1));
        CHECK(pieces == whole);
    }
}

static void too_many_fields_are_refused(void)
{
    char text[32 + 4 * (CE_HTTP_FIELDS_MAX + 1) + 3] = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < CE_HTTP_FIELDS_MAX; i++)
        strcat(text, "a:\r\n");
    size_t size = strlen(text);
    struct ce_http_head head;
    strcpy(text + size, "\r\n");
    CHECK(ce_http_parse_request(text, strlen(text), &head, NULL) == 1);
    strcpy(text + size, "a:\r\n\r\n");
    CHECK(ce_http_parse_request(text, strlen(text), &head, NULL) == -EMSGSIZE);
}

static void endless_trailers_are_refused(void)
{
    struct ce_http_head head = {.framing = CE_HTTP_CHUNKED};
    struct ce_http_body body;
    ce_http_body_start(&body, &head);
    size_t used;
    struct ce_slice payload;
    REQUIRE(ce_http_body_feed(&body, "0\r\n", 3, &used, &payload, NULL) == 0);
    int r = 0, lines = 0;
    while (r == 0 && lines < CE_HTTP_HEAD_MAX) {
        r = ce_http_body_feed(&body, "a: b\r\n", 6, &used, &payload, NULL);
        lines++;
    }
    CHECK(r == -EPROTO);
    CHECK(lines <= CE_HTTP_HEAD_MAX / 5 + 1);
}

static void bytes_after_a_message_are_left(void)
{
    struct result result =
        walk_every_way(REQUEST, P "Content-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n");
    CHECK(result.done && result.used == 2);
    result = walk_every_way(REQUEST, P C "2\r\nhi\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    CHECK(result.done && result.used == 12);
}

int main(void)
{
    TEST(requests_are_read);
    TEST(malformed_requests_are_refused);
    TEST(a_nul_is_refused);
    TEST(incomplete_heads_wait);
    TEST(fields_are_found);
    TEST(lists_are_split);
    TEST(responses_are_read);
    TEST(malformed_responses_are_refused);
    TEST(large_heads_are_refused_and_the_limit_is_exact);
    TEST(too_many_fields_are_refused);
    TEST(endless_trailers_are_refused);
    TEST(bytes_after_a_message_are_left);
    return test_done();
}
