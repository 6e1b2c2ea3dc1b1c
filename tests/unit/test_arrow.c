/* SPDX-License-Identifier: MIT */
/* The engine for typed tables: what mutations make of streams of batches, however these are cut,
 * and that answer keys take all of it back. */
#include "arrow_world.h"
#include "data/arrow/key.h"
#include "data/selection.h"
#include "data_files.h"

#define ROWS 10000

CE_DEFINE_CLEANUP(struct ce_key, ce_key_close);

/* ---- faults of our own ---- */

static bool takes_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static const char *add_one(const void *ctx, struct ce_cell *cell)
{
    double value;
    if (!ce_cell_number(cell, &value))
        return "no number";
    return ce_cell_set_number(cell, value + 1, CE_FIT_NEAREST);
}

static const char *make_missing(const void *ctx, struct ce_cell *cell)
{
    return ce_cell_set_missing(cell, NULL);
}

static const char *shout(const void *ctx, struct ce_cell *cell)
{
    size_t size;
    char text[256];
    if (ce_cell_missing(cell))
        return "missing";
    const char *old = ce_cell_text(cell, &size);
    if (size > sizeof text - 2)
        return "too long";
    memcpy(text, old, size);
    text[size] = '!';
    return ce_cell_set_text(cell, text, size + 1);
}

static int added_text(const void *ctx, uint64_t row, const struct ce_stream *draws, char *text,
                      size_t size, bool *ret_number)
{
    return row % 7 == 0 ? -1 : snprintf(text, size, "new %llu", (unsigned long long)row);
}

static int added_number(const void *ctx, uint64_t row, const struct ce_stream *draws, char *text,
                        size_t size, bool *ret_number)
{
    *ret_number = true;
    return snprintf(text, size, "%llu.5", (unsigned long long)row);
}

#define COLUMN(text)                                                                               \
    {                                                                                              \
        .names = (char *[]){(char[]){text}}, .count = 1                                            \
    }

static struct ce_mutation cells(const char *fault, double rate,
                                const char *(*rewrite)(const void *, struct ce_cell *))
{
    return (struct ce_mutation){.fault = fault,
                                .seed = 42,
                                .kind = CE_MUTATE_CELLS,
                                .scope = {.rate = rate},
                                .takes = takes_all,
                                .rewrite = rewrite};
}

static struct ce_mutation rows(double rate, enum ce_row_fate fate, enum ce_row_place place,
                               uint64_t lag)
{
    return (struct ce_mutation){.fault = "rows",
                                .seed = 43,
                                .kind = CE_MUTATE_ROWS,
                                .scope = {.rate = rate},
                                .fate = fate,
                                .place = place,
                                .lag = lag};
}

/* ---- running ---- */

struct run {
    struct ce_profile profile;
    struct ce_data_result result;
    struct ce_mutation *mutations;
    size_t count;
    const struct ce_data_options *options;
};

static void run_done(struct run *run)
{
    ce_profile_done(&run->profile);
    free(run->result.counts);
}

static int profile_world(uint64_t row_count, unsigned stats, struct ce_profile *ret_profile,
                         struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(world_stream(row_count, 1000, &stream, err));
    return ce_arrow_profile(&stream, "world", stats, ret_profile, err);
}

/* The changed stream; with `key_path` its answer key. */
static int mutated(struct run *run, uint64_t row_count, uint64_t batch_rows, struct ce_output *key,
                   struct ArrowArrayStream *ret_out, struct ce_error *err)
{
    struct ArrowArrayStream in;
    struct ce_arrow_mutate how = {run->mutations, run->count, &run->profile, key, run->options};
    free(run->result.counts);
    run->result.counts = NULL;
    CE_TRY(world_stream(row_count, batch_rows, &in, err));
    return ce_arrow_mutate(&in, &how, &run->result, ret_out, err);
}

static int world_digest(uint64_t row_count, uint64_t batch_rows, char hex[CE_SHA256_HEX],
                        struct ce_error *err)
{
    struct ArrowArrayStream stream;
    CE_TRY(world_stream(row_count, batch_rows, &stream, err));
    return ce_arrow_digest(&stream, hex, err);
}

/* Mutates into a key, then takes it back from what a second run gives, cut in another way. */
static void check_there_and_back(struct run *run, uint64_t row_count, struct ce_error *err)
{
    struct ArrowArrayStream out, back;
    struct ce_arrow_mutate how = {run->mutations, run->count, &run->profile, NULL, run->options};
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    FOLDER(folder);
    char changed[CE_SHA256_HEX], original[CE_SHA256_HEX], reverted[CE_SHA256_HEX] = "",
                                                          again[CE_SHA256_HEX];
    const char *path = folder_file(&folder, "key");

    REQUIRE_OK(ce_key_begin(path, 0600, ce_arrow_key_header(&how), &output, err), *err);
    REQUIRE_OK(mutated(run, row_count, 777, output, &out, err), *err);
    REQUIRE_OK(ce_arrow_digest(&out, changed, err), *err);
    REQUIRE_OK(ce_key_end(output, ce_arrow_key_trailer(&how, &run->result), err), *err);
    REQUIRE_OK(ce_output_sync(output, err), *err);
    REQUIRE_OK(ce_output_publish(output, err), *err);
    CHECK_TEXT(run->result.sha256_out, changed);
    REQUIRE_OK(world_digest(row_count, 5000, original, err), *err);
    CHECK_TEXT(run->result.sha256_in, original);

    /* the same, cut in another way */
    uint64_t rows_out = run->result.rows_out;
    REQUIRE_OK(mutated(run, row_count, 4096, NULL, &out, err), *err);
    REQUIRE_OK(ce_key_open(path, &key, err), *err);
    REQUIRE_OK(ce_arrow_revert(&out, key, reverted, &back, err), *err);
    REQUIRE_OK(ce_arrow_digest(&back, again, err), *err);
    CHECK(run->result.rows_out == rows_out);
    CHECK_TEXT(run->result.sha256_out, changed);
    CHECK_TEXT(again, original);
    CHECK_TEXT(reverted, original);
}

#define BEGIN(...)                                                                                 \
    struct ce_error err = {0};                                                                     \
    struct ce_mutation list_[] = {__VA_ARGS__};                                                    \
    CE_CLEANUP(run_done) struct run run = {.mutations = list_, .count = CE_COUNT(list_)};          \
    REQUIRE_OK(profile_world(ROWS, CE_STAT_QUANTILES, &run.profile, &err), err)

/* ---- tests ---- */

static void content_does_not_depend_on_batches(void)
{
    struct ce_error err = {0};
    char one[CE_SHA256_HEX], other[CE_SHA256_HEX], fewer[CE_SHA256_HEX];
    REQUIRE_OK(world_digest(ROWS, 1, one, &err), err);
    REQUIRE_OK(world_digest(ROWS, 3333, other, &err), err);
    REQUIRE_OK(world_digest(ROWS - 1, 3333, fewer, &err), err);
    CHECK_TEXT(one, other);
    CHECK(strcmp(one, fewer) != 0);
}

static void statistics_are_those_of_the_values(void)
{
    struct ce_error err = {0};
    struct ce_profile profile = {0};
    REQUIRE_OK(profile_world(ROWS, CE_STAT_ALL, &profile, &err), err);
    CHECK(profile.rows == ROWS && profile.column_count == W_COUNT);
    const struct ce_column_profile *c = profile.columns;
    CHECK(c[W_ID].type == CE_TYPE_INTEGER && c[W_ID].mean == (ROWS - 1) / 2.0);
    CHECK(c[W_AGE].type == CE_TYPE_INTEGER && c[W_AGE].missing == ROWS / 10);
    CHECK(c[W_SCORE].type == CE_TYPE_NUMBER && c[W_SCORE].max == (ROWS - 1) / 8.0);
    CHECK(c[W_CITY].type == CE_TYPE_TEXT && c[W_KIND].distinct == 3);
    CHECK(c[W_FLAG].type == CE_TYPE_BOOLEAN);
    CHECK(c[W_DAY].type == CE_TYPE_TIME && c[W_SEEN].type == CE_TYPE_TIME);
    CHECK(c[W_PRICE].type == CE_TYPE_NUMBER && c[W_PRICE].min == -10);
    CHECK(c[W_TAGS].type == CE_TYPE_OTHER && c[W_BLOB].type == CE_TYPE_OTHER);
    ce_profile_done(&profile);
}

static void nothing_hit_nothing_changed(void)
{
    BEGIN(cells("noise", 0, add_one));
    struct ArrowArrayStream out;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    struct seen seen;
    REQUIRE_OK(see(&out, &seen, &err), err);
    CHECK(seen.rows == ROWS && run.result.rows_out == ROWS);
    CHECK(run.result.counts[0].selected == 0 && run.result.counts[0].eligible == ROWS * W_COUNT);
    CHECK_TEXT(seen_at(&seen, 4321, W_SCORE), "540.125");
    CHECK_TEXT(seen_at(&seen, 3, W_AGE), "-");
    CHECK_TEXT(seen_at(&seen, 1, W_SEEN), "2023-11-14T22:13:21.234567Z");
    CHECK_TEXT(seen_at(&seen, 399, W_DAY), "2023-02-11");
    CHECK_TEXT(seen_at(&seen, 41, W_PRICE), "0.25");
    CHECK_TEXT(seen_at(&seen, 4, W_KIND), "green");
    CHECK_TEXT(seen_at(&seen, 5, W_FLAG), "true");
    seen_done(&seen);
}

static void only_selected_cells_change(void)
{
    BEGIN(cells("noise", 0.1, add_one));
    list_[0].scope.columns = (struct ce_names)COLUMN("age");
    struct ArrowArrayStream out, in;
    struct seen before, after;
    REQUIRE_OK(world_stream(ROWS, 999, &in, &err), err);
    REQUIRE_OK(see(&in, &before, &err), err);
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &after, &err), err);
    uint64_t changed = 0, wrong = 0;
    for (uint64_t row = 0; row < ROWS; row++)
        for (size_t column = 0; column < W_COUNT; column++) {
            bool differs = strcmp(seen_at(&before, row, column), seen_at(&after, row, column)) != 0;
            bool hit =
                column == W_AGE && row % 10 != 3 && ce_unit_selected(42, "noise", "age", row, 0.1);
            changed += differs;
            wrong += differs != hit;
        }
    CHECK(wrong == 0 && changed == run.result.counts[0].changed && changed > 500);
    seen_done(&before);
    seen_done(&after);
}

static void untouched_columns_are_not_copied(void)
{
    BEGIN(cells("noise", 0.5, add_one));
    list_[0].scope.columns = (struct ce_names)COLUMN("age");
    struct ArrowArrayStream in, out;
    struct ArrowArray batch = {0}, copy;
    REQUIRE_OK(world_stream(100, 100, &in, &err), err);
    /* whoever holds the buffers sees where they lie */
    REQUIRE(in.get_next(&in, &batch) == 0);
    const void *score = batch.children[W_SCORE]->buffers[1],
               *age = batch.children[W_AGE]->buffers[1];
    struct ce_arrow_shared *shared = ce_arrow_shared_new(&batch);
    REQUIRE_OK(ce_arrow_view(shared, ce_arrow_shared_array(shared), 0, 100, &copy, &err), err);
    in.release(&in);
    (void)out;
    struct ce_work work = {0};
    struct ce_arrow_type *table;
    struct ArrowSchema schema;
    REQUIRE_OK(world_schema(&schema, &err), err);
    REQUIRE_OK(ce_arrow_type_new(&schema, &table, &err), err);
    const struct ce_arrow_type *texts[W_COUNT] = {0};
    REQUIRE_OK(ce_work_init(&work, table->children, texts, W_COUNT, &run.profile, &err), err);
    REQUIRE_OK(ce_work_begin(&work, &copy, 0, 100, &err), err);
    struct ce_work_row row = ce_work_row(&work);
    struct ce_cell cell = {0};
    row.fault = 1;
    ce_row_cell(&row.row, W_AGE, &cell);
    CHECK(ce_cell_set_number(&cell, 7, CE_FIT_NEAREST) == NULL);
    struct ArrowArray made = {0};
    CHECK(ce_work_finish(&work, W_SCORE, &made, &err) == 0 && !made.release);
    REQUIRE(ce_work_finish(&work, W_AGE, &made, &err) == 1);
    CHECK(made.buffers[1] != age && *(const int32_t *)made.buffers[1] == 7);
    CHECK(copy.children[W_SCORE]->buffers[1] == score && *(const int32_t *)age == 20);
    made.release(&made);
    ce_work_end(&work);
    ce_work_done(&work);
    copy.release(&copy);
    ce_arrow_shared_unref(shared);
    ce_arrow_type_free(table);
    schema.release(&schema);
}

static void cells_of_every_type_go_there_and_back(void)
{
    BEGIN(cells("noise", 0.2, add_one), cells("missing", 0.1, make_missing),
          cells("shout", 0.1, shout));
    check_there_and_back(&run, ROWS, &err);
    CHECK(run.result.hit_columns == W_COUNT);
    CHECK(run.result.counts[1].changed > ROWS && run.result.counts[2].changed > 100);
}

static void missing_makes_a_column_nullable(void)
{
    BEGIN(cells("missing", 1, make_missing));
    list_[0].scope.columns = (struct ce_names)COLUMN("id");
    struct ArrowArrayStream out;
    struct seen seen;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    CHECK(seen.nullable[W_ID]);
    CHECK_TEXT(seen_at(&seen, 0, W_ID), "-");
    CHECK_TEXT(seen_at(&seen, ROWS - 1, W_ID), "-");
    seen_done(&seen);
}

static void dropped_rows_come_back(void)
{
    BEGIN(rows(0.3, CE_ROW_DROP, 0, 0), cells("noise", 0.1, add_one));
    check_there_and_back(&run, ROWS, &err);
    CHECK(run.result.rows_out == ROWS - run.result.counts[0].changed);
    list_[0].scope.rate = 1;
    check_there_and_back(&run, ROWS, &err);
    CHECK(run.result.rows_out == 0);
}

static void copied_rows_go_again(void)
{
    BEGIN(cells("missing", 0.05, make_missing), rows(0.1, CE_ROW_COPY, CE_PLACE_END, 0));
    static const enum ce_row_place places[] = {CE_PLACE_END, CE_PLACE_NEXT, CE_PLACE_SHUFFLED,
                                               CE_PLACE_LATER};
    for (size_t i = 0; i < CE_COUNT(places); i++) {
        list_[1].place = places[i];
        list_[1].lag = 300;
        check_there_and_back(&run, ROWS, &err);
        CHECK(run.result.rows_out == ROWS + run.result.counts[1].changed);
    }
}

/* Where copies stand, by the ids of the rows. */
static void copies_stand_where_they_are_put(void)
{
    BEGIN(rows(0.01, CE_ROW_COPY, CE_PLACE_NEXT, 0));
    struct ArrowArrayStream out;
    struct seen seen;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    uint64_t row = 0, wrong = 0;
    for (uint64_t id = 0; id < ROWS; id++) {
        uint64_t times = 1 + ce_unit_selected(43, "rows", "", id, 0.01);
        for (; times > 0 && row < seen.rows; times--)
            wrong += strtoull(seen_at(&seen, row++, W_ID), NULL, 10) != id;
    }
    CHECK(wrong == 0 && row == seen.rows);
    seen_done(&seen);

    list_[0].place = CE_PLACE_LATER;
    list_[0].lag = 5000;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    row = 0;
    for (uint64_t id = 0; id < ROWS + 5000; id++) {
        if (id < ROWS)
            wrong += strtoull(seen_at(&seen, row++, W_ID), NULL, 10) != id;
        if (id >= 5000 && ce_unit_selected(43, "rows", "", id - 5000, 0.01))
            wrong += strtoull(seen_at(&seen, row++, W_ID), NULL, 10) != id - 5000;
    }
    CHECK(wrong == 0 && row == seen.rows);
    seen_done(&seen);
}

static void a_near_copy_has_one_other_cell(void)
{
    BEGIN(rows(0.05, CE_ROW_COPY, CE_PLACE_NEXT, 0));
    list_[0].rewrite = add_one;
    list_[0].takes = takes_all;
    struct ArrowArrayStream out;
    struct seen seen;
    check_there_and_back(&run, ROWS, &err);
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    uint64_t row = 0, wrong = 0, near = 0;
    for (uint64_t id = 0; id < ROWS; id++, row++) {
        if (!ce_unit_selected(43, "rows", "", id, 0.05))
            continue;
        int differ = 0;
        for (size_t c = 0; c < W_COUNT; c++)
            differ += strcmp(seen_at(&seen, row, c), seen_at(&seen, row + 1, c)) != 0;
        row++;
        near++;
        wrong += differ != 1;
    }
    CHECK(wrong == 0 && near > 300 && row == seen.rows);
    seen_done(&seen);
}

static void layouts_change_and_come_back(void)
{
    struct ce_mutation layout = {.fault = "drift", .seed = 5, .kind = CE_MUTATE_LAYOUT};
    struct ce_mutation add = layout, number = layout, gone = layout, other = layout, mix = layout;
    add.change = number.change = CE_LAYOUT_ADD;
    add.name = "extra";
    add.value = added_text;
    number.name = "extra number";
    number.value = added_number;
    gone.change = CE_LAYOUT_REMOVE;
    gone.column = "city";
    other.change = CE_LAYOUT_RENAME;
    other.column = "age";
    other.name = "years";
    mix.change = CE_LAYOUT_REORDER;
    BEGIN(add, number, gone, other, mix, cells("noise", 0.1, add_one));
    check_there_and_back(&run, ROWS, &err);
    struct ArrowArrayStream out;
    struct seen seen;
    list_[4] = cells("none", 0, add_one);
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    REQUIRE(seen.columns == W_COUNT + 1);
    CHECK_TEXT(seen.names[1], "years");
    CHECK_TEXT(seen.names[W_COUNT - 1], "extra");
    CHECK_TEXT(seen.formats[W_COUNT], "g");
    CHECK_TEXT(seen_at(&seen, 8, W_COUNT - 1), "new 8");
    CHECK_TEXT(seen_at(&seen, 7, W_COUNT - 1), "-");
    CHECK_TEXT(seen_at(&seen, 9, W_COUNT), "9.5");
    seen_done(&seen);
    list_[2].column = "cty";
    CHECK(mutated(&run, ROWS, 777, NULL, &out, &err) == -ENOENT);
    CHECK(strstr(err.message, "city") != NULL);
}

static void columns_become_text_and_come_back(void)
{
    BEGIN(cells("type_change", 0.5, shout), rows(0.01, CE_ROW_COPY, CE_PLACE_SHUFFLED, 0));
    list_[0].retypes = true;
    struct ArrowArrayStream out;
    struct seen seen;
    check_there_and_back(&run, ROWS, &err);
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    CHECK_TEXT(seen.formats[W_ID], "u");
    CHECK_TEXT(seen.formats[W_SEEN], "u");
    CHECK_TEXT(seen.formats[W_VIEW], "vu");
    CHECK_TEXT(seen.formats[W_TAGS], "+l");
    CHECK(strchr(seen_at(&seen, 9, W_SCORE), '!') != NULL ||
          strcmp(seen_at(&seen, 9, W_SCORE), "1.125") == 0);
    seen_done(&seen);
}

static void rows_are_asked_for_their_values(void)
{
    BEGIN(cells("noise", 1, add_one));
    list_[0].scope.columns = (struct ce_names)COLUMN("age");
    list_[0].scope.where = "city = 'city 1' and flag = 'false'";
    struct ArrowArrayStream out;
    struct seen seen;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &seen, &err), err);
    CHECK(run.result.counts[0].eligible > 20 && run.result.counts[0].eligible < 200);
    CHECK(run.result.counts[0].selected == run.result.counts[0].eligible);
    seen_done(&seen);
    list_[0].scope =
        (struct ce_scope){.rate = 0.2, .mechanism = CE_MNAR, .columns = COLUMN("score")};
    check_there_and_back(&run, ROWS, &err);
    CHECK(run.result.counts[0].changed > 0.18 * ROWS && run.result.counts[0].changed < 0.22 * ROWS);
}

static void shards_are_parts_of_the_whole(void)
{
    BEGIN(cells("noise", 0.1, add_one), rows(0.1, CE_ROW_COPY, CE_PLACE_LATER, 2000),
          rows(0.1, CE_ROW_COPY, CE_PLACE_SHUFFLED, 0), rows(0.02, CE_ROW_COPY, CE_PLACE_END, 0));
    struct ArrowArrayStream out;
    struct seen whole, part;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    REQUIRE_OK(see(&out, &whole, &err), err);
    uint64_t row = 0, wrong = 0, changed = run.result.counts[0].changed, sum = 0;
    for (unsigned shard = 1; shard <= 3; shard++) {
        struct ce_data_options options = {.shard = shard, .shard_count = 3};
        run.options = &options;
        REQUIRE_OK(mutated(&run, ROWS, 500 * shard, NULL, &out, &err), err);
        REQUIRE_OK(see(&out, &part, &err), err);
        for (uint64_t i = 0; i < part.rows && row < whole.rows; i++, row++)
            for (size_t c = 0; c < W_COUNT; c++)
                wrong += strcmp(seen_at(&part, i, c), seen_at(&whole, row, c)) != 0;
        CHECK(run.result.rows_out == part.rows);
        sum += run.result.counts[0].changed;
        seen_done(&part);
    }
    CHECK(wrong == 0 && row == whole.rows && sum == changed);
    seen_done(&whole);
}

static volatile sig_atomic_t stop_at_once = 1;

static void stopping_is_an_error(void)
{
    BEGIN(cells("noise", 0.1, add_one));
    struct ce_data_options options = {.stop = &stop_at_once};
    run.options = &options;
    struct ArrowArrayStream out;
    struct ArrowArray batch;
    REQUIRE_OK(mutated(&run, ROWS, 777, NULL, &out, &err), err);
    CHECK(out.get_next(&out, &batch) == EINTR);
    CHECK_TEXT(out.get_last_error(&out), "interrupted");
    out.release(&out);
}

static void a_key_of_something_else_is_refused(void)
{
    BEGIN(cells("noise", 0.1, add_one), rows(0.1, CE_ROW_COPY, CE_PLACE_NEXT, 0));
    struct ce_arrow_mutate how = {run.mutations, run.count, &run.profile, NULL, NULL};
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    FOLDER(folder);
    const char *path = folder_file(&folder, "key");
    struct ArrowArrayStream out, back;
    char hex[CE_SHA256_HEX];
    REQUIRE_OK(ce_key_begin(path, 0600, ce_arrow_key_header(&how), &output, &err), err);
    REQUIRE_OK(mutated(&run, ROWS, 777, output, &out, &err), err);
    REQUIRE_OK(ce_arrow_digest(&out, hex, &err), err);
    REQUIRE_OK(ce_key_end(output, ce_arrow_key_trailer(&how, &run.result), &err), err);
    REQUIRE_OK(ce_output_sync(output, &err), err);
    REQUIRE_OK(ce_output_publish(output, &err), err);

    /* a table with too few rows */
    REQUIRE_OK(ce_key_open(path, &key, &err), err);
    REQUIRE_OK(world_stream(ROWS / 2, 777, &out, &err), err);
    REQUIRE_OK(ce_arrow_revert(&out, key, NULL, &back, &err), err);
    CHECK(ce_arrow_digest(&back, hex, &err) == -EINVAL);
    CHECK_TEXT(err.message, "the answer key's changes do not fit into the table");
}

/* What stands in the key is what stood in the input. */
static void a_key_tells_old_values(void)
{
    BEGIN(cells("noise", 0.05, add_one));
    struct ce_arrow_mutate how = {run.mutations, run.count, &run.profile, NULL, NULL};
    CE_CLEANUP(ce_output_free_p) struct ce_output *output = NULL;
    CE_CLEANUP(ce_key_close_p) struct ce_key *key = NULL;
    FOLDER(folder);
    const char *path = folder_file(&folder, "key");
    struct ArrowArrayStream out, in;
    struct seen before;
    char hex[CE_SHA256_HEX];
    REQUIRE_OK(ce_key_begin(path, 0600, ce_arrow_key_header(&how), &output, &err), err);
    REQUIRE_OK(mutated(&run, ROWS, 777, output, &out, &err), err);
    REQUIRE_OK(ce_arrow_digest(&out, hex, &err), err);
    REQUIRE_OK(ce_key_end(output, ce_arrow_key_trailer(&how, &run.result), &err), err);
    REQUIRE_OK(ce_output_sync(output, &err), err);
    REQUIRE_OK(ce_output_publish(output, &err), err);
    REQUIRE_OK(world_stream(ROWS, 999, &in, &err), err);
    REQUIRE_OK(see(&in, &before, &err), err);

    struct ce_arrow_key_text *text = NULL;
    struct ce_key_change change;
    struct ce_buffer old = {0};
    uint64_t row = 0, wrong = 0, count = 0;
    REQUIRE_OK(ce_key_open(path, &key, &err), err);
    while (ce_key_next(key, &change, &err) > 0) {
        const char *got;
        size_t size;
        old.size = 0;
        row += change.row_step;
        REQUIRE_OK(ce_arrow_key_old(key, &change, &old, &err), err);
        if (change.what == CE_KEY_LAYOUT && !text)
            REQUIRE_OK(ce_arrow_key_text_new(old.data, old.size, &text, &err), err);
        if (change.what < CE_KEY_CELL)
            continue;
        size_t column = change.what - CE_KEY_CELL;
        REQUIRE_OK(ce_arrow_key_text_cell(text, column, old.data, old.size, &got, &size, &err),
                   err);
        const char *want = seen_at(&before, row, column);
        wrong += size != strlen(want) || memcmp(got, want, size) != 0;
        count++;
    }
    CHECK(wrong == 0 && count == run.result.counts[0].changed);
    CHECK(ce_arrow_key_text_cell(text, W_AGE, "\1abc", 4, &(const char *){NULL}, &(size_t){0},
                                 &err) == -EBADMSG);
    ce_arrow_key_text_free(text);
    ce_buffer_done(&old);
    seen_done(&before);
}

/* ---- values ---- */

static const struct ce_arrow_type *type_of(const char *format)
{
    static struct ce_arrow_type *made;
    struct ArrowSchema field = {.format = format, .name = "x"};
    struct ce_error err = {0};
    ce_arrow_type_free(made);
    made = NULL;
    if (format && ce_arrow_type_new(&field, &made, &err) < 0)
        made = NULL;
    return made;
}

static const char *set(const char *format, const void *old, double value, enum ce_fit fit,
                       void *ret_bytes)
{
    char bytes[CE_TYPED_SIZE] = {0};
    const struct ce_arrow_type *type = type_of(format);
    const char *reason = ce_typed_set_number(type, old, value, fit, bytes);
    memcpy(ret_bytes, bytes, (size_t)type->width);
    return reason;
}

static void integers_are_fitted(void)
{
    int32_t old = 10, new = 0;
    CHECK(!set("i", &old, 12.4, CE_FIT_NEAREST, &new) && new == 12);
    CHECK(!set("i", &old, 10.4, CE_FIT_NEAREST, &new) && new == 11);
    CHECK(!set("i", &old, 9.6, CE_FIT_NEAREST, &new) && new == 9);
    CHECK(!set("i", &old, 10, CE_FIT_NEAREST, &new) && new == 11);
    CHECK(!set("i", &old, 10.1, CE_FIT_UP, &new) && new == 11);
    CHECK(!set("i", &old, 8.9, CE_FIT_DOWN, &new) && new == 8);
    CHECK_TEXT(set("i", &old, 10, CE_FIT_UP, &new), "no change");
    CHECK_TEXT(set("i", &old, 3e9, CE_FIT_NEAREST, &new), "no room for it");
    CHECK_TEXT(set("i", &old, (double)NAN, CE_FIT_NEAREST, &new), "no room for it");
    uint8_t byte = 250, other;
    CHECK(!set("C", &byte, 255, CE_FIT_NEAREST, &other) && other == 255);
    CHECK_TEXT(set("C", &byte, 256, CE_FIT_NEAREST, &other), "no room for it");
    CHECK_TEXT(set("C", &byte, -1, CE_FIT_NEAREST, &other), "no room for it");
    int64_t large = INT64_MAX - 5, result;
    CHECK(!set("l", &large, (double)large, CE_FIT_NEAREST, &result));
    CHECK(result != large);
    CHECK(!set("l", NULL, -7.5, CE_FIT_NEAREST, &result) && result == -8);
}

static void floats_are_fitted(void)
{
    double old = 1.5, new;
    CHECK(!set("g", &old, 2.25, CE_FIT_NEAREST, &new) && new == 2.25);
    CHECK(!set("g", &old, 1.5, CE_FIT_NEAREST, &new) && new > 1.5 && new < 1.5000001);
    float narrow = 1, result;
    CHECK(!set("f", &narrow, 0.1, CE_FIT_UP, &result) && (double)result >= 0.1);
    CHECK(!set("f", &narrow, 0.1, CE_FIT_DOWN, &result) && (double)result <= 0.1);
    CHECK_TEXT(set("f", &narrow, 1e39, CE_FIT_NEAREST, &result), "no room for it");
    __int128 price = 12345, other;
    CHECK(!set("d:10,2", &price, 99.999, CE_FIT_NEAREST, &other) && other == 10000);
    CHECK(!set("d:10,2", &price, 99.991, CE_FIT_DOWN, &other) && other == 9999);
    CHECK_TEXT(set("d:4,2", &price, 100, CE_FIT_NEAREST, &other), "no room for it");
    CHECK_TEXT(set("e", "\0\0", 1, CE_FIT_NEAREST, &other), "half floats are left alone");
    CHECK_TEXT(set("tdD", "\0\0\0\0", 1, CE_FIT_NEAREST, &other), "a time column holds no number");
}

/* Texts that read back as what they were made of. */
static void texts_read_back(void)
{
    static const struct {
        const char *format, *text, *shown;
    } cases[] = {
        {"l", "-9223372036854775808", NULL},
        {"L", "18446744073709551615", NULL},
        {"g", "0.1", NULL},
        {"g", "-1.7976931348623157e+308", NULL},
        {"g", "5e-324", NULL},
        {"g", "123456789.125", NULL},
        {"g", "1e+22", NULL},
        {"g", "-0", NULL},
        {"f", "0.1", NULL},
        {"f", "16777216", "16777216"},
        {"d:20,3", "-12345.678", NULL},
        {"d:20,3", "1.5", "1.500"},
        {"b", "true", NULL},
        {"tdD", "1969-12-31", NULL},
        {"tdD", "2000-02-29", NULL},
        {"tdm", "2024-05-01", NULL},
        {"tss:", "2024-05-01 12:30:00", "2024-05-01T12:30:00"},
        {"tsn:UTC", "2024-05-01T12:30:00.000000001Z", NULL},
        {"tsm:", "1901-01-01T00:00:00.999", NULL},
        {"ttu", "23:59:59.000001", NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char bytes[CE_TYPED_SIZE] = {0};
        struct ce_buffer scratch = {0};
        size_t size;
        const struct ce_arrow_type *type = type_of(cases[i].format);
        REQUIRE(type);
        CHECK(!ce_typed_set_text(type, cases[i].text, strlen(cases[i].text), bytes));
        const char *text = ce_typed_text(type, bytes, (size_t)type->width, &scratch, &size);
        char *shown = seen_text(text, size);
        CHECK_TEXT(shown, cases[i].shown ? cases[i].shown : cases[i].text);
        free(shown);
        ce_buffer_done(&scratch);
    }
}

static void texts_that_are_none_are_refused(void)
{
    static const struct {
        const char *format, *text, *reason;
    } cases[] = {
        {"i", "Paris", "an integer column holds no text"},
        {"i", "12.5", "no room for it"},
        {"i", "2147483648", "no room for it"},
        {"i", "", "an integer column holds no text"},
        {"g", "1.5x", "a number column holds no text"},
        {"b", "maybe", "a boolean column holds no such text"},
        {"tdD", "2023-02-29", "a time column holds no such text"},
        {"tdD", "2023-02-28T00:00:00", "a time column holds no such text"},
        {"tsu:", "2023-13-01", "a time column holds no such text"},
        {"w:3", "abc", "the column holds no text"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char bytes[CE_TYPED_SIZE];
        const struct ce_arrow_type *type = type_of(cases[i].format);
        CHECK_TEXT(ce_typed_set_text(type, cases[i].text, strlen(cases[i].text), bytes),
                   cases[i].reason);
    }
    (void)type_of(NULL);
}

static void unknown_types_are_refused(void)
{
    static const char *const formats[] = {"", "q", "w:", "d:x", "tsx:", "+u", "+w:-1", "tdDD"};
    for (size_t i = 0; i < CE_COUNT(formats); i++) {
        struct ArrowSchema field = {.format = formats[i], .name = "odd"};
        struct ce_arrow_type *type = NULL;
        struct ce_error err = {0};
        CHECK(ce_arrow_type_new(&field, &type, &err) == -EOPNOTSUPP);
        CHECK(strstr(err.message, "column 'odd' is of an unknown type") != NULL);
    }
}

int main(void)
{
    TEST(content_does_not_depend_on_batches);
    TEST(statistics_are_those_of_the_values);
    TEST(nothing_hit_nothing_changed);
    TEST(only_selected_cells_change);
    TEST(untouched_columns_are_not_copied);
    TEST(cells_of_every_type_go_there_and_back);
    TEST(missing_makes_a_column_nullable);
    TEST(dropped_rows_come_back);
    TEST(copied_rows_go_again);
    TEST(copies_stand_where_they_are_put);
    TEST(a_near_copy_has_one_other_cell);
    TEST(layouts_change_and_come_back);
    TEST(columns_become_text_and_come_back);
    TEST(rows_are_asked_for_their_values);
    TEST(shards_are_parts_of_the_whole);
    TEST(stopping_is_an_error);
    TEST(a_key_of_something_else_is_refused);
    TEST(a_key_tells_old_values);
    TEST(integers_are_fitted);
    TEST(floats_are_fitted);
    TEST(texts_read_back);
    TEST(texts_that_are_none_are_refused);
    TEST(unknown_types_are_refused);
    return test_done();
}
