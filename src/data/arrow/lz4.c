/* SPDX-License-Identifier: MIT */
/* A frame is a header, blocks, and an end mark. A block is a list of sequences: literals, and then
 * a match, which repeats bytes from up to 64 KiB before. */
#include "data/arrow/lz4.h"

#include <stdint.h>
#include <string.h>

enum {
    MIN_MATCH = 4,
    TAIL_LITERALS = 5, /* a block's last bytes are literals, */
    TAIL_MATCH = 12,   /* and its last match begins so far before its end */
    HASH_BITS = 12,
    BLOCK_MAX = 4 << 20,
    REACH = 65535,
};
#define RAW_BLOCK UINT32_C(0x80000000)

/* Magic; version 1, independent blocks, no checksums; blocks of up to 4 MiB; the header's checksum.
 */
static const uint8_t header[] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73};

static uint32_t load_u32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

/* ---- unpacking ---- */

struct span {
    const uint8_t *at, *end;
};

/* A length that goes on while bytes are 255. */
static bool read_length(struct span *in, unsigned nibble, size_t *ret_length)
{
    size_t length = nibble;
    uint8_t more = 255;
    while (nibble == 15 && more == 255) {
        if (in->at == in->end)
            return false;
        more = *in->at++;
        length += more;
    }
    *ret_length = length;
    return true;
}

static bool unpack_block(struct span in, const uint8_t *start, uint8_t **out,
                         const uint8_t *out_end)
{
    while (in.at < in.end) {
        unsigned token = *in.at++;
        size_t literals, match, offset;
        if (!read_length(&in, token >> 4, &literals) || literals > (size_t)(in.end - in.at) ||
            literals > (size_t)(out_end - *out))
            return false;
        memcpy(*out, in.at, literals);
        *out += literals;
        in.at += literals;
        if (in.at == in.end)
            return true;
        if (in.end - in.at < 2)
            return false;
        offset = (size_t)(in.at[0] | in.at[1] << 8);
        in.at += 2;
        if (!read_length(&in, token & 15, &match))
            return false;
        match += MIN_MATCH;
        if (offset == 0 || offset > (size_t)(*out - start) || match > (size_t)(out_end - *out))
            return false;
        for (const uint8_t *from = *out - offset; match > 0; match--) /* may overlap */
            *(*out)++ = *from++;
    }
    return true;
}

bool ce_lz4_unpack(const void *frame, size_t size, void *out, size_t out_size)
{
    struct span in = {frame, (const uint8_t *)frame + size};
    uint8_t *at = out;
    if (size < sizeof header || memcmp(frame, header, 4) != 0)
        return false;
    uint8_t flags = in.at[4];
    size_t skipped = 7 + (flags & 8 ? 8 : 0) + (flags & 1 ? 4 : 0);
    if (flags >> 6 != 1 || skipped > size)
        return false;
    for (in.at += skipped; in.end - in.at >= 4;) {
        uint32_t block = load_u32(in.at), length = block & ~RAW_BLOCK;
        in.at += 4;
        if (block == 0)
            return at == (uint8_t *)out + out_size;
        if (length > (size_t)(in.end - in.at))
            return false;
        if (!(block & RAW_BLOCK)) {
            if (!unpack_block((struct span){in.at, in.at + length}, out, &at,
                              (uint8_t *)out + out_size))
                return false;
        } else {
            if (length > (size_t)((uint8_t *)out + out_size - at))
                return false;
            memcpy(at, in.at, length);
            at += length;
        }
        in.at += length;
        if (flags & 16) /* the block's checksum */
            in.at += in.end - in.at >= 4 ? 4 : in.end - in.at;
    }
    return false;
}

/* ---- packing ---- */

size_t ce_lz4_bound(size_t size)
{
    return sizeof header + size + (size / BLOCK_MAX + 1) * 4 + 4;
}

static void put_length(uint8_t **out, size_t length)
{
    for (; length >= 255; length -= 255)
        *(*out)++ = 255;
    *(*out)++ = (uint8_t)length;
}

/* False: it would not fit before `out_end`. `match` 0: the block's end. */
static bool put_sequence(uint8_t **out, const uint8_t *out_end, const uint8_t *literals,
                         size_t count, size_t offset, size_t match)
{
    size_t extra = match > 0 ? match - MIN_MATCH : 0;
    if ((size_t)(out_end - *out) < count + count / 255 + extra / 255 + 8)
        return false;
    uint8_t *token = (*out)++;
    *token = (uint8_t)((count < 15 ? count : 15) << 4 | (extra < 15 ? extra : 15));
    if (count >= 15)
        put_length(out, count - 15);
    memcpy(*out, literals, count);
    *out += count;
    if (match == 0)
        return true;
    *(*out)++ = (uint8_t)offset;
    *(*out)++ = (uint8_t)(offset >> 8);
    if (extra >= 15)
        put_length(out, extra - 15);
    return true;
}

/* The block's size; 0: it does not get smaller. */
static size_t pack_block(const uint8_t *data, size_t size, uint8_t *out)
{
    uint32_t seen[1 << HASH_BITS] = {0}; /* where a hash was met last, from 1 */
    uint8_t *at = out;
    const uint8_t *out_end = out + size;
    size_t anchor = 0;
    for (size_t i = 0; size > TAIL_MATCH && i < size - TAIL_MATCH;) {
        uint32_t word = load_u32(data + i);
        uint32_t *slot = &seen[word * UINT32_C(2654435761) >> (32 - HASH_BITS)];
        size_t before = *slot;
        *slot = (uint32_t)i + 1;
        if (before == 0 || i - (before - 1) > REACH || load_u32(data + before - 1) != word) {
            i += 1 + ((i - anchor) >> 6); /* faster where nothing repeats */
            continue;
        }
        size_t match = MIN_MATCH;
        while (i + match < size - TAIL_LITERALS && data[before - 1 + match] == data[i + match])
            match++;
        if (!put_sequence(&at, out_end, data + anchor, i - anchor, i - (before - 1), match))
            return 0;
        i += match;
        anchor = i;
    }
    return put_sequence(&at, out_end, data + anchor, size - anchor, 0, 0) ? (size_t)(at - out) : 0;
}

size_t ce_lz4_pack(const void *data, size_t size, void *out)
{
    uint8_t *at = out;
    memcpy(at, header, sizeof header);
    at += sizeof header;
    for (size_t done = 0; done < size;) {
        const uint8_t *from = (const uint8_t *)data + done;
        size_t length = size - done < BLOCK_MAX ? size - done : BLOCK_MAX;
        size_t packed = pack_block(from, length, at + 4);
        uint32_t block = packed > 0 ? (uint32_t)packed : (uint32_t)length | RAW_BLOCK;
        if (packed == 0)
            memcpy(at + 4, from, length);
        memcpy(at, &block, 4);
        at += 4 + (packed > 0 ? packed : length);
        done += length;
    }
    memset(at, 0, 4);
    return (size_t)(at + 4 - (uint8_t *)out);
}
