/* SPDX-License-Identifier: MIT */
#include "host/names/dns_message.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum {
    HEADER = 12,
    NAME_MAX_LENGTH = 253, /* as text: 255 bytes in a message */
    LABEL_MAX = 63,
    CLASS_IN = 1,
    POINTER = 0xc0, /* in place of a label's length: the name goes on elsewhere */
    RECORD = 10,    /* type, class, time to live and size, after a record's name */
};
/* Bits of the header's third and fourth bytes. */
enum {
    IS_ANSWER = 0x80,
    OPERATION = 0x78,
    RECURSION_DESIRED = 0x01,
    RECURSION_AVAILABLE = 0x80,
    CODE = 0x0f,
};

static uint16_t read16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t *put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

/* ---- questions ---- */

/* Reads the labels at `at`; returns what follows them, 0 when they are no name. In a question
 * nothing comes before the name that it could go on at. */
static size_t read_name(const uint8_t *message, size_t size, size_t at,
                        char ret_name[CE_DNS_NAME_SIZE])
{
    size_t length = 0;
    for (;;) {
        if (at >= size)
            return 0;
        size_t label = message[at++];
        if (label == 0)
            break;
        if (label > LABEL_MAX || label > size - at ||
            length + (length > 0) + label > NAME_MAX_LENGTH)
            return 0;
        if (length > 0)
            ret_name[length++] = '.';
        for (size_t i = 0; i < label; i++, at++) {
            uint8_t c = message[at];
            ret_name[length++] =
                c < 0x80 && (isalnum(c) || c == '-' || c == '_') ? (char)tolower(c) : '?';
        }
    }
    ret_name[length] = '\0';
    return at;
}

bool ce_dns_read_question(const void *message, size_t size, struct ce_dns_question *ret_question)
{
    const uint8_t *bytes = message;
    struct ce_dns_question question;
    if (size < HEADER || bytes[2] & (IS_ANSWER | OPERATION) || read16(bytes + 4) != 1)
        return false;
    size_t at = read_name(bytes, size, HEADER, question.name);
    if (at == 0 || size - at < 4 || read16(bytes + at + 2) != CLASS_IN)
        return false;
    question.type = read16(bytes + at);
    question.end = at + 4;
    *ret_question = question;
    return true;
}

bool ce_dns_is_within(const char *name, const char *domain)
{
    size_t length = strlen(name), part = strlen(domain);
    if (part > 0 && domain[part - 1] == '.')
        part--;
    if (part == 0)
        return true;
    return length >= part && strncasecmp(name + length - part, domain, part) == 0 &&
           (length == part || name[length - part - 1] == '.');
}

size_t ce_dns_write_query(uint16_t id, const char *name, uint16_t type, void *ret_query)
{
    uint8_t *start = ret_query, *at = put16(start, id);
    if (strlen(name) > NAME_MAX_LENGTH)
        return 0;
    at = put16(at, RECURSION_DESIRED << 8);
    at = put16(at, 1);
    memset(at, 0, 6);
    at += 6;
    while (*name && strcmp(name, ".") != 0) {
        size_t label = strcspn(name, ".");
        if (label == 0 || label > LABEL_MAX)
            return 0;
        *at++ = (uint8_t)label;
        memcpy(at, name, label);
        at += label;
        name += label;
        name += *name == '.';
    }
    *at++ = 0;
    at = put16(at, type);
    at = put16(at, CLASS_IN);
    return (size_t)(at - start);
}

/* ---- failures ---- */

bool ce_dns_can_fail(uint16_t type, enum ce_dns_failure failure)
{
    return failure != CE_DNS_FAIL_WRONG_ADDRESS || type == CE_DNS_A || type == CE_DNS_AAAA;
}

size_t ce_dns_write_failure(const void *query, const struct ce_dns_question *question,
                            enum ce_dns_failure failure, const struct ce_dns_address *address,
                            void *ret_answer)
{
    const uint8_t *asked = query;
    uint8_t *start = ret_answer;
    if (failure == CE_DNS_FAIL_TIMEOUT)
        return 0;
    unsigned code = failure == CE_DNS_FAIL_NXDOMAIN   ? CE_DNS_NXDOMAIN
                    : failure == CE_DNS_FAIL_SERVFAIL ? CE_DNS_SERVFAIL
                                                      : CE_DNS_NO_ERROR;
    bool told = failure == CE_DNS_FAIL_WRONG_ADDRESS &&
                question->type == (address->size == 4 ? CE_DNS_A : CE_DNS_AAAA);
    memcpy(start, asked, question->end);
    start[2] = (uint8_t)(IS_ANSWER | (asked[2] & RECURSION_DESIRED));
    start[3] = (uint8_t)(RECURSION_AVAILABLE | code);
    put16(start + 6, told);
    memset(start + 8, 0, 4);
    uint8_t *at = start + question->end;
    if (told) {
        at = put16(at, POINTER << 8 | HEADER); /* the name is the question's */
        at = put16(at, question->type);
        at = put16(at, CLASS_IN);
        memset(at, 0, 4); /* nobody may keep it: it would outlive the fault */
        at = put16(at + 4, (unsigned)address->size);
        memcpy(at, address->bytes, address->size);
        at += address->size;
    }
    return (size_t)(at - start);
}

/* ---- answers ---- */

/* What follows the name at `at`, wherever that goes on; 0 when the message ends in it. */
static size_t skip_name(const uint8_t *message, size_t size, size_t at)
{
    while (at < size) {
        size_t label = message[at++];
        if (label == 0)
            return at;
        if (label >= POINTER)
            return at < size ? at + 1 : 0;
        at += label;
    }
    return 0;
}

static void find_address(const uint8_t *message, size_t size, size_t at, unsigned count,
                         struct ce_dns_address *ret_address)
{
    for (; count > 0; count--) {
        at = skip_name(message, size, at);
        if (at == 0 || size - at < RECORD)
            return;
        unsigned type = read16(message + at), length = read16(message + at + 8);
        at += RECORD;
        if (length > size - at)
            return;
        if ((type == CE_DNS_A && length == 4) || (type == CE_DNS_AAAA && length == 16)) {
            memcpy(ret_address->bytes, message + at, length);
            ret_address->size = length;
            return;
        }
        at += length;
    }
}

bool ce_dns_read_reply(const void *message, size_t size, const void *query, size_t query_size,
                       struct ce_dns_reply *ret_reply)
{
    const uint8_t *bytes = message;
    if (size < HEADER || query_size < HEADER || memcmp(bytes, query, 2) != 0 ||
        !(bytes[2] & IS_ANSWER))
        return false;
    *ret_reply = (struct ce_dns_reply){.code = bytes[3] & CODE};
    if (read16(bytes + 4) == 1) {
        size_t at = skip_name(bytes, size, HEADER);
        if (at > 0 && size - at >= 4)
            find_address(bytes, size, at + 4, read16(bytes + 6), &ret_reply->address);
    }
    return true;
}
