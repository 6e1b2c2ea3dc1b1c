/* SPDX-License-Identifier: MIT */
/* Arrow IPC: what is written reads back as it was, files behave as other formats of the data
 * engine, and bytes that are none are refused in a sentence. */
#include "arrow_world.h"
#include "data/arrow/ipc.h"
#include "data_files.h"

#define ROWS 5000

static int write_world(const char *path, bool file, enum ce_ipc_codec codec, uint64_t rows,
                       uint64_t batch_rows, struct ce_error *err)
{
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    struct ce_ipc_style style = {.file = file, .codec = codec};
    struct ArrowArrayStream stream;
    CE_TRY(ce_output_open(path, 0600, ce_packing_of_name(path), &output, err));
    CE_TRY(world_stream(rows, batch_rows, &stream, err));
    CE_TRY(ce_ipc_write(&stream, &style, output, err));
    CE_TRY(ce_output_sync(output, err));
    return ce_output_publish(output, err);
}

static int open_file(const char *path, struct ce_ipc_style *style,
                     struct ArrowArrayStream *ret_stream, struct ce_error *err)
{
    struct ce_input *input;
    CE_TRY(ce_input_open(path, &input, err));
    return ce_ipc_read(input, path, style, ret_stream, err);
}

static int digest_file(const char *path, struct ce_ipc_style *style, char hex[CE_SHA256_HEX],
                       struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(open_file(path, style, &stream, err));
    return ce_arrow_digest(&stream, hex, err);
}

static int digest_world(uint64_t rows, char hex[CE_SHA256_HEX], struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(world_stream(rows, 999, &stream, err));
    return ce_arrow_digest(&stream, hex, err);
}

static void what_is_written_reads_back(void)
{
    struct ce_error err = {0};
    char want[CE_SHA256_HEX], got[CE_SHA256_HEX];
    FOLDER(folder);
    REQUIRE_OK(digest_world(ROWS, want, &err), err);
    for (int way = 0; way < 12; way++) {
        bool file = way & 1;
        enum ce_ipc_codec codec = (enum ce_ipc_codec)(way / 4);
        const char *path = folder_file(&folder, way & 2 ? "table.arrow.gz" : "table.arrow");
        CE_CLEANUP(ce_ipc_style_done) struct ce_ipc_style style = {0};
        REQUIRE_OK(write_world(path, file, codec, ROWS, 700, &err), err);
        REQUIRE_OK(digest_file(path, &style, got, &err), err);
        CHECK_TEXT(got, want);
        CHECK(style.file == file && style.codec == codec);
    }
}

static void an_empty_table_reads_back(void)
{
    struct ce_error err = {0};
    char want[CE_SHA256_HEX], got[CE_SHA256_HEX];
    FOLDER(folder);
    const char *path = folder_file(&folder, "empty.arrow");
    REQUIRE_OK(digest_world(0, want, &err), err);
    REQUIRE_OK(write_world(path, true, CE_IPC_PLAIN, 0, 1, &err), err);
    REQUIRE_OK(digest_file(path, NULL, got, &err), err);
    CHECK_TEXT(got, want);
}

/* ---- slices ---- */

/* The rows [10, 20) of each batch. */
struct slicer {
    struct ArrowArrayStream stream;
};

static int slice_next(void *ctx, struct ArrowArray *ret_batch, struct ce_error *err)
{
    struct slicer *slicer = ctx;
    struct ArrowArray batch;
    if (slicer->stream.get_next(&slicer->stream, &batch) != 0)
        return ce_fail(err, EIO, "%s", slicer->stream.get_last_error(&slicer->stream));
    if (!batch.release)
        return 0;
    struct ce_arrow_shared *shared = ce_arrow_shared_new(&batch);
    int r = ce_arrow_view(shared, ce_arrow_shared_array(shared), 10, 10, ret_batch, err);
    ce_arrow_shared_unref(shared);
    return r < 0 ? r : 1;
}

static void slice_done(void *ctx)
{
    struct slicer *slicer = ctx;
    ce_arrow_stream_done(&slicer->stream);
}

static void slices_are_written_as_what_they_show(void)
{
    struct ce_error err = {0};
    FOLDER(folder);
    const char *path = folder_file(&folder, "slice.arrow");
    struct slicer slicer, again;
    struct ArrowSchema schema;
    struct ArrowArrayStream stream;
    char want[CE_SHA256_HEX], got[CE_SHA256_HEX];
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    struct ce_ipc_style style = {.file = true, .codec = CE_IPC_ZSTD};
    REQUIRE_OK(world_stream(100, 25, &slicer.stream, &err), err);
    REQUIRE_OK(world_stream(100, 25, &again.stream, &err), err);
    REQUIRE_OK(world_schema(&schema, &err), err);
    REQUIRE_OK(ce_arrow_stream_make(&schema, &slicer, slice_next, slice_done, &stream, &err), err);
    REQUIRE_OK(ce_output_open(path, 0600, CE_PACKING_PLAIN, &output, &err), err);
    REQUIRE_OK(ce_ipc_write(&stream, &style, output, &err), err);
    REQUIRE_OK(ce_output_publish(output, &err), err);
    REQUIRE_OK(digest_file(path, NULL, got, &err), err);
    REQUIRE_OK(world_schema(&schema, &err), err);
    REQUIRE_OK(ce_arrow_stream_make(&schema, &again, slice_next, slice_done, &stream, &err), err);
    REQUIRE_OK(ce_arrow_digest(&stream, want, &err), err);
    CHECK_TEXT(got, want);
}

/* ---- files as tables ---- */

static const char *add_one(const void *ctx, struct ce_cell *cell)
{
    double value;
    return ce_cell_number(cell, &value) ? ce_cell_set_number(cell, value + 1, CE_FIT_NEAREST)
                                        : "no number";
}

static const char *shout(const void *ctx, struct ce_cell *cell)
{
    size_t size;
    char text[64];
    const char *old = ce_cell_text(cell, &size);
    if (ce_cell_missing(cell) || size > sizeof text - 16)
        return "missing";
    memcpy(text, old, size);
    size += (size_t)sprintf(text + size, " %llu", (unsigned long long)cell->row->ordinal % 20);
    return ce_cell_set_text(cell, text, size);
}

static bool takes_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static void files_go_there_and_back(void)
{
    struct ce_error err = {0};
    struct ce_data_result result;
    FOLDER(folder);
    struct ce_mutation mutations[] = {
        {.fault = "noise",
         .seed = 1,
         .kind = CE_MUTATE_CELLS,
         .scope = {.rate = 0.1},
         .takes = takes_all,
         .rewrite = add_one,
         .needs = CE_STAT_MOMENTS},
        /* makes the dictionary grow with every batch */
        {.fault = "shout",
         .seed = 2,
         .kind = CE_MUTATE_CELLS,
         .scope = {.rate = 0.01},
         .takes = takes_all,
         .rewrite = shout},
        {.fault = "copies",
         .seed = 3,
         .kind = CE_MUTATE_ROWS,
         .scope = {.rate = 0.05},
         .fate = CE_ROW_COPY,
         .place = CE_PLACE_SHUFFLED},
    };
    for (int way = 0; way < 4; way++) {
        char before[CE_SHA256_HEX], after[CE_SHA256_HEX], back[CE_SHA256_HEX];
        CE_CLEANUP(ce_ipc_style_done) struct ce_ipc_style style = {0};
        const char *in = folder_file(&folder, "in.arrow"), *out = folder_file(&folder, "out.arrow");
        const char *key = folder_file(&folder, "key"), *again = folder_file(&folder, "back.arrow");
        REQUIRE_OK(write_world(in, way & 1, way & 2 ? CE_IPC_ZSTD : CE_IPC_PLAIN, ROWS, 700, &err),
                   err);
        REQUIRE_OK(
            ce_data_arrow.inject(in, out, key, mutations, CE_COUNT(mutations), NULL, &result, &err),
            err);
        CHECK(result.rows == ROWS && result.rows_out > ROWS &&
              result.counts[0].changed > ROWS / 10);
        free(result.counts);
        REQUIRE_OK(digest_file(in, NULL, before, &err), err);
        REQUIRE_OK(digest_file(out, &style, after, &err), err);
        CHECK_TEXT(result.sha256_in, before);
        CHECK_TEXT(result.sha256_out, after);
        CHECK(style.file == (way & 1) && (style.codec == CE_IPC_ZSTD) == !!(way & 2));
        REQUIRE_OK(ce_data_arrow.revert(out, key, again, &err), err);
        REQUIRE_OK(digest_file(again, NULL, back, &err), err);
        CHECK_TEXT(back, before);

        CHECK(ce_data_arrow.revert(in, key, again, &err) == -EINVAL);
        CHECK(strstr(err.message, "is not the file that the answer key") != NULL);
        CHECK(ce_data_arrow.inject(in, in, key, mutations, 1, NULL, &result, &err) == -EINVAL);
    }
}

static void files_are_known_by_magic_and_name(void)
{
    CHECK(ce_data_arrow.is("x", "ARROW1\0\0", 8));
    CHECK(ce_data_arrow.is("x", "\xff\xff\xff\xff\x10\0\0\0", 8));
    CHECK(ce_data_arrow.is("-.arrow.gz", "\x1f\x8b\x08\x00", 4));
    CHECK(ce_data_arrow.is("a.feather", NULL, 0) && ce_data_arrow.is("a.arrows.zst", NULL, 0));
    CHECK(!ce_data_arrow.is("a.csv", "a,b\n", 4) && !ce_data_arrow.is(".arrow", "", 0));
}

/* ---- damage ---- */

static void files_that_are_none_are_refused(void)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        const char *message;
    } cases[] = {
        {"nothing.arrow", "", 0, "is no Arrow IPC file or stream"},
        {"text.arrow", "a,b\n1,2\n3,4\n", 12, "is no Arrow IPC file or stream"},
        {"old.feather", "FEA1....", 8, "is Feather version 1, which is not read; version 2 is"},
        {"magic.arrow", "ARROW1\0\0", 8, "is cut short"},
        {"huge.arrow", "\xff\xff\xff\xff\xff\xff\xff\x7f", 8, "is damaged: a message of"},
        {"end.arrow", "ARROW1\0\0\xff\xff\xff\xff\0\0\0\0", 16, "has no schema"},
        {"zeroes.arrow", "\xff\xff\xff\xff\x08\0\0\0\0\0\0\0\0\0\0\0", 16,
         "is damaged: a message cannot be read"},
    };
    FOLDER(folder);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        char hex[CE_SHA256_HEX];
        const char *path = folder_write(&folder, cases[i].name, cases[i].bytes, cases[i].size);
        CHECK(digest_file(path, NULL, hex, &err) < 0);
        CHECK(strstr(err.message, cases[i].message) != NULL);
        if (!strstr(err.message, cases[i].message))
            printf("# %s\n", err.message);
    }
}

/* Whatever is cut off, and whatever byte is another: an error in words or a table, no crash. */
static void damage_is_told_in_words(void)
{
    struct ce_error err = {0};
    FOLDER(folder);
    const char *path = folder_file(&folder, "table.arrow");
    ce_autofree char *bytes = NULL;
    size_t size, refused = 0, tried = 0;
    char hex[CE_SHA256_HEX];
    REQUIRE_OK(write_world(path, true, CE_IPC_PLAIN, 20, 10, &err), err);
    REQUIRE_OK(ce_file_read(path, 1 << 20, &bytes, &size, &err), err);
    for (size_t cut = 0; cut < size; cut += 37) {
        const char *damaged = folder_write(&folder, "cut.arrow", bytes, cut);
        err = (struct ce_error){0};
        CHECK(digest_file(damaged, NULL, hex, &err) < 0 && err.message[0]);
    }
    for (size_t at = 8; at < size; at += 3, tried++) {
        char was = bytes[at];
        bytes[at] = (char)(was ^ (at % 2 ? 0xff : 0x01));
        const char *damaged = folder_write(&folder, "flip.arrow", bytes, size);
        err = (struct ce_error){0};
        int r = digest_file(damaged, NULL, hex, &err);
        CHECK((r < 0) == (err.message[0] != '\0'));
        refused += r < 0;
        bytes[at] = was;
    }
    CHECK(refused > tried / 20 && refused < tried);
}

int main(void)
{
    TEST(what_is_written_reads_back);
    TEST(an_empty_table_reads_back);
    TEST(slices_are_written_as_what_they_show);
    TEST(files_go_there_and_back);
    TEST(files_are_known_by_magic_and_name);
    TEST(files_that_are_none_are_refused);
    TEST(damage_is_told_in_words);
    return test_done();
}
