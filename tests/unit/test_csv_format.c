/* SPDX-License-Identifier: MIT */
/* CSV in memory: which dialect a file is written in, where its records are, how cells are written,
 * and records with other columns. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "check.h"
#include "data/decimal.h"
#include "data/text/csv_cell.h"

#define BOM "\xef\xbb\xbf"

/* What a user may fix. */
struct dialect {
    char delimiter, comment;
    bool headerless, backslash;
};

static const struct file {
    const char *what, *text;
    struct dialect dialect;
    const char *want; /* names and cells in brackets, a line per record */
} files[] = {
    {"separators and line ends in quotes",
     "a,b\n\"1,\n2\r3\r\n4\",x\n5,6\n",
     {0},
     "[a][b]\n[1,\n2\r3\r\n4][x]\n[5][6]\n"},
    {"doubled quotes",
     "a,b\n\"say \"\"hi\"\"\",\"\"\"\"\n1,2\n",
     {0},
     "[a][b]\n[say \"hi\"][\"]\n[1][2]\n"},
    {"a quote within",
     "a,b\n5\" pipe,x\"y\"z\n1,2\n",
     {0},
     "[a][b]\n[5\" pipe][x\"y\"z]\n[1][2]\n"},
    {"text after a closing quote", "a,b\n\"x\"y,\"1\"\"\"z\n", {0}, "[a][b]\n[xy][1\"z]\n"},
    {"backslashes are bytes", "a,b\n\\,\\\\\n", {0}, "[a][b]\n[\\][\\\\]\n"},
    {"backslashes escape",
     "a,b\nx\\,y,\"q\\\"q\"\n\\\\,l\\\nm\n1,\"\\\\\"\nr\\\r\ns,\"t\\\r\nu\"\n3,4\n",
     {.backslash = true},
     "[a][b]\n[x,y][q\"q]\n[\\][l\nm]\n[1][\\]\n[r\r]\n[s][t\r\nu]\n[3][4]\n"},
    {"a backslash at the end", "a,b\n1,2\\", {.backslash = true}, "[a][b]\n[1][2\\]\n"},
    {"blanks around quotes", "a,b\n \"x\" ,\"y\" \n", {0}, "[a][b]\n[ \"x\" ][y ]\n"},
    {"line ends of every kind",
     "a,b\r\n1,2\n3,4\r5,6\r\n7,8",
     {0},
     "[a][b]\n[1][2]\n[3][4]\n[5][6]\n[7][8]\n"},
    {"carriage returns alone", "a,b\r1,2\r\r3,4\r", {0}, "[a][b]\n[1][2]\n[3][4]\n"},
    {"byte order mark", BOM "\"a\",b\n1,2\n", {0}, "[a][b]\n[1][2]\n"},
    {"other encodings", "\xe4,b\n\xff\xfe,\x80\n", {0}, "[\xe4][b]\n[\xff\xfe][\x80]\n"},
    {"ragged rows",
     "a,b,c\n1\n1,2,3,4\n1,2,3\n,\n",
     {0},
     "[a][b][c]\n[1]\n[1][2][3][4]\n[1][2][3]\n[][]\n"},
    {"blank lines", "\n\r\na,b\n\n1,2\n\r\r\n3,4\n\n\r\n\n", {0}, "[a][b]\n[1][2]\n[3][4]\n"},
    {"one column", "a\n1\n\"\"\n\n2\n", {0}, "[a]\n[1]\n[]\n[2]\n"},
    {"no header", "1,2\n3,4\n", {.headerless = true}, "[column1][column2]\n[1][2]\n[3][4]\n"},
    {"no header behind a byte order mark",
     BOM "1;2\n",
     {.headerless = true},
     "[column1][column2]\n[1][2]\n"},
    {"names",
     "\"a\nb\",,\"c\"\"\",x,x\n1,2,3,4,5\n",
     {0},
     "[a\nb][][c\"][x][x]\n[1][2][3][4][5]\n"},
    {"semicolons", "a;b\n1,5;2,5\n", {0}, "[a][b]\n[1,5][2,5]\n"},
    {"tabs", "a\tb\n1,5\t2\n", {0}, "[a][b]\n[1,5][2]\n"},
    {"pipes", "a|b\n\"1|2\"|2\n", {0}, "[a][b]\n[1|2][2]\n"},
    {"unit separators",
     "a\x1f"
     "b\n1\x1f"
     "2\n",
     {0},
     "[a][b]\n[1][2]\n"},
    {"a separator that was asked for",
     "a;b,c\n1;2,3\n",
     {.delimiter = ','},
     "[a;b][c]\n[1;2][3]\n"},
    {"a line that names the separator", "sep=;\r\na,b;c\r\n1;2\r\n", {0}, "[a,b][c]\n[1][2]\n"},
    {"a separator that beats it", "sep=;\na,b;c\n1,2\n", {.delimiter = ','}, "[a][b;c]\n[1][2]\n"},
    {"comments",
     "# it's \"\na,b\n#\n1,2\n#x,\"y\r\n\n3,#4\r\n\"#5\",6\n# end",
     {.comment = '#'},
     "[a][b]\n[1][2]\n[3][#4]\n[#5][6]\n"},
    {"no comments", "#a,b\n#1,2\n", {0}, "[#a][b]\n[#1][2]\n"},
    {"quotes far from the start",
     "name,text\n"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\"bbbbbbb\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"\n1,2\n",
     {0},
     "[name][text]\n"
     "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa][bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]\n"
     "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa][bbbbbbb\nbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]\n[1][2]"
     "\n"},
};

static struct ce_text_table table_of(const struct dialect *dialect)
{
    return (struct ce_text_table){
        .format = &ce_csv_format,
        .path = "data.csv",
        .delimiter = dialect->delimiter,
        .comment = dialect->comment,
        .headerless = dialect->headerless,
        .backslash = dialect->backslash,
    };
}

static int open_text(struct ce_text_table *table, const char *text, struct ce_error *err)
{
    return ce_csv_format.open(table, text, strlen(text), true, err);
}

static void print_record(FILE *out, const struct ce_text_table *table,
                         const struct ce_text_record *record)
{
    for (size_t i = 0; i < record->cell_count; i++) {
        char value[128];
        fprintf(out, "[%.*s]",
                (int)ce_csv_cell_value(&record->cells[i], table->backslash, value, sizeof value),
                value);
    }
    fputc('\n', out);
}

static uint64_t line_ends(const char *p, const char *end)
{
    uint64_t count = 0;
    for (; p < end; p++)
        count += *p == '\n' || (*p == '\r' && (p + 1 == end || p[1] != '\n'));
    return count;
}

/* Where records end, and how many lines have ended by then. */
struct mark {
    size_t end;
    bool open; /* without a line end */
    uint64_t lines;
};

/* Walks all records; checks that they and what is between them are all bytes in order. */
static size_t walk(const struct ce_text_table *table, const char *text, struct mark *marks,
                   FILE *out)
{
    CE_CLEANUP(ce_text_scan_done)
    struct ce_text_scan scan = {.table = table,
                                .at = text + table->head_size,
                                .end = text + strlen(text),
                                .last = true,
                                .line = 1 + table->head_lines};
    struct ce_text_record record;
    struct ce_error err = {0};
    const char *at = scan.at;
    size_t count = 0;
    CHECK(table->head_lines == line_ends(text, at));
    while (ce_csv_format.next(&scan, &record, &err) == 1) {
        CHECK(record.before == at && record.bytes == at + record.before_size);
        CHECK(record.row == count && record.line == 1 + line_ends(text, record.bytes));
        at = record.bytes + record.size;
        const struct ce_text_cell *last = &record.cells[record.cell_count - 1];
        CHECK(last->raw + last->raw_size + record.end_size == at);
        marks[count++] =
            (struct mark){(size_t)(at - text), record.end_size == 0, line_ends(text, at)};
        print_record(out, table, &record);
    }
    CHECK_TEXT(err.message, "");
    CHECK(record.before == at && at + record.before_size == scan.end && record.cell_count == 0);
    return count;
}

/* The bytes from `from` on as far as `size`, with more to come: split() takes the records that are
 * known to be whole, and as many lines as they have. */
static void check_split(const struct file *file, const struct ce_text_table *table, size_t from,
                        size_t size, const struct mark *marks, size_t count)
{
    char copy[512 + 64] = {0};
    memcpy(copy, file->text + from, size - from);
    size_t whole = from;
    uint64_t records = 0, before = line_ends(file->text, file->text + from), lines = before;
    for (size_t i = 0; i < count; i++) {
        size_t end = marks[i].end;
        bool known = end < size || (end == size && file->text[end - 1] == '\n');
        if (end <= from || marks[i].open || !known)
            continue;
        whole = end;
        lines = marks[i].lines;
        records++;
    }
    uint64_t got_records = 0, got_lines = 0;
    struct ce_error err = {0};
    int64_t got = ce_csv_format.split(table, copy, size - from, false, before + 1, &got_records,
                                      &got_lines, &err);
    if (got != (int64_t)(whole - from) || got_records != records || got_lines != lines - before) {
        printf("# %s, bytes %zu to %zu: %" PRId64 " with %" PRIu64 " records, %" PRIu64 " lines\n",
               file->what, from, size, got, got_records, got_lines);
        CHECK(!"as next() finds them");
    }
}

static void records_are_found_and_split_at_any_byte(void)
{
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        CE_CLEANUP(ce_text_table_done) struct ce_text_table table = table_of(&files[i].dialect);
        struct ce_error err = {0};
        REQUIRE_OK(open_text(&table, files[i].text, &err), err);
        ce_autofree char *text = NULL;
        size_t size, length = strlen(files[i].text);
        FILE *out = open_memstream(&text, &size);
        for (size_t c = 0; c < table.column_count; c++)
            fprintf(out, "[%s]", table.names[c]);
        fputc('\n', out);
        struct mark marks[16];
        size_t count = walk(&table, files[i].text, marks, out);
        fclose(out);
        if (strcmp(text, files[i].want) != 0)
            printf("# %s:\n", files[i].what);
        CHECK_TEXT(text, files[i].want);
        for (size_t from = table.head_size, next = 0;; from = marks[next++].end) {
            for (size_t to = from; to <= length; to++)
                check_split(&files[i], &table, from, to, marks, count);
            uint64_t records, lines;
            CHECK(ce_csv_format.split(&table, files[i].text + from, length - from, true, 1,
                                      &records, &lines, &err) == (int64_t)(length - from));
            CHECK(records == count - next);
            CHECK(lines == line_ends(files[i].text + from, files[i].text + length));
            if (next == count)
                break;
        }
    }
}

/* A long record comes first, so that the others lie across the place where a scan, which looks at
 * so many bytes at a time, goes on. */
static void records_read_alike_wherever_they_lie(void)
{
    enum { AHEAD = 2048, AROUND = 140 };
    for (size_t i = 0; i < CE_COUNT(files); i++) {
        CE_CLEANUP(ce_text_table_done) struct ce_text_table table = table_of(&files[i].dialect);
        struct ce_error err = {0};
        REQUIRE_OK(open_text(&table, files[i].text, &err), err);
        const char *records = files[i].text + table.head_size, *want = files[i].want;
        for (size_t c = 0; c < table.column_count; c++)
            want += strlen(table.names[c]) + strlen("[]");
        want++; /* the line of the names */
        for (size_t pad = AHEAD - AROUND; pad <= AHEAD; pad++) {
            char bytes[AHEAD + 1024] = {0};
            memset(bytes, 'x', pad);
            bytes[pad] = '\n';
            strcpy(bytes + pad + 1, records);
            CE_CLEANUP(ce_text_scan_done)
            struct ce_text_scan scan = {
                .table = &table, .at = bytes, .end = bytes + strlen(bytes), .last = true};
            struct ce_text_record record;
            ce_autofree char *text = NULL;
            size_t size;
            REQUIRE(ce_csv_format.next(&scan, &record, &err) == 1);
            CHECK(record.cell_count == 1 && record.size == pad + 1);
            FILE *out = open_memstream(&text, &size);
            while (ce_csv_format.next(&scan, &record, &err) == 1)
                print_record(out, &table, &record);
            fclose(out);
            if (strcmp(text, want) != 0)
                printf("# %s, behind %zu bytes:\n", files[i].what, pad);
            CHECK_TEXT(text, want);
        }
    }
}

/* ---- opening ---- */

static void decimal_commas_are_found(void)
{
    static const struct {
        const char *text;
        bool comma;
    } cases[] = {
        {"a;b\n3,14;2\n", true},
        {"a\tb\n\"-0,5\"\t2\n", true},
        {"a;b\n0,123;2\n", true},
        {"a;b\n1,234;5,678\n", false},
        {"a;b\n1,5;2.5\n3.5;4.5\n", false},
        {"a;b\n12,5 kg;1\n", false},
        {"a,b\n\"1,5\",2\n", false},
        {"a;b\n1;2\n", false},
        {"a;b\n1,234;5,6\n", true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_text_table_done) struct ce_text_table table = table_of(&(struct dialect){0});
        struct ce_error err = {0};
        REQUIRE_OK(open_text(&table, cases[i].text, &err), err);
        if (table.decimal_comma != cases[i].comma)
            CHECK_TEXT(cases[i].text, cases[i].comma ? "decimal comma" : "none");
    }
}

static void the_head_is_all_before_the_first_record(void)
{
    static const char text[] = BOM "sep=;\n\r\n#c\n\"a\n\";b\r\n\n1;2\n";
    CE_CLEANUP(ce_text_table_done)
    struct ce_text_table table = table_of(&(struct dialect){.comment = '#'});
    struct ce_error err = {0};
    REQUIRE_OK(open_text(&table, text, &err), err);
    CHECK(table.header_at == 14 && table.header_size == 8 && table.head_size == 22);
    CHECK(table.head_lines == 5);
    CHECK(ce_text_column(&table, "b", 1) == 1 && ce_text_column(&table, "a\n", 2) == 0);
    CHECK(ce_text_column(&table, "a", 1) == -1 && ce_text_column(&table, "bb", 1) == 1);

    CE_CLEANUP(ce_text_table_done)
    struct ce_text_table bare = table_of(&(struct dialect){.headerless = true});
    REQUIRE_OK(open_text(&bare, BOM "\n1,2\n", &err), err);
    CHECK(bare.head_size == 3 && bare.header_size == 0 && bare.head_lines == 0);
}

/* A guess that depended on how much was read first would not be the same for a pipe. */
static void opening_waits_for_what_it_guesses_from(void)
{
    enum { SIZE = 600 * 1024, LOOKED_AT = 256 * 1024 };
    ce_autofree char *text = malloc(SIZE);
    memset(text, 'x', SIZE);
    struct ce_error err = {0};
    struct ce_text_table table = table_of(&(struct dialect){0});
    memcpy(text, "a;b\n1;2\n", 8);
    CHECK(ce_csv_format.open(&table, text, 0, false, &err) == -EAGAIN);
    CHECK(ce_csv_format.open(&table, text, LOOKED_AT - 1, false, &err) == -EAGAIN);
    CHECK(err.message[0] == '\0' && table.delimiter == '\0');
    REQUIRE_OK(ce_csv_format.open(&table, text, LOOKED_AT, false, &err), err);
    CHECK(table.delimiter == ';' && table.column_count == 2);
    ce_text_table_done(&table);

    /* A header that does not end within what is looked at. */
    table = table_of(&(struct dialect){0});
    memset(text, 'x', 8);
    text[5] = '|';
    CHECK(ce_csv_format.open(&table, text, 500 * 1024, false, &err) == -EAGAIN);
    text[550 * 1024] = '\n';
    REQUIRE_OK(ce_csv_format.open(&table, text, SIZE, false, &err), err);
    CHECK(table.delimiter == '|' && table.column_count == 2);
    ce_text_table_done(&table);
}

static void what_is_no_table_is_refused(void)
{
    static const struct {
        const char *text;
        size_t size;
        bool headerless;
        const char *where, *says;
    } cases[] = {
        {"", 0, false, "", "is empty: the first line must name the columns"},
        {"\n", 1, true, "", "is empty: there is no record"},
        {"\xff\xfe"
         "a\0",
         4, false, "data.csv:1", "UTF-16"},
        {"\n\na\0,\0b\0\n\0", 10, false, "data.csv:3", "NUL byte in the header"},
        {"\n\"a\n", 4, false, "data.csv:2", "a quoted cell is not closed"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_text_table_done)
        struct ce_text_table table = table_of(&(struct dialect){.headerless = cases[i].headerless});
        struct ce_error err = {0};
        CHECK(ce_csv_format.open(&table, cases[i].text, cases[i].size, true, &err) == -EINVAL);
        CHECK_TEXT(err.where, cases[i].where);
        if (!strstr(err.message, cases[i].says))
            CHECK_TEXT(err.message, cases[i].says);
    }
}

static void a_cell_that_is_not_closed_is_named_by_its_line(void)
{
    static const char text[64 + 64] = "1,2\n\n3,\"x\ny\"\n5,\"6\n7,8\n";
    struct ce_text_table table = table_of(&(struct dialect){.delimiter = ','});
    uint64_t records, lines;
    struct ce_error err = {0};
    CHECK(ce_csv_format.split(&table, text, strlen(text), true, 100, &records, &lines, &err) ==
          -EINVAL);
    CHECK_TEXT(err.where, "data.csv:104");
    CHECK_TEXT(err.message, "a quoted cell is not closed");
    CHECK(ce_csv_format.split(&table, text, strlen(text), false, 100, &records, &lines, &err) ==
          13);
    CHECK(records == 2 && lines == 4);
}

/* ---- cells ---- */

/* One record at work. */
struct work {
    struct ce_text_table table;
    struct ce_text_scan scan;
    struct ce_text_record record;
    struct ce_buffer made, scratch;
    struct ce_text_row row;
};

static void work_start(struct work *w, const char *text, const struct dialect *dialect)
{
    struct ce_error err = {0};
    *w = (struct work){.table = table_of(dialect)};
    w->table.decimal_comma = dialect->delimiter == ';';
    w->scan = (struct ce_text_scan){
        .table = &w->table, .at = text, .end = text + strlen(text), .last = true, .line = 1};
    if (ce_csv_format.next(&w->scan, &w->record, &err) != 1)
        exit(99);
    w->row = (struct ce_text_row){
        .row = {.form = ce_csv_format.form},
        .table = &w->table,
        .record = &w->record,
        .made = &w->made,
        .scratch = &w->scratch,
    };
}

static void work_done(struct work *w)
{
    ce_text_scan_done(&w->scan);
    ce_buffer_done(&w->made);
    ce_buffer_done(&w->scratch);
    free(w->row.cells);
}
#define WORK(name, text, ...)                                                                      \
    CE_CLEANUP(work_done) struct work name;                                                        \
    work_start(&name, text, &(struct dialect){__VA_ARGS__})

static void check_raw(const char *what, const char *why, struct work *w, size_t column,
                      const char *want)
{
    struct ce_cell cell;
    ce_row_cell(&w->row.row, column, &cell);
    if (cell.raw_size != strlen(want) || memcmp(cell.raw, want, cell.raw_size) != 0) {
        printf("# %s: %.*s (%s), not %s\n", what, (int)cell.raw_size, cell.raw, why ? why : "set",
               want);
        CHECK(!"as expected");
    }
}

static void texts_are_quoted_where_they_must_be(void)
{
    static const struct {
        const char *record, *text, *want; /* of the first cell */
        struct dialect dialect;
    } cases[] = {
        {"x,y", "plain", "plain", {','}},
        {"x,y", "a,b", "\"a,b\"", {','}},
        {"x;y", "a,b", "a,b", {';'}},
        {"x,y", "say \"hi\"", "\"say \"\"hi\"\"\"", {','}},
        {"x,y", "two\nlines", "\"two\nlines\"", {','}},
        {"x,y", "two\rlines", "\"two\rlines\"", {','}},
        {"x,y", " padded", "\" padded\"", {','}},
        {"x,y", "padded\t", "\"padded\t\"", {','}},
        {"x,y", "#1", "#1", {','}},
        {"x,y", "#1", "\"#1\"", {',', .comment = '#'}},
        {"x,y", "1#", "1#", {',', .comment = '#'}},
        {"x,y", "", "\"\"", {','}},
        {"\"x\",y", "plain", "\"plain\"", {','}},
        {"\"x\",y", "12", "\"12\"", {','}},
        {"\"x\",y", "NA", "\"NA\"", {','}},
        {"\"x\"z,y", "xz", "\"x\"z", {','}}, /* it says that already */
        {"x,y", "a\\b", "a\\b", {','}},
        {"x,y", "a\\b", "a\\\\b", {',', .backslash = true}},
        {"x,y", "\"", "\"\\\"\"", {',', .backslash = true}},
        {"\"x\\\"\",y", "x\"", "\"x\\\"\"", {',', .backslash = true}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(work_done) struct work w;
        work_start(&w, cases[i].record, &cases[i].dialect);
        struct ce_cell cell;
        ce_row_cell(&w.row.row, 0, &cell);
        const char *why = ce_cell_set_text(&cell, cases[i].text, strlen(cases[i].text));
        check_raw(cases[i].record, why, &w, 0, cases[i].want);
        size_t size;
        const char *text = ce_cell_text(&cell, &size);
        CHECK(size == strlen(cases[i].text) && memcmp(text, cases[i].text, size) == 0);
        why = ce_cell_set_text(&cell, cases[i].text, strlen(cases[i].text));
        CHECK_TEXT(why, "no change");
    }
}

static void missing_is_written_as_asked(void)
{
    static const struct {
        const char *record, *spelling, *want;
        struct dialect dialect;
    } cases[] = {
        {"x,y", NULL, "", {','}},
        {"x,y", "NA", "NA", {','}},
        {"\"x\",y", NULL, "", {','}},
        {"\"x\",y", "NULL", "NULL", {','}},
        {"x,y", "n,a", "\"n,a\"", {','}},
        {"x", NULL, "\"\"", {','}}, /* a blank line is no record */
        {"x", "NA", "NA", {','}},
        {"x,y", "\\N", "\\N", {',', .backslash = true}},
        {"x,y", "#N/A", "\"#N/A\"", {',', .comment = '#'}},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(work_done) struct work w;
        work_start(&w, cases[i].record, &cases[i].dialect);
        struct ce_cell cell;
        ce_row_cell(&w.row.row, 0, &cell);
        CHECK(!ce_cell_missing(&cell));
        const char *why = ce_cell_set_missing(&cell, cases[i].spelling);
        check_raw(cases[i].record, why, &w, 0, cases[i].want);
        CHECK_TEXT(ce_cell_set_missing(&cell, cases[i].spelling), "no change");
        if (!cases[i].spelling || cases[i].spelling[0] == 'N')
            CHECK(ce_cell_missing(&cell));
    }
}

static void numbers_keep_their_form(void)
{
    static const struct {
        const char *record;
        double value;
        enum ce_fit fit;
        const char *want; /* NULL: stays as it is */
    } cases[] = {
        {"41.50,y", 42.734, CE_FIT_NEAREST, "42.73"},
        {"41.50,y", 41.5, CE_FIT_NEAREST, "41.51"},
        {"41.50,y", 41.501, CE_FIT_NEAREST, "41.51"},
        {"41.50,y", 41.499, CE_FIT_NEAREST, "41.49"},
        {"41.50,y", 41.501, CE_FIT_UP, "41.51"},
        {"41.50,y", 41.499, CE_FIT_DOWN, "41.49"},
        {"41.50,y", 41.5, CE_FIT_UP, NULL},
        {"41.50,y", 99.994, CE_FIT_UP, "100.00"},
        {"5,y", 7.25, CE_FIT_UP, "8"},
        {"5,y", -7.25, CE_FIT_DOWN, "-8"},
        {"5,y", -7.25, CE_FIT_UP, "-7"},
        {"\"5\",y", 7, CE_FIT_NEAREST, "\"7\""},
        {" 5\t,y", 70, CE_FIT_NEAREST, " 70\t"},
        {"\" 5 \",y", 70, CE_FIT_NEAREST, "\" 70 \""},
        {"007,y", 12, CE_FIT_NEAREST, "012"},
        {"+3.5,y", 4.5, CE_FIT_NEAREST, "+4.5"},
        {"-0,y", 3, CE_FIT_NEAREST, "3"},
        {"5.,y", 6, CE_FIT_NEAREST, "6."},
        {".5,y", 0.75, CE_FIT_DOWN, ".7"},
        {"12345678901234567890,y", 12345678901234567890.0, CE_FIT_NEAREST, "12345678901234567891"},
        {"12345678901234567890,y", 1e20, CE_FIT_UP, "100000000000000002770"},
        {"1.5e3,y", 2211, CE_FIT_NEAREST, "2.2e3"},
        {"1.5e3,y", 2211, CE_FIT_UP, "2.3e3"},
        {"1.5e-07,y", 1234, CE_FIT_DOWN, "1.2e+03"},
        {"3,14;y", 2.5, CE_FIT_NEAREST, "2,50"},
        {"3,14;y", 2.501, CE_FIT_UP, "2,51"},
        {"1,5e3;y", 2211, CE_FIT_NEAREST, "2,2e3"},
        {"1.5,y", 1e40, CE_FIT_NEAREST, NULL},
        {"1.5,y", __builtin_inf(), CE_FIT_NEAREST, NULL},
        {"NA,y", 1.25, CE_FIT_NEAREST, "1.25"},
        {"text;y", 0.1, CE_FIT_UP, "0,1"},
        {"\"text\",y", -1e30, CE_FIT_UP, "\"-1e+30\""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        WORK(w, cases[i].record, .delimiter = strchr(cases[i].record, ';') ? ';' : ',');
        struct ce_cell cell;
        double read;
        ce_row_cell(&w.row.row, 0, &cell);
        const char *why = ce_cell_set_number(&cell, cases[i].value, cases[i].fit);
        CHECK((why == NULL) == (cases[i].want != NULL));
        if (!cases[i].want)
            continue;
        check_raw(cases[i].record, why, &w, 0, cases[i].want);
        CHECK(ce_cell_number(&cell, &read));
        CHECK(cases[i].fit != CE_FIT_UP || read >= cases[i].value);
        CHECK(cases[i].fit != CE_FIT_DOWN || read <= cases[i].value);
    }
}

static void texts_that_look_like_numbers_are_texts(void)
{
    static const char *const texts[] = {"1,234.5", "0x10", "inf", "-nan", "1_000", "3,14", "1 000"};
    for (size_t i = 0; i < CE_COUNT(texts); i++) {
        WORK(w, texts[i], .delimiter = '\t');
        struct ce_cell cell;
        double value;
        ce_row_cell(&w.row.row, 0, &cell);
        if (ce_cell_number(&cell, &value) || ce_cell_missing(&cell))
            CHECK_TEXT(texts[i], "a text");
    }
    WORK(points, "3.14;y", .delimiter = ';');
    struct ce_cell cell;
    double value;
    ce_row_cell(&points.row.row, 0, &cell);
    CHECK(!ce_cell_number(&cell, &value)); /* where numbers are written 3,14 */
}

static void cells_of_a_row_can_trade_places(void)
{
    WORK(w, "\"a \"\"1\"\"\",b,\"c,2\"\n", .delimiter = ',');
    struct ce_cell cells[3];
    for (size_t i = 0; i < 3; i++)
        ce_row_cell(&w.row.row, i, &cells[i]);
    /* Each takes its neighbour's text, again and again, while the bytes that hold them move. */
    for (int round = 0; round < 301; round++)
        for (size_t i = 0; i < 3; i++) {
            size_t size;
            const char *text = ce_cell_text(&cells[(i + 1) % 3], &size);
            const char *why = ce_cell_set_text(&cells[i], text, size);
            CHECK(why == NULL || strcmp(why, "no change") == 0);
        }
    check_raw("a", NULL, &w, 0, "\"b\"");
    check_raw("b", NULL, &w, 1, "\"c,2\"");
    check_raw("c", NULL, &w, 2, "\"b\"");
    struct ce_cell absent;
    ce_row_cell(&w.row.row, 3, &absent);
    CHECK(absent.raw == NULL);
    CHECK_TEXT(ce_cell_set_text(&absent, "x", 1), "absent");
    CHECK_TEXT(ce_cell_set_missing(&absent, NULL), "absent");
    CHECK_TEXT(ce_cell_set_number(&absent, 1, CE_FIT_UP), "absent");
}

/* ---- other columns ---- */

static void records_are_laid_out_anew(void)
{
#define ADDED(content)                                                                             \
    {                                                                                              \
        -1, "new", content, sizeof(content) - 1, false                                             \
    }
#define COLUMN(i, name)                                                                            \
    {                                                                                              \
        i, name, NULL, 0, false                                                                    \
    }
    static const struct {
        const char *what, *record;
        bool header;
        struct ce_layout_cell cells[4];
        size_t count;
        const char *want;
        char comment;
    } cases[] = {
        {"the same",
         "1,\"2\"\"\", 3\r\n",
         false,
         {COLUMN(0, "a"), COLUMN(1, "b"), COLUMN(2, "c")},
         3,
         "1,\"2\"\"\", 3\r\n",
         0},
        {"removed", "1,2,3\r", false, {COLUMN(0, "a"), COLUMN(2, "c")}, 2, "1,3\r", 0},
        {"reordered",
         "1,2,3",
         false,
         {COLUMN(2, "c"), COLUMN(0, "a"), COLUMN(1, "b")},
         3,
         "3,1,2",
         0},
        {"renamed",
         "a,b,\"c\"\n",
         true,
         {COLUMN(0, "x,y"), COLUMN(1, "b"), COLUMN(2, "d")},
         3,
         "\"x,y\",b,\"d\"\n",
         0},
        {"renamed, in a row",
         "1,2,3\n",
         false,
         {COLUMN(0, "x"), COLUMN(1, "b"), COLUMN(2, "c")},
         3,
         "1,2,3\n",
         0},
        {"added",
         "1,2,3\n",
         false,
         {COLUMN(0, "a"), COLUMN(1, "b"), COLUMN(2, "c"), ADDED("x\"y")},
         4,
         "1,2,3,\"x\"\"y\"\n",
         0},
        {"added, in the header",
         "a,b,c\n",
         true,
         {COLUMN(0, "a"), COLUMN(1, "b"), COLUMN(2, "c"), ADDED("")},
         4,
         "a,b,c,new\n",
         0},
        {"added to a short row",
         "1\n",
         false,
         {COLUMN(0, "a"), COLUMN(1, "b"), COLUMN(2, "c"), ADDED("x")},
         4,
         "1,,,x\n",
         0},
        {"short rows stay short",
         "1,2\n",
         false,
         {COLUMN(2, "c"), COLUMN(0, "a"), COLUMN(1, "b")},
         3,
         ",1,2\n",
         0},
        {"at their end", "1\n", false, {COLUMN(0, "a"), COLUMN(2, "c")}, 2, "1\n", 0},
        {"long rows stay long",
         "1,2,3,\"4\",5\n",
         false,
         {COLUMN(1, "b"), ADDED("x")},
         2,
         "2,x,\"4\",5\n",
         0},
        {"nothing is left", "1\n", false, {COLUMN(1, "b"), COLUMN(2, "c")}, 2, "\"\"\n", 0},
        {"an empty cell is left", ",2,3\n", false, {COLUMN(0, "a")}, 1, "\"\"\n", 0},
        {"no comment", "1,#\"2,3\n", false, {COLUMN(1, "b"), COLUMN(0, "a")}, 2, "#\"2,1\n", 0},
        {"a comment otherwise",
         "1,#\"2,3\n",
         false,
         {COLUMN(1, "b"), COLUMN(0, "a")},
         2,
         "\"#\"\"2\",1\n",
         '#'},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CE_CLEANUP(ce_text_table_done)
        struct ce_text_table table = table_of(&(struct dialect){.comment = cases[i].comment});
        CE_CLEANUP(ce_text_scan_done)
        struct ce_text_scan scan = {.table = &table,
                                    .at = cases[i].record,
                                    .end = cases[i].record + strlen(cases[i].record),
                                    .line = 1};
        CE_CLEANUP(ce_buffer_done) struct ce_buffer out = {0};
        struct ce_text_record record;
        struct ce_error err = {0};
        REQUIRE_OK(open_text(&table, "a,b,c\n", &err), err);
        REQUIRE(ce_csv_format.next(&scan, &record, &err) == 1);
        REQUIRE_OK(ce_csv_format.lay_out(&table, &record, cases[i].header, cases[i].cells,
                                         cases[i].count, &out, &err),
                   err);
        REQUIRE(ce_buffer_put(&out, "", 1));
        if (strcmp(out.data, cases[i].want) != 0)
            printf("# %s:\n", cases[i].what);
        CHECK_TEXT(out.data, cases[i].want);
    }
}

int main(void)
{
    TEST(records_are_found_and_split_at_any_byte);
    TEST(records_read_alike_wherever_they_lie);
    TEST(decimal_commas_are_found);
    TEST(the_head_is_all_before_the_first_record);
    TEST(opening_waits_for_what_it_guesses_from);
    TEST(what_is_no_table_is_refused);
    TEST(a_cell_that_is_not_closed_is_named_by_its_line);
    TEST(texts_are_quoted_where_they_must_be);
    TEST(missing_is_written_as_asked);
    TEST(numbers_keep_their_form);
    TEST(texts_that_look_like_numbers_are_texts);
    TEST(cells_of_a_row_can_trade_places);
    TEST(records_are_laid_out_anew);
    return test_done();
}
