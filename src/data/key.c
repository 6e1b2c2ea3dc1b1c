/* SPDX-License-Identifier: MIT */
#include "data/key.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define MAGIC   "chaoseater answer key "
#define VERSION "1"

enum {
    /* "TRAILER-OFFSET SHA256\n", the offset in 16 hexadecimal digits. */
    FOOTER = 16 + 1 + 64 + 1,
    TRAILER_MAX = 64 * 1024,
    VARINT_MAX = 10,
};

/* ---- writing ---- */

static int put_json(struct ce_sink *key, json_t *taken, struct ce_error *err)
{
    ce_autojson json_t *json = taken;
    ce_autofree char *text = json ? json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return ce_fail_memory(err);
    CE_TRY(ce_sink_put(key, text, strlen(text), err));
    return ce_sink_put(key, "\n", 1, err);
}

int ce_key_begin(const char *path, mode_t mode, json_t *taken, struct ce_sink **ret_key,
                 struct ce_error *err)
{
    ce_autojson json_t *header = taken;
    CE_CLEANUP(ce_sink_free_p) struct ce_sink *key = NULL;
    CE_TRY(ce_sink_open(path, mode, &key, err));
    CE_TRY(ce_sink_put(key, MAGIC VERSION "\n", sizeof MAGIC VERSION, err));
    CE_TRY(put_json(key, ce_take(header), err));
    *ret_key = ce_take(key);
    return 0;
}

/* Seven bits a byte, least significant first; the top bit says that more follow. */
static size_t write_varint(unsigned char *p, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        p[n++] = (unsigned char)(value | 0x80);
    p[n++] = (unsigned char)value;
    return n;
}

int ce_key_add(struct ce_sink *key, const struct ce_key_change *change, const char *old,
               struct ce_error *err)
{
    unsigned char head[5 * VARINT_MAX];
    size_t n = write_varint(head, change->gap);
    n += write_varint(head + n, change->row_step);
    n += write_varint(head + n, change->column);
    n += write_varint(head + n, change->new_size);
    n += write_varint(head + n, change->old_size);
    CE_TRY(ce_sink_put(key, head, n, err));
    return ce_sink_put(key, old, (size_t)change->old_size, err);
}

int ce_key_end(struct ce_sink *key, json_t *trailer, struct ce_error *err)
{
    char footer[FOOTER + 1], seal[CE_SHA256_HEX];
    uint64_t trailer_at = key->total;
    CE_TRY(put_json(key, trailer, err));
    CE_TRY(ce_sink_digest(key, seal, err));
    snprintf(footer, sizeof footer, "%016" PRIx64 " %s\n", trailer_at, seal);
    return ce_sink_put(key, footer, FOOTER, err);
}

/* ---- reading ---- */

static int fail_damaged(const char *path, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "the answer key '%s' is damaged", path);
}

/* Checks the first line. */
static int check_magic(const char *path, int fd, struct ce_error *err)
{
    char start[sizeof MAGIC VERSION] = {0};
    ssize_t n = pread(fd, start, sizeof start, 0);
    if (n < 0)
        return ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
    if ((size_t)n < sizeof start || memcmp(start, MAGIC, strlen(MAGIC)) != 0)
        return ce_fail(err, EINVAL, "'%s' is no answer key", path);
    if (memcmp(start, MAGIC VERSION "\n", sizeof start) != 0)
        return ce_fail(
            err, EINVAL,
            "the answer key '%s' is of another version; this program reads version " VERSION, path);
    return 0;
}

/* Checks the seal over all bytes before the footer. */
static int check_seal(const char *path, uint64_t size, const char *seal, struct ce_error *err)
{
    CE_CLEANUP(ce_source_free_p) struct ce_source *source = NULL;
    CE_TRY(ce_source_open(path, size - FOOTER, &source, err));
    source->sha = ce_sha256_new();
    if (!source->sha)
        return ce_fail_memory(err);
    CE_TRY(ce_source_drain(source, NULL, err));
    char found[CE_SHA256_HEX];
    ce_sha256_end(ce_take(source->sha), found);
    return strcmp(found, seal) == 0 ? 0 : fail_damaged(path, err);
}

static int read_trailer(struct ce_key *key, const char *path, int fd, uint64_t at, size_t size,
                        struct ce_error *err)
{
    ce_autofree char *text = malloc(size);
    if (!text)
        return ce_fail_memory(err);
    if (pread(fd, text, size, (off_t)at) != (ssize_t)size)
        return fail_damaged(path, err);
    ce_autojson json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *in = json_string_value(json_object_get(json, "sha256_in"));
    const char *out = json_string_value(json_object_get(json, "sha256_out"));
    if (!in || !out || strlen(in) != CE_SHA256_HEX - 1 || strlen(out) != CE_SHA256_HEX - 1)
        return fail_damaged(path, err);
    memcpy(key->sha256_in, in, CE_SHA256_HEX);
    memcpy(key->sha256_out, out, CE_SHA256_HEX);
    return 0;
}

/* Leaves the source at the first change: after the magic line and the header's. */
static int skip_header(struct ce_key *key, const char *path, uint64_t trailer_at,
                       struct ce_error *err)
{
    CE_TRY(ce_source_open(path, trailer_at, &key->source, err));
    for (int lines = 0; lines < 2;) {
        int c = ce_source_byte(key->source, err);
        if (c == -ENODATA)
            return fail_damaged(path, err);
        if (c < 0)
            return c;
        lines += c == '\n';
    }
    return 0;
}

int ce_key_open(const char *path, struct ce_key *ret_key, struct ce_error *err)
{
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    CE_TRY(check_magic(path, fd, err));

    char footer[FOOTER + 1] = {0}, seal[CE_SHA256_HEX];
    uint64_t trailer_at, size = (uint64_t)st.st_size;
    if (size < FOOTER || pread(fd, footer, FOOTER, st.st_size - FOOTER) != FOOTER ||
        sscanf(footer, "%16" SCNx64 " %64[0-9a-f]", &trailer_at, seal) != 2 ||
        footer[FOOTER - 1] != '\n' || trailer_at > size - FOOTER ||
        size - FOOTER - trailer_at > TRAILER_MAX)
        return fail_damaged(path, err);
    CE_TRY(check_seal(path, size, seal, err));

    CE_CLEANUP(ce_key_done) struct ce_key key = {0};
    CE_TRY(read_trailer(&key, path, fd, trailer_at, (size_t)(size - FOOTER - trailer_at), err));
    CE_TRY(skip_header(&key, path, trailer_at, err));
    *ret_key = key;
    key = (struct ce_key){0};
    return 0;
}

void ce_key_done(struct ce_key *key)
{
    ce_source_free(key->source);
    *key = (struct ce_key){0};
}

/* A number that goes on past the end, or past 64 bits, is damage that the seal cannot have missed:
 * the key was made so. */
static int read_varint(struct ce_key *key, uint64_t *ret_value, struct ce_error *err)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        int c = ce_source_byte(key->source, err);
        if (c < 0)
            return c == -ENODATA ? fail_damaged(key->source->path, err) : c;
        value |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *ret_value = value;
            return 0;
        }
    }
    return fail_damaged(key->source->path, err);
}

int ce_key_next(struct ce_key *key, struct ce_key_change *ret_change, struct ce_error *err)
{
    struct ce_key_change change;
    if (ce_source_ended(key->source))
        return 0;
    CE_TRY(read_varint(key, &change.gap, err));
    CE_TRY(read_varint(key, &change.row_step, err));
    CE_TRY(read_varint(key, &change.column, err));
    CE_TRY(read_varint(key, &change.new_size, err));
    CE_TRY(read_varint(key, &change.old_size, err));
    *ret_change = change;
    return 1;
}
