/* SPDX-License-Identifier: MIT */
/* Our HTTP/1.1 parser against another one, llhttp, in its strict mode: on the fuzzing corpus and on
 * thousands of damaged messages, whole and cut in two at every place.
 *
 * The rule: a message that ours lets through must mean the same to the other, or a peer could be
 * made to see another message than the proxy's hooks saw. Ours may refuse more. Where it refuses
 * less, the difference stands in `allowed`, with the reason. */
#include <stdarg.h>

#include "check.h"

#ifndef CE_HAVE_LLHTTP

static void both_parsers_see_the_same(void)
{
    SKIP("the source of llhttp is not there (Debian: node-llhttp)");
}

static void both_parsers_see_the_same_in_the_corpus(void)
{
    SKIP("the source of llhttp is not there (Debian: node-llhttp)");
}

#else

#include <llhttp.h>

#include "base/file.h"
#include "base/random.h"
#include "files.h"
#include "net/http1.h"

enum kind { REQUEST, RESPONSE, RESPONSE_TO_HEAD, KINDS };

/* What a parser makes of some bytes. */
struct reading {
    enum { INCOMPLETE, COMPLETE, REFUSED } result;
    bool has_head, stays_open;
    char text[32 * 1024]; /* all that it tells about the message, in a form of this test */
    size_t size;
    size_t used;         /* of the bytes, when it is complete */
    size_t head_size;    /* ours, when it is not refused */
    const char *name;    /* llhttp: of its complaint */
    const char *because; /* llhttp: its words */
    bool in_trailer;     /* llhttp: fields are those of the trailer, which ours does not tell */
    bool to_head_request;
    char message[512]; /* ours: its complaint */
};

static void add(struct reading *reading, const char *data, size_t size)
{
    if (size > sizeof reading->text - reading->size)
        size = sizeof reading->text - reading->size;
    if (size > 0)
        memcpy(reading->text + reading->size, data, size);
    reading->size += size;
}

__attribute__((format(printf, 2, 3))) static void say(struct reading *reading, const char *fmt, ...)
{
    char line[128];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    add(reading, line, (size_t)size);
}

/* ---- ours ---- */

static void tell_head(struct reading *reading, const struct ce_http_head *head)
{
    add(reading, head->method.data, head->method.size);
    add(reading, " ", 1);
    add(reading, head->target.data, head->target.size);
    say(reading, " %d 1.%d\n", head->status, head->minor);
    for (size_t i = 0; i < head->field_count; i++) {
        add(reading, head->fields[i].name.data, head->fields[i].name.size);
        add(reading, ":", 1);
        add(reading, head->fields[i].value.data, head->fields[i].value.size);
        add(reading, "\n", 1);
    }
    add(reading, "\n", 1);
    reading->has_head = true;
}

static int parse(enum kind kind, const char *data, size_t size, struct ce_http_head *head,
                 struct ce_error *err)
{
    if (kind == REQUEST)
        return ce_http_parse_request(data, size, head, err);
    return ce_http_parse_response(data, size, kind == RESPONSE_TO_HEAD, head, err);
}

/* Walks the body up to `end`. */
static int walk(struct reading *reading, struct ce_http_body *body, const char *data, size_t end,
                struct ce_error *err)
{
    while (!body->done && reading->used < end) {
        size_t used;
        struct ce_slice payload;
        int r = ce_http_body_feed(body, data + reading->used, end - reading->used, &used, &payload,
                                  err);
        if (r < 0)
            return r;
        add(reading, payload.data, payload.size);
        reading->used += used;
    }
    return 0;
}

/* The bytes come in two pieces; in one when `cut` is their size. */
static void read_ours(struct reading *reading, enum kind kind, const char *data, size_t size,
                      size_t cut)
{
    static struct ce_http_head head;
    struct ce_error err = {0};
    struct ce_http_body body;
    size_t end = cut;
    reading->size = reading->used = 0;
    reading->has_head = reading->stays_open = false;
    reading->result = INCOMPLETE;
    int r = parse(kind, data, end, &head, &err);
    if (r == 0) {
        end = size;
        r = parse(kind, data, end, &head, &err);
    }
    if (r > 0) {
        tell_head(reading, &head);
        ce_http_body_start(&body, &head);
        reading->used = reading->head_size = head.size;
        r = walk(reading, &body, data, end, &err);
        if (r >= 0)
            r = walk(reading, &body, data, size, &err);
        if (r >= 0 && (body.done || head.framing == CE_HTTP_UNTIL_CLOSE)) {
            reading->result = COMPLETE;
            reading->stays_open = head.keep_alive;
        }
    }
    if (r < 0)
        reading->result = REFUSED;
    snprintf(reading->message, sizeof reading->message, "%s", err.message);
}

/* ---- the other ---- */

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    add(parser->data, at, size);
    return 0;
}

static int on_method_complete(llhttp_t *parser)
{
    say(parser->data, "%s ", llhttp_method_name((llhttp_method_t)parser->method));
    return 0;
}

static int on_version_complete(llhttp_t *parser)
{
    if (parser->type == HTTP_REQUEST)
        say(parser->data, " 0 %d.%d\n", parser->http_major, parser->http_minor);
    return 0;
}

static int on_status_complete(llhttp_t *parser)
{
    say(parser->data, "  %d %d.%d\n", parser->status_code, parser->http_major, parser->http_minor);
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct reading *reading = parser->data;
    if (!reading->in_trailer)
        add(reading, at, size);
    return 0;
}

static int on_name_complete(llhttp_t *parser)
{
    return on_field(parser, ":", 1);
}

/* Blanks behind a value are no part of it (RFC 9112, 5), but llhttp leaves them to its user. */
static int on_value_complete(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    while (!reading->in_trailer && reading->size > 0 &&
           (reading->text[reading->size - 1] == ' ' || reading->text[reading->size - 1] == '\t'))
        reading->size--;
    return on_field(parser, "\n", 1);
}

static int on_headers_complete(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    add(reading, "\n", 1);
    reading->has_head = reading->in_trailer = true;
    /* llhttp would wait for the body that a Content-Length tells, but these have none (RFC 9112,
     * 6.3, first rule). */
    int status = parser->status_code;
    bool is_bodyless = status < 200 || status == 204 || status == 304;
    return reading->to_head_request || (parser->type == HTTP_RESPONSE && is_bodyless);
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    add(parser->data, at, size);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct reading *reading = parser->data;
    reading->result = COMPLETE;
    reading->stays_open = llhttp_should_keep_alive(parser);
    return HPE_PAUSED;
}

static void read_theirs(struct reading *reading, enum kind kind, const char *data, size_t size,
                        size_t cut)
{
    static const llhttp_settings_t settings = {
        .on_url = on_url,
        .on_method_complete = on_method_complete,
        .on_version_complete = on_version_complete,
        .on_status_complete = on_status_complete,
        .on_header_field = on_field,
        .on_header_field_complete = on_name_complete,
        .on_header_value = on_field,
        .on_header_value_complete = on_value_complete,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    llhttp_t parser;
    llhttp_init(&parser, kind == REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    parser.data = reading;
    reading->size = reading->used = 0;
    reading->has_head = reading->stays_open = reading->in_trailer = false;
    reading->to_head_request = kind == RESPONSE_TO_HEAD;
    reading->result = INCOMPLETE;
    llhttp_errno_t r = llhttp_execute(&parser, data, cut);
    if (r == HPE_OK && cut < size)
        r = llhttp_execute(&parser, data + cut, size - cut);
    if (reading->result == COMPLETE) {
        reading->used = (size_t)(llhttp_get_error_pos(&parser) - data);
    } else if (r == HPE_OK) {
        reading->used = size;
        (void)llhttp_finish(&parser);
    } else {
        reading->result = REFUSED;
        reading->name = llhttp_errno_name(r);
        reading->because = llhttp_get_error_reason(&parser);
    }
}

/* ---- the comparison ---- */

static struct {
    size_t messages, accepted, strict, allowed, differing;
} tally;

static void show(const char *what, enum kind kind, const char *data, size_t size,
                 const struct reading *ours, const struct reading *theirs)
{
    static const char *const results[] = {"incomplete", "complete", "refused"};
    static const char *const kinds[] = {"request", "response", "response to HEAD"};
    if (++tally.differing > 20)
        return;
    printf("# %s, %s: \"", what, kinds[kind]);
    for (size_t i = 0; i < size && i < 600; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= ' ' && c < 0x7f && c != '\\' && c != '"')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    printf("\"\n#   ours: %s, %zu bytes %s; theirs: %s, %zu bytes %s %s\n", results[ours->result],
           ours->used, ours->result == REFUSED ? ours->message : "", results[theirs->result],
           theirs->used, theirs->result == REFUSED ? theirs->name : "",
           theirs->result == REFUSED && theirs->because ? theirs->because : "");
}

static bool has_any(const char *data, size_t size, const char *bytes)
{
    for (; *bytes; bytes++)
        if (memchr(data, *bytes, size))
            return true;
    return false;
}

/* Where ours refuses less, and why it may. */
static bool is_allowed(const struct reading *ours, const struct reading *theirs, const char *data,
                       size_t size)
{
    if (theirs->result != REFUSED)
        return false;
    /* Any token is a method (RFC 9110, 9.1); llhttp has a list. */
    if (strcmp(theirs->name, "HPE_INVALID_METHOD") == 0)
        return true;
    /* A target is passed on byte for byte, and means what its server makes of it. */
    if (strcmp(theirs->name, "HPE_INVALID_URL") == 0)
        return true;
    /* What a chunk's extensions say ends with their line for both; llhttp knows not all that RFC
     * 9112, 7.1.1 allows there, and no blanks behind a size, which some servers pad it with. */
    if (strstr(theirs->because, "chunk extension"))
        return true;
    if (strcmp(theirs->name, "HPE_INVALID_CHUNK_SIZE") == 0)
        return has_any(data + ours->head_size, size - ours->head_size, "; \t");
    /* Fields of a trailer have no part in framing (RFC 9110, 6.5.1); llhttp reads them as if. */
    return theirs->has_head &&
           (strstr(theirs->name, "_CONTENT_LENGTH") || strstr(theirs->name, "_TRANSFER_ENCODING"));
}

static bool same(const struct reading *a, const struct reading *b)
{
    return a->result == b->result && a->has_head == b->has_head && a->size == b->size &&
           memcmp(a->text, b->text, a->size) == 0 && (a->result != COMPLETE || a->used == b->used);
}

static void compare(enum kind kind, const char *data, size_t size)
{
    static struct reading ours, theirs, cut_ours;
    read_ours(&ours, kind, data, size, size);
    read_theirs(&theirs, kind, data, size, size);
    tally.messages++;
    for (size_t cut = 1; cut < size; cut++) {
        read_ours(&cut_ours, kind, data, size, cut);
        bool alike = cut_ours.result == ours.result;
        if (alike && ours.result != REFUSED)
            alike = same(&ours, &cut_ours);
        if (!alike)
            show("cut in two, ours changes", kind, data, size, &cut_ours, &theirs);
    }
    if (ours.result == REFUSED) {
        tally.strict += theirs.result == COMPLETE;
        return;
    }
    tally.accepted += ours.result == COMPLETE;
    if (!ours.has_head)
        return; /* ours judges whole lines, so it may still refuse this one */
    if (same(&ours, &theirs) && (theirs.stays_open || !ours.stays_open))
        return;
    if (is_allowed(&ours, &theirs, data, size))
        tally.allowed++;
    else
        show("they differ", kind, data, size, &ours, &theirs);
}

/* ---- messages ---- */

static const struct {
    enum kind kind;
    const char *text;
} valid[] = {
    {REQUEST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {REQUEST, "\r\nGET /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n"},
    {REQUEST, "GET http://a.example/b HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"},
    {REQUEST, "OPTIONS * HTTP/1.1\r\nHost:a\r\nX-Empty:\r\nX-Blank: \t \r\n\r\n"},
    {REQUEST, "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"},
    {REQUEST, "PUT / HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
    {REQUEST, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
              "5\r\nhello\r\n0\r\n\r\n"},
    {REQUEST, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n"
              "5;z;x=y\r\nhello\r\n00A\r\n0123456789\r\n0\r\nSum: 1\r\nLast: \r\n\r\nGET"},
    {REQUEST,
     "PATCH / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"},
    {REQUEST, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
    {REQUEST, "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"},
    {RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"},
    {RESPONSE,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"},
    {RESPONSE, "HTTP/1.0 200 OK\r\nServer: s\r\n\r\nuntil the end"},
    {RESPONSE, "HTTP/1.1 404 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
    {RESPONSE, "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
    {RESPONSE, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    {RESPONSE, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n"},
    {RESPONSE_TO_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
    {RESPONSE_TO_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
};

/* Put somewhere into a message: behind a line, or anywhere. */
static const char *const lines[] = {
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "content-length: 05\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 5,6\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: 5.0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: 18446744073709551621\r\n",
    "Content-Length: 9223372036854775807\r\n",
    "Content-Length : 5\r\n",
    "Content_Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:CHUNKED\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked;a=b\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding:\vchunked\r\n",
    "Transfer-Encoding: ,chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close, keep-alive\r\n",
    "Connection: x,close ,y\r\n",
    "Connection: closed\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: h2c\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Host: b\r\n",
    "X: y\r\n folded\r\n",
    "X: y\r\n\tfolded\r\n",
    "no colon\r\n",
    ": no name\r\n",
    "X: bare lf\n",
    "X: bare cr\r",
    "X: a\rb\r\n",
    "X: \x80\xff\r\n",
    "\x80: y\r\n",
    "X: \x7f\r\n",
    "(X): y\r\n",
    "X\t: y\r\n",
    "\r\n",
    "\n",
    "\r\r\n",
    "5\r\nhello\r\n",
    "5;a\r\nhello\r\n",
    "5 ;a\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "5\t\r\nhello\r\n",
    "5 5\r\nhello\r\n",
    "5;\r\nhello\r\n",
    "5;;\r\nhello\r\n",
    "5;a=\"b\r\nhello\r\n",
    "5;a=\"\\\"\"\r\nhello\r\n",
    "5;a=\"b\"c\r\nhello\r\n",
    "5;a b\r\nhello\r\n",
    "5;a = b\r\nhello\r\n",
    "5;a\nhello\r\n",
    "5\nhello\n",
    "05\r\nhello\r\n",
    "0000000000000000005\r\nhello\r\n",
    "10000000000000005\r\nhello\r\n",
    "ffffffffffffffff\r\nhello\r\n",
    "7fffffffffffffff\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    " 5\r\nhello\r\n",
    "0\r\n\r\n",
    "0;a\r\n\r\n",
    "00\r\n\r\n",
    "0\n\n",
    "0\r\nX: y\r\n\r\n",
    "0\r\nno colon\r\n\r\n",
    "0\r\n folded\r\n\r\n",
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "GET / HTTP/1.1\r\n",
    "GET /\r\n",
    "get / HTTP/1.1\r\n",
    "FETCH / HTTP/1.1\r\n",
    "GET  / HTTP/1.1\r\n",
    "GET / x HTTP/1.1\r\n",
    "GET /\tHTTP/1.1\r\n",
    "GET / HTTP/1.1 \r\n",
    "GET / HTTP/1.2\r\n",
    "GET / HTTP/2.0\r\n",
    "GET / HTTP/01.1\r\n",
    "GET / http/1.1\r\n",
    "HTTP/1.1 200\r\n",
    "HTTP/1.1 099 x\r\n",
    "HTTP/1.1 1000 x\r\n",
    "HTTP/1.1  200 x\r\n",
    "HTTP/1.1 200 a\tb\x80\r\n",
    "HTTP/1.1 101 Switching\r\n",
    "HTTP/1.1 999 ?\r\n",
};
static const char *const snippets[] = {
    " ",    "\t",   "\r",   "\n",   "\r\n", ":",   ";",  "\"", "\\", "0", "5",        "a",
    "F",    "/",    "?",    "#",    "%",    "%zz", "\v", "\f", ",",  "-", "+",        "@",
    "\x7f", "\x1b", "\x80", "\xff", "[",    "{",   "|",  "^",  "'",  "<", "HTTP/1.1", "HTTP/0.9"};

enum { MESSAGE_MAX = 2048, GENERATED = 10000 };

struct message {
    char data[MESSAGE_MAX];
    size_t size;
};

struct dice {
    struct ce_stream stream;
    uint64_t n;
};

static size_t roll(struct dice *dice, size_t sides)
{
    return ce_stream_below(&dice->stream, dice->n++, (uint32_t)sides);
}

/* Puts `text` in the place of `size` bytes. */
static void splice(struct message *message, size_t at, size_t size, const char *text,
                   size_t text_size)
{
    if (message->size - size + text_size > MESSAGE_MAX)
        return;
    memmove(message->data + at + text_size, message->data + at + size, message->size - at - size);
    memcpy(message->data + at, text, text_size);
    message->size = message->size - size + text_size;
}

/* Where some line begins. */
static size_t line_start(const struct message *message, struct dice *dice)
{
    size_t at = roll(dice, message->size + 1);
    while (at > 0 && message->data[at - 1] != '\n')
        at--;
    return at;
}

static size_t line_size(const struct message *message, size_t at)
{
    const char *lf = memchr(message->data + at, '\n', message->size - at);
    return lf ? (size_t)(lf + 1 - message->data) - at : message->size - at;
}

static void damage(struct message *message, struct dice *dice)
{
    const char *text;
    char byte;
    size_t at = roll(dice, message->size + 1), line = line_start(message, dice);
    size_t size = line_size(message, line);
    switch (roll(dice, 9)) {
    case 0:
    case 1:
    case 2:
        text = lines[roll(dice, CE_COUNT(lines))];
        splice(message, line, 0, text, strlen(text));
        return;
    case 3:
        text = lines[roll(dice, CE_COUNT(lines))];
        splice(message, line, size, text, strlen(text));
        return;
    case 4:
        text = snippets[roll(dice, CE_COUNT(snippets))];
        splice(message, at, 0, text, strlen(text));
        return;
    case 5:
        text = snippets[roll(dice, CE_COUNT(snippets))];
        splice(message, at, at < message->size, text, strlen(text));
        return;
    case 6:
        splice(message, at, at < message->size, "", 0);
        return;
    case 7: /* any byte, NUL among them */
        byte = (char)roll(dice, 256);
        splice(message, at, at < message->size, &byte, 1);
        return;
    default:
        splice(message, line, size, "", 0);
    }
}

/* ---- the tests ---- */

static void both_parsers_see_the_same(void)
{
    static struct message message;
    struct dice dice = {.stream = ce_stream_init(7, "damage", "http1")};
    for (size_t i = 0; i < CE_COUNT(valid); i++)
        compare(valid[i].kind, valid[i].text, strlen(valid[i].text));
    CHECK(tally.accepted == CE_COUNT(valid) && tally.allowed == 0);
    for (int i = 0; i < GENERATED; i++) {
        size_t pick = roll(&dice, CE_COUNT(valid));
        message.size = strlen(valid[pick].text);
        memcpy(message.data, valid[pick].text, message.size);
        for (size_t k = 1 + roll(&dice, 2); k > 0; k--)
            damage(&message, &dice);
        compare(valid[pick].kind, message.data, message.size);
    }
    CHECK(tally.differing == 0);
    printf("# %zu messages: %zu complete for both, %zu complete for llhttp alone\n", tally.messages,
           tally.accepted, tally.strict);
}

static void both_parsers_see_the_same_in_the_corpus(void)
{
    DIR *folder = opendir("fuzz/corpus/http1");
    REQUIRE(folder);
    tally.differing = tally.messages = 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        ce_autofree char *path = ce_format("fuzz/corpus/http1/%s", entry->d_name), *data = NULL;
        size_t size;
        if (entry->d_name[0] == '.')
            continue;
        REQUIRE(path && ce_file_read(path, MESSAGE_MAX, &data, &size, NULL) >= 0 && size >= 2);
        for (enum kind kind = 0; kind < KINDS; kind++)
            compare(kind, data + 2, size - 2);
    }
    closedir(folder);
    CHECK(tally.messages > 0 && tally.differing == 0);
}

#endif

int main(void)
{
    TEST(both_parsers_see_the_same);
    TEST(both_parsers_see_the_same_in_the_corpus);
    return test_done();
}
