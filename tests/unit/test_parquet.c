/* SPDX-License-Identifier: MIT */
/* Parquet files: read into Arrow streams, written from them, and what they keep. DuckDB itself
 * makes the files and compares them; tests/e2e/test_parquet_files.py has other programs do so. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

#include "data/arrow/arrow.h"
#include "data/parquet/parquet_internal.h"
#include "data_files.h"

#define TYPES                                                                                      \
    "SELECT CAST(i AS TINYINT) AS i8, CAST(i * 7 AS SMALLINT) AS i16, i * 99991 AS i32, "          \
    "CAST(i AS BIGINT) << 40 AS i64, CAST(i AS UTINYINT) AS u8, CAST(i AS USMALLINT) AS u16, "     \
    "CAST(i AS UINTEGER) AS u32, CAST(i AS UBIGINT) AS u64, CAST(i / 3.0 AS FLOAT) AS f32, "       \
    "CASE i WHEN 5 THEN 'nan' WHEN 6 THEN '-0.0' WHEN 7 THEN 'inf' ELSE CAST(i / 7.0 AS VARCHAR) " \
    "END::DOUBLE AS f64, i % 3 = 0 AS flag, repeat('Städte ', i % 4) || i AS \"te\"\"xt\", "      \
    "CAST(i AS VARCHAR)::BLOB || '\\x00\\xFF'::BLOB AS bytes, DATE '2024-02-28' + i AS day, "      \
    "TIME '12:00:00' + to_microseconds(i) AS clock, "                                              \
    "TIMESTAMP '2024-01-01' + to_microseconds(i) AS us, "                                          \
    "make_timestamp_ns(1700000000000000001 + i) AS ns, "                                           \
    "CAST(TIMESTAMP '2024-01-01' + to_milliseconds(i) AS TIMESTAMP_MS) AS ms, "                    \
    "TIMESTAMPTZ '2024-03-31 01:30:00+02' + to_minutes(i) AS tz, "                                 \
    "CAST(i / 10.0 AS DECIMAL(4, 1)) AS d4, CAST(i / 7.0 AS DECIMAL(18, 9)) AS d18, "              \
    "CAST(i / 7.0 AS DECIMAL(38, 20)) AS d38, "                                                    \
    "CAST(lpad(CAST(i AS VARCHAR), 32, 'a') AS UUID) AS id, range(i % 5) AS list, "                \
    "[[CAST(i AS VARCHAR), NULL], []] AS lists, {'a': i, 'b c': ['x', NULL]} AS struct, "          \
    "MAP {'k' || i: i} AS map, "                                                                   \
    "{'id': CAST(lpad(CAST(i AS VARCHAR), 32, 'b') AS UUID)} AS nested "                           \
    "FROM (SELECT CAST(range AS INTEGER) AS i FROM range(100))"

static bool library_missing(void)
{
    char reason[512];
    return !ce_duckdb_available(reason, sizeof reason);
}
#define NEEDS_LIBRARY                                                                              \
    do {                                                                                           \
        if (library_missing())                                                                     \
            SKIP("libduckdb.so is not here (tools/get-duckdb.sh fetches it)");                     \
    } while (0)

/* ---- files made and compared by DuckDB ---- */

/* Runs SQL that knows the files as $0 and $1; the first cell of its last row goes to ret_cell. */
static int keep_cell(void *ctx, const struct duckdb_string *const *cells, struct ce_error *err)
{
    snprintf(ctx, 128, "%.*s", cells[0] ? (int)cells[0]->size : 4,
             cells[0] ? ce_duckdb_bytes(cells[0]) : "NULL");
    return 0;
}

static void sql_on(const char *const paths[2], const char *sql, char ret_cell[128])
{
    struct ce_error err = {0};
    int fds[2] = {-1, -1};
    size_t count = 0;
    for (; count < 2 && paths[count]; count++)
        fds[count] = open(paths[count], O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (const char *c = sql; *c; c++)
        if (*c == '$')
            fprintf(out, "'/proc/self/fd/%d'", fds[*++c - '0']);
        else
            fputc(*c, out);
    fclose(out);
    struct ce_duckdb *duck = NULL;
    struct duckdb_connection *connection = NULL;
    if (ce_duckdb_open(1, fds, count, &duck, &err) < 0 ||
        ce_duckdb_connect(duck, &connection, &err) < 0 ||
        ce_duckdb_run(duck, connection, text, ret_cell ? keep_cell : NULL, ret_cell, &err) < 0) {
        printf("# %s: %s\n", text, err.message);
        exit(99);
    }
    duck->api.disconnect(&connection);
    ce_duckdb_close(duck);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static const char *make(struct folder *folder, const char *name, const char *query,
                        const char *options)
{
    const char *path = folder_file(folder, name);
    ce_autofree char *sql =
        ce_format("COPY (%s) TO $0 (FORMAT parquet, USE_TMP_FILE false%s)", query, options);
    sql_on((const char *const[]){path, NULL}, sql, NULL);
    return path;
}

#define CHECK_SQL(a, b, sql, want)                                                                 \
    do {                                                                                           \
        char cell_[128] = "no row";                                                                \
        sql_on((const char *const[]){a, b}, sql, cell_);                                           \
        CHECK_TEXT(cell_, want);                                                                   \
    } while (0)
#define CHECK_SAME(a, b)                                                                           \
    CHECK_SQL(a, b,                                                                                \
              "SELECT CAST(count(*) AS VARCHAR) FROM (((FROM read_parquet($0)) EXCEPT ALL "        \
              "(FROM read_parquet($1))) UNION ALL ((FROM read_parquet($1)) EXCEPT ALL "            \
              "(FROM read_parquet($0))))",                                                         \
              "0")

/* ---- streams in between ---- */

/* Hands each batch on in two parts, the second with an offset: what a producer may do. */
struct halves {
    struct ArrowArrayStream in;
    struct ArrowArray batch, view;
    bool second;
    size_t dropped; /* leaves out as many columns, from the last */
    int fail;       /* instead of the second batch */
    int batches;
};

static int halves_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct halves *halves = stream->private_data;
    int r = halves->in.get_schema(&halves->in, out);
    for (size_t i = 0; r == 0 && i < halves->dropped; i++) {
        struct ArrowSchema *last = out->children[--out->n_children];
        last->release(last);
    }
    return r;
}

static void keep_array(struct ArrowArray *array)
{
    array->release = NULL;
}

static int halves_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct halves *halves = stream->private_data;
    *out = (struct ArrowArray){0};
    if (!halves->second) {
        if (halves->batch.release)
            halves->batch.release(&halves->batch);
        if (halves->fail && halves->batches++ == 1)
            return halves->fail;
        int r = halves->in.get_next(&halves->in, &halves->batch);
        if (r != 0 || !halves->batch.release)
            return r;
    }
    halves->view = halves->batch;
    halves->view.n_children -= (int64_t)halves->dropped;
    halves->view.release = keep_array;
    int64_t half = halves->batch.length / 2;
    halves->view.offset = halves->second ? half : 0;
    halves->view.length = halves->second ? halves->batch.length - half : half;
    halves->second = !halves->second;
    *out = halves->view;
    return 0;
}

static const char *halves_message(struct ArrowArrayStream *stream)
{
    struct halves *halves = stream->private_data;
    return halves->fail ? "stopped on purpose" : halves->in.get_last_error(&halves->in);
}

static void halves_release(struct ArrowArrayStream *stream)
{
    struct halves *halves = stream->private_data;
    if (halves->batch.release)
        halves->batch.release(&halves->batch);
    halves->in.release(&halves->in);
    stream->release = NULL;
}

/* Reads a file and writes it anew, through `halves` unless that is NULL. */
static int rewrite(const char *in, const char *out, unsigned threads, struct halves *halves,
                   struct ce_error *err)
{
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = NULL;
    CE_CLEANUP(ce_output_free_p) struct ce_output *to = NULL;
    struct ArrowArrayStream stream;
    CE_TRY(ce_parquet_open(in, threads, &file, err));
    CE_TRY(ce_parquet_stream(file, &stream, err));
    if (halves) {
        halves->in = stream;
        stream = (struct ArrowArrayStream){.get_schema = halves_schema,
                                           .get_next = halves_next,
                                           .get_last_error = halves_message,
                                           .release = halves_release,
                                           .private_data = halves};
    }
    int r = ce_output_open(out, 0640, CE_PACKING_PLAIN, &to, err);
    if (r < 0) {
        stream.release(&stream);
        return r;
    }
    CE_TRY(ce_parquet_write(to, &stream, &file->form, threads, err));
    return ce_output_publish(to, err);
}

/* ---- tests ---- */

static void a_missing_library_is_told_in_a_sentence(void)
{
    ce_autofree char *before =
        getenv("CHAOSEATER_DUCKDB") ? strdup(getenv("CHAOSEATER_DUCKDB")) : NULL;
    char reason[512] = "";
    struct ce_duckdb *duck = NULL;
    struct ce_error err = {0};
    setenv("CHAOSEATER_DUCKDB", "/nonexistent/libduckdb.so", 1);
    CHECK(!ce_duckdb_available(reason, sizeof reason));
    CHECK(strstr(reason, "CHAOSEATER_DUCKDB is '/nonexistent/libduckdb.so'"));
    CHECK(ce_duckdb_open(1, NULL, 0, &duck, &err) == -ENOTSUP);
    CHECK(!duck);
    CHECK_TEXT(err.message, reason);
    if (before)
        setenv("CHAOSEATER_DUCKDB", before, 1);
    else
        unsetenv("CHAOSEATER_DUCKDB");
}

static void a_library_that_is_none_of_duckdb_is_refused(void)
{
    NEEDS_LIBRARY;
    ce_autofree char *before =
        getenv("CHAOSEATER_DUCKDB") ? strdup(getenv("CHAOSEATER_DUCKDB")) : NULL;
    char reason[512] = "";
    setenv("CHAOSEATER_DUCKDB", "libm.so.6", 1);
    CHECK(!ce_duckdb_available(reason, sizeof reason));
    CHECK(strstr(reason, "has no duckdb_"));
    if (before)
        setenv("CHAOSEATER_DUCKDB", before, 1);
    else
        unsetenv("CHAOSEATER_DUCKDB");
}

static void duckdb_reaches_no_file_but_those_it_is_given(void)
{
    NEEDS_LIBRARY;
    struct ce_error err = {0};
    CE_CLEANUP(ce_duckdb_close_p) struct ce_duckdb *duck = NULL;
    struct duckdb_connection *connection;
    REQUIRE_OK(ce_duckdb_open(1, NULL, 0, &duck, &err), err);
    REQUIRE_OK(ce_duckdb_connect(duck, &connection, &err), err);
    CHECK(ce_duckdb_run(duck, connection, "FROM read_text('/etc/hostname')", NULL, NULL, &err) < 0);
    CHECK(strstr(err.message, "disabled by configuration"));
    CHECK(ce_duckdb_run(duck, connection, "SET enable_external_access = true", NULL, NULL, &err) <
          0);
    CHECK(ce_duckdb_run(duck, connection, "INSTALL httpfs", NULL, NULL, &err) < 0);
    duck->api.disconnect(&connection);
}

static void every_type_survives_a_rewrite(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *in = make(&folder, "in.parquet", TYPES, ""), *out = folder_file(&folder, "out");
    REQUIRE_OK(rewrite(in, out, 2, NULL, &err), err);
    CHECK_SAME(in, out);
    CHECK_SQL(in, out,
              "WITH a AS (FROM parquet_schema($0)), b AS (FROM parquet_schema($1)) SELECT "
              "CAST(count(*) AS VARCHAR) FROM a FULL JOIN b ON a.column_id = b.column_id "
              "WHERE (a.name, a.type, a.type_length, a.converted_type, a.scale, a.precision, "
              "a.num_children, a.logical_type) IS DISTINCT FROM (b.name, b.type, b.type_length, "
              "b.converted_type, b.scale, b.precision, b.num_children, b.logical_type)",
              "0");
}

static void nulls_survive_a_rewrite_at_every_depth(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *in = make(&folder, "in.parquet",
                          "SELECT CASE WHEN i % 3 = 0 THEN NULL ELSE i END AS n, "
                          "CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN [] WHEN 2 THEN [NULL, 'x'] "
                          "ELSE ['y' || i] END AS list, "
                          "CASE WHEN i % 5 = 0 THEN NULL ELSE {'a': nullif(i % 2, 0), 'b': "
                          "nullif(['' || i, NULL], ['4', NULL])} END AS struct, "
                          "nullif(i % 2 = 0, i % 6 = 0) AS flag, NULL::VARCHAR AS nothing "
                          "FROM range(10000) t(i)",
                          "");
    const char *out = folder_file(&folder, "out");
    REQUIRE_OK(rewrite(in, out, 2, NULL, &err), err);
    CHECK_SAME(in, out);
}

static void batches_may_have_offsets(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct halves halves = {0};
    const char *in = make(&folder, "in.parquet", TYPES " UNION ALL " TYPES, "");
    const char *out = folder_file(&folder, "out");
    REQUIRE_OK(rewrite(in, out, 1, &halves, &err), err);
    CHECK_SAME(in, out);
}

static void rows_keep_their_order_and_bytes_for_every_number_of_threads(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *in =
        make(&folder, "in.parquet",
             "SELECT i, 'text ' || i % 1000 AS t, i / 7.0 AS x FROM range(300000) t(i)",
             ", ROW_GROUP_SIZE 20000");
    const char *one = folder_file(&folder, "one"), *four = folder_file(&folder, "four");
    REQUIRE_OK(rewrite(in, one, 1, NULL, &err), err);
    REQUIRE_OK(rewrite(in, four, 4, NULL, &err), err);
    CHECK(same_files(one, four));
    CHECK_SQL(four, NULL,
              "SELECT CAST(count(*) AS VARCHAR) FROM read_parquet($0, file_row_number = true) "
              "WHERE i <> file_row_number",
              "0");
}

static void metadata_compression_and_row_groups_are_kept(void)
{
    NEEDS_LIBRARY;
    static const char *const codecs[] = {"UNCOMPRESSED", "SNAPPY", "GZIP",
                                         "ZSTD",         "BROTLI", "LZ4_RAW"};
    struct ce_error err = {0};
    for (size_t i = 0; i < CE_COUNT(codecs); i++) {
        FOLDER(folder);
        ce_autofree char *options =
            ce_format(", COMPRESSION %s, ROW_GROUP_SIZE 4096, KV_METADATA {pandas: "
                      "'{\"it''s\": 1}', \"ARROW:schema\": 'AAAA', raw: '\\x00\\xFF'::BLOB}",
                      codecs[i]);
        const char *in = make(&folder, "in.parquet", "FROM range(10000)", options);
        const char *out = folder_file(&folder, "out");
        REQUIRE_OK(rewrite(in, out, 2, NULL, &err), err);
        CHECK_SQL(out, NULL, "SELECT any_value(compression) FROM parquet_metadata($0)", codecs[i]);
        CHECK_SQL(out, NULL,
                  "SELECT string_agg(row_group_num_rows, ' ' ORDER BY row_group_id) "
                  "FROM parquet_metadata($0)",
                  "4096 4096 1808");
        CHECK_SQL(out, NULL,
                  "SELECT string_agg(hex(key) || '=' || hex(value), ' ' ORDER BY key) "
                  "FROM parquet_kv_metadata($0)",
                  "4152524F573A736368656D61=41414141 70616E646173=7B2269742773223A20317D "
                  "726177=00FF");
    }
}

static void arrows_schema_goes_when_the_columns_change(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct halves halves = {.dropped = 1};
    const char *in = make(&folder, "in.parquet", "SELECT i AS a, i AS b FROM range(10) t(i)",
                          ", KV_METADATA {pandas: 'x', \"ARROW:schema\": 'AAAA'}");
    const char *out = folder_file(&folder, "out");
    REQUIRE_OK(rewrite(in, out, 1, &halves, &err), err);
    CHECK_SQL(out, NULL,
              "SELECT string_agg(CAST(key AS VARCHAR), ' ') FROM parquet_kv_metadata($0)",
              "pandas");
    CHECK_SQL(out, NULL,
              "SELECT string_agg(column_name, ' ') FROM (DESCRIBE FROM read_parquet($0))", "a");
}

static void a_file_without_rows_stays_one(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *in = make(&folder, "in.parquet", TYPES " WHERE false", "");
    const char *out = folder_file(&folder, "out");
    REQUIRE_OK(rewrite(in, out, 1, NULL, &err), err);
    CHECK_SAME(in, out);
    CHECK_SQL(out, NULL, "SELECT CAST(count(*) AS VARCHAR) FROM read_parquet($0)", "0");
}

static void paths_are_names_not_patterns(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *part = folder_file(&folder, "year=2024");
    REQUIRE(mkdir(part, 0700) == 0);
    make(&folder, "year=2024/it's b.parquet", "SELECT 2 AS n", "");
    const char *in = make(&folder, "year=2024/it's *[ab]?.parquet", "SELECT 1 AS n", "");
    const char *out = folder_file(&folder, "year=2024/o'ut*.parquet");
    REQUIRE_OK(rewrite(in, out, 1, NULL, &err), err);
    CHECK_SQL(out, NULL, "SELECT CAST(n AS VARCHAR) FROM read_parquet($0)", "1");
    CHECK_SQL(out, NULL, "SELECT CAST(count(*) AS VARCHAR) FROM parquet_schema($0)", "2");
}

static void what_is_no_whole_parquet_file_is_told_in_a_sentence(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    const char *good = make(&folder, "good", "SELECT i, 'x' || i AS t FROM range(50000) t(i)", "");
    ce_autofree char *bytes = NULL;
    size_t size;
    REQUIRE(ce_file_read(good, SIZE_MAX / 2, &bytes, &size, NULL) == 0);
    ce_autofree char *footer = malloc(size), *pages = malloc(size);
    memcpy(footer, bytes, size);
    memcpy(pages, bytes, size);
    memset(footer + size - 8, 0x7f, 4);
    memset(pages + 4, 0xff, size / 2);
    const struct {
        const char *path, *says;
        int code;
    } cases[] = {
        {folder_write(&folder, "empty", "", 0), "is empty", -EINVAL},
        {folder_write(&folder, "text", "a,b\n1,2\n", 8), "is no Parquet file", -EINVAL},
        {folder_write(&folder, "cut", bytes, size - 1), "is cut short", -EINVAL},
        {folder_write(&folder, "short", "PAR1", 4), "is cut short", -EINVAL},
        {folder_write(&folder, "bare", "PAR1\0\0\0\0PAR1", 12), "cannot be read as Parquet",
         -EINVAL},
        {folder_write(&folder, "footer", footer, size), "cannot be read as Parquet", -EINVAL},
        {folder_write(&folder, "pages", pages, size), "cannot be read as Parquet", -EINVAL},
        {folder_write(&folder, "secret", "PARE\0\0\0\0PARE", 12), "is encrypted", -ENOTSUP},
        {folder.path, "is a folder", -EISDIR},
        {folder_file(&folder, "nothing"), "No such file", -ENOENT},
        {"/dev/null", "is no regular file", -ESPIPE},
        {"-", "standard input", -ESPIPE},
    };
    const char *out = folder_file(&folder, "out");
    size_t before = folder_count(&folder);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        int r = rewrite(cases[i].path, out, 2, NULL, &err);
        if (r != cases[i].code || !strstr(err.message, cases[i].says) ||
            strstr(err.message, "/proc/self"))
            printf("# %s: %d %s: %s\n", cases[i].path, r, err.where, err.message);
        CHECK(r == cases[i].code);
        CHECK(strstr(err.message, cases[i].says));
        CHECK(!strstr(err.message, "/proc/self") && !strchr(err.message, '\n'));
        CHECK(folder_count(&folder) == before);
    }
}

static void what_duckdb_would_change_is_refused(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    /* DuckDB writes no such names itself: they are patched in. */
    const char *path = make(&folder, "names", "SELECT 1 AS ab, 2 AS cd", "");
    ce_autofree char *bytes = NULL;
    size_t size, patched = 0;
    REQUIRE(ce_file_read(path, SIZE_MAX / 2, &bytes, &size, NULL) == 0);
    for (size_t i = 0; i + 1 < size; i++)
        if (memcmp(bytes + i, "cd", 2) == 0) {
            memcpy(bytes + i, "AB", 2);
            patched++;
        }
    REQUIRE(patched > 0);
    const char *twice = folder_write(&folder, "twice", bytes, size);
    CHECK(rewrite(twice, folder_file(&folder, "out"), 1, NULL, &err) == -ENOTSUP);
    CHECK_TEXT(err.message,
               "column 'AB' has the name of another one, but for upper and lower case");
}

static void a_stream_that_fails_leaves_no_file(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct halves halves = {.fail = EINTR};
    const char *in = make(&folder, "in.parquet", "FROM range(50000)", "");
    CHECK(rewrite(in, folder_file(&folder, "out"), 1, &halves, &err) == -EINTR);
    CHECK_TEXT(err.message, "stopped on purpose");
    CHECK(folder_count(&folder) == 1);
}

static void a_form_survives_its_way_through_the_key(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    const char *in = make(&folder, "in.parquet", TYPES,
                          ", COMPRESSION GZIP, KV_METADATA {pandas: 'ü', raw: '\\x00\\xFF'::BLOB}");
    CE_CLEANUP(ce_parquet_close_p) struct ce_parquet_file *file = NULL;
    struct ArrowArrayStream stream;
    struct ce_parquet_form form;
    REQUIRE_OK(ce_parquet_open(in, 1, &file, &err), err);
    REQUIRE_OK(ce_parquet_stream(file, &stream, &err), err);
    stream.release(&stream);
    ce_autojson json_t *json = ce_parquet_form_json(&file->form);
    ce_autofree char *text = json_dumps(json, 0);
    ce_autojson json_t *read = text ? json_loads(text, 0, NULL) : NULL;
    REQUIRE_OK(ce_parquet_form_load(read, &form, &err), err);
    ce_autojson json_t *again = ce_parquet_form_json(&form);
    CHECK(json_equal(json, again));
    CHECK(form.note_count == 2 && form.notes[1].value_size == 2);
    ce_parquet_form_done(&form);
    CHECK(ce_parquet_form_load(NULL, &form, &err) == -EINVAL);
    CHECK_TEXT(err.message, "the key is not one of a Parquet file");
}

/* ---- as a format of the data engine ---- */

static bool take_all(const void *ctx, const struct ce_column_profile *column)
{
    return true;
}

static const char *make_missing(const void *ctx, struct ce_cell *cell)
{
    return ce_cell_missing(cell) ? "missing" : ce_cell_set_missing(cell, NULL);
}

static struct ce_mutation missing(double rate)
{
    return (struct ce_mutation){
        .fault = "missing_data",
        .seed = 7,
        .kind = CE_MUTATE_CELLS,
        .scope.rate = rate,
        .takes = take_all,
        .rewrite = make_missing,
    };
}

static int inject(const char *in, const char *out, const char *key, double rate,
                  const struct ce_data_options *options, struct ce_data_result *ret_result,
                  struct ce_error *err)
{
    struct ce_mutation mutation = missing(rate);
    return ce_data_parquet.inject(in, out, key, &mutation, 1, options, ret_result, err);
}

static void what_is_injected_is_counted_and_taken_back(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_data_options options = {.threads = 2};
    struct ce_data_result result;
    const char *in =
        make(&folder, "in.parquet", "SELECT i, 'text ' || i AS t, [i] AS l FROM range(20000) t(i)",
             ", COMPRESSION ZSTD, KV_METADATA {pandas: '{}'}");
    const char *out = folder_file(&folder, "out"), *back = folder_file(&folder, "back");
    const char *key = folder_file(&folder, "key");
    REQUIRE(chmod(in, 0440) == 0);
    REQUIRE_OK(inject(in, out, key, 0.1, &options, &result, &err), err);
    CHECK(result.rows == 20000 && result.rows_out == 20000 && result.columns == 3);
    CHECK(result.profiled_rows == 0);
    CHECK(result.counts[0].eligible == 60000);
    CHECK(result.counts[0].changed == result.counts[0].selected);
    char changed[32];
    snprintf(changed, sizeof changed, "%ju", (uintmax_t)result.counts[0].changed);
    free(result.counts);
    CHECK_SQL(out, NULL,
              "SELECT CAST(3 * count(*) - count(i) - count(t) - count(l) AS VARCHAR) "
              "FROM read_parquet($0)",
              changed);
    CHECK_SQL(in, out,
              "SELECT CAST(count(*) AS VARCHAR) FROM read_parquet($0) AS a POSITIONAL JOIN "
              "read_parquet($1) AS b WHERE a.i <> b.i OR a.t <> b.t OR a.l <> b.l",
              "0");

    REQUIRE_OK(ce_data_parquet.revert(out, key, back, &err), err);
    CHECK_SAME(in, back);
    CHECK_SQL(back, NULL, "SELECT CAST(value AS VARCHAR) FROM parquet_kv_metadata($0)", "{}");
    struct stat st;
    CHECK(stat(out, &st) == 0 && (st.st_mode & 0777) == 0440);
    CHECK(stat(back, &st) == 0 && (st.st_mode & 0777) == 0440);
    CHECK(folder_count(&folder) == 4);
}

static void a_file_that_no_cell_changes_in_keeps_every_byte(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_data_options options = {0};
    struct ce_data_result result;
    const char *in = make(&folder, "in.parquet", TYPES, ", ROW_GROUP_SIZE 10");
    const char *out = folder_file(&folder, "out"), *back = folder_file(&folder, "back");
    const char *key = folder_file(&folder, "key");
    REQUIRE_OK(inject(in, out, key, 0, &options, &result, &err), err);
    free(result.counts);
    CHECK(same_files(in, out));
    REQUIRE_OK(ce_data_parquet.revert(out, key, back, &err), err);
    CHECK(same_files(in, back));
}

static void a_file_of_another_key_is_not_reverted(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_error err = {0};
    struct ce_data_options options = {.threads = 1};
    struct ce_data_result result;
    const char *in = make(&folder, "in.parquet", "FROM range(1000)", "");
    const char *out = folder_file(&folder, "out"), *key = folder_file(&folder, "key");
    REQUIRE_OK(inject(in, out, key, 0.5, &options, &result, &err), err);
    free(result.counts);
    CHECK(ce_data_parquet.revert(in, key, folder_file(&folder, "back"), &err) == -EINVAL);
    CHECK(strstr(err.message, "is not the file that this key was made for"));
    CHECK(folder_count(&folder) == 3);
}

static void what_is_stopped_leaves_nothing(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    const char *in = make(&folder, "in.parquet", "FROM range(300000)", "");
    for (unsigned i = 0; i < 4; i++) {
        struct ce_error err = {0};
        volatile sig_atomic_t stop = 1;
        struct ce_data_options options = {.threads = 1 + i % 2, .stop = &stop};
        struct ce_data_result result;
        struct ce_mutation mutation = missing(0.1);
        mutation.needs =
            i < 2 ? 0 : CE_STAT_MOMENTS; /* stopped while it mutates, while it profiles */
        CHECK(ce_data_parquet.inject(in, folder_file(&folder, "out"), folder_file(&folder, "key"),
                                     &mutation, 1, &options, &result, &err) == -EINTR);
        CHECK(folder_count(&folder) == 1);
    }
}

static void an_output_that_cannot_be_is_told_before_anything_is_done(void)
{
    NEEDS_LIBRARY;
    FOLDER(folder);
    struct ce_data_options options = {.threads = 1};
    struct ce_data_result result;
    const char *in = make(&folder, "in.parquet", "FROM range(10)", "");
    const struct {
        const char *out, *key, *says;
        int code;
    } cases[] = {
        {"-", NULL, "standard output", -ESPIPE},
        {folder_file(&folder, "no/out"), NULL, "No such file", -ENOENT},
        {folder_file(&folder, "out"), folder_file(&folder, "no/key"), "No such file", -ENOENT},
        {folder.path, NULL, "is", -EISDIR},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        CHECK(inject(in, cases[i].out, cases[i].key, 0.1, &options, &result, &err) ==
              cases[i].code);
        CHECK(strstr(err.message, cases[i].says));
        CHECK(folder_count(&folder) == 1);
    }
}

static void parquet_is_known_by_its_first_bytes_or_its_name(void)
{
    static const struct {
        const char *path, *magic;
        bool is;
    } cases[] = {
        {"data", "PAR1....", true},   {"data.csv", "PARE....", true}, {"DATA.PARQUET", "", true},
        {"a.b/data.pq", "a,b", true}, {"data.csv", "PAR,1", false},   {"parquet", "a,b", false},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(ce_data_parquet.is(cases[i].path, cases[i].magic, strlen(cases[i].magic)) ==
              cases[i].is);
}

int main(void)
{
    TEST(a_missing_library_is_told_in_a_sentence);
    TEST(a_library_that_is_none_of_duckdb_is_refused);
    TEST(duckdb_reaches_no_file_but_those_it_is_given);
    TEST(every_type_survives_a_rewrite);
    TEST(nulls_survive_a_rewrite_at_every_depth);
    TEST(batches_may_have_offsets);
    TEST(rows_keep_their_order_and_bytes_for_every_number_of_threads);
    TEST(metadata_compression_and_row_groups_are_kept);
    TEST(arrows_schema_goes_when_the_columns_change);
    TEST(a_file_without_rows_stays_one);
    TEST(paths_are_names_not_patterns);
    TEST(what_is_no_whole_parquet_file_is_told_in_a_sentence);
    TEST(what_duckdb_would_change_is_refused);
    TEST(a_stream_that_fails_leaves_no_file);
    TEST(a_form_survives_its_way_through_the_key);
    TEST(what_is_injected_is_counted_and_taken_back);
    TEST(a_file_that_no_cell_changes_in_keeps_every_byte);
    TEST(a_file_of_another_key_is_not_reverted);
    TEST(what_is_stopped_leaves_nothing);
    TEST(an_output_that_cannot_be_is_told_before_anything_is_done);
    TEST(parquet_is_known_by_its_first_bytes_or_its_name);
    return test_done();
}
