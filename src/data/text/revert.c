/* SPDX-License-Identifier: MIT */
/* Undoing an injection into text by its answer key, which is a patch in bytes: neither format nor
 * faults are needed here. Whatever the packing, it is the content that is patched and checked. */
#include <string.h>

#include "base/cleanup.h"
#include "data/answer_key.h"
#include "data/text/text_internal.h"

enum { BLOCK = 256 * 1024 };

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

/* The changed file, read block by block and hashed on the way. */
struct content {
    const char *path;
    struct ce_input *input;
    struct ce_sha256 *sha;
    char *block;
    size_t begin, end;
};

static void content_done(struct content *content)
{
    ce_input_close(content->input);
    ce_sha256_free(content->sha);
    free(content->block);
}

static int content_open(struct content *content, struct ce_error *err)
{
    content->block = malloc(BLOCK);
    content->sha = ce_sha256_new();
    if (!content->block || !content->sha)
        return ce_fail_memory(err);
    return ce_input_open(content->path, &content->input, err);
}

/* Makes sure that a byte is there: 1, or 0 at the end. */
static int content_fill(struct content *content, struct ce_error *err)
{
    if (content->begin < content->end)
        return 1;
    ssize_t n = ce_input_read(content->input, content->block, BLOCK, err);
    if (n <= 0)
        return (int)n;
    ce_sha256_add(content->sha, content->block, (size_t)n);
    content->begin = 0;
    content->end = (size_t)n;
    return 1;
}

/* Takes bytes, and writes them unless `back` is NULL. What neither seal nor hash can excuse: the
 * key's own numbers do not fit. */
static int content_take(struct content *content, uint64_t size, struct ce_output *back,
                        struct ce_error *err)
{
    while (size > 0) {
        int r = content_fill(content, err);
        if (r < 0)
            return r;
        if (r == 0)
            return ce_fail(err, EINVAL, "the answer key's changes do not fit into '%s'",
                           content->path);
        size_t here = content->end - content->begin;
        here = here < size ? here : (size_t)size;
        if (back)
            CE_TRY(ce_output_put(back, content->block + content->begin, here, err));
        content->begin += here;
        size -= here;
    }
    return 0;
}

static int content_take_rest(struct content *content, struct ce_output *back, struct ce_error *err)
{
    int r;
    while ((r = content_fill(content, err)) > 0)
        CE_TRY(content_take(content, content->end - content->begin, back, err));
    return r;
}

static int fail_other(const char *out, const char *key, struct ce_error *err)
{
    return ce_fail(err, EINVAL, "'%s' is not the file that the answer key '%s' was made for", out,
                   key);
}

/* Reads a file that can be read again once before anything is written. */
static int check_content(const char *out, const char *key, const char *sha256_out,
                         struct ce_error *err)
{
    CE_CLEANUP(content_done) struct content content = {.path = out};
    char found[CE_SHA256_HEX];
    CE_TRY(content_open(&content, err));
    CE_TRY(content_take_rest(&content, NULL, err));
    ce_sha256_end(ce_take(content.sha), found);
    return strcmp(found, sha256_out) == 0 ? 0 : fail_other(out, key, err);
}

static int apply(struct ce_key *key, struct content *content, struct ce_output *back,
                 struct ce_error *err)
{
    struct ce_key_change change;
    char old[4096];
    int got;
    while ((got = ce_key_next(key, &change, err)) > 0) {
        CE_TRY(content_take(content, change.gap, back, err));
        CE_TRY(content_take(content, change.new_size, NULL, err));
        ssize_t n;
        while ((n = ce_key_old(key, old, sizeof old, err)) > 0)
            CE_TRY(ce_output_put(back, old, (size_t)n, err));
        if (n < 0)
            return (int)n;
    }
    return got < 0 ? got : content_take_rest(content, back, err);
}

int ce_text_revert(const char *out, const char *key_path, const char *back_path,
                   struct ce_error *err)
{
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    CE_CLEANUP(content_done) struct content content = {.path = out};
    CE_CLEANUP(ce_output_free_p) struct ce_output *back = NULL;
    char found[CE_SHA256_HEX];

    if (strcmp(back_path, "-") != 0 &&
        (ce_paths_meet(back_path, out) || ce_paths_meet(back_path, key_path)))
        return ce_fail(err, EINVAL, "'%s' is both input and output", back_path);
    CE_TRY(ce_key_open(key_path, &key, err));
    const char *kind = json_string_value(json_object_get(ce_key_header(key), "kind"));
    if (!kind || strcmp(kind, "bytes") != 0)
        return fail_other(out, key_path, err);
    CE_TRY(content_open(&content, err));
    if (ce_input_repeatable(content.input))
        CE_TRY(check_content(out, key_path, ce_key_hash(key, "sha256_out"), err));
    CE_TRY(ce_output_open(back_path, ce_input_mode(content.input), ce_packing_of_name(back_path),
                          &back, err));
    CE_TRY(apply(key, &content, back, err));
    ce_sha256_end(ce_take(content.sha), found);
    if (strcmp(found, ce_key_hash(key, "sha256_out")) != 0)
        return fail_other(out, key_path, err);
    CE_TRY(ce_output_digest(back, found, err));
    if (strcmp(found, ce_key_hash(key, "sha256_in")) != 0)
        return ce_fail(err, EINVAL,
                       "'%s' does not give back the original of '%s': the hashes differ", key_path,
                       out);
    CE_TRY(ce_output_sync(back, err));
    return ce_output_publish(back, err);
}
