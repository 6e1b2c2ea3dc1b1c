/* SPDX-License-Identifier: MIT */
#include "params/params.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "check.h"

enum shape { SHAPE_FIXED = 3, SHAPE_UNIFORM, SHAPE_NORMAL };

struct sample {
    double rate, size;
    int64_t count, seed, delay, length;
    bool loud;
    int shape;
    char *note;
    struct ce_names columns;
};

static const struct ce_choice shapes[] = {
    {"fixed", SHAPE_FIXED, "always the same"},
    {"uniform", SHAPE_UNIFORM, "anything in between"},
    {.name = "normal", .value = SHAPE_NORMAL, .later = true},
    {NULL, 0, NULL},
};

static const struct ce_param table[] = {
    CE_RATE(struct sample, rate, .def = "0.1", .doc = "Share of the cells."),
    CE_NUMBER(struct sample, size, .min = -5, .max = 1.5e6, .unit = "MiB", .def = "12.5",
              .doc = "How large."),
    CE_INTEGER(struct sample, count, .min = 1, .max = 1000, .def = "3", .doc = "How many."),
    CE_INTEGER(struct sample, seed, .min = 0, .max = 0x1p63, .def = "",
               .doc = "Where chance begins."),
    CE_DURATION(struct sample, delay, .min = 0, .max = 10 * 60e9, .def = "250ms",
                .doc = "How late."),
    CE_SECONDS(struct sample, length, .min = 1e6, .max = 24 * 3600e9, .def = "60",
               .doc = "How long."),
    CE_BOOL(struct sample, loud, .def = "false", .doc = "Whether it is heard."),
    CE_CHOICE(struct sample, shape, .choices = shapes, .def = "fixed", .doc = "How it is drawn."),
    CE_TEXT(struct sample, note, .def = "", .doc = "What somebody wrote."),
    CE_NAMES(struct sample, columns, .def = "", .doc = "Which columns."),
    CE_END_PARAMS,
};

static void defaults_are_what_the_table_says(void)
{
    struct sample sample = {0};
    struct ce_error err = {0};
    REQUIRE_OK(ce_params_init(table, &sample, &err), err);
    CHECK(sample.rate == 0.1 && sample.size == 12.5 && sample.count == 3 && sample.seed == 0);
    CHECK(sample.delay == 250 * CE_MILLISECOND && sample.length == 60 * CE_SECOND);
    CHECK(!sample.loud && sample.shape == SHAPE_FIXED && !sample.note && sample.columns.count == 0);
    ce_params_done(table, &sample);
}

static void a_bad_default_is_reported_like_bad_input(void)
{
    static const struct ce_param bad[] = {
        CE_TEXT(struct sample, note, .def = "kept until the next row fails", .doc = "Text."),
        CE_RATE(struct sample, rate, .def = "2", .doc = "Too much."),
        CE_END_PARAMS,
    };
    struct sample sample = {0};
    struct ce_error err = {0};
    CHECK(ce_params_init(bad, &sample, &err) == -ERANGE);
    CHECK_TEXT(err.message, "rate: 2 is outside 0..1");
    CHECK(!sample.note);
}

static void required_fields_stay_zero(void)
{
    static const struct ce_param required[] = {
        CE_RATE(struct sample, rate, .doc = "Nobody knows."),
        CE_END_PARAMS,
    };
    struct sample sample = {0};
    struct ce_error err = {0};
    CHECK(ce_params_init(required, &sample, &err) == 0);
    CHECK(sample.rate == 0);
}

static void values_are_parsed_and_refused_with_a_sentence(void)
{
    static const struct {
        const char *name, *text;
        int want;
        const char *says;
    } cases[] = {
        {"rate", "0", 0, ""},
        {"rate", "1", 0, ""},
        {"rate", "1e-3", 0, ""},
        {"rate", "1.5", -ERANGE, "rate: 1.5 is outside 0..1"},
        {"rate", "-0.1", -ERANGE, "rate: -0.1 is outside 0..1"},
        {"rate", "nan", -EINVAL, "rate: 'nan' is not a number in 0..1"},
        {"rate", ".inf", -EINVAL, "rate: '.inf' is not a number in 0..1"},
        {"rate", "1e999", -EINVAL, "rate: '1e999' is not a number in 0..1"},
        {"rate", "10%", -EINVAL, "rate: '10%' is not a number in 0..1"},
        {"rate", "", -EINVAL, "rate: '' is not a number in 0..1"},
        {"size", "-5", 0, ""},
        {"size", "1500000.5", -ERANGE, "size: 1500000.5 is outside -5..1500000 MiB"},
        {"size", "3MiB", -EINVAL, "size: '3MiB' is not a number in -5..1500000 MiB"},
        {"count", "1000", 0, ""},
        {"count", "1001", -ERANGE, "count: 1001 is outside 1..1000"},
        {"count", "1.5", -EINVAL, "count: '1.5' is not a whole number in 1..1000"},
        {"count", "1e2", -EINVAL, "count: '1e2' is not a whole number in 1..1000"},
        {"seed", "9223372036854775807", 0, ""},
        {"seed", "9223372036854775808", -ERANGE,
         "seed: 9223372036854775808 is outside 0..9223372036854775807"},
        {"delay", "10us", 0, ""},
        {"delay", "250", -EINVAL, "delay: '250' needs a unit: us, ms, s, m or h"},
        {"delay", "-1s", -ERANGE, "delay: -1s is outside 0s..10m"},
        {"delay", "11m", -ERANGE, "delay: 11m is outside 0s..10m"},
        {"delay", "1e300h", -ERANGE, "delay: 1e300h is outside 0s..10m"},
        {"delay", "soon", -EINVAL,
         "delay: 'soon' is not a duration such as 250ms, 3s or 2m (0s..10m)"},
        {"length", "90", 0, ""},
        {"length", "1.5h", 0, ""},
        {"length", "0", -ERANGE, "length: 0 is outside 1ms..24h"},
        {"length", "3x", -EINVAL,
         "length: '3x' is not a number of seconds or a duration such as 250ms, 3s or 2m "
         "(1ms..24h)"},
        {"loud", "true", 0, ""},
        {"loud", "yes", -EINVAL, "loud: 'yes' is not true or false"},
        {"shape", "uniform", 0, ""},
        {"shape", "unifrom", -EINVAL,
         "shape: 'unifrom' is not one of fixed, uniform (did you mean 'uniform'?)"},
        {"shape", "triangle", -EINVAL, "shape: 'triangle' is not one of fixed, uniform"},
        {"shape", "normal", -EINVAL,
         "shape: 'normal' is not available in this version; accepted: fixed, uniform"},
        {"note", "", 0, ""},
        {"columns", "age", 0, ""},
        {"columns", "", -EINVAL, "columns: a name must not be empty"},
    };
    struct sample sample = {0};
    for (size_t i = 0; i < CE_COUNT(cases); i++) {
        struct ce_error err = {0};
        CHECK(ce_param_set(ce_param_find(table, cases[i].name), &sample, cases[i].text, &err) ==
              cases[i].want);
        CHECK_TEXT(err.message, cases[i].says);
    }
    ce_params_done(table, &sample);
}

static void a_refused_value_leaves_the_field_alone(void)
{
    struct sample sample = {0};
    struct ce_error err = {0};
    static const char *const good[] = {"a", "b"}, *const bad[] = {"c", ""};
    const struct ce_param *columns = ce_param_find(table, "columns");
    REQUIRE_OK(ce_params_init(table, &sample, &err), err);
    REQUIRE_OK(ce_param_set_list(columns, &sample, good, 2, &err), err);
    CHECK(ce_param_set(ce_param_find(table, "rate"), &sample, "7", NULL) == -ERANGE);
    CHECK(ce_param_set_list(columns, &sample, bad, 2, NULL) == -EINVAL);
    CHECK(sample.rate == 0.1);
    CHECK(sample.columns.count == 2);
    CHECK_TEXT(sample.columns.names[1], "b");
    ce_params_done(table, &sample);
    CHECK(sample.columns.count == 0 && !sample.columns.names);
}

static void only_names_take_a_list(void)
{
    struct sample sample = {0};
    struct ce_error err = {0};
    static const char *const items[] = {"1"};
    CHECK(ce_param_set_list(ce_param_find(table, "count"), &sample, items, 1, &err) == -EINVAL);
    CHECK_TEXT(err.message, "count: a list is not a whole number in 1..1000");
    REQUIRE_OK(ce_param_set_list(ce_param_find(table, "columns"), &sample, NULL, 0, &err), err);
    CHECK(sample.columns.count == 0);
    ce_params_done(table, &sample);
}

static void long_and_hostile_values_are_shown_shortly(void)
{
    char text[400];
    struct sample sample = {0};
    struct ce_error err = {0};
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "\033[31m\n", 6);
    CHECK(ce_param_set(ce_param_find(table, "rate"), &sample, text, &err) == -EINVAL);
    CHECK(!strchr(err.message, '\033') && !strchr(err.message, '\n'));
    CHECK(strlen(err.message) < 120 && strstr(err.message, "...' is not a number in 0..1"));
}

static void shown_text_is_cut_between_characters(void)
{
    char shown[CE_TEXT_SHOWN_SIZE], text[201] = "x";
    ce_text_show("a\xc2\x9b"
                 "31mb\xc2\xa0",
                 shown);
    CHECK_TEXT(shown, "a??31mb\xc2\xa0");
    for (size_t i = 1; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    ce_text_show(text, shown);
    size_t n = strlen(shown);
    CHECK(n % 2 == 0 && n > 70 && strcmp(shown + n - 5, "\xc3\xa9...") == 0);
}

static void names_are_found_and_guessed(void)
{
    CHECK(ce_param_find(table, "delay") &&
          ce_param_find(table, "delay")->type == CE_PARAM_DURATION);
    CHECK(!ce_param_find(table, "Delay"));
    CHECK_TEXT(ce_param_nearest(table, "colums"), "columns");
    CHECK(!ce_param_nearest(table, "something else"));
}

static void values_carry_what_was_resolved(void)
{
    struct sample sample = {0};
    struct ce_error err = {0};
    static const char *const columns[] = {"age", "income"};
    REQUIRE_OK(ce_params_init(table, &sample, &err), err);
    ce_autojson json_t *values = ce_params_values(table, &sample);
    CHECK(json_real_value(json_object_get(values, "rate")) == 0.1);
    CHECK(json_real_value(json_object_get(values, "delay")) == 0.25);
    CHECK(json_real_value(json_object_get(values, "length")) == 60);
    CHECK(json_is_false(json_object_get(values, "loud")));
    CHECK_TEXT(json_string_value(json_object_get(values, "shape")), "fixed");
    CHECK(json_is_null(json_object_get(values, "note")));
    CHECK(json_is_null(json_object_get(values, "columns")));

    REQUIRE_OK(ce_param_set_list(ce_param_find(table, "columns"), &sample, columns, 2, &err), err);
    ce_autojson json_t *later = ce_params_values(table, &sample);
    CHECK(json_array_size(json_object_get(later, "columns")) == 2);
    ce_params_done(table, &sample);
}

/* As `faults --json` prints it: one object a row, null where a fact is absent. */
static void descriptions_say_every_fact(void)
{
    ce_autojson json_t *rows = ce_params_describe(table);
    REQUIRE(json_array_size(rows) == CE_COUNT(table) - 1);
    static const char *const want[] = {
        [0] = "{\"name\": \"rate\", \"type\": \"rate\", \"default\": 0.1, \"min\": 0.0, \"max\": "
              "1.0, \"unit\": null, "
              "\"choices\": null, \"doc\": \"Share of the cells.\", \"required\": false}",
        [2] = "{\"name\": \"count\", \"type\": \"integer\", \"default\": 3, \"min\": 1, \"max\": "
              "1000, \"unit\": null, "
              "\"choices\": null, \"doc\": \"How many.\", \"required\": false}",
        [4] = "{\"name\": \"delay\", \"type\": \"duration\", \"default\": \"250ms\", \"min\": 0.0, "
              "\"max\": 600.0, "
              "\"unit\": \"s\", \"choices\": null, \"doc\": \"How late.\", \"required\": false}",
        [7] = "{\"name\": \"shape\", \"type\": \"choice\", \"default\": \"fixed\", \"min\": null, "
              "\"max\": null, "
              "\"unit\": null, \"choices\": [\"fixed\", \"uniform\"], \"doc\": \"How it is "
              "drawn.\", \"required\": false}",
        [9] =
            "{\"name\": \"columns\", \"type\": \"names\", \"default\": null, \"min\": null, "
            "\"max\": null, "
            "\"unit\": null, \"choices\": null, \"doc\": \"Which columns.\", \"required\": false}",
    };
    for (size_t i = 0; i < CE_COUNT(want); i++) {
        if (!want[i])
            continue;
        ce_autofree char *text = json_dumps(json_array_get(rows, i), JSON_REAL_PRECISION(15));
        CHECK_TEXT(text, want[i]);
    }
}

static void schemas_name_types_ranges_and_what_is_required(void)
{
    static const struct ce_param required[] = {
        CE_NUMBER(struct sample, size, .min = 1, .max = 8, .doc = "How large."),
        CE_CHOICE(struct sample, shape, .choices = shapes, .def = "fixed",
                  .doc = "How it is drawn."),
        CE_END_PARAMS,
    };
    ce_autojson json_t *schema = ce_params_schema(required);
    ce_autofree char *text = json_dumps(schema, JSON_COMPACT);
    CHECK_TEXT(text, "{\"type\":\"object\",\"properties\":{"
                     "\"size\":{\"type\":\"number\",\"minimum\":1.0,\"maximum\":8.0,"
                     "\"description\":\"How large.\"},"
                     "\"shape\":{\"enum\":[\"fixed\",\"uniform\"],\"default\":\"fixed\","
                     "\"description\":\"How it is drawn.\"}},"
                     "\"required\":[\"size\"],\"additionalProperties\":false}");
    /* All types at once: every row has its property. */
    ce_autojson json_t *whole = ce_params_schema(table);
    CHECK(json_object_size(json_object_get(whole, "properties")) == CE_COUNT(table) - 1);
}

static void the_table_is_printed_within_100_columns(void)
{
    static const struct ce_param wordy[] = {
        CE_CHOICE(struct sample, shape, .choices = shapes, .def = "fixed",
                  .doc = "A sentence that goes on and on, past the end of the line and then past "
                         "the end of the next "
                         "one too, because whoever wrote it could not stop in time."),
        CE_RATE(struct sample, rate, .doc = "Short."),
        CE_END_PARAMS,
    };
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    REQUIRE(out);
    ce_params_print(wordy, out);
    fclose(out);
    CHECK_TEXT(text, "  shape  one of fixed, uniform; default fixed\n"
                     "         A sentence that goes on and on, past the end of the line and then "
                     "past the end of the next\n"
                     "         one too, because whoever wrote it could not stop in time.\n"
                     "           fixed: always the same\n"
                     "           uniform: anything in between\n"
                     "  rate   a number in 0..1; required\n"
                     "         Short.\n");
    free(text);
}

int main(void)
{
    TEST(defaults_are_what_the_table_says);
    TEST(a_bad_default_is_reported_like_bad_input);
    TEST(required_fields_stay_zero);
    TEST(values_are_parsed_and_refused_with_a_sentence);
    TEST(a_refused_value_leaves_the_field_alone);
    TEST(only_names_take_a_list);
    TEST(long_and_hostile_values_are_shown_shortly);
    TEST(shown_text_is_cut_between_characters);
    TEST(names_are_found_and_guessed);
    TEST(values_carry_what_was_resolved);
    TEST(descriptions_say_every_fact);
    TEST(schemas_name_types_ranges_and_what_is_required);
    TEST(the_table_is_printed_within_100_columns);
    return test_done();
}
