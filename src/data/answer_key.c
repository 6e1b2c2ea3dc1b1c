/* SPDX-License-Identifier: MIT */
#include "data/answer_key.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC   "chaoseater answer key "
#define VERSION "2"

enum {
    /* "TRAILER-OFFSET SHA256\n", the offset in 16 hexadecimal digits. */
    FOOTER = 16 + 1 + 64 + 1,
    TRAILER_MAX = 1024 * 1024,
    HEADER_MAX = 64 * 1024 * 1024,
    BUFFER = 256 * 1024,
    VARINT_MAX = 10,
};
_Static_assert(CE_KEY_HEAD_MAX == 6 * VARINT_MAX, "six numbers");

CE_DEFINE_CLEANUP(struct ce_sha256, ce_sha256_free);

/* ---- writing ---- */

static int put_json(struct ce_output *key, json_t *taken, struct ce_error *err)
{
    ce_autojson json_t *json = taken;
    ce_autofree char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return ce_fail_memory(err);
    CE_TRY(ce_output_put(key, text, strlen(text), err));
    return ce_output_put(key, "\n", 1, err);
}

int ce_key_begin(const char *path, mode_t mode, json_t *taken, struct ce_output **ret_key,
                 struct ce_error *err)
{
    ce_autojson json_t *header = taken;
    CE_CLEANUP(ce_output_free_p) struct ce_output *key = NULL;
    CE_TRY(ce_output_open(path, mode, ce_packing_of_name(path), &key, err));
    CE_TRY(ce_output_put(key, MAGIC VERSION "\n", strlen(MAGIC VERSION "\n"), err));
    CE_TRY(put_json(key, ce_take(header), err));
    *ret_key = ce_take(key);
    return 0;
}

/* Seven bits a byte, least significant first; the top bit says that more follow. */
static inline size_t write_varint(unsigned char *p, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        p[n++] = (unsigned char)(value | 0x80);
    p[n++] = (unsigned char)value;
    return n;
}

size_t ce_key_head(const struct ce_key_change *change, char *ret_bytes)
{
    unsigned char *p = (unsigned char *)ret_bytes;
    uint64_t all = change->gap | change->row_step | change->what | change->fault |
                   change->new_size | change->old_size;
    if (all < 0x80) { /* most entries: a byte each */
        p[0] = (unsigned char)change->gap;
        p[1] = (unsigned char)change->row_step;
        p[2] = (unsigned char)change->what;
        p[3] = (unsigned char)change->fault;
        p[4] = (unsigned char)change->new_size;
        p[5] = (unsigned char)change->old_size;
        return 6;
    }
    size_t n = write_varint(p, change->gap);
    n += write_varint(p + n, change->row_step);
    n += write_varint(p + n, change->what);
    n += write_varint(p + n, change->fault);
    n += write_varint(p + n, change->new_size);
    return n + write_varint(p + n, change->old_size);
}

int ce_key_end(struct ce_output *key, json_t *trailer, struct ce_error *err)
{
    char footer[FOOTER + 1], seal[CE_SHA256_HEX];
    uint64_t trailer_at = ce_output_total(key);
    CE_TRY(put_json(key, trailer, err));
    CE_TRY(ce_output_digest(key, seal, err));
    snprintf(footer, sizeof footer, "%016" PRIx64 " %s\n", trailer_at, seal);
    return ce_output_put(key, footer, FOOTER, err);
}

/* ---- reading ---- */

struct ce_key {
    char *path;
    struct ce_input *input;
    json_t *header, *trailer;
    char *buffer;
    size_t begin, end; /* of the bytes in it that were not taken yet */
    uint64_t left;     /* bytes up to the trailer that were not taken yet */
    uint64_t old_left; /* of these, old bytes of the current change */
};
CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

static int fail_damaged(const char *path, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "the answer key '%s' is damaged", path);
}

void ce_key_close(struct ce_key *key)
{
    if (!key)
        return;
    ce_input_close(key->input);
    json_decref(key->header);
    json_decref(key->trailer);
    free(key->buffer);
    free(key->path);
    free(key);
}

const json_t *ce_key_header(const struct ce_key *key)
{
    return key->header;
}

const json_t *ce_key_trailer(const struct ce_key *key)
{
    return key->trailer;
}

const char *ce_key_hash(const struct ce_key *key, const char *name)
{
    const char *hash = json_string_value(json_object_get(ce_key_trailer(key), name));
    return hash ? hash : "";
}

static int check_magic(const char *path, const char *start, size_t size, struct ce_error *err)
{
    if (size < strlen(MAGIC VERSION "\n") || memcmp(start, MAGIC, strlen(MAGIC)) != 0)
        return ce_fail(err, EINVAL, "'%s' is no answer key", path);
    if (memcmp(start, MAGIC VERSION "\n", strlen(MAGIC VERSION "\n")) != 0)
        return ce_fail(
            err, EINVAL,
            "the answer key '%s' is of another version; this program reads version " VERSION, path);
    return 0;
}

/* The end of a content of unknown length, while it is read through. */
struct ending {
    char *bytes; /* the last ones, room for twice ENDING_MAX */
    size_t size;
    uint64_t total;
};
enum { ENDING_MAX = TRAILER_MAX + FOOTER };

static void ending_add(struct ending *ending, const char *data, size_t size)
{
    if (ending->size + size > 2 * ENDING_MAX) {
        size_t kept = ENDING_MAX < ending->size ? ENDING_MAX : ending->size;
        memmove(ending->bytes, ending->bytes + ending->size - kept, kept);
        ending->size = kept;
    }
    memcpy(ending->bytes + ending->size, data, size);
    ending->size += size;
    ending->total += size;
}

/* Reads the key through, hashing all but the last FOOTER bytes, and keeps its ending. */
static int read_through(struct ce_key *key, struct ending *ending, char ret_hash[CE_SHA256_HEX],
                        struct ce_error *err)
{
    CE_CLEANUP(ce_sha256_free_p) struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    for (;;) {
        ssize_t n = ce_input_read(key->input, key->buffer, BUFFER, err);
        if (n < 0)
            return (int)n;
        if (ending->total == 0)
            CE_TRY(check_magic(key->path, key->buffer, (size_t)n, err));
        if (n == 0)
            break;
        /* What was held back so far, then what is not to be held back of these. */
        size_t held = ending->size < FOOTER ? ending->size : FOOTER;
        size_t whole = held + (size_t)n, passed = whole > FOOTER ? whole - FOOTER : 0;
        size_t of_held = passed < held ? passed : held;
        ce_sha256_add(sha, ending->bytes + ending->size - held, of_held);
        ce_sha256_add(sha, key->buffer, passed - of_held);
        ending_add(ending, key->buffer, (size_t)n);
    }
    ce_sha256_end(ce_take(sha), ret_hash);
    return 0;
}

/* Checks the seal; *ret_trailer_at: where the changes end. */
static int check_seal(struct ce_key *key, uint64_t *ret_trailer_at, struct ce_error *err)
{
    char found[CE_SHA256_HEX], seal[CE_SHA256_HEX], footer[FOOTER + 1] = {0};
    ce_autofree char *bytes = malloc(2 * ENDING_MAX + BUFFER);
    struct ending ending = {.bytes = bytes};
    uint64_t at;
    if (!bytes)
        return ce_fail_memory(err);
    CE_TRY(read_through(key, &ending, found, err));
    if (ending.size < FOOTER)
        return fail_damaged(key->path, err);
    memcpy(footer, bytes + ending.size - FOOTER, FOOTER);
    if (sscanf(footer, "%16" SCNx64 " %64[0-9a-f]", &at, seal) != 2 || footer[FOOTER - 1] != '\n' ||
        strcmp(seal, found) != 0 || at > ending.total - FOOTER)
        return fail_damaged(key->path, err);
    uint64_t size = ending.total - FOOTER - at;
    if (size > ending.size - FOOTER)
        return fail_damaged(key->path, err);
    key->trailer =
        json_loadb(bytes + ending.size - FOOTER - size, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(key->trailer))
        return fail_damaged(key->path, err);
    *ret_trailer_at = at;
    return 0;
}

/* Makes sure that a byte is there: 1, or 0 where the trailer starts. */
static int fill(struct ce_key *key, struct ce_error *err)
{
    if (key->left == 0)
        return 0;
    if (key->begin < key->end)
        return 1;
    ssize_t n = ce_input_read(key->input, key->buffer,
                              key->left < BUFFER ? (size_t)key->left : BUFFER, err);
    if (n < 0)
        return (int)n;
    if (n == 0)
        return fail_damaged(key->path, err);
    key->begin = 0;
    key->end = (size_t)n;
    return 1;
}

static int read_byte(struct ce_key *key, struct ce_error *err)
{
    int r = fill(key, err);
    if (r <= 0)
        return r < 0 ? r : fail_damaged(key->path, err);
    key->left--;
    return (unsigned char)key->buffer[key->begin++];
}

/* The magic line was checked before. */
static int read_header(struct ce_key *key, struct ce_error *err)
{
    ce_autofree char *line = NULL;
    size_t size = 0, capacity = 0;
    for (int lines = 0; lines < 2;) {
        int c = read_byte(key, err);
        if (c < 0)
            return c;
        if (lines == 1) {
            if (size == capacity) {
                capacity = 2 * capacity + 4096;
                char *larger = capacity > HEADER_MAX ? NULL : realloc(line, capacity);
                if (!larger)
                    return capacity > HEADER_MAX ? fail_damaged(key->path, err)
                                                 : ce_fail_memory(err);
                line = larger;
            }
            line[size++] = (char)c;
        }
        lines += c == '\n';
    }
    key->header = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(key->header) ? 0 : fail_damaged(key->path, err);
}

int ce_key_open(const char *path, struct ce_key **ret_key, struct ce_error *err)
{
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = calloc(1, sizeof *key);
    if (!key)
        return ce_fail_memory(err);
    key->path = strdup(path);
    key->buffer = malloc(BUFFER);
    if (!key->path || !key->buffer)
        return ce_fail_memory(err);
    CE_TRY(ce_input_open(path, &key->input, err));
    if (!ce_input_repeatable(key->input))
        return ce_fail(err, EINVAL, "the answer key '%s' must be a file: it is read twice", path);
    CE_TRY(check_seal(key, &key->left, err));
    ce_input_close(ce_take(key->input));
    CE_TRY(ce_input_open(path, &key->input, err));
    CE_TRY(read_header(key, err));
    *ret_key = ce_take(key);
    return 0;
}

/* A number that goes on past the end, or past 64 bits, is damage that the seal cannot have missed:
 * the key was made so. */
static int read_varint(struct ce_key *key, uint64_t *ret_value, struct ce_error *err)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        int c = read_byte(key, err);
        if (c < 0)
            return c;
        value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *ret_value = value;
            return 0;
        }
    }
    return fail_damaged(key->path, err);
}

int ce_key_next(struct ce_key *key, struct ce_key_change *ret_change, struct ce_error *err)
{
    while (key->old_left > 0) {
        ssize_t n = ce_key_old(key, NULL, SIZE_MAX, err);
        if (n < 0)
            return (int)n;
    }
    int r = fill(key, err);
    if (r <= 0)
        return r;
    struct ce_key_change change;
    CE_TRY(read_varint(key, &change.gap, err));
    CE_TRY(read_varint(key, &change.row_step, err));
    CE_TRY(read_varint(key, &change.what, err));
    CE_TRY(read_varint(key, &change.fault, err));
    CE_TRY(read_varint(key, &change.new_size, err));
    CE_TRY(read_varint(key, &change.old_size, err));
    if (change.old_size > key->left)
        return fail_damaged(key->path, err);
    key->old_left = change.old_size;
    *ret_change = change;
    return 1;
}

ssize_t ce_key_old(struct ce_key *key, void *data, size_t size, struct ce_error *err)
{
    if (key->old_left == 0 || size == 0)
        return 0;
    CE_TRY(fill(key, err));
    size_t n = key->end - key->begin;
    n = n < size ? n : size;
    n = n < key->old_left ? n : (size_t)key->old_left;
    if (data)
        memcpy(data, key->buffer + key->begin, n);
    key->begin += n;
    key->left -= n;
    key->old_left -= n;
    return (ssize_t)n;
}
