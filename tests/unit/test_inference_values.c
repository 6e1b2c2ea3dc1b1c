/* SPDX-License-Identifier: MIT */
/* Numbers and text in all their forms, and what an edit makes of them. */
#include <math.h>

#include "inference.h"
#include "inference/types.h"

static struct ce_value json(const char *type, const char *text)
{
    return (struct ce_value){
        .type = ce_slice_of(type), .text = ce_slice_of(text), .form = CE_VALUE_JSON, .width = 1};
}

static struct ce_value raw(enum ce_value_form form, const char *type, const char *bytes,
                           size_t size)
{
    return (struct ce_value){
        .type = ce_slice_of(type), .text = {bytes, size}, .form = form, .width = 1};
}

static bool edit_is(const struct ce_edit *edit, const char *bytes, size_t size)
{
    return edit->size == size && memcmp(edit->text, bytes, size) == 0;
}

/* ---- what a value says ---- */

static void numbers_are_read_in_every_form(void)
{
    const struct {
        struct ce_value value;
        double number; /* NaN: it is none, or NaN */
        bool is_number, is_label;
    } cases[] = {
        {json("FP64", "-0.5e-3"), -0.0005, true, false},
        {json("FP64", "1"), 1, true, false},
        {json("INT64", "1"), 1, true, true},
        {json("", "1"), 1, true, true},
        {json("", "1.0"), 1, true, false},
        {json("", "NaN"), NAN, true, false},
        {json("", "-Infinity"), -INFINITY, true, false},
        {json("", "true"), 1, true, true},
        {json("BOOL", "false"), 0, true, true},
        {json("", "\"1\""), NAN, false, true},
        {json("", "null"), NAN, false, false},
        {json("INT64", "null"), NAN, false, false},
        {raw(CE_VALUE_FIXED, "FP64", "\0\0\0\0\0\0\xe0\x3f", 8), 0.5, true, false},
        {raw(CE_VALUE_FIXED, "FP32", "\0\0\x80\xbf", 4), -1, true, false},
        {raw(CE_VALUE_FIXED, "FP16", "\0\x3c", 2), 1, true, false},
        {raw(CE_VALUE_FIXED, "FP16", "\1\0", 2), 0x1p-24, true, false},
        {raw(CE_VALUE_FIXED, "FP16", "\0\xfc", 2), -INFINITY, true, false},
        {raw(CE_VALUE_FIXED, "FP16", "\0\x7e", 2), NAN, true, false},
        {raw(CE_VALUE_FIXED, "BF16", "\x80\x3f", 2), 1, true, false},
        {raw(CE_VALUE_FIXED, "BF16", "\1\0", 2), 0x1p-133, true, false},
        {raw(CE_VALUE_FIXED, "INT8", "\xff", 1), -1, true, true},
        {raw(CE_VALUE_FIXED, "UINT8", "\xff", 1), 255, true, true},
        {raw(CE_VALUE_FIXED, "INT64", "\0\0\0\0\0\0\0\x80", 8), -0x1p63, true, true},
        {raw(CE_VALUE_FIXED, "BOOL", "\1", 1), 1, true, true},
        {raw(CE_VALUE_FIXED, "FP64", "\0\0\0\0", 4), NAN, false, false},
        {raw(CE_VALUE_FIXED, "COMPLEX", "\0", 1), NAN, false, false},
        {raw(CE_VALUE_VARINT, "INT32", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10), -1, true,
         true},
        {raw(CE_VALUE_VARINT, "UINT64", "\xac\2", 2), 300, true, true},
        {raw(CE_VALUE_VARINT, "INT32", "\xac", 1), NAN, false, true},
        {raw(CE_VALUE_BYTES, "BYTES", "1", 1), NAN, false, true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        double number = 77;
        bool is_number = ce_value_number(&cases[i].value, &number);
        bool same =
            !is_number || number == cases[i].number || (isnan(number) && isnan(cases[i].number));
        if (is_number != cases[i].is_number || !same ||
            ce_value_is_label(&cases[i].value) != cases[i].is_label)
            printf("# case %zu: %g\n", i, number);
        CHECK(is_number == cases[i].is_number && same);
        CHECK(ce_value_is_label(&cases[i].value) == cases[i].is_label);
    }
}

static void values_are_the_same_whatever_their_form(void)
{
    const struct {
        struct ce_value a, b;
        bool same;
    } cases[] = {
        {json("", "0.5"), json("", "0.50"), true},
        {json("", "0.5"), json("", "5e-1"), true},
        {json("", "0.5"), json("", "0.6"), false},
        {json("", "NaN"), json("", "NaN"), true},
        {json("", "null"), json("FP64", "null"), true},
        {json("", "null"), json("", "0"), false},
        {json("INT64", "9007199254740993"), json("INT64", "9007199254740992"), false},
        {json("FP32", "0.1"), raw(CE_VALUE_FIXED, "FP32", "\xcd\xcc\xcc\x3d", 4), true},
        {json("FP64", "0.1"), raw(CE_VALUE_FIXED, "FP32", "\xcd\xcc\xcc\x3d", 4), true},
        {json("FP64", "0.11"), raw(CE_VALUE_FIXED, "FP32", "\xcd\xcc\xcc\x3d", 4), false},
        {json("", "\"caf\\u00e9\\n\""), raw(CE_VALUE_BYTES, "BYTES", "caf\xc3\xa9\n", 6), true},
        {json("", "\"\\ud83d\\ude00\""), json("", "\"\xf0\x9f\x98\x80\""), true},
        {json("", "\"a\""), raw(CE_VALUE_BYTES, "BYTES", "ab", 2), false},
        {json("", "\"1\""), json("", "1"), false},
        {raw(CE_VALUE_VARINT, "INT64", "\5", 1), json("INT64", "5"), true},
        {json("", "true"), raw(CE_VALUE_FIXED, "BOOL", "\1", 1), true},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        CHECK(ce_value_same(&cases[i].a, &cases[i].b) == cases[i].same);
        CHECK(ce_value_same(&cases[i].b, &cases[i].a) == cases[i].same);
        CHECK(ce_value_same(&cases[i].a, &cases[i].a));
    }
}

/* All of them, there and back. */
static void sixteen_bits_of_floating_point_survive(void)
{
    static const char *const names[] = {"FP16", "BF16"};
    for (size_t k = 0; k < CE_COUNT(names); k++) {
        const struct ce_type *type = ce_type_find(ce_slice_of(names[k]));
        uint64_t lost = 0, digits = 0;
        for (uint64_t bits = 0; bits < 0x10000; bits++) {
            double number = ce_type_float(type, bits);
            if (isnan(number))
                continue;
            lost += ce_type_float_bits(type, number) != bits;
            /* Between two neighbours the even one wins. */
            double next = ce_type_float(type, bits + 1);
            if (isfinite(number) && isfinite(next) && (bits & 0x7fff) != 0x7fff)
                lost += ce_type_float_bits(type, number + (next - number) / 2) !=
                        ((bits & 1) ? bits + 1 : bits);
            if (bits % 97 == 0 && isfinite(number)) {
                struct ce_value value = json(names[k], "0");
                struct ce_edit edit;
                REQUIRE(ce_edit_number(&edit, &value, number, -1) == 0);
                struct ce_value back = value;
                back.text = (struct ce_slice){edit.text, edit.size};
                double again;
                digits += !ce_value_number(&back, &again) || ce_type_round(type, again) != number;
            }
        }
        CHECK(lost == 0 && digits == 0);
    }
    CHECK(ce_type_float_bits(ce_type_find(ce_slice_of("FP16")), 65520) == 0x7c00);
    CHECK(ce_type_float_bits(ce_type_find(ce_slice_of("FP16")), 65519.99) == 0x7bff);
    /* By way of a float this would round up to 1 + 2^-10. */
    CHECK(ce_type_float_bits(ce_type_find(ce_slice_of("FP16")), 1 + 0x1p-11 + 0x1p-40) == 0x3c01);
    CHECK(ce_type_float_bits(ce_type_find(ce_slice_of("FP16")), 1 + 0x1p-11) == 0x3c00);
}

static void decimals_are_counted_as_the_server_wrote_them(void)
{
    const struct {
        struct ce_value value;
        int decimals;
    } cases[] = {
        {json("", "0.8312"), 4},
        {json("", "7"), 0},
        {json("", "1.50"), 2},
        {json("", "1e-5"), -1},
        {json("", "NaN"), -1},
        {json("", "\"0.5\""), -1},
        {json("", "null"), -1},
        {json("", "\"a.5"), -1},
        {raw(CE_VALUE_FIXED, "FP32", "\0\0\0\0", 4), -1},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++)
        CHECK(ce_value_decimals(&cases[i].value) == cases[i].decimals);
}

/* ---- edits ---- */

static void numbers_are_spelled_as_their_neighbours(void)
{
    const struct {
        struct ce_value value;
        double number;
        int decimals, result;
        const char *text;
    } cases[] = {
        {json("FP64", "0.8312"), 1 - 0.8312, 4, 0, "0.1688"},
        {json("FP64", "0.5"), 0.75, 4, 0, "0.75"},
        {json("FP64", "0.5"), 2, 4, 0, "2"},
        {json("FP64", "0.5"), 0.1, -1, 0, "0.1"},
        {json("FP64", "0.5"), 0.1 + 0.2, -1, 0, "0.30000000000000004"},
        {json("FP64", "0.5"), 5e-324, -1, 0, "5e-324"},
        {json("FP64", "0.5"), 1e300, 2, 0, "1e+300"},
        {json("FP32", "0.5"), 0.1, -1, 0, "0.1"},
        {json("FP32", "0.5"), 1e39, -1, -ERANGE, ""},
        {json("FP16", "0.5"), 0.1, -1, 0, "0.1"},
        {json("FP16", "0.5"), 65520, -1, -ERANGE, ""},
        {json("", "1"), 0.25, -1, 0, "0.25"},
        {json("", "null"), 0.25, -1, 0, "0.25"},
        {json("FP64", "1"), NAN, -1, 0, "NaN"},
        {json("", "1"), INFINITY, -1, 0, "Infinity"},
        {json("", "1"), -INFINITY, 3, 0, "-Infinity"},
        {json("INT64", "1"), 2.6, -1, 0, "3"},
        {json("INT64", "1"), -0x1p63, -1, 0, "-9223372036854775808"},
        {json("INT64", "1"), 0x1p63, -1, -ERANGE, ""},
        {json("INT64", "1"), NAN, -1, -ERANGE, ""},
        {json("UINT64", "1"), 0x1p63, -1, 0, "9223372036854775808"},
        {json("UINT8", "1"), -1, -1, -ERANGE, ""},
        {json("UINT8", "1"), 256, -1, -ERANGE, ""},
        {json("INT8", "1"), -128, -1, 0, "-128"},
        {json("BOOL", "true"), 0.2, -1, 0, "false"},
        {json("BOOL", "1"), 0.2, -1, 0, "0"},
        {json("", "false"), 1, -1, 0, "true"},
        {json("BOOL", "true"), 2, -1, -ERANGE, ""},
        {json("", "\"a\""), 1, -1, -ENOTSUP, ""},
        {json("BYTES", "\"a\""), 1, -1, -ENOTSUP, ""},
        {raw(CE_VALUE_BYTES, "BYTES", "a", 1), 1, -1, -ENOTSUP, ""},
        {raw(CE_VALUE_FIXED, "FP64", "\0", 1), 1, -1, -ENOTSUP, ""},
        {raw(CE_VALUE_FIXED, "", "\0", 1), 1, -1, -ENOTSUP, ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_edit edit = {.size = 0};
        int r = ce_edit_number(&edit, &cases[i].value, cases[i].number, cases[i].decimals);
        bool same = edit_is(&edit, cases[i].text, strlen(cases[i].text));
        if (r != cases[i].result || !same)
            printf("# case %zu: %d, '%.*s'\n", i, r, (int)edit.size, edit.text);
        CHECK(r == cases[i].result && (r < 0 || same));
    }
}

static void bytes_are_written_little_endian(void)
{
    const struct {
        struct ce_value value;
        double number;
        const char *bytes;
        size_t size;
    } cases[] = {
        {raw(CE_VALUE_FIXED, "FP64", "12345678", 8), 0.5, "\0\0\0\0\0\0\xe0\x3f", 8},
        {raw(CE_VALUE_FIXED, "FP32", "1234", 4), -1, "\0\0\x80\xbf", 4},
        {raw(CE_VALUE_FIXED, "FP16", "12", 2), 1, "\0\x3c", 2},
        {raw(CE_VALUE_FIXED, "BF16", "12", 2), 1, "\x80\x3f", 2},
        {raw(CE_VALUE_FIXED, "INT32", "1234", 4), -2, "\xfe\xff\xff\xff", 4},
        {raw(CE_VALUE_FIXED, "BOOL", "\1", 1), 0, "\0", 1},
        {raw(CE_VALUE_VARINT, "INT64", "\1", 1), 300, "\xac\2", 2},
        {raw(CE_VALUE_VARINT, "INT32", "\1", 1), -1, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_edit edit;
        REQUIRE(ce_edit_number(&edit, &cases[i].value, cases[i].number, -1) == 0);
        CHECK(edit_is(&edit, cases[i].bytes, cases[i].size));
        struct ce_value back = cases[i].value;
        double number;
        back.text = (struct ce_slice){edit.text, edit.size};
        CHECK(ce_value_number(&back, &number) && number == cases[i].number);
    }
}

static void a_value_can_be_put_in_the_place_of_another(void)
{
    char long_text[66];
    memset(long_text, 'x', sizeof long_text);
    long_text[0] = long_text[64] = '"';
    long_text[65] = '\0';
    struct ce_value label = json("", "\"a\""), number = json("FP64", "0.5"),
                    long_label = json("", long_text),
                    fixed = raw(CE_VALUE_FIXED, "FP32", "1234", 4),
                    other = raw(CE_VALUE_FIXED, "FP64", "12345678", 8),
                    bytes = raw(CE_VALUE_BYTES, "BYTES", "abc", 3);
    struct ce_edit edit;
    CHECK(ce_edit_copy(&edit, &label, &number) == 0 && edit_is(&edit, "0.5", 3));
    CHECK(ce_edit_copy(&edit, &fixed, &fixed) == 0 && edit_is(&edit, "1234", 4));
    CHECK(ce_edit_copy(&edit, &bytes, &bytes) == 0 && edit_is(&edit, "abc", 3));
    CHECK(ce_edit_copy(&edit, &fixed, &other) == -ENOTSUP);
    CHECK(ce_edit_copy(&edit, &number, &fixed) == -ENOTSUP);
    CHECK(ce_edit_copy(&edit, &label, &bytes) == -ENOTSUP);
    CHECK(ce_edit_copy(&edit, &label, &long_label) == -ENOBUFS);
    long_text[63] = '"';
    long_label.text.size = 64;
    CHECK(ce_edit_copy(&edit, &label, &long_label) == 0 && edit_is(&edit, long_text, 64));
}

static void users_write_numbers_and_words(void)
{
    const struct {
        struct ce_value value;
        const char *text;
        int result;
        const char *want;
    } cases[] = {
        {json("", "\"a\""), "say \"hi\"\n", 0, "\"say \\\"hi\\\"\\n\""},
        {json("BYTES", "\"a\""), "caf\xc3\xa9", 0, "\"caf\xc3\xa9\""},
        {json("BYTES", "null"), "x", 0, "\"x\""},
        {json("", "\"a\""), "5", 0, "\"5\""},
        {json("", "0.5"), "0.250", 0, "0.250"},
        {json("", "0.5"), ".25", 0, "0.25"},
        {json("", "0.5"), "+1", 0, "1"},
        {json("", "0.5"), "NaN", 0, "NaN"},
        {json("", "0.5"), "cat", -ENOTSUP, ""},
        {json("", "0.5"), "", -ENOTSUP, ""},
        {json("", "null"), "cat", 0, "\"cat\""},
        {json("", "null"), "5", 0, "5"},
        {json("INT64", "1"), "9007199254740993", 0, "9007199254740993"},
        {json("INT64", "1"), "9223372036854775808", -ERANGE, ""},
        {json("INT64", "1"), "-9223372036854775808", 0, "-9223372036854775808"},
        {json("INT64", "1"), "2.6", 0, "3"},
        {json("INT64", "1"), "true", -ENOTSUP, ""},
        {json("UINT64", "1"), "18446744073709551615", 0, "18446744073709551615"},
        {json("UINT8", "1"), "-1", -ERANGE, ""},
        {json("BOOL", "true"), "false", 0, "false"},
        {json("", "true"), "0", 0, "false"},
        {json("BOOL", "true"), "maybe", -ENOTSUP, ""},
        {json("FP32", "1"), "1e39", -ERANGE, ""},
        {raw(CE_VALUE_BYTES, "BYTES", "a", 1), "cat", 0, "cat"},
        {raw(CE_VALUE_FIXED, "INT16", "12", 2), "258", 0, "\2\1"},
        {raw(CE_VALUE_FIXED, "INT16", "12", 2), "32768", -ERANGE, ""},
        {raw(CE_VALUE_FIXED, "FP32", "1234", 4), "cat", -ENOTSUP, ""},
        {raw(CE_VALUE_VARINT, "INT64", "\1", 1), "5", 0, "\5"},
        {json("", "\"a\""), "2345678901234567890123456789012345678901234567890123456789012345",
         -ENOBUFS, ""},
        {json("", "\"a\""),
         "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\", -ENOBUFS, ""},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_edit edit = {.size = 0};
        int r = ce_edit_text(&edit, &cases[i].value, cases[i].text);
        bool same = edit_is(&edit, cases[i].want, strlen(cases[i].want));
        if (r != cases[i].result || (r == 0 && !same))
            printf("# case %zu: %d, '%.*s'\n", i, r, (int)edit.size, edit.text);
        CHECK(r == cases[i].result && (r < 0 || same));
    }
}

int main(void)
{
    TEST(numbers_are_read_in_every_form);
    TEST(values_are_the_same_whatever_their_form);
    TEST(sixteen_bits_of_floating_point_survive);
    TEST(decimals_are_counted_as_the_server_wrote_them);
    TEST(numbers_are_spelled_as_their_neighbours);
    TEST(bytes_are_written_little_endian);
    TEST(a_value_can_be_put_in_the_place_of_another);
    TEST(users_write_numbers_and_words);
    return test_done();
}
