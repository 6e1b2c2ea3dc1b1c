/* SPDX-License-Identifier: MIT */
#include <pthread.h>

#include "base/cleanup.h"
#include "data/text/format.h"
#include "data/text/json_cell.h"
#include "data_files.h"

/* A literal with its size: NUL bytes count. */
#define BYTES(literal) (literal), sizeof(literal) - 1
#define BOM            "\xef\xbb\xbf"

/* ---- reading a text as a file ---- */

struct file {
    char *data; /* what follows it is no line end, and must not matter */
    size_t size;
    struct ce_text_table table;
    struct ce_text_scan scan;
};

static void file_close(struct file *file)
{
    ce_text_scan_done(&file->scan);
    ce_text_table_done(&file->table);
    free(file->data);
}

static int file_open(struct file *file, const char *data, size_t size, struct ce_error *err)
{
    *file = (struct file){.data = malloc(size + 64), .size = size};
    if (!file->data)
        exit(99);
    memset(file->data, '1', size + 64);
    memcpy(file->data, data, size);
    file->table.format = &ce_jsonl_format;
    file->table.path = "data.jsonl";
    CE_TRY(ce_jsonl_format.open(&file->table, file->data, size, true, err));
    file->scan = (struct ce_text_scan){
        .table = &file->table,
        .at = file->data + file->table.head_size,
        .end = file->data + size,
        .last = true,
        .line = 1,
    };
    return 0;
}
#define FILE_OF(name, ...)                                                                         \
    CE_CLEANUP(file_close) struct file name;                                                       \
    struct ce_error err = {0};                                                                     \
    REQUIRE_OK(file_open(&name, __VA_ARGS__, &err), err)

static void append(char *text, size_t size, const char *more, size_t more_size)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%.*s", (int)more_size, more);
}

/* Columns, then records: "a b | 1 2 | 3 -"; a cell that is not there is a dash. */
static int show(struct file *file, char *text, size_t size, struct ce_error *err)
{
    text[0] = '\0';
    for (size_t i = 0; i < file->table.column_count; i++) {
        append(text, size, i > 0 ? " " : "", 1);
        append(text, size, file->table.names[i], strlen(file->table.names[i]));
    }
    struct ce_text_record record;
    int r;
    while ((r = ce_jsonl_format.next(&file->scan, &record, err)) > 0) {
        append(text, size, " |", 2);
        for (size_t i = 0; i < record.cell_count; i++) {
            const struct ce_text_cell *cell = &record.cells[i];
            append(text, size, " ", 1);
            append(text, size, cell->raw ? cell->raw : "-", cell->raw ? cell->raw_size : 1);
        }
    }
    return r;
}

static const struct {
    const char *file, *want;
} readable[] = {
    {"{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n", "a b | 1 \"x\" | 2 \"y\""},
    {"{\"a\": 1, \"b\": \"x\"}\r\n{\"a\": 2, \"b\": \"y\"}\r\n", "a b | 1 \"x\" | 2 \"y\""},
    {"{\"a\":1}\n{\"a\":2}", "a | 1 | 2"},
    {"{\"a\":1}", "a | 1"},
    {BOM "{\"a\":1}\n", "a | 1"},
    {"\n \t\r\n{\"a\":1}\n\n\n{\"a\":2}\n  \n", "a | 1 | 2"},
    {"  { \"a\" : 1 , \"b\" : 2 }  \n", "a b | 1 2"},
    {"{\"a\":1}\n{\"b\":2}\n{\"b\":3,\"a\":4}\n", "a b | 1 - | - 2 | 4 3"},
    {"{}\n{\"a\":1}\n{ }\n", "a | - | 1 | -"},
    {"{\"a\":1,\"a\":2}\n", "a | 2"},
    {"{\"a\\u0062c\":1}\n{\"abc\":2}\n", "abc | 1 | 2"},
    {"{\"q\\\"\\\\\":1}\n{\"q\\\"\\\\\":2}\n", "q\"\\ | 1 | 2"},
    {"{\"z\\u0000\":1}\n", "z\\u0000 | 1"},
    {"{\"\":1,\"a\":2}\n", " a | 1 2"},
    {"{\"a\":[1,{\"b\":[]},{}],\"c\":{\"d\":{\"e\":null}}}\n",
     "a c | [1,{\"b\":[]},{}] {\"d\":{\"e\":null}}"},
    {"{\"a\":[ 1 , 2 ] ,\"b\":{ }}\n", "a b | [ 1 , 2 ] { }"},
    {"{\"a\":true,\"b\":false,\"c\":null}\n", "a b c | true false null"},
    {"{\"a\":-0.5e+10,\"b\":0,\"c\":-0,\"d\":1E5}\n", "a b c d | -0.5e+10 0 -0 1E5"},
    {"{\"a\":NaN,\"b\":-Infinity,\"c\":Infinity}\n", "a b c | NaN -Infinity Infinity"},
    {"{\"a\":\"x\\n\\\"\\\\\\/\\b\\f\\r\\t\\u00e9\"}\n",
     "a | \"x\\n\\\"\\\\\\/\\b\\f\\r\\t\\u00e9\""},
    {"{\"a\":\"\xe9\"}\n", "a | \"\xe9\""},
    {"{\"a\":\"0123456789abcdef0123456789abcdef,}\"}\n",
     "a | \"0123456789abcdef0123456789abcdef,}\""},
    {"{\"a_key_that_is_longer_than_what_is_compared_at_once_for_a_likely_hit\":1}\n"
     "{\"a_key_that_is_longer_than_what_is_compared_at_once_for_a_likely_hit\":2}\n",
     "a_key_that_is_longer_than_what_is_compared_at_once_for_a_likely_hit | 1 | 2"},
    {"{\"a\":1,\"ab\":2}\n{\"ab\":3}\n", "a ab | 1 2 | - 3"},
    {"", ""},
    {"\n\n", ""},
};

static void lines_become_records(void)
{
    for (size_t i = 0; i < CE_COUNT(readable); i++) {
        FILE_OF(file, readable[i].file, strlen(readable[i].file));
        char text[512];
        REQUIRE_OK(show(&file, text, sizeof text, &err), err);
        CHECK_TEXT(text, readable[i].want);
    }
}

static void every_byte_is_handed_out_once(void)
{
    for (size_t i = 0; i < CE_COUNT(readable); i++) {
        FILE_OF(file, readable[i].file, strlen(readable[i].file));
        const char *at = file.scan.at;
        struct ce_text_record record;
        uint64_t row = 0;
        int r;
        while ((r = ce_jsonl_format.next(&file.scan, &record, &err)) > 0) {
            CHECK(record.before == at && record.before + record.before_size == record.bytes);
            CHECK(record.row == row++ && record.size > 0);
            at = record.bytes + record.size;
            const char *end = at - record.end_size;
            CHECK(end[-1] == '}' || end[-1] == ' ');
            CHECK(record.end_size == 0 || at[-1] == '\n');
        }
        CHECK(r == 0 && record.cell_count == 0);
        CHECK(record.before == at && at + record.before_size == file.data + file.size);
    }
}

static void lines_are_counted(void)
{
    FILE_OF(file, BYTES("\n{\"a\":1}\n \r\n\n{\"a\":2}\r\n{\"a\":3}"));
    struct ce_text_record record;
    static const uint64_t lines[] = {2, 5, 6};
    for (size_t i = 0; i < CE_COUNT(lines); i++) {
        CHECK(ce_jsonl_format.next(&file.scan, &record, &err) == 1);
        CHECK(record.line == lines[i]);
    }
    CHECK(record.end_size == 0);
    CHECK(ce_jsonl_format.next(&file.scan, &record, &err) == 0);
}

#define WHOLE "; each object must be whole on a line of its own"

static const struct {
    const char *line, *says;
} malformed[] = {
    {"[1,2]", "a line must hold one JSON object, such as {\"x\": 1}; this one starts with '['"},
    {"  17", "a line must hold one JSON object, such as {\"x\": 1}; this one starts with '1'"},
    {"a,b", "a line must hold one JSON object, such as {\"x\": 1}; this one starts with 'a'"},
    {"{", "a key in double quotes was expected at byte 2, not the end of the line" WHOLE},
    {"{\"a\"", "':' after the key was expected at byte 5, not the end of the line" WHOLE},
    {"{\"a\":", "a JSON value was expected at byte 6, not the end of the line" WHOLE},
    {"{\"a\":1", "',' or '}' was expected at byte 7, not the end of the line" WHOLE},
    {"{\"a\":1,}", "a key in double quotes was expected at byte 8, not '}'"},
    {"{,\"a\":1}", "a key in double quotes was expected at byte 2, not ','"},
    {"{'a':1}", "a key in double quotes was expected at byte 2, not '''"},
    {"{a:1}", "a key in double quotes was expected at byte 2, not 'a'"},
    {"{\"a\" 1}", "':' after the key was expected at byte 6, not '1'"},
    {"{\"a\":x}", "a JSON value was expected at byte 6, not 'x'"},
    {"{\"a\":tru}", "a JSON value was expected at byte 6, not 't'"},
    {"{\"a\":nul", "a JSON value was expected at byte 6, not 'n'"},
    {"{\"a\":1}}", "the end of the line was expected at byte 8, not '}'"},
    {"{\"a\":1}{\"a\":2}", "the end of the line was expected at byte 8, not '{'"},
    {"{\"a\":01}", "a number without leading zeros was expected at byte 6, not '0'"},
    {"{\"a\":1.}", "a digit was expected at byte 8, not '}'"},
    {"{\"a\":.5}", "a JSON value was expected at byte 6, not '.'"},
    {"{\"a\":+1}", "a JSON value was expected at byte 6, not '+'"},
    {"{\"a\":-}", "a digit was expected at byte 7, not '}'"},
    {"{\"a\":1e}", "a digit was expected at byte 8, not '}'"},
    {"{\"a\":1.2.3}", "',' or '}' was expected at byte 9, not '.'"},
    {"{\"a\":\"x}", "the end of the string (control characters must be escaped) was expected at "
                    "byte 9, not the end of the line" WHOLE},
    {"{\"a\":\"x\ty\"}",
     "the end of the string (control characters must be escaped) was expected at byte 8, not the "
     "byte 0x09"},
    {"{\"a\":\"\\x\"}", "one of \"\\/bfnrtu after a backslash was expected at byte 8, not 'x'"},
    {"{\"a\":\"\\u12g4\"}", "four hexadecimal digits after \\u was expected at byte 11, not 'g'"},
    {"{\"a\":[1,2}", "',' or ']' was expected at byte 10, not '}'"},
    {"{\"a\":[1,]}", "a JSON value was expected at byte 9, not ']'"},
    {"{\"a\":[1 2]}", "',' or ']' was expected at byte 9, not '2'"},
    {"{\"a\":{\"b\":1]}", "',' or '}' was expected at byte 12, not ']'"},
    {"{\"a\":{\"b\"}}", "':' after the key was expected at byte 10, not '}'"},
    {"{\"a\":{1}}", "a key in double quotes was expected at byte 7, not '1'"},
    {"{\"a\":{\"b\":1,}}", "a key in double quotes was expected at byte 13, not '}'"},
    {"{\"a\":[", "a JSON value was expected at byte 7, not the end of the line" WHOLE},
};

/* With and without a line end, and behind a good line. */
static void malformed_lines_are_named(void)
{
    for (size_t i = 0; i < CE_COUNT(malformed); i++) {
        for (int ended = 0; ended < 2; ended++) {
            char data[256];
            snprintf(data, sizeof data, "{\"a\":1}\n\n%s%s", malformed[i].line, ended ? "\n" : "");
            CE_CLEANUP(file_close) struct file file;
            struct ce_error err = {0};
            CHECK(file_open(&file, data, strlen(data), &err) == -EINVAL);
            CHECK_TEXT(err.where, "data.jsonl:3");
            CHECK_TEXT(err.message, malformed[i].says);
        }
    }
}

static void a_malformed_line_beyond_the_first_bytes_is_named(void)
{
    FILE_OF(file, BYTES("{\"a\":1}\n"));
    static const char later[] = "{\"a\":2}\n\n{\"a\":3,}\n";
    char data[sizeof later + 64] = {0};
    memcpy(data, later, sizeof later);
    struct ce_text_scan scan = {
        .table = &file.table, .at = data, .end = data + strlen(later), .row = 7, .line = 100};
    struct ce_text_record record;
    CHECK(ce_jsonl_format.next(&scan, &record, &err) == 1);
    CHECK(record.row == 7 && record.line == 100);
    CHECK(ce_jsonl_format.next(&scan, &record, &err) == -EINVAL);
    CHECK_TEXT(err.where, "data.jsonl:102");
    ce_text_scan_done(&scan);
}

static void nesting_is_bounded(void)
{
    for (int depth = 511; depth <= 512; depth++) {
        char data[2048] = "{\"a\":";
        size_t size = strlen(data);
        memset(data + size, '[', (size_t)depth);
        memset(data + size + depth, ']', (size_t)depth);
        size += 2 * (size_t)depth;
        data[size++] = '}';
        CE_CLEANUP(file_close) struct file file;
        struct ce_error err = {0};
        CHECK((file_open(&file, data, size, &err) == 0) == (depth == 511));
        if (depth == 512)
            CHECK(strstr(err.message, "fewer than 512 objects and arrays") != NULL);
    }
}

static void utf16_is_refused(void)
{
    CE_CLEANUP(file_close) struct file file;
    struct ce_error err = {0};
    CHECK(file_open(&file, BYTES("\xff\xfe{\0\"\0"), &err) == -EINVAL);
    CHECK_TEXT(err.message, "this is UTF-16; JSON lines must be UTF-8 text");
}

static void opening_waits_for_a_whole_line(void)
{
    struct ce_text_table table = {.format = &ce_jsonl_format, .path = "data.jsonl"};
    struct ce_error err = {0};
    CHECK(ce_jsonl_format.open(&table, BYTES("{\"a\":1"), false, &err) == -EAGAIN);
    CHECK(ce_jsonl_format.open(&table, BYTES("\n\n"), false, &err) == -EAGAIN);
    CHECK(ce_jsonl_format.open(&table, BYTES("\n{\"a\":1}\n{\"b\":"), false, &err) == 0);
    CHECK(table.column_count == 1);
    ce_text_table_done(&table);
}

/* ---- chunks ---- */

static void splitting_keeps_records_whole(void)
{
    static const struct {
        const char *data;
        bool last;
        int64_t size;
        uint64_t records, lines;
    } cases[] = {
        {"{\"a\":1}\n{\"a\":2}\n{\"a\"", false, 16, 2, 2},
        {"{\"a\":1}\n\n \n{\"a\":2}\n\n\n", false, 19, 2, 4},
        {"{\"a\":1}\n\n{\"a\":2}\n\n", true, 18, 2, 4},
        {"{\"a\":1}\n{\"a\":2}", true, 15, 2, 1},
        {"{\"a\":1}", false, 0, 0, 0},
        {"\n\n", false, 0, 0, 0},
        {"\n\n", true, 2, 0, 2},
        {"", true, 0, 0, 0},
    };
    FILE_OF(file, BYTES("{\"a\":1}\n"));
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        char data[256] = {0};
        memcpy(data, cases[i].data, strlen(cases[i].data));
        uint64_t records = 99, lines = 99;
        CHECK(ce_jsonl_format.split(&file.table, data, strlen(data), cases[i].last, 1, &records,
                                    &lines, &err) == cases[i].size);
        CHECK(records == cases[i].records && lines == cases[i].lines);
    }
}

static void later_keys_are_passed_over_until_they_are_learnt(void)
{
    FILE_OF(file, BYTES("{\"a\":1,\"b\":2}\n"));
    static const char later[] = "{\"c\":3,\"b\":4,\"d\\u0065\":5}\n{\"f\":6}";
    char data[sizeof later + 64] = {0};
    memcpy(data, later, sizeof later);
    char text[256];
    for (int learnt = 0; learnt < 2; learnt++) {
        ce_text_scan_done(&file.scan);
        file.scan = (struct ce_text_scan){
            .table = &file.table, .at = data, .end = data + strlen(later), .last = true};
        REQUIRE_OK(show(&file, text, sizeof text, &err), err);
        CHECK_TEXT(text, learnt ? "a b c de f | - 4 3 5 - | - - - - 6" : "a b | - 4 | - -");
        CHECK(file.scan.unknown == (learnt ? 0 : 3));
        REQUIRE_OK(ce_jsonl_format.learn(&file.table, data, strlen(later), &err), err);
    }
    CHECK(file.table.column_count == 5);
}

static void learning_stops_at_a_malformed_line(void)
{
    FILE_OF(file, BYTES("{\"a\":1}\n"));
    char data[128] = "{\"b\":1}\n{\"c\":1,\"d\":}\n{\"e\":1}\n";
    CHECK(ce_jsonl_format.learn(&file.table, data, strlen(data), &err) == 0);
    CHECK(ce_text_column(&file.table, "b", 1) == 1);
    CHECK(ce_text_column(&file.table, "e", 1) == -1);
    char first[128] = BOM "{\"f\":1}";
    CHECK(ce_jsonl_format.learn(&file.table, first, strlen(first), &err) == 0);
    CHECK(ce_text_column(&file.table, "f", 1) >= 0);
}

static void many_columns_are_found(void)
{
    enum { COUNT = 3000 };
    char *data = malloc(COUNT * 16 + 64);
    REQUIRE(data);
    size_t size = 0;
    for (int i = 0; i < COUNT; i++)
        size += (size_t)sprintf(data + size, "%s\"k%d\":%d", i > 0 ? "," : "{", i, i);
    size += (size_t)sprintf(data + size, "}\n{\"k%d\":-1,\"k0\":-2}\n", COUNT - 1);
    FILE_OF(file, data, size);
    free(data);
    CHECK(file.table.column_count == COUNT);
    struct ce_text_record record;
    CHECK(ce_jsonl_format.next(&file.scan, &record, &err) == 1);
    CHECK(strncmp(record.cells[COUNT - 1].raw, "2999", 4) == 0);
    CHECK(ce_jsonl_format.next(&file.scan, &record, &err) == 1);
    CHECK(record.cell_count == COUNT && strncmp(record.cells[COUNT - 1].raw, "-1", 2) == 0);
    CHECK(strncmp(record.cells[0].raw, "-2", 2) == 0 && !record.cells[1].raw);
}

static void keys_that_are_data_are_refused(void)
{
    char *data = malloc(70000 * 16 + 64);
    REQUIRE(data);
    size_t size = 0;
    for (int i = 0; i < 70000; i++)
        size += (size_t)sprintf(data + size, "{\"id%d\":1}\n", i);
    CE_CLEANUP(file_close) struct file file;
    struct ce_error err = {0};
    CHECK(file_open(&file, data, size, &err) == -EINVAL);
    CHECK(strstr(err.message, "more than 65536 different keys") != NULL);
    free(data);
}

/* Scans the same bytes again and again with copies of the table, while another thread learns. */
struct racer {
    struct ce_text_table table; /* a copy */
    const char *data;
    size_t size;
    bool same;
};

static void *race(void *ctx)
{
    struct racer *racer = ctx;
    racer->same = true;
    for (int i = 0; i < 50; i++) {
        struct ce_text_scan scan = {
            .table = &racer->table, .at = racer->data, .end = racer->data + racer->size};
        struct ce_text_record record;
        while (ce_jsonl_format.next(&scan, &record, NULL) > 0)
            if (record.cell_count != 1 || !record.cells[0].raw)
                racer->same = false;
        if (scan.unknown != 500)
            racer->same = false;
        ce_text_scan_done(&scan);
    }
    return NULL;
}

static void copies_of_a_table_are_safe_from_learning(void)
{
    enum { ROWS = 500 };
    FILE_OF(file, BYTES("{\"a\":1}\n"));
    char *data = calloc(1, ROWS * 32 + 64);
    REQUIRE(data);
    size_t size = 0;
    for (int i = 0; i < ROWS; i++)
        size += (size_t)sprintf(data + size, "{\"a\":1,\"b%d\":2}\n", i);
    struct racer racer = {.table = file.table, .data = data, .size = size};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, race, &racer) == 0);
    REQUIRE_OK(ce_jsonl_format.learn(&file.table, data, size, &err), err);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(racer.same && file.table.column_count == ROWS + 1);
    free(data);
}

/* ---- layouts ---- */

#define KEEP(index, called)                                                                        \
    {                                                                                              \
        .column = (index), .name = (called)                                                        \
    }
#define ADD(called, value, is_number)                                                              \
    {                                                                                              \
        .column = -1, .name = (called), .text = (value), .text_size = sizeof(value) - 1,           \
        .number = (is_number)                                                                      \
    }

/* Of records with the columns a, b, c. */
static const struct {
    const char *what, *record, *want;
    struct ce_layout_cell cells[5];
    size_t count;
} layouts[] = {
    {"nothing changes",
     " {\"b\" : 1,  \"a\":2}\r\n",
     " {\"b\" : 1,  \"a\":2}\r\n",
     {KEEP(0, "a"), KEEP(1, "b"), KEEP(2, "c")},
     3},
    {"the first goes",
     "{\"a\": 1, \"b\": 2, \"c\": 3}\n",
     "{\"b\": 2, \"c\": 3}\n",
     {KEEP(1, "b"), KEEP(2, "c")},
     2},
    {"the last goes",
     "{\"a\": 1, \"b\": 2, \"c\": 3 }\n",
     "{\"a\": 1, \"b\": 2 }\n",
     {KEEP(0, "a"), KEEP(1, "b")},
     2},
    {"one in the middle goes",
     "{\"a\":1,\"b\":2,\"c\":3}",
     "{\"a\":1,\"c\":3}",
     {KEEP(0, "a"), KEEP(2, "c")},
     2},
    {"all go", "{ \"a\":1,\"b\":2}\n", "{}\n", {{0}}, 0},
    {"what is no column stays",
     "{\"x\":0,\"a\":1,\"y\":2}\n",
     "{\"x\":0,\"y\":2}\n",
     {KEEP(1, "b")},
     1},
    {"repeats go too",
     "{\"a\":1,\"b\":2,\"a\":3}\n",
     "{\"b\":2}\n",
     {KEEP(1, "b"), KEEP(2, "c")},
     2},
    {"renamed",
     "{\"a\": 1, \"b\": 2}\n",
     "{\"a\": 1, \"n\\\"ew\": 2}\n",
     {KEEP(0, "a"), KEEP(1, "n\"ew"), KEEP(2, "c")},
     3},
    {"added",
     "{\"a\": 1}\n",
     "{\"a\": 1, \"n\": \"x\", \"m\": 12.5}\n",
     {KEEP(0, "a"), KEEP(1, "b"), KEEP(2, "c"), ADD("n", "x", false), ADD("m", "12.5", true)},
     5},
    {"added tightly",
     "{\"a\":1,\"b\":2}\n",
     "{\"a\":1,\"b\":2,\"n\":\"1\"}\n",
     {KEEP(0, "a"), KEEP(1, "b"), KEEP(2, "c"), ADD("n", "1", false)},
     4},
    {"added to one", "{\"a\":1}\n", "{\"a\":1,\"n\":7}\n", {KEEP(0, "a"), ADD("n", "7", true)}, 2},
    {"added to nothing", "{}\n", "{\"n\": 7}\n", {KEEP(0, "a"), ADD("n", "7", true)}, 2},
    {"added in place of all", "{ \"a\":1 }\n", "{ \"n\":7 }\n", {ADD("n", "7", true)}, 1},
    {"no number after all",
     "{\"a\":1}\n",
     "{\"a\":1,\"n\":\"+7\"}\n",
     {KEEP(0, "a"), ADD("n", "+7", true)},
     2},
    {"reordered",
     "{\"a\": 1,\"b\": 2,  \"c\": 3}\n",
     "{\"c\": 3,\"a\": 1,  \"b\": 2}\n",
     {KEEP(2, "c"), KEEP(0, "a"), KEEP(1, "b")},
     3},
    {"reordered where one lacks",
     "{\"a\":1,\"x\":0,\"c\":3}\n",
     "{\"c\":3,\"x\":0,\"a\":1}\n",
     {KEEP(2, "c"), KEEP(1, "b"), KEEP(0, "a")},
     3},
    {"reordered, renamed, one left out, one added",
     "{\"a\":1,\"b\":2,\"c\":3}\n",
     "{\"z\":3,\"a\":1,\"n\":null}\n",
     {KEEP(2, "z"), KEEP(0, "a"), {.column = -1, .name = "n"}},
     3},
};

static void records_are_laid_out(void)
{
    for (size_t i = 0; i < CE_COUNT(layouts); i++) {
        FILE_OF(file, BYTES("{\"a\":1,\"b\":2,\"c\":3}\n"));
        char data[256] = {0};
        strcpy(data, layouts[i].record);
        struct ce_text_scan scan = {
            .table = &file.table, .at = data, .end = data + strlen(data), .last = true};
        struct ce_text_record record;
        struct ce_buffer out = {0};
        REQUIRE_OK(ce_jsonl_format.next(&scan, &record, &err), err);
        REQUIRE_OK(ce_jsonl_format.lay_out(&file.table, &record, false, layouts[i].cells,
                                           layouts[i].count, &out, &err),
                   err);
        REQUIRE(ce_buffer_put(&out, "", 1));
        CHECK_TEXT(out.data, layouts[i].want);
        ce_buffer_done(&out);
        ce_text_scan_done(&scan);
    }
}

/* The engine hands over values that it made, and none for cells that are gone. */
static void laid_out_values_are_those_of_the_cells(void)
{
    FILE_OF(file, BYTES("{\"a\": 1, \"b\": 2, \"c\": 3}\n"));
    struct ce_text_record record;
    REQUIRE_OK(ce_jsonl_format.next(&file.scan, &record, &err), err);
    record.cells[0].raw = NULL;
    record.cells[2] = (struct ce_text_cell){"\"new\"", 5, true};
    static const struct ce_layout_cell all[] = {KEEP(0, "a"), KEEP(1, "b"), KEEP(2, "c")};
    struct ce_buffer out = {0};
    REQUIRE_OK(ce_jsonl_format.lay_out(&file.table, &record, false, all, 3, &out, &err), err);
    REQUIRE(ce_buffer_put(&out, "", 1));
    CHECK_TEXT(out.data, "{\"b\": 2, \"c\": \"new\"}\n");
    ce_buffer_done(&out);
}

/* ---- cells ---- */

/* What is done to a value, and what comes of it. */
struct change {
    const char *value, *made; /* made: NULL: it stays, `why` says why */
    const char *why;
};

static const char *value_after(struct ce_json_value_row *row)
{
    static char text[256];
    const char *made;
    size_t size;
    if (!ce_json_value_made(row, &made, &size))
        return NULL;
    snprintf(text, sizeof text, "%.*s", (int)size, made ? made : "gone");
    if (!made)
        strcpy(text, "gone");
    return text;
}

static void check_change(const struct change *change, const struct ce_column_profile *column,
                         const char *(*set)(struct ce_cell *cell, const void *ctx), const void *ctx)
{
    struct ce_json_value_row row;
    struct ce_cell cell = {0};
    ce_json_value_init(&row, column, 5, change->value, strlen(change->value));
    ce_row_cell(&row.text.row, 0, &cell);
    CHECK(cell.raw == change->value && cell.profile == column && cell.row->ordinal == 5);
    const char *why = set(&cell, ctx);
    if (change->why)
        CHECK_TEXT(why, change->why);
    else
        CHECK(why == NULL);
    if (change->made)
        CHECK_TEXT(value_after(&row), change->made);
    else
        CHECK(value_after(&row) == NULL);
    ce_json_value_done(&row);
}

static const char *set_missing(struct ce_cell *cell, const void *ctx)
{
    return ce_cell_set_missing(cell, ctx);
}

static const char *set_text(struct ce_cell *cell, const void *ctx)
{
    return ce_cell_set_text(cell, ctx, strlen(ctx));
}

static const char *set_number(struct ce_cell *cell, const void *ctx)
{
    return ce_cell_set_number(cell, *(const double *)ctx, CE_FIT_NEAREST);
}

static void values_are_read(void)
{
    static const struct {
        const char *value, *text;
        bool missing, number;
        double is;
    } cases[] = {
        {"null", "null", true, false, 0},
        {"NaN", "NaN", true, false, 0},
        {"\"\"", "", true, false, 0},
        {"\"NA\"", "NA", false, false, 0},
        {"12.5", "12.5", false, true, 12.5},
        {"-1e3", "-1e3", false, true, -1000},
        {"-Infinity", "-Infinity", false, false, 0},
        {"\"12.5\"", "12.5", false, false, 0},
        {"true", "true", false, false, 0},
        {"[1, 2]", "[1, 2]", false, false, 0},
        {"\"a\\\"b\\\\c\\/\\b\\f\\n\\r\\t\"", "a\"b\\c/\b\f\n\r\t", false, false, 0},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "A\u00e9\u20ac\U0001F600", false, false, 0},
        {"\"\\ud83dx\\udc00\\ud800\\u0041\"", "\ufffdx\ufffd\ufffdA", false, false, 0},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_json_value_row row;
        struct ce_cell cell = {0};
        ce_json_value_init(&row, NULL, 0, cases[i].value, strlen(cases[i].value));
        ce_row_cell(&row.text.row, 0, &cell);
        double number = 0;
        size_t size = 0;
        const char *text = ce_cell_text(&cell, &size);
        CHECK(text && size == strlen(cases[i].text) && memcmp(text, cases[i].text, size) == 0);
        CHECK(ce_cell_missing(&cell) == cases[i].missing);
        CHECK(ce_cell_number(&cell, &number) == cases[i].number && number == cases[i].is);
        ce_json_value_done(&row);
    }
}

static void missing_has_spellings(void)
{
    static const struct {
        const char *spelling;
        struct change change;
    } cases[] = {
        {NULL, {"12", "null", NULL}},       {NULL, {"\"x\"", "null", NULL}},
        {NULL, {"[1]", "null", NULL}},      {NULL, {"null", NULL, "no change"}},
        {"null", {"12", "null", NULL}},     {"NA", {"12", "\"NA\"", NULL}},
        {"\\N", {"12", "\"\\\\N\"", NULL}}, {"", {"12", "\"\"", NULL}},
        {"", {"\"\"", NULL, "no change"}},  {CE_SPELL_ABSENT, {"12", "gone", NULL}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        check_change(&cases[i].change, NULL, set_missing, cases[i].spelling);
}

static void a_cell_that_is_gone_stays_gone(void)
{
    struct ce_json_value_row row;
    struct ce_cell cell = {0};
    ce_json_value_init(&row, NULL, 0, "12", 2);
    ce_row_cell(&row.text.row, 0, &cell);
    CHECK(ce_cell_set_missing(&cell, CE_SPELL_ABSENT) == NULL);
    CHECK(cell.raw == NULL && ce_cell_missing(&cell));
    CHECK_TEXT(ce_cell_set_missing(&cell, NULL), "absent");
    CHECK_TEXT(ce_cell_set_number(&cell, 1, CE_FIT_NEAREST), "absent");
    CHECK_TEXT(ce_cell_set_text(&cell, "x", 1), "absent");
    CHECK_TEXT(value_after(&row), "gone");
    ce_json_value_done(&row);
}

static void numbers_keep_their_form(void)
{
    static const struct ce_column_profile whole = {.type = CE_TYPE_INTEGER};
    static const struct {
        double value;
        struct change change;
        const struct ce_column_profile *column;
    } cases[] = {
        {13.256, {"12.50", "13.26", NULL}, NULL},      {-3, {"12", "-3", NULL}, NULL},
        {0.5, {"1.250e+01", "5.000e-01", NULL}, NULL}, {2.5, {"null", "2.5", NULL}, NULL},
        {2.75, {"null", "3", NULL}, &whole},           {2.5, {"\"x\"", "2.5", NULL}, NULL},
        {2.5, {"[1]", NULL, "nested"}, NULL},          {2.5, {"{}", NULL, "nested"}, NULL},
        {1e300, {"12", NULL, "no room"}, NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        check_change(&cases[i].change, cases[i].column, set_number, &cases[i].value);
}

static void texts_become_strings_or_stay_bare(void)
{
    static const struct ce_column_profile number = {.type = CE_TYPE_NUMBER};
    static const struct ce_column_profile boolean = {.type = CE_TYPE_BOOLEAN};
    static const struct {
        const char *text;
        struct change change;
        const struct ce_column_profile *column;
    } cases[] = {
        {"new", {"\"old\"", "\"new\"", NULL}, NULL},
        {"old", {"\"old\"", NULL, "no change"}, NULL},
        {"a/b", {"\"a\\/b\"", NULL, "no change"}, NULL},
        {"q\"\\\n\t\x01\x1f\x7f", {"\"\"", "\"q\\\"\\\\\\n\\t\\u0001\\u001f\x7f\"", NULL}, NULL},
        {"\u00e9\U0001F600", {"\"x\"", "\"\u00e9\U0001F600\"", NULL}, NULL},
        {"\u00e9\U0001F600", {"\"\\u00e8\"", "\"\\u00e9\\ud83d\\ude00\"", NULL}, NULL},
        {"\u00e9", {"\"\\u00e8\u00e8\"", "\"\u00e9\"", NULL}, NULL},
        {"a\xff\xc3(\xed\xa0\x80\xc0\x80\xe2\x82",
         {"\"x\"", "\"a\ufffd\ufffd(\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\"", NULL},
         NULL},
        {"12", {"\"x\"", "\"12\"", NULL}, NULL},
        {"12.5", {"7", "12.5", NULL}, NULL},
        {"12.5 u", {"7", "\"12.5 u\"", NULL}, NULL},
        {"007", {"7", "\"007\"", NULL}, NULL},
        {"+1", {"7", "\"+1\"", NULL}, NULL},
        {"1.", {"7", "\"1.\"", NULL}, NULL},
        {".5", {"7", "\".5\"", NULL}, NULL},
        {" 5", {"7", "\" 5\"", NULL}, NULL},
        {"1e999", {"7", "\"1e999\"", NULL}, NULL},
        {"1e5", {"7", "1e5", NULL}, NULL},
        {"7", {"7", NULL, "no change"}, NULL},
        {"false", {"true", "false", NULL}, NULL},
        {"False", {"true", "\"False\"", NULL}, NULL},
        {"true", {"\"x\"", "\"true\"", NULL}, NULL},
        {"5", {"null", "\"5\"", NULL}, NULL},
        {"5", {"null", "5", NULL}, &number},
        {"true", {"null", "true", NULL}, &boolean},
        {"true", {"null", "\"true\"", NULL}, &number},
        {"x", {"[1]", NULL, "nested"}, NULL},
        {"x", {"{\"a\":1}", NULL, "nested"}, NULL},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        check_change(&cases[i].change, cases[i].column, set_text, cases[i].text);
}

/* A text may be that of a cell that was set before, in a buffer that grows. */
static void a_cell_can_take_the_text_of_another(void)
{
    FILE_OF(file, BYTES("{\"a\":\"x\",\"b\":\"y\"}\n"));
    struct ce_text_record record;
    REQUIRE_OK(ce_jsonl_format.next(&file.scan, &record, &err), err);
    struct ce_buffer made = {0}, scratch = {0};
    struct ce_text_row row = {.row = {.form = ce_jsonl_format.form},
                              .table = &file.table,
                              .record = &record,
                              .made = &made,
                              .scratch = &scratch};
    struct ce_cell a = {0}, b = {0};
    ce_row_cell(&row.row, 0, &a);
    ce_row_cell(&row.row, 1, &b);
    char longer[1000];
    memset(longer, 'l', sizeof longer);
    CHECK(ce_cell_set_text(&a, longer, sizeof longer) == NULL);
    for (int i = 0; i < 20; i++) {
        size_t size;
        const char *text = ce_cell_text(i % 2 ? &b : &a, &size);
        CHECK(ce_cell_set_text(i % 2 ? &a : &b, text, size - 1) == NULL);
    }
    size_t size;
    const char *text = ce_cell_text(&a, &size);
    CHECK(size == 980 && memcmp(text, longer, size) == 0);
    CHECK(row.count == 2);
    free(row.cells);
    ce_buffer_done(&made);
    ce_buffer_done(&scratch);
}

int main(void)
{
    TEST(lines_become_records);
    TEST(every_byte_is_handed_out_once);
    TEST(lines_are_counted);
    TEST(malformed_lines_are_named);
    TEST(a_malformed_line_beyond_the_first_bytes_is_named);
    TEST(nesting_is_bounded);
    TEST(utf16_is_refused);
    TEST(opening_waits_for_a_whole_line);
    TEST(splitting_keeps_records_whole);
    TEST(later_keys_are_passed_over_until_they_are_learnt);
    TEST(learning_stops_at_a_malformed_line);
    TEST(many_columns_are_found);
    TEST(keys_that_are_data_are_refused);
    TEST(copies_of_a_table_are_safe_from_learning);
    TEST(records_are_laid_out);
    TEST(laid_out_values_are_those_of_the_cells);
    TEST(values_are_read);
    TEST(missing_has_spellings);
    TEST(a_cell_that_is_gone_stays_gone);
    TEST(numbers_keep_their_form);
    TEST(texts_become_strings_or_stay_bare);
    TEST(a_cell_can_take_the_text_of_another);
    return test_done();
}
