/* SPDX-License-Identifier: MIT */
/* Packing and unpacking content: gzip through zlib, zstd through libzstd. The streams (input.c,
 * output.c) move the bytes; these only turn one buffer into another. */
#ifndef CE_DATA_STREAM_PACK_H
#define CE_DATA_STREAM_PACK_H

#include "data/stream/stream.h"

#define CE_PACKING_MAGIC 4 /* bytes that are enough to know a packing */

/* What the first bytes of a file say. */
enum ce_packing ce_packing_of_bytes(const unsigned char *data, size_t size);
/* Whether so few bytes can be the start of that packing. */
bool ce_packing_cut_short(enum ce_packing packing, const unsigned char *data, size_t size);

enum ce_unpacked {
    CE_UNPACKED_SOME, /* goes on; wants more input or more room */
    CE_UNPACKED_END,  /* a member or frame is complete; another may follow */
    CE_UNPACKED_DAMAGED,
    CE_UNPACKED_TOO_WIDE, /* it needs more than 128 MiB of history */
    CE_UNPACKED_NO_MEMORY,
};
struct ce_unpacker;
struct ce_unpacker *ce_unpacker_new(enum ce_packing packing); /* NULL: no memory */
void ce_unpacker_free(struct ce_unpacker *unpacker);          /* NULL is fine */
/* Moves what it can from *in to *out and advances both. */
enum ce_unpacked ce_unpacker_step(struct ce_unpacker *unpacker, const char **in, const char *in_end,
                                  char **out, char *out_end);

struct ce_packer;
struct ce_packer *ce_packer_new(enum ce_packing packing); /* NULL: no memory */
void ce_packer_free(struct ce_packer *packer);            /* NULL is fine */
/* Packs `data` and hands what comes of it to `write`; `end`: closes the stream. The same content
 * gives the same bytes, whenever and in whatever pieces it is put. 0 or what `write` returned, or
 * -ENOMEM. */
int ce_packer_put(struct ce_packer *packer, const void *data, size_t size, bool end,
                  int (*write)(void *ctx, const void *data, size_t size), void *ctx);

#endif
