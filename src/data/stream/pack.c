/* SPDX-License-Identifier: MIT */
#include "data/stream/pack.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/cleanup.h"

enum {
    GZIP_WINDOW = 15 + 16, /* zlib's way to say: the largest window, in a gzip wrapper */
    GZIP_LEVEL = 6,
    GZIP_MEMORY = 8,
    ZSTD_LEVEL = 3,
    PIECE = 128 * 1024,
};

/* ---- which ---- */

static const unsigned char gzip_magic[] = {0x1f, 0x8b, 0x08};
static const unsigned char zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
static const unsigned char zstd_skippable[] = {0x2a, 0x4d, 0x18}; /* behind 0x50 .. 0x5f */

static bool ends_with(const char *path, const char *ending)
{
    size_t size = strlen(path), more = strlen(ending);
    return size > more && strcmp(path + size - more, ending) == 0;
}

enum ce_packing ce_packing_of_name(const char *path)
{
    if (ends_with(path, ".gz"))
        return CE_PACKING_GZIP;
    return ends_with(path, ".zst") ? CE_PACKING_ZSTD : CE_PACKING_PLAIN;
}

enum ce_packing ce_packing_of_bytes(const unsigned char *data, size_t size)
{
    if (size >= sizeof gzip_magic && memcmp(data, gzip_magic, sizeof gzip_magic) == 0)
        return CE_PACKING_GZIP;
    if (size < sizeof zstd_magic)
        return CE_PACKING_PLAIN;
    bool skippable = data[0] >> 4 == 5 && memcmp(data + 1, zstd_skippable, 3) == 0;
    return skippable || memcmp(data, zstd_magic, sizeof zstd_magic) == 0 ? CE_PACKING_ZSTD
                                                                         : CE_PACKING_PLAIN;
}

bool ce_packing_cut_short(enum ce_packing packing, const unsigned char *data, size_t size)
{
    const unsigned char *magic = packing == CE_PACKING_GZIP ? gzip_magic : zstd_magic;
    size_t whole = packing == CE_PACKING_GZIP ? sizeof gzip_magic : sizeof zstd_magic;
    return packing != CE_PACKING_PLAIN && size < whole && memcmp(data, magic, size) == 0;
}

/* ---- unpacking ---- */

struct ce_unpacker {
    z_stream *gzip;
    ZSTD_DStream *zstd;
    bool ended; /* a member has just ended */
};

CE_DEFINE_CLEANUP(struct ce_unpacker, ce_unpacker_free);

struct ce_unpacker *ce_unpacker_new(enum ce_packing packing)
{
    CE_CLEANUP(ce_unpacker_free_p) struct ce_unpacker *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    if (packing == CE_PACKING_ZSTD) {
        u->zstd = ZSTD_createDStream();
        return u->zstd ? ce_take(u) : NULL;
    }
    u->gzip = calloc(1, sizeof *u->gzip);
    return u->gzip && inflateInit2(u->gzip, GZIP_WINDOW) == Z_OK ? ce_take(u) : NULL;
}

void ce_unpacker_free(struct ce_unpacker *u)
{
    if (!u)
        return;
    if (u->gzip)
        (void)inflateEnd(u->gzip);
    free(u->gzip);
    (void)ZSTD_freeDStream(u->zstd);
    free(u);
}

/* zlib counts in unsigned int. */
static unsigned at_most_uint(size_t size)
{
    return size < UINT_MAX ? (unsigned)size : UINT_MAX;
}

static enum ce_unpacked gzip_step(struct ce_unpacker *u, const char **in, const char *in_end,
                                  char **out, char *out_end)
{
    /* Tapes and block devices pad with zeros; gzip(1) passes over them as well. */
    while (u->ended && *in < in_end && **in == '\0')
        ++*in;
    if (*in == in_end && u->ended)
        return CE_UNPACKED_END;
    if (u->ended && inflateReset(u->gzip) != Z_OK)
        return CE_UNPACKED_NO_MEMORY;
    u->gzip->next_in = (Bytef *)(uintptr_t)*in;
    u->gzip->avail_in = at_most_uint((size_t)(in_end - *in));
    u->gzip->next_out = (Bytef *)*out;
    u->gzip->avail_out = at_most_uint((size_t)(out_end - *out));
    int r = inflate(u->gzip, Z_NO_FLUSH);
    *in = (const char *)u->gzip->next_in;
    *out = (char *)u->gzip->next_out;
    u->ended = r == Z_STREAM_END;
    switch (r) {
    case Z_STREAM_END:
        return CE_UNPACKED_END;
    case Z_OK:
    case Z_BUF_ERROR: /* no room, or nothing to read: no error of the data */
        return CE_UNPACKED_SOME;
    case Z_MEM_ERROR:
        return CE_UNPACKED_NO_MEMORY;
    default:
        return CE_UNPACKED_DAMAGED;
    }
}

static enum ce_unpacked zstd_step(struct ce_unpacker *u, const char **in, const char *in_end,
                                  char **out, char *out_end)
{
    if (*in == in_end && u->ended)
        return CE_UNPACKED_END;
    ZSTD_inBuffer from = {.src = *in, .size = (size_t)(in_end - *in)};
    ZSTD_outBuffer to = {.dst = *out, .size = (size_t)(out_end - *out)};
    size_t r = ZSTD_decompressStream(u->zstd, &to, &from);
    *in += from.pos;
    *out += to.pos;
    u->ended = r == 0;
    if (!ZSTD_isError(r))
        return r == 0 ? CE_UNPACKED_END : CE_UNPACKED_SOME;
    switch (ZSTD_getErrorCode(r)) {
    case ZSTD_error_memory_allocation:
        return CE_UNPACKED_NO_MEMORY;
    case ZSTD_error_frameParameter_windowTooLarge:
        return CE_UNPACKED_TOO_WIDE;
    default:
        return CE_UNPACKED_DAMAGED;
    }
}

enum ce_unpacked ce_unpacker_step(struct ce_unpacker *u, const char **in, const char *in_end,
                                  char **out, char *out_end)
{
    return u->zstd ? zstd_step(u, in, in_end, out, out_end)
                   : gzip_step(u, in, in_end, out, out_end);
}

/* ---- packing ---- */

struct ce_packer {
    z_stream *gzip;
    ZSTD_CStream *zstd;
    char piece[PIECE];
};

CE_DEFINE_CLEANUP(struct ce_packer, ce_packer_free);

struct ce_packer *ce_packer_new(enum ce_packing packing)
{
    CE_CLEANUP(ce_packer_free_p) struct ce_packer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    if (packing == CE_PACKING_ZSTD) {
        p->zstd = ZSTD_createCStream();
        bool ready =
            p->zstd &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
            !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1));
        return ready ? ce_take(p) : NULL;
    }
    /* zlib's own header has no time and no name, so nothing in the file depends on the day. */
    p->gzip = calloc(1, sizeof *p->gzip);
    bool ready = p->gzip && deflateInit2(p->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                                         Z_DEFAULT_STRATEGY) == Z_OK;
    return ready ? ce_take(p) : NULL;
}

void ce_packer_free(struct ce_packer *p)
{
    if (!p)
        return;
    if (p->gzip)
        (void)deflateEnd(p->gzip);
    free(p->gzip);
    (void)ZSTD_freeCStream(p->zstd);
    free(p);
}

/* One piece of output. *ret_more: call again. */
static int gzip_piece(struct ce_packer *p, const char **data, size_t *size, bool end,
                      size_t *ret_made, bool *ret_more)
{
    unsigned given = at_most_uint(*size);
    bool last = end && given == *size;
    p->gzip->next_in = (Bytef *)(uintptr_t)*data;
    p->gzip->avail_in = given;
    p->gzip->next_out = (Bytef *)p->piece;
    p->gzip->avail_out = PIECE;
    int r = deflate(p->gzip, last ? Z_FINISH : Z_NO_FLUSH);
    if (r == Z_STREAM_ERROR)
        return -ENOMEM;
    *data += given - p->gzip->avail_in;
    *size -= given - p->gzip->avail_in;
    *ret_made = PIECE - p->gzip->avail_out;
    *ret_more = last ? r != Z_STREAM_END : *size > 0 || p->gzip->avail_out == 0;
    return 0;
}

static int zstd_piece(struct ce_packer *p, const char **data, size_t *size, bool end,
                      size_t *ret_made, bool *ret_more)
{
    ZSTD_inBuffer from = {.src = *data, .size = *size};
    ZSTD_outBuffer to = {.dst = p->piece, .size = PIECE};
    size_t left = ZSTD_compressStream2(p->zstd, &to, &from, end ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left))
        return -ENOMEM;
    *data += from.pos;
    *size -= from.pos;
    *ret_made = to.pos;
    *ret_more = end ? left > 0 : *size > 0;
    return 0;
}

int ce_packer_put(struct ce_packer *p, const void *data, size_t size, bool end,
                  int (*write)(void *ctx, const void *data, size_t size), void *ctx)
{
    const char *at = data ? data : "";
    for (bool more = size > 0 || end; more;) {
        size_t made;
        CE_TRY(p->zstd ? zstd_piece(p, &at, &size, end, &made, &more)
                       : gzip_piece(p, &at, &size, end, &made, &more));
        if (made > 0)
            CE_TRY(write(ctx, p->piece, made));
    }
    return 0;
}
