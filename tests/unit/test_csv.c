/* SPDX-License-Identifier: MIT */
#include "data/csv.h"

#include <inttypes.h>

#include "base/cleanup.h"
#include "data/csv_internal.h"
#include "data/decimal.h"
#include "data_files.h"

CE_DEFINE_CLEANUP(struct ce_csv_reader, ce_csv_close);

/* A literal with its size: NUL bytes count. */
#define BYTES(literal) (literal), sizeof(literal) - 1
#define BOM            "\xef\xbb\xbf"

/* What is in the file, the header first: cells in brackets, a line per record. */
static const struct {
    const char *what, *file, *want;
} readable[] = {
    {"plain", "a,b\n1,2\n3,4\n", "[a][b]\n[1][2]\n[3][4]\n"},
    {"no line end at the end", "a,b\n1,2", "[a][b]\n[1][2]\n"},
    {"header alone", "a,b\n", "[a][b]\n"},
    {"header alone without line end", "a", "[a]\n"},
    {"CRLF", "a,b\r\n1,2\r\n", "[a][b]\n[1][2]\n"},
    {"CR", "a,b\r1,2\r3,4", "[a][b]\n[1][2]\n[3][4]\n"},
    {"mixed line ends", "a,b\r\n1,2\n3,4\r5,6\r\n", "[a][b]\n[1][2]\n[3][4]\n[5][6]\n"},
    {"CR as the very last byte", "a,b\n1,2\r", "[a][b]\n[1][2]\n"},
    {"byte order mark", BOM "a,b\n1,2\n", "[a][b]\n[1][2]\n"},
    {"byte order mark before a quoted name", BOM "\"a\",b\n1,2\n", "[a][b]\n[1][2]\n"},
    {"quoted separators", "a,b\n\"1,5\",2\n", "[a][b]\n[1,5][2]\n"},
    {"quoted line ends", "a,b\n\"x\ny\rz\r\nw\",2\n", "[a][b]\n[x\ny\rz\r\nw][2]\n"},
    {"doubled quotes", "a,b\n\"say \"\"hi\"\"\",\"\"\"\"\n", "[a][b]\n[say \"hi\"][\"]\n"},
    {"quoted and empty", "a,b\n\"\",\n", "[a][b]\n[][]\n"},
    {"a quote within an unquoted cell", "a,b\n5\" pipe,x\"y\"z\n", "[a][b]\n[5\" pipe][x\"y\"z]\n"},
    {"a blank before a quote", "a,b\n \"x\",2\n", "[a][b]\n[ \"x\"][2]\n"},
    {"text after a closing quote", "a,b\n\"x\"y,2\n", "[a][b]\n[xy][2]\n"},
    {"a quote after a closing quote and text", "a,b\n\"x\"y\"z,2\n", "[a][b]\n[xy\"z][2]\n"},
    {"quoted last cell at the end of the file", "a,b\n1,\"2\"", "[a][b]\n[1][2]\n"},
    {"short and long rows", "a,b,c\n1\n1,2,3,4\n1,2,3\n1,2,3\n",
     "[a][b][c]\n[1]\n[1][2][3][4]\n[1][2][3]\n[1][2][3]\n"},
    {"blank lines", "\n\r\na,b\n\n1,2\n\r\r\n3,4\n\n\n", "[a][b]\n[1][2]\n[3][4]\n"},
    {"a line of blanks is a row", "a,b\n  \n", "[a][b]\n[  ]\n"},
    {"one column", "a\n1\n\"\"\n\n2\n", "[a]\n[1]\n[]\n[2]\n"},
    {"empty last cell at the end of the file", "a,b\n1,", "[a][b]\n[1][]\n"},
    {"separators alone", "a,b,c\n,,\n", "[a][b][c]\n[][][]\n"},
    {"other encodings", "a,b\n\xe4\xff,\xc3\xa4\n", "[a][b]\n[\xe4\xff][\xc3\xa4]\n"},
    {"names with separators, quotes and line ends", "\"a,1\",\"b\"\"\n\"\n1,2\n",
     "[a,1][b\"\n]\n[1][2]\n"},
    {"nameless and repeated names", ",a,a\n0,1,2\n", "[][a][a]\n[0][1][2]\n"},
    {"semicolons and decimal commas", "a;b\n1,5;2,5\n3,5;4\n", "[a][b]\n[1,5][2,5]\n[3,5][4]\n"},
    {"tabs", "a\tb\n1,1\t2\n", "[a][b]\n[1,1][2]\n"},
    {"pipes", "a|b|c\n1|2|3\n", "[a][b][c]\n[1][2][3]\n"},
    {"a separator that the rows do not share", "a|b or c,d\n1,2\n3,4\n",
     "[a|b or c][d]\n[1][2]\n[3][4]\n"},
    {"unit separators",
     "a\x1f"
     "b\n1,5\x1f"
     "2\n",
     "[a][b]\n[1,5][2]\n"},
    {"control-A",
     "a\x01"
     "b\n1,5\x01"
     "2\n",
     "[a][b]\n[1,5][2]\n"},
    {"a line that names the separator", "sep=;\r\na;b,c,d\n1;2,2\n", "[a][b,c,d]\n[1][2,2]\n"},
    {"the same in quotes behind a byte order mark", BOM "\"SEP=|\"\na,b|c\n", "[a,b][c]\n"},
    {"a column that is called like it", "sep=a,b\n1,2\n", "[sep=a][b]\n[1][2]\n"},
    {"separators that are quoted", "\"a;b\",c\n\"1;2\",3\n", "[a;b][c]\n[1;2][3]\n"},
};

/* Reads `path` and writes what is in it to `out`; checks on the way that the parts are all the
 * file's bytes in order. */
static int read_all(const char *path, size_t window, FILE *out, FILE *bytes, struct ce_error *err)
{
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    CE_TRY(ce_csv_open_window(path, window, NULL, &reader, err));
    for (size_t i = 0; i < ce_csv_column_count(reader); i++)
        fprintf(out, "[%s]", ce_csv_column_name(reader, i));
    fputc('\n', out);
    size_t size;
    const char *head = ce_csv_head(reader, &size);
    fwrite(head, 1, size, bytes);
    uint64_t row = 0;
    struct ce_text_record record;
    int got;
    while ((got = ce_csv_next(reader, &record, err)) > 0) {
        CHECK(record.row == row++);
        CHECK(record.before + record.before_size == record.bytes);
        fwrite(record.before, 1, record.before_size + record.size, bytes);
        const char *cell_start = record.bytes;
        for (size_t i = 0; i < record.cell_count; i++) {
            const struct ce_text_cell *cell = &record.cells[i];
            CHECK(cell->raw == cell_start);
            cell_start = cell->raw + cell->raw_size + 1;
            char value[256];
            fprintf(out, "[%.*s]", (int)ce_csv_value(cell, value, sizeof value), value);
        }
        fputc('\n', out);
    }
    if (got == 0)
        fwrite(record.before, 1, record.before_size, bytes);
    return got;
}

static void every_byte_is_kept_and_every_cell_found(void)
{
    static const size_t windows[] = {0, 64, 127};
    FOLDER(folder);
    for (size_t i = 0; i < CE_COUNT(readable); i++) {
        const char *path =
            folder_write(&folder, "data.csv", readable[i].file, strlen(readable[i].file));
        for (size_t w = 0; w < CE_COUNT(windows); w++) {
            struct ce_error err = {0};
            ce_autofree char *text = NULL, *bytes = NULL;
            size_t text_size, byte_count;
            FILE *out = open_memstream(&text, &text_size),
                 *all = open_memstream(&bytes, &byte_count);
            int r = read_all(path, windows[w], out, all, &err);
            fclose(out);
            fclose(all);
            if (r < 0 || strcmp(text, readable[i].want) != 0 ||
                byte_count != strlen(readable[i].file) ||
                memcmp(bytes, readable[i].file, byte_count) != 0) {
                printf("# %s, window %zu: %d %s\n# got %s\n", readable[i].what, windows[w], r,
                       err.message, text);
                CHECK(!"as expected");
            }
        }
    }
}

/* The same rows at every offset to the window, so that every kind of byte meets its edge. */
static void records_do_not_depend_on_the_window(void)
{
    static const char row[] =
        "\"q\"\"uo,\r\nted\",1.5,\xc3\xa4,\r\n\r\n,\"\"\r\"last\"\"\",x,y,z\n";
    enum { WINDOW = 256 * 1024, ROWS = 2 * WINDOW / 40 };
    FOLDER(folder);
    ce_autofree char *file = NULL, *whole = NULL;
    size_t size;
    FILE *out = open_memstream(&file, &size);
    fputs("a,b,c,d\n", out);
    for (int i = 0; i < ROWS; i++)
        fprintf(out, "%.*s,2,3,4\n%s", i % 31, "123456789012345678901234567890", row);
    fclose(out);
    const char *path = folder_write(&folder, "data.csv", file, size);
    for (size_t window = WINDOW; window <= WINDOW + 50; window++) {
        struct ce_error err = {0};
        ce_autofree char *text = NULL, *bytes = NULL;
        size_t text_size, byte_count;
        FILE *rows = open_memstream(&text, &text_size), *all = open_memstream(&bytes, &byte_count);
        int r = read_all(path, window, rows, all, &err);
        fclose(rows);
        fclose(all);
        REQUIRE_OK(r, err);
        REQUIRE(byte_count == size && memcmp(bytes, file, size) == 0);
        if (!whole)
            whole = ce_take(text);
        else
            REQUIRE(strcmp(text, whole) == 0);
    }
    CHECK(strstr(whole, "[q\"uo,\r\nted][1.5][\xc3\xa4][]\n[][]\n[last\"][x][y][z]\n") != NULL);
}

static void nul_bytes_are_data(void)
{
    static const char file[] = "a,b\n1\0x,\0\n";
    FOLDER(folder);
    const char *path = folder_write(&folder, "data.csv", file, sizeof file - 1);
    struct ce_error err = {0};
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    REQUIRE_OK(ce_csv_open(path, &reader, &err), err);
    struct ce_text_record record;
    REQUIRE(ce_csv_next(reader, &record, &err) == 1 && record.cell_count == 2);
    CHECK(record.cells[0].raw_size == 3 && memcmp(record.cells[0].raw, "1\0x", 3) == 0);
    CHECK(record.cells[1].raw_size == 1);
}

static void long_cells_and_many_columns_are_read(void)
{
    enum { CELL = 3 * 1024 * 1024, COLUMNS = 3000 };
    FOLDER(folder);
    ce_autofree char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int i = 0; i < COLUMNS; i++)
        fprintf(out, "%sc%d", i > 0 ? "," : "", i);
    fputs("\n\"", out);
    for (int i = 0; i < CELL; i++)
        fputc("abc,\n"[i % 5], out);
    fputs("\",2\n3,4\n", out);
    fclose(out);
    const char *path = folder_write(&folder, "data.csv", text, size);
    struct ce_error err = {0};
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    REQUIRE_OK(ce_csv_open(path, &reader, &err), err);
    CHECK(ce_csv_column_count(reader) == COLUMNS);
    CHECK(ce_csv_column(reader, "c2999") == 2999 && ce_csv_column(reader, "c3000") == -1);
    struct ce_text_record record;
    REQUIRE(ce_csv_next(reader, &record, &err) == 1 && record.cell_count == 2);
    CHECK(record.cells[0].raw_size == CELL + 2 && record.line == 2);
    REQUIRE(ce_csv_next(reader, &record, &err) == 1 && record.cell_count == 2);
    CHECK(record.line == 3 + CELL / 5);
}

static void bad_files_are_refused_with_their_line(void)
{
    static const struct {
        const char *file;
        size_t size;
        const char *line, *says;
    } cases[] = {
        {BYTES("a,b\n1,\"2\n3,4\n"), ":2", "a quoted cell is not closed"},
        {BYTES("a,b\n\"1\n\n1\",2\r\n3,4\n\n5,\"\n\n\n"), ":7", "a quoted cell is not closed"},
        {BYTES("a,\"b\n1,2\n"), ":1", "a quoted cell is not closed"},
        {BYTES("a,b\n1,\"\"\""), ":2", "a quoted cell is not closed"},
        {BYTES("\xff\xfe"
               "a\0,\0b\0\n\0"),
         ":1", "UTF-16"},
        {BYTES("\xfe\xff\0a\0,\0b\0\n"), ":1", "UTF-16"},
        {BYTES("a\0,\0b\0\n\0001\0,\0002\0\n\0"), ":1", "UTF-16"},
        {BYTES(""), "", "is empty"},
        {BYTES("\n\r\n\n"), "", "is empty"},
        {BYTES(BOM), "", "is empty"},
    };
    FOLDER(folder);
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        FILE *nowhere = fopen("/dev/null", "w");
        const char *path = folder_write(&folder, "data.csv", cases[i].file, cases[i].size);
        CHECK(read_all(path, 0, nowhere, nowhere, &err) == -EINVAL);
        fclose(nowhere);
        if (!strstr(err.message, cases[i].says))
            CHECK_TEXT(err.message, cases[i].says);
        if (cases[i].line[0]) {
            CHECK(strncmp(err.where, path, strlen(path)) == 0);
            CHECK_TEXT(strrchr(err.where, ':'), cases[i].line);
        }
    }
    struct ce_error err = {0};
    struct ce_csv_reader *reader = NULL;
    CHECK(ce_csv_open(folder_file(&folder, "absent.csv"), &reader, &err) == -ENOENT);
    CHECK(strstr(err.message, "absent.csv") != NULL);
    CHECK(ce_csv_open(folder.path, &reader, &err) == -EISDIR);
    CHECK(reader == NULL);
}

static void a_quote_left_open_in_a_large_file_does_not_take_all_memory(void)
{
    FOLDER(folder);
    const char *path = folder_write(&folder, "data.csv", "a,b\n1,\"2", 8);
    REQUIRE(truncate(path, 200 * 1024 * 1024) == 0);
    struct ce_error err = {0};
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    REQUIRE_OK(ce_csv_open(path, &reader, &err), err);
    struct ce_text_record record;
    CHECK(ce_csv_next(reader, &record, &err) == -EFBIG);
    CHECK(strstr(err.message, "32 MiB") != NULL);
    CHECK_TEXT(strrchr(err.where, ':'), ":2");
}

static void a_file_cut_short_meanwhile_is_an_error(void)
{
    enum { SIZE = 1024 * 1024 };
    FOLDER(folder);
    ce_autofree char *file = malloc(SIZE);
    memcpy(file, "a,b\n", 4);
    for (size_t i = 4; i + 4 <= SIZE; i += 4)
        memcpy(file + i, "1,2\n", 4);
    const char *path = folder_write(&folder, "data.csv", file, SIZE);
    struct ce_error err = {0};
    CE_CLEANUP(ce_csv_close_p) struct ce_csv_reader *reader = NULL;
    REQUIRE_OK(ce_csv_open(path, &reader, &err), err);
    REQUIRE(truncate(path, 500000) == 0);
    struct ce_text_record record;
    int got;
    while ((got = ce_csv_next(reader, &record, &err)) > 0)
        ;
    CHECK(got == -EIO);
    CHECK(strstr(err.message, "was cut short while it was read: 500000 of 1048576 bytes") != NULL);
}

static struct ce_text_cell cell_of(const char *raw)
{
    return (struct ce_text_cell){.raw = raw, .raw_size = strlen(raw), .quoted = raw[0] == '"'};
}

static void missing_cells_are_known_by_their_spelling(void)
{
    static const char *const missing[] = {"",     "\"\"", "NA",  "NaN",    "null",   "NULL",
                                          "None", "N/A",  "\\N", "\"NA\"", "\"\\N\""};
    static const char *const present[] = {" ", "0", "na",       "none",  "Nan",  "NAN",
                                          "-", "N", "\"\"\"\"", "\"\"x", "nulls"};
    for (size_t i = 0; i < CE_COUNT(missing); i++) {
        struct ce_text_cell cell = cell_of(missing[i]);
        if (!ce_csv_missing(&cell))
            CHECK_TEXT(missing[i], "missing");
    }
    for (size_t i = 0; i < CE_COUNT(present); i++) {
        struct ce_text_cell cell = cell_of(present[i]);
        if (ce_csv_missing(&cell))
            CHECK_TEXT(present[i], "present");
    }
}

static void numbers_are_read_to_the_last_bit(void)
{
    static const char *const numbers[] = {
        "0",
        "-0",
        "1",
        "+1.5",
        ".5",
        "5.",
        "1e3",
        "1E-3",
        " 42 ",
        "\"7.25\"",
        "007",
        "0.1",
        "0.3",
        "1e22",
        "1e23",
        "1e-23",
        "1.7976931348623157e308",
        "4.9e-324",
        "12345678901234567890",
        "0.12345678901234567890",
        "9007199254740993",
        "3.141592653589793238462643383279502884197169",
    };
    static const char *const others[] = {
        "",    "-",     ".",     "e5",  "1e",    "1e+",   "0x10",   "inf",       "-inf", "nan",
        "1,5", "1 000", "12 kg", "--1", "1.2.3", "1e400", "\"1\"2", "\"1\"\"\"", "1_000"};
    for (size_t i = 0; i < CE_COUNT(numbers); i++) {
        struct ce_text_cell cell = cell_of(numbers[i]);
        double value = -1, want = strtod(numbers[i] + (numbers[i][0] == '"'), NULL);
        CHECK(ce_csv_number(&cell, &value));
        if (memcmp(&value, &want, sizeof value) != 0)
            printf("# %s: %a, not %a\n", numbers[i], value, want);
        CHECK(memcmp(&value, &want, sizeof value) == 0);
    }
    for (size_t i = 0; i < CE_COUNT(others); i++) {
        struct ce_text_cell cell = cell_of(others[i]);
        double value;
        if (ce_csv_number(&cell, &value))
            CHECK_TEXT(others[i], "no number");
    }
}

static void shifted_numbers_keep_their_form(void)
{
    static const struct {
        const char *text;
        double delta;
        const char *want;
    } cases[] = {
        {"41.50", 1.234, "42.73"},
        {"41.50", -41.5, "0.00"},
        {"41.50", 0.001, "41.51"},
        {"41.50", -0.001, "41.49"},
        {"41.50", 0, "41.51"},
        {"7", 2.5, "9"},
        {"7", -9, "-2"},
        {"-7", 9, "2"},
        {"-0.5", 0.25, "-0.3"},
        {"9", 1, "10"},
        {"100", -1, "99"},
        {"007", 5, "012"},
        {"007", 1000, "1007"},
        {"-007", 1, "-006"},
        {"+3.5", 1, "+4.5"},
        {"+3.5", -5, "-1.5"},
        {".5", 0.2, ".7"},
        {".5", 1, "1.5"},
        {"5.", 1, "6."},
        {" 5 ", 1, "6"},
        {"0.000000", 1e-9, "0.000001"},
        {"12345678901234567890", 10, "12345678901234567900"},
        {"0.1234567890123456789012", 1, "1.1234567890123456789012"},
        {"1.5e3", 700, "2.2e3"},
        {"+1.5e+03", 700, "+2.2e+03"},
        {"1.5E-07", 1, "1.0E+00"},
        {"1.5e3", 1e-9, "1.6e3"},
        {"1.5e3", -1e-9, "1.4e3"},
        {"1e5", 0, "2e5"},
        {"1e05", -99999.5, "5e-01"},
        {"15e3", 0, "3e4"},
        {"0e0", -3, "-3e0"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_decimal decimal;
        char text[64] = "";
        REQUIRE(ce_decimal_parse(cases[i].text, strlen(cases[i].text), &decimal));
        CHECK(ce_decimal_shift(&decimal, cases[i].delta, text, sizeof text) ==
              (int)strlen(cases[i].want));
        CHECK_TEXT(text, cases[i].want);
    }
    static const char digits[] = "1234567890123456789012345678901234567.5";
    struct ce_decimal decimal;
    char text[64];
    CHECK(ce_decimal_parse(digits, strlen(digits), &decimal) &&
          ce_decimal_shift(&decimal, 1, text, sizeof text) == -1);
    CHECK(ce_decimal_parse("1.5", 3, &decimal) &&
          ce_decimal_shift(&decimal, 1e40, text, sizeof text) == -1);
    CHECK(ce_decimal_shift(&decimal, __builtin_nan(""), text, sizeof text) == -1);
    CHECK(ce_decimal_shift(&decimal, 1, text, 3) == -1);
}

/* A generator of its own, so that a failure comes back. */
static unsigned next_random(uint64_t *state, unsigned below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(*state >> 33) % below;
}

/* Digits of all lengths with the mark, if any, at all places; now and then a byte that is wrong. */
static int random_number(uint64_t *state, char mark, char *text)
{
    int digits = 1 + (int)next_random(state, 20), at = (int)next_random(state, 24), n = 0;
    if (next_random(state, 2) == 0)
        text[n++] = '-';
    for (int i = 0; i <= digits; i++) {
        if (i == at)
            text[n++] = mark;
        if (i < digits)
            text[n++] = (char)('0' + next_random(state, 10));
    }
    if (next_random(state, 8) == 0)
        text[next_random(state, (unsigned)n)] = "/:. +x,-"[next_random(state, 8)];
    text[n] = '\0';
    return n;
}

static void numbers_are_read_alike_eight_digits_at_a_time(void)
{
    uint64_t state = 1;
    int numbers = 0;
    for (int i = 0; i < 300000; i++) {
        char text[32], mark = i % 4 == 0 ? ',' : '.';
        size_t size = (size_t)random_number(&state, mark, text);
        struct ce_decimal decimal;
        double value = 1, want = 1;
        bool is = ce_decimal_number(text, size, mark, &value);
        bool wanted =
            ce_decimal_parse_mark(text, size, mark, &decimal) && ce_decimal_value(&decimal, &want);
        numbers += is;
        if (is != wanted || memcmp(&value, &want, sizeof value) != 0) {
            CHECK_TEXT(text, "read alike");
            return;
        }
        if (wanted && mark == '.' && want != strtod(text, NULL)) {
            CHECK_TEXT(text, "as the C library reads it");
            return;
        }
    }
    CHECK(numbers > 200000);
}

static void numbers_that_are_set_hold_what_was_asked(void)
{
    uint64_t state = 2;
    static const double places[] = {1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6};
    for (int i = 0; i < 100000; i++) {
        char old[64], text[64];
        int decimals = (int)next_random(&state, 7);
        snprintf(old, sizeof old, "%.*f", decimals, (next_random(&state, 200001) - 1e5) / 137.0);
        double value = (next_random(&state, 200001) - 1e5) / 731.0, before, read;
        enum ce_fit fit = (enum ce_fit)(i % 3);
        struct ce_decimal decimal, again;
        REQUIRE(ce_decimal_parse(old, strlen(old), &decimal) &&
                ce_decimal_value(&decimal, &before));
        int size = ce_decimal_set(&decimal, value, fit, text, sizeof text);
        REQUIRE(size == (int)strlen(text));
        REQUIRE(ce_decimal_parse(text, (size_t)size, &again) && ce_decimal_value(&again, &read));
        double off = read - value, place = places[decimals];
        bool held = again.decimals == decimals;
        if (fit == CE_FIT_NEAREST)
            held =
                held && strcmp(text, old) != 0 &&
                (__builtin_fabs(off) <= place * 0.500001 || __builtin_fabs(before - value) < place);
        else
            held = held && (fit == CE_FIT_UP ? off >= 0 : off <= 0) &&
                   __builtin_fabs(off) <= place * 1.000001;
        if (!held) {
            printf("# %s to %.17g, %d: %s\n", old, value, (int)fit, text);
            CHECK(!"as asked");
            return;
        }
    }
}

static void numbers_of_any_length_are_written_to_the_last_digit(void)
{
    uint64_t state = 3, limit = 1;
    for (int digits = 1; digits <= 15; digits++, limit *= 10)
        for (int i = 0; i < 1000; i++) {
            uint64_t number = limit == 1 ? (uint64_t)i % 10 : limit + state % (9 * limit);
            (void)next_random(&state, 2);
            char old[40], text[CE_DECIMAL_TEXT], want[40];
            int padding = i % 20;
            snprintf(old, sizeof old, "-%.*d", padding, 5);
            snprintf(want, sizeof want, "%0*" PRIu64, padding, number);
            struct ce_decimal decimal;
            REQUIRE(ce_decimal_parse(old, strlen(old), &decimal));
            if (number == 5 || number == 0)
                continue;
            REQUIRE(ce_decimal_set(&decimal, (double)number, CE_FIT_NEAREST, text, sizeof text) >
                    0);
            CHECK_TEXT(text, want);
        }
}

static void numbers_without_a_form_are_printed_to_the_last_bit(void)
{
    static const struct {
        double value;
        char mark;
        const char *want;
    } cases[] = {
        {0.1, '.', "0.1"},      {-42, '.', "-42"},          {1.0 / 3, ',', "0,3333333333333333"},
        {1e300, '.', "1e+300"}, {-1.5e-9, ',', "-1,5e-09"},
    };
    char text[CE_DECIMAL_TEXT];
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_decimal_print(cases[i].value, cases[i].mark, text, sizeof text) ==
              (int)strlen(cases[i].want));
        CHECK_TEXT(text, cases[i].want);
    }
    CHECK(ce_decimal_print(__builtin_inf(), '.', text, sizeof text) == -1);
}

int main(void)
{
    TEST(every_byte_is_kept_and_every_cell_found);
    TEST(records_do_not_depend_on_the_window);
    TEST(nul_bytes_are_data);
    TEST(long_cells_and_many_columns_are_read);
    TEST(bad_files_are_refused_with_their_line);
    TEST(a_quote_left_open_in_a_large_file_does_not_take_all_memory);
    TEST(a_file_cut_short_meanwhile_is_an_error);
    TEST(missing_cells_are_known_by_their_spelling);
    TEST(numbers_are_read_to_the_last_bit);
    TEST(shifted_numbers_keep_their_form);
    TEST(numbers_are_read_alike_eight_digits_at_a_time);
    TEST(numbers_that_are_set_hold_what_was_asked);
    TEST(numbers_of_any_length_are_written_to_the_last_digit);
    TEST(numbers_without_a_form_are_printed_to_the_last_bit);
    return test_done();
}
