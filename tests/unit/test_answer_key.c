/* SPDX-License-Identifier: MIT */
#include "data/answer_key.h"

#include "data/text/text_internal.h"
#include "data_files.h"

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

static const struct ce_key_change changes[] = {
    {.gap = 0, .row_step = 0, .what = CE_KEY_LAYOUT, .fault = 1, .new_size = 3, .old_size = 2},
    {.gap = 7, .row_step = 1, .what = CE_KEY_CELL + 3, .fault = 0, .new_size = 0, .old_size = 200},
    {.gap = 127, .row_step = 128, .what = CE_KEY_ROW_REMOVED, .old_size = 70000},
    {.gap = UINT64_MAX, .row_step = UINT64_MAX, .what = CE_KEY_ROW_ADDED, .new_size = UINT64_MAX},
};

/* What stood there: bytes that are told by their place. */
static char old_byte(size_t change, size_t i)
{
    return (char)(change * 31 + i * 7);
}

static int write_key(const char *path, bool sealed, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *key = NULL;
    CE_TRY(ce_key_begin(path, 0600, json_pack("{s:s}", "kind", "bytes"), &key, err));
    for (size_t i = 0; i < CE_COUNT(changes); i++) {
        char head[CE_KEY_HEAD_MAX];
        size_t size = ce_key_head(&changes[i], head);
        CE_TRY(ce_output_put(key, head, size, err));
        for (size_t k = 0; k < changes[i].old_size; k++) {
            char c = old_byte(i, k);
            CE_TRY(ce_output_put(key, &c, 1, err));
        }
    }
    if (sealed)
        CE_TRY(ce_key_end(key, json_pack("{s:i}", "rows", 9), err));
    CE_TRY(ce_output_sync(key, err));
    return ce_output_publish(key, err);
}

static void what_was_written_is_read(void)
{
    static const char *const names[] = {"key", "key.gz", "key.zst"};
    for (size_t n = 0; n < CE_COUNT(names); n++) {
        FOLDER(folder);
        const char *path = folder_file(&folder, names[n]);
        CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
        struct ce_error err = {0};
        REQUIRE_OK(write_key(path, true, &err), err);
        REQUIRE_OK(ce_key_open(path, &key, &err), err);
        CHECK_TEXT(json_string_value(json_object_get(ce_key_header(key), "kind")), "bytes");
        CHECK(json_integer_value(json_object_get(ce_key_trailer(key), "rows")) == 9);
        for (size_t i = 0; i < CE_COUNT(changes); i++) {
            struct ce_key_change change;
            REQUIRE(ce_key_next(key, &change, &err) == 1);
            CHECK(memcmp(&change, &changes[i], sizeof change) == 0);
            char old[1000];
            ssize_t got;
            size_t at = 0;
            while (i != 1 && (got = ce_key_old(key, old, sizeof old, &err)) > 0)
                for (ssize_t k = 0; k < got; k++)
                    CHECK(old[k] == old_byte(i, at++));
            CHECK(i == 1 || at == change.old_size); /* the second's are passed over */
        }
        struct ce_key_change none;
        CHECK(ce_key_next(key, &none, &err) == 0);
        CHECK(ce_key_next(key, &none, &err) == 0);
    }
}

/* Every byte of a key is under its seal: flipping any one is found out, and so is cutting it. */
static void damage_is_found_out(void)
{
    FOLDER(folder);
    const char *path = folder_file(&folder, "key"), *bad = folder_file(&folder, "bad");
    struct ce_error err = {0};
    REQUIRE_OK(write_key(path, true, &err), err);
    ce_autofree char *text = NULL;
    size_t size;
    REQUIRE_OK(ce_file_read(path, SIZE_MAX / 2, &text, &size, &err), err);
    for (size_t at = 0; at < size; at += at < 200 || at + 200 > size ? 1 : 997) {
        text[at] ^= 1;
        REQUIRE_OK(ce_file_replace(bad, text, size, &err), err);
        text[at] ^= 1;
        struct ce_key *key = NULL;
        struct ce_error why = {0};
        CHECK(ce_key_open(bad, &key, &why) == -EINVAL && !key);
        CHECK(strstr(why.message, "answer key") != NULL);
    }
    for (size_t cut = 0; cut < size; cut += cut < 100 || cut + 100 > size ? 1 : 997) {
        REQUIRE_OK(ce_file_replace(bad, text, cut, &err), err);
        struct ce_key *key = NULL;
        struct ce_error why = {0};
        CHECK(ce_key_open(bad, &key, &why) == -EINVAL && !key);
    }
}

static void what_is_no_key_is_called_so(void)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"", "is no answer key"},
        {"a,b\n1,2\n", "is no answer key"},
        {"chaoseater answer key 1\n{}\n", "of another version; this program reads version 2"},
        {"chaoseater answer key 2\n{}\n", "is damaged"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        FOLDER(folder);
        const char *path = folder_write(&folder, "k", cases[i].file, strlen(cases[i].file));
        struct ce_key *key = NULL;
        struct ce_error err = {0};
        CHECK(ce_key_open(path, &key, &err) == -EINVAL && !key);
        CHECK(strstr(err.message, cases[i].says) != NULL);
    }
    FOLDER(folder);
    const char *path = folder_file(&folder, "unsealed");
    struct ce_key *key = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(write_key(path, false, &err), err);
    CHECK(ce_key_open(path, &key, &err) == -EINVAL && !key);
}

/* ---- reverting ---- */

static bool takes_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static const char *write_x(const void *ctx, struct ce_cell *cell)
{
    return ce_cell_set_text(cell, "x", 1);
}

static const struct ce_mutation mutation = {
    .fault = "test", .scope = {.rate = 0.5}, .takes = takes_all, .rewrite = write_x};

static void only_the_file_of_the_key_is_reverted(void)
{
    FOLDER(folder);
    const char *in = folder_write(&folder, "in.csv", "a,b\n1,2\n3,4\n5,6\n", 16);
    const char *out = folder_file(&folder, "out.csv"), *key = folder_file(&folder, "key");
    const char *back = folder_file(&folder, "back.csv");
    struct ce_data_result result = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_text_inject(in, out, key, &mutation, 1, NULL, &result, &err), err);
    free(result.counts);
    const char *const others[] = {in, key};
    for (size_t i = 0; i < CE_COUNT(others); i++) {
        struct ce_error why = {0};
        CHECK(ce_text_revert(others[i], key, back, &why) == -EINVAL);
        CHECK(strstr(why.message, "is not the file that the answer key") != NULL);
        CHECK(access(back, F_OK) < 0);
    }
    CHECK(ce_text_revert(out, in, back, &err) == -EINVAL);
    CHECK(ce_text_revert(out, key, out, &err) == -EINVAL);
    CHECK(folder_count(&folder) == 3);
    REQUIRE_OK(ce_text_revert(out, key, back, &err), err);
    CHECK(same_files(in, back));
}

/* A key that was sealed over wrong numbers gives nothing back. */
static void numbers_that_do_not_fit_are_refused(void)
{
    static const struct ce_key_change wrong[] = {
        {.gap = 100, .what = CE_KEY_CELL},
        {.gap = UINT64_MAX, .what = CE_KEY_CELL},
        {.gap = 1, .what = CE_KEY_CELL, .new_size = UINT64_MAX},
        {.gap = 1, .what = CE_KEY_CELL, .new_size = 1, .old_size = UINT64_MAX},
        {.gap = 1, .what = CE_KEY_CELL, .new_size = 1},
    };
    FOLDER(folder);
    const char *out = folder_write(&folder, "out.csv", "a\n1\n", 4);
    const char *path = folder_file(&folder, "key"), *back = folder_file(&folder, "back.csv");
    char sha[CE_SHA256_HEX];
    REQUIRE(ce_sha256_data("a\n1\n", 4, sha, NULL) == 0);
    for (size_t i = 0; i < CE_COUNT(wrong); i++) {
        CE_CLEANUP(ce_output_free_p) struct ce_output *key = NULL;
        struct ce_error err = {0};
        char head[CE_KEY_HEAD_MAX];
        REQUIRE_OK(ce_key_begin(path, 0600, json_pack("{s:s}", "kind", "bytes"), &key, &err), err);
        REQUIRE_OK(ce_output_put(key, head, ce_key_head(&wrong[i], head), &err), err);
        json_t *trailer = json_pack("{s:s, s:s}", "sha256_in", sha, "sha256_out", sha);
        REQUIRE_OK(ce_key_end(key, trailer, &err), err);
        REQUIRE_OK(ce_output_sync(key, &err), err);
        REQUIRE_OK(ce_output_publish(key, &err), err);
        CHECK(ce_text_revert(out, path, back, &err) == -EINVAL);
        CHECK(err.message[0] != '\0' && access(back, F_OK) < 0);
    }
}

int main(void)
{
    TEST(what_was_written_is_read);
    TEST(damage_is_found_out);
    TEST(what_is_no_key_is_called_so);
    TEST(only_the_file_of_the_key_is_reverted);
    TEST(numbers_that_do_not_fit_are_refused);
    return test_done();
}
