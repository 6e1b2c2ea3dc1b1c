/* SPDX-License-Identifier: MIT */
#include "proxy/h2/grpc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

bool ce_grpc_is(struct ce_slice content_type)
{
    static const char name[] = "application/grpc";
    const size_t size = sizeof name - 1;
    if (content_type.size < size || strncasecmp(content_type.data, name, size) != 0)
        return false;
    /* Not application/grpc-web, which is framed in another way. */
    return content_type.size == size || content_type.data[size] == '+' ||
           content_type.data[size] == ';';
}

struct ce_grpc_look ce_grpc_look(struct ce_slice bytes)
{
    struct ce_grpc_look look = {.shape = CE_GRPC_PART, .whole = CE_GRPC_PREFIX};
    if (bytes.size < CE_GRPC_PREFIX)
        return look;
    const unsigned char *prefix = (const unsigned char *)bytes.data;
    size_t size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                  (size_t)prefix[4];
    look.whole = CE_GRPC_PREFIX + size;
    if (bytes.size < look.whole)
        return look;
    look.shape = bytes.size == look.whole ? CE_GRPC_ONE : CE_GRPC_MORE;
    look.message = (struct ce_slice){bytes.data + CE_GRPC_PREFIX, size};
    look.compressed = prefix[0] != 0;
    return look;
}

void ce_grpc_prefix(char prefix[CE_GRPC_PREFIX], bool compressed, size_t size)
{
    prefix[0] = compressed;
    for (int i = 1; i < CE_GRPC_PREFIX; i++)
        prefix[i] = (char)(uint8_t)(size >> (8 * (CE_GRPC_PREFIX - 1 - i)));
}

/* The first HTTP status of a gRPC status is the one that stands for it, and the first gRPC status
 * of an HTTP status likewise. */
static const struct {
    short http, grpc;
} statuses[] = {
    {200, 0},  {400, 3},  {401, 16}, {403, 7},  {404, 5}, {429, 8},  {500, 13},
    {503, 14}, {504, 4},  {502, 14}, {499, 1},  {500, 2}, {409, 10}, {409, 6},
    {400, 9},  {400, 11}, {501, 12}, {500, 15}, {408, 4}, {413, 8},  {431, 8},
};

int ce_grpc_status_of(int http_status)
{
    if (http_status >= 200 && http_status < 300)
        return CE_GRPC_OK;
    for (size_t i = 0; i < CE_COUNT(statuses); i++)
        if (statuses[i].http == http_status)
            return statuses[i].grpc;
    return CE_GRPC_UNKNOWN;
}

int ce_grpc_http_of(int grpc_status)
{
    for (size_t i = 0; i < CE_COUNT(statuses); i++)
        if (statuses[i].grpc == grpc_status)
            return statuses[i].http;
    return 500;
}

int ce_grpc_parse_status(struct ce_slice text)
{
    int status = 0;
    if (text.size == 0 || text.size > 4)
        return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        status = status * 10 + (text.data[i] - '0');
    }
    return status;
}

char *ce_grpc_message_encode(struct ce_slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    char *encoded = malloc(text.size * 3 + 1), *to = encoded;
    if (!encoded)
        return NULL;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '%') {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    *to = '\0';
    return encoded;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *ce_grpc_message_decode(struct ce_slice text)
{
    char *decoded = malloc(text.size + 1), *to = decoded;
    if (!decoded)
        return NULL;
    for (size_t i = 0; i < text.size; i++) {
        bool encoded = text.data[i] == '%' && i + 2 < text.size && hex(text.data[i + 1]) >= 0 &&
                       hex(text.data[i + 2]) >= 0;
        *to++ = encoded ? (char)(hex(text.data[i + 1]) << 4 | hex(text.data[i + 2])) : text.data[i];
        i += encoded ? 2 : 0;
    }
    *to = '\0';
    return decoded;
}
