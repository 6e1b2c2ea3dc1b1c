/* SPDX-License-Identifier: MIT */
/* The HTTP/1.1 parser and body walker, on any bytes. The first byte says what to read them as, the
 * second where to cut.
 *
 * Beside crashes: input that comes in two pieces must give what it gives at once, and never may
 * more be used than there is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { REQUEST, RESPONSE, RESPONSE_TO_HEAD };

/* What came out, in a form that two runs can be compared by. */
struct outcome {
    int r;
    struct ce_http_head head;
    bool done;
    size_t used, payload_size;
    uint64_t payload_hash;
};

static int parse(enum kind kind, const char *text, size_t size, struct ce_http_head *head)
{
    if (kind == REQUEST)
        return ce_http_parse_request(text, size, head, NULL);
    return ce_http_parse_response(text, size, kind == RESPONSE_TO_HEAD, head, NULL);
}

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static void take(struct outcome *outcome, struct ce_slice payload)
{
    for (size_t i = 0; i < payload.size; i++)
        outcome->payload_hash =
            (outcome->payload_hash ^ (unsigned char)payload.data[i]) * 0x100000001b3;
    outcome->payload_size += payload.size;
}

/* Feeds what is there, up to `end`. */
static void walk(struct outcome *outcome, struct ce_http_body *body, const char *text, size_t end)
{
    size_t at = outcome->head.size + outcome->used;
    while (outcome->r > 0 && !body->done && at < end) {
        size_t used;
        struct ce_slice payload;
        int r = ce_http_body_feed(body, text + at, end - at, &used, &payload, NULL);
        if (r < 0) {
            outcome->r = r;
            return;
        }
        demand(used > 0 && used <= end - at && payload.size <= used);
        take(outcome, payload);
        at += used;
        outcome->used += used;
    }
    outcome->done = body->done;
}

/* Everything at once when cut == size. */
static struct outcome run(enum kind kind, const char *text, size_t size, size_t cut)
{
    struct outcome outcome = {0};
    struct ce_http_body body;
    size_t end = cut;
    outcome.r = parse(kind, text, end, &outcome.head);
    if (outcome.r == 0) {
        end = size;
        outcome.r = parse(kind, text, end, &outcome.head);
    }
    if (outcome.r <= 0)
        return outcome;
    demand(outcome.head.size <= end && outcome.head.field_count <= CE_HTTP_FIELDS_MAX);
    ce_http_body_start(&body, &outcome.head);
    walk(&outcome, &body, text, end);
    walk(&outcome, &body, text, size);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum kind kind = data[0] % 3;
    size_t cut = data[1];
    const char *text = (const char *)data + 2;
    size -= 2;
    if (cut > size)
        cut = size;
    struct outcome whole = run(kind, text, size, size), pieces = run(kind, text, size, cut);
    demand(whole.r == pieces.r);
    if (whole.r <= 0)
        return 0;
    demand(whole.head.size == pieces.head.size && whole.head.framing == pieces.head.framing &&
           whole.head.length == pieces.head.length &&
           whole.head.keep_alive == pieces.head.keep_alive &&
           whole.head.field_count == pieces.head.field_count);
    for (size_t i = 0; i < whole.head.field_count; i++)
        demand(memcmp(&whole.head.fields[i], &pieces.head.fields[i], sizeof whole.head.fields[i]) ==
               0);
    demand(whole.done == pieces.done && whole.used == pieces.used &&
           whole.payload_size == pieces.payload_size && whole.payload_hash == pieces.payload_hash);
    return 0;
}
