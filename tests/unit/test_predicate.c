/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "check.h"
#include "data/predicate.h"
#include "memory_rows.h"

CE_DEFINE_CLEANUP(struct ce_predicate, ce_predicate_free);
#define PREDICATE CE_CLEANUP(ce_predicate_free_p) struct ce_predicate

static const char *const names[] = {"age", "city", "zip", "note", "two words", NULL, "row"};
static const char *const cells[] = {"41.0", "Pa'ris", "01234", NULL, "x", "gone", "9"};

/* Whether the predicate holds for the row above, which is the thousandth. */
static bool holds(const char *text)
{
    PREDICATE *predicate = NULL;
    struct ce_error err = {0};
    struct memory_row row = memory_row_of(cells, 1000);
    if (ce_predicate_parse(text, &predicate, &err) < 0 ||
        ce_predicate_bind(predicate, names, CE_COUNT(names), "t.csv", &err) < 0) {
        printf("# %s: %s\n", text, err.message);
        check_failures++;
        return false;
    }
    return ce_predicate_true(predicate, &row.row);
}

struct pair {
    const char *yes, *no;
};

static void check_pairs(const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool yes = holds(pairs[i].yes), no = holds(pairs[i].no);
        CHECK(yes);
        CHECK(!no);
        if (!yes || no)
            printf("# of: %s | %s\n", pairs[i].yes, pairs[i].no);
    }
}

static void numbers_are_compared_as_numbers(void)
{
    static const struct pair pairs[] = {
        {"age = 41", "age = 42"},        {"age == 4.1e1", "age == 4.1"},
        {"age != 42", "age <> 41"},      {"age<42", "age<41"},
        {"age <= +41", "age <= 40.999"}, {"age > -5", "age > 41"},
        {"age >= 41", "age >= 41.5"},    {"100 > age", "5 > age"},
        {"zip = 1234", "zip = 12340"},   {"age > \"row\"", "age < \"row\""},
        {"row = 1000", "row = 9"},       {"row >= 1000 and row < 2000", "ROW between 0 and 999"},
        {"\"row\" = 9", "`row` = 1000"},
    };
    check_pairs(pairs, CE_COUNT(pairs));
}

static void everything_else_is_compared_as_text(void)
{
    static const struct pair pairs[] = {
        {"city = 'Pa''ris'", "city = 'pa''ris'"},
        {"city < 'Q'", "city > 'a'"},
        {"city > 'Pa'", "city > 'Pa''ris '"},
        {"zip = '01234'", "zip = '1234'"},
        {"age = '41.0'", "age = '41'"},
        {"city != zip", "city = zip"},
        {"city = city", "city < city"},
        {"`two words` = 'x'", "\"two words\" = 'y'"},
        /* A number and a text that is none differ; none of them is less. */
        {"city != 5", "city = 5"},
        {"not city = 5", "city > 5"},
        {"not city = age", "city <= 5 or city > 5"},
        {"city = city", "not (city > 5)"},
        {"city != row", "city > row"},
    };
    check_pairs(pairs, CE_COUNT(pairs));
}

static void lists_ranges_and_patterns(void)
{
    static const struct pair pairs[] = {
        {"age in (1, 41, 5)", "age in (1, 5)"},
        {"city in ('Rome','Pa''ris')", "city in ('Rome')"},
        {"age not in (1)", "age NOT IN (41)"},
        {"age between 41 and 42", "age between 42 and 50"},
        {"age not between 1 and 40", "age not between 1 and 41"},
        {"age between 1 and 50 and city like 'P%'", "age between 1 and 50 and city like 'R%'"},
        {"city between 'P' and 'Q'", "city between 'Q' and 'Z'"},
        {"city like 'Pa''ris'", "city like 'Pa'"},
        {"city like '%'", "city like ''"},
        {"city like '%r%s'", "city like '%r'"},
        {"city like 'P_''%'", "city like 'P_ris'"},
        {"city like '______'", "city like '_____'"},
        {"city not like 'p%'", "city not like 'P%'"},
        {"zip like '0%4'", "zip like '1%'"},
    };
    check_pairs(pairs, CE_COUNT(pairs));
}

static void an_underscore_is_one_character_of_any_size(void)
{
    static const char *const greek[] = {"\xCE\xB1\xCE\xB2"}, *const bytes[] = {"\x80\xff"};
    static const char *const column[] = {"c"};
    PREDICATE *predicate = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(ce_predicate_parse("c like '__'", &predicate, &err), err);
    REQUIRE_OK(ce_predicate_bind(predicate, column, 1, "t", &err), err);
    struct memory_row row = memory_row_of(greek, 0);
    CHECK(ce_predicate_true(predicate, &row.row));
    row = memory_row_of(bytes, 0);
    CHECK(ce_predicate_true(predicate, &row.row));
}

static void what_is_missing_is_neither_so_nor_not_so(void)
{
    static const struct pair pairs[] = {
        {"note is null", "note is not null"},
        {"age IS NOT NULL", "age is null"},
        {"row is not null", "not (note is null)"},
        {"age = 41 or note = 1", "note = 1"},
        {"note = 1 or age = 41", "not note = 1"},
        {"not (note = 1 and age = 42)", "not (note = 1 and age = 41)"},
        {"not (age = 42 and note = 1)", "not (note = 1 or age = 42)"},
        {"age = 41", "note != 1"},
        {"age = 41", "note in (1) or note not in (1) or note like '%' or note not like 'x'"},
        {"age = 41", "note between 1 and 2 or note not between 1 and 2"},
        {"age not between 50 and note", "age between 1 and note"},
        {"age = 41", "age = note or age <> note or note < note"},
    };
    check_pairs(pairs, CE_COUNT(pairs));
}

static void words_bind_as_in_sql(void)
{
    static const struct pair pairs[] = {
        {"age = 41 or age = 1 and age = 2", "(age = 41 or age = 1) and age = 2"},
        {"not age = 1 and age = 41", "not (age = 1 or age = 41)"},
        {"not not age = 41", "not not age = 42"},
        {"((age = 41))", "((age = 42))"},
        {" \t\nage=41 AND(city='Pa''ris')OR age=1 ", "age=41 AnD NoT(city='Pa''ris')"},
    };
    check_pairs(pairs, CE_COUNT(pairs));
}

static void what_does_not_parse_says_where(void)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "where: at character 1: expected a column or a value"},
        {"age >", "where: at character 6: expected a column or a value after '>'"},
        {"age > and", "where: at character 7: expected a column or a value after '>'"},
        {"age", "where: at character 4: expected a comparison after 'age'"},
        {"age 5", "where: at character 5: expected a comparison after 'age'"},
        {"age = 5 city", "where: at character 9: expected `and`, `or` or the end after '5'"},
        {"age = 'x", "where: at character 7: this quote is not closed"},
        {"\"age = 5", "where: at character 1: this quote is not closed"},
        {"(age = 5", "where: at character 9: expected ')', `and` or `or` after '5'"},
        {"age = 5)", "where: at character 8: expected `and`, `or` or the end after '5'"},
        {"age in 5", "where: at character 8: expected '(' after 'in'"},
        {"age in ()", "where: at character 9: expected a value after '('"},
        {"age in (city)", "where: at character 9: expected a value after '('"},
        {"age in (1 2)", "where: at character 11: expected ',' or ')' after '1'"},
        {"age between 1 or 2", "where: at character 15: expected `and` after '1'"},
        {"age like 5", "where: at character 10: expected a 'text' after 'like'"},
        {"age is 5", "where: at character 8: expected `null` after 'is'"},
        {"age not = 5", "where: at character 9: expected `in`, `between` or `like` after 'not'"},
        {"age = null", "where: at character 7: nothing is compared with null; use `is null`"},
        {"age = 1.2.3", "where: at character 7: this is no number"},
        {"age = 1e999", "where: at character 7: this is no number"},
        {"age ; 5", "where: at character 5: this is neither a name, a value nor a comparison"},
        {"'\xC3\xA9' = ; 5", "where: at character 7: this is neither a name, a value nor a"
                             " comparison"},
        {"city = 'Rome' 'x'",
         "where: at character 15: expected `and`, `or` or the end after 'Rome'"},
    };
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_predicate *predicate = NULL;
        struct ce_error err = {0};
        CHECK(ce_predicate_parse(cases[i].text, &predicate, &err) == -EINVAL);
        CHECK_TEXT(err.message, cases[i].says);
        CHECK(predicate == NULL);
    }
}

static void a_predicate_has_its_limits(void)
{
    enum { LONG = 70000 };
    struct ce_predicate *predicate = NULL;
    struct ce_error err = {0};
    ce_autofree char *text = malloc(LONG + 1);
    REQUIRE(text);
    memset(text, '(', LONG);
    text[LONG] = '\0';
    CHECK(ce_predicate_parse(text, &predicate, &err) == -EINVAL);
    CHECK_TEXT(err.message, "where: a predicate has at most 65536 bytes, this one has 70000");
    text[60000] = '\0';
    CHECK(ce_predicate_parse(text, &predicate, &err) == -EINVAL);
    CHECK_TEXT(err.message, "where: at character 101: this is nested too deeply");
    for (size_t i = 0; i < 60000; i++)
        text[i] = "not "[i % 4];
    CHECK(ce_predicate_parse(text, &predicate, &err) == -EINVAL);
    CHECK_TEXT(err.message, "where: at character 401: this is nested too deeply");
}

static void a_long_chain_is_not_deep(void)
{
    enum { LINKS = 4000 };
    ce_autofree char *text = malloc(LINKS * 14 + 1);
    REQUIRE(text);
    for (size_t i = 0; i < LINKS; i++)
        memcpy(text + 14 * i, i + 1 < LINKS ? "age = 42 or   " : "age = 41      ", 14);
    text[LINKS * 14] = '\0';
    CHECK(holds(text));
}

static void an_unknown_column_is_named_with_the_nearest(void)
{
    PREDICATE *predicate = NULL;
    struct ce_error err = {0};
    REQUIRE_OK(ce_predicate_parse("age = 1 and ctiy = 'x'", &predicate, &err), err);
    CHECK(ce_predicate_bind(predicate, names, CE_COUNT(names), "t.csv", &err) == -ENOENT);
    CHECK_TEXT(err.message, "where: 't.csv' has no column 'ctiy'; did you mean 'city'?");
}

int main(void)
{
    TEST(numbers_are_compared_as_numbers);
    TEST(everything_else_is_compared_as_text);
    TEST(lists_ranges_and_patterns);
    TEST(an_underscore_is_one_character_of_any_size);
    TEST(what_is_missing_is_neither_so_nor_not_so);
    TEST(words_bind_as_in_sql);
    TEST(what_does_not_parse_says_where);
    TEST(a_predicate_has_its_limits);
    TEST(a_long_chain_is_not_deep);
    TEST(an_unknown_column_is_named_with_the_nearest);
    return test_done();
}
